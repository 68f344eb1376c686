# SPDX-License-Identifier: BSD-3-Clause
"""Larq's and QKeras' quantizers of a network's input, which the host computes for any float32."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from bnn.formats.keras.quantizers import SIGNS, Named, Real, activation_of
from bnn.formats.qonnx.quantizers import float_thresholds
from bnn.network.network import Integers, Lattice, Quantize, Sign
from bnn.program.inputs import RealInput, Shape
from bnn.program.precision import BIPOLAR, TERNARY, UINT, Precision

#: Largest integer of an input: arrays of inputs are int16.
MAX_INTEGER = 32767


def host_input(where: str, given: Named, shape: Shape) -> tuple[RealInput, Lattice] | None:
    """Return an input of the host that quantizes every float32 as ``given`` does.

    The second result has the real values of the input's integers. Return None if the host has no
    such input; then the caller must know which values occur at the input.
    """
    match given.name:
        case name if name in SIGNS:
            return _input(shape, BIPOLAR, 1.0), Lattice()
        case "ste_heaviside":
            # The smallest normal number: TensorFlow reads smaller ones as 0.
            tiny = float(np.finfo(np.float32).tiny)
            return _input(shape, UINT(1), tiny, -0.5, "up"), Lattice()
        case "ste_tern" if not given.settings["ternary_weight_networks"]:
            # x = delta is just above half the scale; the float32 before it is half the scale.
            delta = np.float32(given.settings["threshold_value"])
            scale = 2 * float(np.nextafter(delta, np.float32(0)))
            host, lattice = _input(shape, TERNARY, scale) if scale > 0 else None, Lattice()
        case "dorefa_quantizer" if given.settings["mode"] == "activations":
            steps = (1 << given.settings["k_bit"]) - 1
            precision = UINT(given.settings["k_bit"])
            host, lattice = _input(shape, precision, steps, multiplied=True), Lattice(1 / steps)
        case "quantized_bits" | "quantized_relu":
            made = activation_of(where, given, "input", "")
            if not isinstance(made, Quantize) or made.precision.high > MAX_INTEGER:
                return None
            host, lattice = _input(shape, made.precision, made.scale), Lattice(made.scale)
        case "binary":
            made = activation_of(where, given, "input", "")
            if not isinstance(made, Sign):
                return None
            return _input(shape, BIPOLAR, 1.0), Lattice(made.scale)
        case _:
            return None
    return (host, lattice) if host is not None and _same(where, given, host) else None


def _input(
    shape: Shape,
    precision: Precision,
    scale: float,
    zero: float = 0.0,
    rounding: Literal["even", "up"] = "even",
    multiplied: bool = False,
) -> RealInput:
    scales, zeros = np.full(1, scale, np.float32), np.full(1, zero, np.float32)
    return RealInput(shape, precision, scales, zeros, rounding, multiplied)


def _same(where: str, given: Named, host: RealInput) -> bool:
    """Return whether ``host`` and ``given`` change from level to level at the same float32."""
    made = activation_of(where, given, "input", "")
    alone = replace(host, shape=(1,))

    def level(x: Real) -> Integers:
        return alone.check(np.nan_to_num(x)[:, None])[:, 0].astype(np.int64) - host.precision.low

    def wanted(x: Real) -> Integers:
        return made.level(x[:, None])[:, 0]

    found, right = (float_thresholds(one, made.levels) for one in (level, wanted))
    return bool(np.array_equal(found, right))

# SPDX-License-Identifier: BSD-3-Clause
"""Larq's quantizers (larq.quantizers 0.14) and Keras' activations, by their configuration.

Each is given as it computes, in float32 and in its own order of operations.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.errors import FormatError
from bnn.formats.qonnx_quant import float_thresholds
from bnn.formats.weights import Weights, from_real, signs, whole
from bnn.network import Activation, Clip, MultiThreshold, RealLayer, Sign

Real = NDArray[np.float32]

_SIGNS = {"ste_sign", "approx_sign", "swish_sign"}
_ALIASES = {
    "do_re_fa": "dorefa_quantizer",
    "do_re_fa_quantizer": "dorefa_quantizer",
    "no_op_quantizer": "no_op",
    "dorefa": "dorefa_quantizer",
}
_F = np.float32


@dataclass(frozen=True)
class Named:
    """A quantizer or activation: its name in lower case with underscores, its settings."""

    name: str
    config: Mapping[str, Any] = field(default_factory=dict)


def named(where: str, given: Any) -> Named | None:
    """From a configuration: a name, a serialized object, or nothing."""
    if given is None or given == "linear":
        return None
    if isinstance(given, str):
        return Named(_plain(given))
    if isinstance(given, Mapping):
        inner = given.get("config")
        if given.get("class_name") == "function" and isinstance(inner, str):
            return Named(_plain(inner))
        if isinstance(given.get("class_name"), str):
            return Named(_plain(given["class_name"]), inner if isinstance(inner, Mapping) else {})
    raise FormatError(f"{where}: {given!r} is no quantizer or activation that can be read")


def _plain(name: str) -> str:
    last = re.split(r"[>.:]", name)[-1]
    snake = re.sub("([a-z0-9])([A-Z])", r"\1_\2", last).lower()
    return _ALIASES.get(snake, snake)


def _number(where: str, given: Named, key: str, default: float) -> float:
    value = given.config.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FormatError(f"{where}: {key} of {given.name} must be a number, not {value!r}")
    return float(value)


def _bits(where: str, given: Named) -> int:
    bits = _number(where, given, "k_bit", 2)
    if bits not in range(1, 9):
        raise FormatError(f"{where}: DoReFa with {bits:g} bits; 1 to 8 can be read")
    return int(bits)


# --- weights -------------------------------------------------------------------------


def weights_of(where: str, given: Named | None, latent: Real) -> Weights:
    """Latent weights (out, ...) quantized as ``given`` says; None takes them as they are."""
    latent = latent.astype(np.float32)
    if not np.isfinite(latent).all():
        raise FormatError(f"{where}: weights are not finite")
    if given is None or given.name == "no_op":
        return from_real(latent, where)
    match given.name:
        case name if name in _SIGNS:
            return signs(latent)
        case "magnitude_aware_sign":
            scale = np.abs(latent).reshape(len(latent), -1).mean(axis=1, dtype=np.float32)
            return Weights(signs(latent).integers, signs(latent).precision, scale)
        case "ste_tern":
            return whole(_ternary(where, given, latent), np.ones(1), -1, 1)
        case "ste_heaviside":
            return whole((latent > 0).astype(np.float32), np.ones(1), 0, 1)
        case "dorefa_quantizer" if given.config.get("mode") == "weights":
            return _dorefa_weights(_bits(where, given), latent)
    raise FormatError(f"{where}: kernel quantizer {given.name!r} cannot be converted")


def _ternary(where: str, given: Named, x: Real) -> Real:
    delta = _F(_number(where, given, "threshold_value", 0.05))
    if given.config.get("ternary_weight_networks"):
        delta = _F(0.7) * np.abs(x).sum(dtype=np.float32) / _F(x.size)
    signs_of: Real = np.sign(np.sign(x + delta) + np.sign(x - delta))
    return signs_of


def _dorefa_weights(bits: int, latent: Real) -> Weights:
    limited = np.tanh(latent)
    largest = _F(2) * np.abs(limited).max()
    normed = limited / largest + _F(0.5) if largest else np.full_like(limited, 0.5)
    steps = (1 << bits) - 1
    levels = np.rint(normed * _F(steps))
    return whole(2 * levels - steps, np.full(1, 1 / steps), -steps, steps)


# --- activations ---------------------------------------------------------------------


def activation_of(where: str, given: Named, name: str, source: str) -> Activation:
    """The quantizing activation ``given`` as a layer called ``name``."""
    match given.name:
        case kind if kind in _SIGNS:
            return Sign(name, source=source)
        case "sign":
            return Sign(name, at_zero=0, source=source)
        case "magnitude_aware_sign":
            raise FormatError(f"{where}: magnitude_aware_sign is for weights, not for inputs")
        case "ste_heaviside" | "heaviside":
            above = np.nextafter(_F(0), _F(1))
            return MultiThreshold(name, np.full((1, 1), above), source=source)
        case "ste_tern":
            if given.config.get("ternary_weight_networks"):
                raise FormatError(
                    f"{where}: ternary_weight_networks is for weights, not for inputs"
                )
            table = float_thresholds(lambda x: _ternary(where, given, x) + 1, 2)
            return MultiThreshold(name, table[None, :], 1.0, 1, -1, source)
        case "dorefa_quantizer" if given.config.get("mode", "activations") == "activations":
            steps = (1 << _bits(where, given)) - 1
            table = float_thresholds(lambda x: np.rint(np.clip(x, _F(0), _F(1)) * _F(steps)), steps)
            return MultiThreshold(name, table[None, :], float(_F(1) / _F(steps)), source=source)
    raise FormatError(f"{where}: activation {given.name!r} cannot be converted")


def real_activation(given: Named, name: str, source: str) -> RealLayer | None:
    """The real-valued activation ``given``, or None if it is none."""
    match given.name:
        case "relu" | "re_lu":
            most = given.config.get("max_value")
            if given.config.get("negative_slope") or given.config.get("threshold"):
                return None
            return Clip(name, 0.0, np.inf if most is None else float(most), source)
        case "relu6":
            return Clip(name, 0.0, 6.0, source)
        case "hard_tanh":
            return Clip(name, -1.0, 1.0, source)
    return None

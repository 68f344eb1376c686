# SPDX-License-Identifier: BSD-3-Clause
"""The quantizers of this package's own networks, each determined by its precision.

They are those of the original (specification, section 8), generalized to any precision:
values in [-1, 1], or [0, 1] if unsigned, halves rounded upwards.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bnn.errors import NetworkError
from bnn.network.network import Activation, Lattice, Quantize, Sign
from bnn.program.inputs import (
    Input,
    PictureInput,
    Shape,
    fixed_point_table,
    identity_table,
    sign_table,
)
from bnn.program.precision import BIPOLAR, INT, UINT, Precision

Encoding = Literal["fixed-point", "sign", "bytes"]
ENCODINGS: tuple[Encoding, ...] = ("fixed-point", "sign", "bytes")


def unit_scale(precision: Precision) -> float:
    """Return the real value of the integer 1, so that the range is [-1, 1], [0, 1] or [-1, 1)."""
    if precision.kind == "signed":
        return 1.0 / -precision.low
    return 1.0 / precision.high


def activation(name: str, precision: Precision, source: str = "") -> Activation:
    """Return the activation of ``precision``: a sign, or a quantizer with :func:`unit_scale`."""
    if precision == BIPOLAR:
        return Sign(name, source=source)
    return Quantize(name, precision, unit_scale(precision), 0, "half-up", source)


def quantize_weights(real: NDArray[Any], precision: Precision) -> NDArray[np.int16]:
    """Return the integers of ``precision``, int16 in the shape of ``real``, which must be finite.

    Bipolar: -1 below zero, else +1. Others: ``floor(w / unit_scale + 0.5)``, clipped.
    """
    if not np.isfinite(real).all():
        raise NetworkError("weights contain values that are not finite")
    if precision == BIPOLAR:
        return np.where(real < 0, -1, 1).astype(np.int16)
    units = real / real.dtype.type(unit_scale(precision))
    halves = np.clip(units, precision.low, precision.high) + real.dtype.type(0.5)
    whole: NDArray[np.int16] = np.minimum(np.floor(halves), precision.high).astype(np.int16)
    return whole


def encoded_input(shape: Shape, encoding: Encoding) -> tuple[Input, Lattice]:
    """Return a picture input, and the real values that its integers stand for.

    ``fixed-point``: 2p/255 - 1 in 8 bits, 7 of them fractional (the original's CNV).
    ``sign``: -1 below byte 128, else +1 (the original's LFC). ``bytes``: p/255.

    p is a byte of the picture. ``shape`` is (height, width, channels), or (features,).
    """
    match encoding:
        case "fixed-point":
            return PictureInput(shape, INT(8), fixed_point_table()), Lattice(1 / 128)
        case "sign":
            return PictureInput(shape, BIPOLAR, sign_table()), Lattice()
        case "bytes":
            reals = tuple(byte / 255 for byte in range(256))
            return PictureInput(shape, UINT(8), identity_table()), Lattice(1 / 255, reals=reals)
    known = ", ".join(ENCODINGS)
    raise NetworkError(f"no input encoding is called {encoding!r}; there are {known}")

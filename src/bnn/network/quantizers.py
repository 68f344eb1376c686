# SPDX-License-Identifier: BSD-3-Clause
"""The quantizers of this package's own networks, each determined by its precision.

They are the quantizers of the original (specification, section 8), generalized to any precision:
values are clipped to [-1, 1], or to [0, 1] if unsigned, and halves are rounded upwards.
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
    """Return the real value of the integer 1, such that all values are in one range.

    The range is [-1, 1] for bipolar and narrow, [0, 1] for unsigned, [-1, 1) for signed.
    """
    if precision.kind == "signed":
        return 1.0 / -precision.low
    return 1.0 / precision.high


def activation(name: str, precision: Precision, source: str = "") -> Activation:
    """Return the activation with results of ``precision``.

    It is a sign for bipolar, else a quantizer with :func:`unit_scale`.
    """
    if precision == BIPOLAR:
        return Sign(name, source=source)
    return Quantize(name, precision, unit_scale(precision), 0, "half-up", source)


def quantize_weights(real: NDArray[Any], precision: Precision) -> NDArray[np.int16]:
    """Return integers of ``precision`` for the weights ``real``: int16 of the same shape.

    Bipolar: -1 for weights below 0, else +1. Others: ``floor(w / unit_scale + 0.5)``, clipped to
    the precision.

    Raises:
        NetworkError: a weight is not finite.
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

    The real value of a byte p of the picture is, with the encoding ``fixed-point``, 2p/255 - 1 in 8
    bits, 7 of them fractional (the original's CNV); with ``sign``, -1 for p below 128, else +1 (the
    original's LFC); with ``bytes``, p/255.

    ``shape`` is (height, width, channels), or (features,).
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

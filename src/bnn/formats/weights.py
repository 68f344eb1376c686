# SPDX-License-Identifier: BSD-3-Clause
"""Split real weights into small integers and a scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.errors import FormatError
from bnn.lower.codes import tightest
from bnn.program.precision import BIPOLAR, INT, UINT, Precision

#: Relative tolerance of ratios to the smallest weight, which magnify its rounding.
TOLERANCE = 1e-5
#: Tolerance for rounding in float32, relative to the largest weight.
ROUNDING = 2.0**-21
#: The smallest weight of a row may be this multiple of the scale.
MAX_SMALLEST = 16
MAX_WEIGHT = 127
#: Of weights in fixed point, with their sign.
MAX_FIXED_BITS = 16
#: Of weights that are not quantized, without their sign: as many as float32 has.
REAL_BITS = 24


@dataclass(frozen=True, eq=False)
class Weights:
    """Integer weights.

    Attributes:
        integers: int16 (out channels, ...), or int32 if :func:`from_any` has made them.
        precision: precision of the integers.
        scale: float32 (1,) or (out channels,); the real weight is ``scale * integers``.
    """

    integers: NDArray[Any]
    precision: Precision
    scale: NDArray[np.float32]


def signs(real: NDArray[Any]) -> Weights:
    """Return the latent weights (out, ...) binarized: -1 if below zero, else +1."""
    return Weights(np.where(real < 0, -1, 1).astype(np.int16), BIPOLAR, np.ones(1, np.float32))


def whole(integers: NDArray[Any], scale: NDArray[Any], low: int, high: int) -> Weights:
    """Return ``integers`` as weights, in the narrowest precision for ``low`` to ``high``."""
    two = bool(np.abs(integers).min() == 1 == np.abs(integers).max()) if integers.size else False
    precision = tightest([-1, 1] if two and (low, high) == (-1, 1) else [low, high], two)
    return Weights(integers.astype(np.int16), precision, np.asarray(scale, np.float32).reshape(-1))


def from_real(real: NDArray[Any], name: str) -> Weights:
    """Return weights (out, ...) as small integers times a scale.

    There is one scale for all weights if possible, else one scale per row (output).

    Raises:
        FormatError: no such integers and scales exist; the message begins with ``name``.
    """
    rows = real.reshape(len(real), -1).astype(np.float64)
    if not np.isfinite(rows).all():
        raise FormatError(f"{name}: weights are not finite")
    for one_scale in (True, False):
        scale = _scales(rows if not one_scale else rows.reshape(1, -1))
        if scale is not None:
            integers = np.rint(rows / scale[:, None]).reshape(real.shape)
            return Weights(
                integers.astype(np.int16), _precision(integers), scale.astype(np.float32)
            )
    unit = _power_of_two(rows)
    if unit is not None:
        integers = (rows / unit).reshape(real.shape)
        return Weights(
            integers.astype(np.int16), _precision(integers), np.full(1, unit, np.float32)
        )
    raise FormatError(
        f"{name}: its weights are not quantized (no small integers times a scale), "
        "and nothing in the file says how to quantize them"
    )


def from_any(real: NDArray[Any], name: str) -> Weights:
    """Split weights as :func:`from_real` does; weights that are not quantized get 24 bits.

    They are then rounded to 24 bits and a sign, with a scale per row. Their layers are computed in
    fixed point (:mod:`bnn.lower.affine`), and the report says so.
    """
    try:
        return from_real(real, name)
    except FormatError:
        rows = real.reshape(len(real), -1).astype(np.float64)
        if not np.isfinite(rows).all():
            raise
    largest = np.abs(rows).max(axis=1)
    scale = np.where(largest > 0, 2.0 ** (np.frexp(largest)[1] - float(REAL_BITS)), 1.0)
    limit = (1 << REAL_BITS) - 1
    integers = np.clip(np.rint(rows / scale[:, None]), -limit, limit).reshape(real.shape)
    return Weights(
        integers.astype(np.int32), INT(REAL_BITS + 1, narrow=True), scale.astype(np.float32)
    )


def _scales(rows: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return one scale per row such that rows / scale are small whole numbers.

    Return None if there are no such scales.
    """
    scales = np.ones(len(rows))
    for index, row in enumerate(rows):
        sizes = np.unique(np.abs(row[row != 0]))
        if sizes.size == 0:
            continue
        if sizes.size > MAX_WEIGHT * MAX_SMALLEST:
            return None
        for smallest in range(1, MAX_SMALLEST + 1):
            ratios = sizes / sizes[0] * smallest
            if np.abs(ratios - np.rint(ratios)).max() < TOLERANCE * ratios.max():
                break
        else:
            return None
        whole_ratios = np.rint(ratios)
        if whole_ratios[-1] > MAX_WEIGHT:
            return None
        scales[index] = sizes[-1] / whole_ratios[-1]
        if np.abs(scales[index] * whole_ratios - sizes).max() > ROUNDING * sizes[-1]:
            return None
    if len(scales) == 1 and (rows == np.rint(rows)).all() and np.abs(rows).max() <= MAX_WEIGHT:
        return np.ones(1)
    return scales


def _power_of_two(rows: NDArray[np.float64]) -> float | None:
    """Return the power of two of which all weights are multiples; None if there is none.

    The multiples must be integers of 16 bits, the sign included. Fixed-point weights have such a
    power of two; weights that were not quantized do not have one.
    """
    largest = float(np.abs(rows).max(initial=0.0))
    if largest == 0.0:
        return None
    for bits in range(1, MAX_FIXED_BITS):
        unit = 2.0 ** (np.frexp(largest)[1] - bits)
        if (np.rint(rows / unit) == rows / unit).all():
            return float(unit) if largest / unit < 1 << 15 else None
    return None


def _precision(integers: NDArray[Any]) -> Precision:
    if (np.abs(integers) == 1).all():
        return BIPOLAR
    low, high = int(integers.min()), int(integers.max())
    if low >= 0:
        return UINT(max(1, high.bit_length()))
    return INT(max(-low, high).bit_length() + 1, narrow=True)

# SPDX-License-Identifier: BSD-3-Clause
"""Arithmetic of real-valued layers, operation by operation. Lowering preserves it exactly.

:func:`real_layer` and :func:`accumulator_scale` compute in a given dtype, float32 or float64, and
in the order that is written here; no operations are fused or reordered.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bnn._typing import assert_never
from bnn.errors import NetworkError
from bnn.network.layers import (
    BatchNorm,
    Clip,
    Conv2d,
    Leaky,
    Real,
    RealLayer,
    Scale,
    Weighted,
)


def real_layer(layer: RealLayer, x: Real) -> Real:
    """Return the result of ``layer`` for ``x`` (..., channels), computed in the dtype of ``x``."""
    dtype = x.dtype.type
    match layer:
        case Scale():
            x = x * vector(layer.factor, dtype) / vector(layer.divisor, dtype)
            return x + vector(layer.offset, dtype)
        case Clip():
            return np.minimum(np.maximum(x, dtype(layer.low)), dtype(layer.high))
        case Leaky():
            return np.where(x < 0, x * vector(layer.slope, dtype), x)
        case BatchNorm():
            return _batch_norm(layer, x)
    assert_never(layer)


def _batch_norm(layer: BatchNorm, x: Real) -> Real:
    dtype = x.dtype.type
    gamma, beta, mean, inv_std = (
        vector(given, dtype) for given in (layer.gamma, layer.beta, layer.mean, layer.inv_std)
    )
    match layer.order:
        case "centered":
            return ((x - mean) * inv_std) * gamma + beta
        case "scaled":
            return (x - mean) * (gamma * inv_std) + beta
        case "folded":
            factor = gamma * inv_std
            return x * factor + (beta - mean * factor)


def slope(layer: BatchNorm | Scale) -> Real:
    """Return the factor by which an affine layer multiplies, float64, (1,) or (channels,)."""
    match layer:
        case Scale():
            return vector(layer.factor, np.float64) / vector(layer.divisor, np.float64)
        case BatchNorm():
            return vector(layer.gamma, np.float64) * vector(layer.inv_std, np.float64)
    assert_never(layer)


def direction(layer: RealLayer, dtype: Any) -> NDArray[np.int64]:
    """Return the direction of ``layer`` per channel, int64, (1,) or (channels,).

    It is +1 if the result rises with the input or is constant, -1 if it falls.
    """
    match layer:
        case Scale():
            slopes = [layer.factor, layer.divisor]
        case Clip() | Leaky():
            slopes = []
        case BatchNorm():
            slopes = [layer.gamma, layer.inv_std]
        case _:
            assert_never(layer)
    signs = np.ones(1, np.int64)
    for slope in slopes:
        signs = signs * np.where(vector(slope, dtype) < 0, -1, 1)
    return signs


def accumulator_scale(layer: Weighted, source_scale: float, dtype: Any) -> Real:
    """Return the scale of the integer sums of ``layer``: the real value of the sum 1.

    It has the dtype ``dtype`` and the shape (1,) or (out channels,).
    """
    scale: Real = vector(layer.scale, dtype) * dtype(source_scale)
    return scale


@dataclass(frozen=True)
class Units:
    """Two scales as multiples of one unit: they are exactly ``one * unit`` and ``two * unit``."""

    one: int
    two: int
    unit: float


#: Largest multiple that is used: with it, sums fit in 32 bits.
MAX_MULTIPLE = 1 << 20


def units(one: float, two: float) -> Units | None:
    """Return the scales ``one`` and ``two``, not zero, as multiples of a positive unit.

    Return None if a multiple would exceed :data:`MAX_MULTIPLE`.
    """
    ratio = Fraction(one) / Fraction(two)
    if max(abs(ratio.numerator), ratio.denominator) > MAX_MULTIPLE:
        return None
    unit = Fraction(two) / ratio.denominator
    sign = 1 if unit > 0 else -1
    return Units(sign * ratio.numerator, sign * ratio.denominator, float(abs(unit)))


def vector(values: ArrayLike, dtype: Any) -> Real:
    """Return ``values`` as a one-dimensional array of ``dtype``."""
    array: Real = np.asarray(values, dtype=dtype).reshape(-1)
    return array


def whole_pad(layer: Conv2d, source_scale: float) -> int:
    """Return the whole number whose real value is the pad value of ``layer``.

    ``source_scale``: scale of the map that the layer reads.

    Raises:
        NetworkError: the pad value is not a multiple of ``source_scale``.
    """
    value = round(layer.pad_value / source_scale)
    if abs(value * source_scale - layer.pad_value) > 1e-6 * abs(layer.pad_value):
        raise NetworkError(
            f"{layer.name}: pad value {layer.pad_value} is not a multiple of scale {source_scale}"
        )
    return value

# SPDX-License-Identifier: BSD-3-Clause
"""HGQ's fixed-point quantizers (HGQ 0.2, FixedPointQuantizer of its proxy models).

Each value has a number of bits of its own, some of them before the point; bits are the same
for all positions of a map here. ``TRN`` rounds downwards, ``RND`` halves upwards. Values beyond the
bits wrap around in HGQ, as in hardware; its bits are those of the values that occurred, so that
trained networks do not. Here they saturate, and the report says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bnn._typing import assert_never
from bnn.errors import FormatError
from bnn.formats.qonnx.steps import StepsError, explored
from bnn.formats.qonnx.tensor import Array, Function
from bnn.network.arithmetic import real_layer
from bnn.network.layers import Rounding, with_sources
from bnn.network.network import (
    Activation,
    Add,
    BatchNorm,
    Clip,
    Concat,
    Conv2d,
    Flatten,
    Lattice,
    Layer,
    Leaky,
    Linear,
    MaxPool,
    MultiThreshold,
    Quantize,
    RealDense,
    Scale,
    Sign,
)
from bnn.network.network import FixedPoint as FixedPointLayer
from bnn.program.precision import INT, UINT, Precision

_ROUNDED: dict[str, Rounding] = {
    "TRN": "floor",
    "RND": "half-up",
    "RND_CONV": "even",
    "TRN_ZERO": "zero",
}
_F = np.float32
Span = tuple[float, float]


@dataclass(frozen=True, eq=False)
class FixedPoint:
    """A quantizer.

    Attributes:
        signed: 0 or 1. bits: of each value. whole: how many of them are before the point, the
            sign's included. Each float32 (1,) or (channels,).
        rounding: how it rounds. wraps: whether values beyond the bits wrap around.
    """

    signed: Array
    bits: Array
    whole: Array
    rounding: str
    wraps: bool

    @property
    def unit(self) -> Array:
        """The value of the last bit."""
        return np.asarray(_F(2) ** (self.whole - self.bits))

    @property
    def low(self) -> Array:
        """Smallest integer."""
        return np.asarray(-self.signed * _F(2) ** (self.bits - self.signed))

    @property
    def high(self) -> Array:
        """Largest integer."""
        return np.asarray(_F(2) ** (self.bits - self.signed) - _F(1))

    def __call__(self, x: Array) -> Array:
        """What it makes of ``x`` (n, channels), float32; saturating."""
        scaled = x / self.unit
        match self.rounding:
            case "TRN":
                rounded = np.floor(scaled)
            case "RND":
                rounded = np.floor(scaled + _F(0.5))
            case "RND_CONV":
                rounded = np.rint(scaled)
            case _:
                rounded = np.trunc(scaled)
        held = np.clip(rounded, self.low, self.high) * self.unit
        return np.asarray(np.where(self.bits == 0, _F(0), held).astype(np.float32))

    def precision(self) -> Precision | None:
        """Of its integers, if all channels are alike."""
        if self.bits.size > 1 or not 1 <= self.bits[0] <= 32:
            return None
        bits = int(self.bits[0])
        return INT(bits) if self.signed[0] else UINT(bits)


def fixed_point(
    where: str, arrays: Sequence[Array], rounding: str, overflow: str, channels: int
) -> FixedPoint:
    """The quantizer with the arrays ``keep_negative``, ``bits`` and ``integers`` of a layer.

    Raises:
        FormatError: bits differ from position to position, or are none.
    """
    rows = []
    for array in arrays:
        if array.ndim == 0 or not array.size or array.shape[-1] not in (1, channels):
            raise FormatError(f"{where}: its bits have shape {array.shape}, not ({channels})")
        each = array.reshape(-1, array.shape[-1])
        if (each != each[:1]).any():
            raise FormatError(f"{where}: has bits that differ from position to position")
        rows.append(each[0].astype(np.float32))
    signed, bits, whole = rows
    if not (np.isin(signed, (0, 1)).all() and (bits >= 0).all() and (bits <= 32).all()):
        raise FormatError(f"{where}: has bits that are not 0 to 32")
    if not all((row == np.rint(row)).all() for row in rows):
        raise FormatError(f"{where}: has bits that are not whole numbers")
    if (np.abs(whole) > 32).any():
        raise FormatError(f"{where}: has more than 32 bits before its point")
    same = all((row == row[0]).all() for row in rows)
    if same:
        signed, bits, whole = (row[:1] for row in rows)
    return FixedPoint(signed, bits, whole, rounding, overflow == "WRAP")


def activation_of(
    where: str, name: str, chain: Sequence[Function], channels: int, span: Span, source: str
) -> Activation:
    """Quantizers and what stands between them as one activation called ``name``.

    Args:
        chain: functions, one after the other. span: bounds of what the first reads.

    Raises:
        FormatError: together they have more than 256 values.
    """
    only = chain[0]
    if len(chain) == 1 and isinstance(only, FixedPoint):
        precision = only.precision()
        if precision is not None:
            unit = float(only.unit[0])
            return Quantize(name, precision, unit, 0, _ROUNDED[only.rounding], source)

    def function(x: Array) -> Array:
        for one in chain:
            x = one(x)
        return x

    try:
        stairs = explored(function, channels, span, is_rounded=False)
    except StepsError as error:
        raise FormatError(f"{where}: together with what is before it, it {error}") from None
    if stairs.falls.any():
        raise FormatError(f"{where}: falls where what it reads rises")
    distance = stairs.values[-1] - stairs.values[0]
    steps = np.rint(np.diff(stairs.values) / np.diff(stairs.values).min()).astype(int)
    if steps.sum() > 255:
        raise FormatError(f"{where}: has values of {steps.sum()} steps; at most 255 can be held")
    table = np.repeat(stairs.table, steps, axis=1)
    table = table[:1] if (table == table[:1]).all() else table
    lattice = Lattice.of(float(distance / steps.sum()), float(stairs.values[0]), name)
    return MultiThreshold(name, table, lattice.scale, lattice.step, lattice.base, source)


# --- bounds --------------------------------------------------------------------------


def span_of(name: str, layers: Sequence[Layer], given: Span) -> Span:
    """Bounds of the real values of the layer ``name``; ``given`` are the input's."""
    by_name = {layer.name: layer for layer in with_sources(layers)}
    path: list[Layer] = []
    while name != "input" and name:
        layer = by_name[name]
        path.append(layer)
        if isinstance(layer, Sign | Quantize | MultiThreshold):
            break
        name = layer.source
    low, high = given
    for layer in reversed(path):
        low, high = _after(layer, low, high)
    return low, high


def _after(layer: Layer, low: float, high: float) -> Span:
    match layer:
        case Sign() | Quantize() | MultiThreshold():
            ends = [layer.scale * (layer.base + layer.step * n) for n in (0, layer.levels)]
            return float(min(ends)), float(max(ends))
        case MaxPool() | Flatten():
            return low, high
        case BatchNorm() | Scale() | Clip() | Leaky():
            x = np.array([[low], [high]], np.float64)
            y = real_layer(layer, x)
            return float(y.min()), float(y.max())
        case Linear() | Conv2d():
            low, high = min(low, 0.0), max(high, 0.0)
            rows = layer.weights.reshape(len(layer.weights), -1).astype(np.float64)
            above, below = np.maximum(rows, 0).sum(axis=1), np.minimum(rows, 0).sum(axis=1)
            scale = np.asarray(layer.scale, np.float64)
            sums = np.stack([above * high + below * low, above * low + below * high]) * scale
            if layer.bias is not None:
                sums = sums + np.asarray(layer.bias, np.float64)
            return float(sums.min()), float(sums.max())
        case Add() | Concat() | RealDense() | FixedPointLayer():
            raise FormatError(f"{layer.name}: the bounds of its values are not known here")
    assert_never(layer)

# SPDX-License-Identifier: BSD-3-Clause
"""HGQ's fixed-point quantizers (HGQ 0.2, FixedPointQuantizer of its proxy models).

Each channel has its own number of bits and of integer bits; numbers that differ between the
positions of a map are refused. ``TRN`` rounds downwards; ``RND`` rounds to the nearest, halves
upwards. Values outside the range wrap around, as in hardware (``WRAP``). If proved bounds show that
no value wraps, the quantizer becomes one activation. Else it becomes two activations and their
difference: the first activation has enough bits not to wrap; the second has the part that wrapping
takes away from each value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bnn._typing import assert_never
from bnn.errors import FormatError
from bnn.formats.qonnx.quantizers import MAX_LEVELS, channel_thresholds
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
#: Of one layer, of all channels together: they are found one by one.
MAX_THRESHOLDS = 1 << 21
_F = np.float32
#: Least and largest real value, each float64 (1,) or (channels,).
Span = tuple[Array, Array]


@dataclass(frozen=True, eq=False)
class FixedPoint:
    """A fixed-point quantizer.

    Attributes:
        signed: 1 if values have a sign, else 0; float32 (1,) or (channels,).
        bits: number of bits; float32 (1,) or (channels,).
        whole: how many of the bits are before the point, the sign included; float32 (1,) or
            (channels,).
        rounding: HGQ's name of the rounding, such as ``TRN``.
        wraps: whether values outside the range wrap around; if not, they saturate.
    """

    signed: Array
    bits: Array
    whole: Array
    rounding: str
    wraps: bool

    @property
    def unit(self) -> Array:
        """Real value of the lowest bit, per channel."""
        return np.asarray(_F(2) ** (self.whole - self.bits))

    @property
    def low(self) -> Array:
        """Smallest integer that the quantizer gives, per channel."""
        return np.asarray(-self.signed * _F(2) ** (self.bits - self.signed))

    @property
    def high(self) -> Array:
        """Largest integer that the quantizer gives, per channel."""
        return np.asarray(_F(2) ** (self.bits - self.signed) - _F(1))

    def __call__(self, x: Array) -> Array:
        """Return ``x`` (n, channels) quantized, float32; values outside the range saturate."""
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
        """Return the precision of the quantizer's integers.

        Return None if channels have different bits, or if there are no bits or more than 32.
        """
        if self.bits.size > 1 or not 1 <= self.bits[0] <= 32:
            return None
        bits = int(self.bits[0])
        return INT(bits) if self.signed[0] else UINT(bits)

    def common(self, halves: bool = False) -> FixedPoint | None:
        """Return one quantizer for all channels that has the values of every channel.

        Return None if this quantizer would need more than 32 bits, or if no channel has bits.

        Args:
            halves: whether the quantizer also has the values halfway between two neighbouring
                values, which needs one bit more.
        """
        all_signed, all_bits, all_whole = np.broadcast_arrays(self.signed, self.bits, self.whole)
        used = all_bits > 0
        if not used.any():
            return None
        signed = all_signed[used].max()
        fraction = (all_bits - all_whole)[used].max() + halves
        above = (all_whole - all_signed)[used].max()
        bits = np.asarray([signed + above + fraction], np.float32)
        if not 1 <= bits[0] <= 32:
            return None
        whole = np.asarray([signed + above], np.float32)
        return replace(self, signed=np.asarray([signed]), bits=bits, whole=whole)


def fixed_point(
    where: str, arrays: Sequence[Array], rounding: str, overflow: str, channels: int
) -> FixedPoint:
    """Return the quantizer with the arrays ``keep_negative``, ``bits``, ``integers`` of a layer.

    Raises:
        FormatError: the numbers of bits differ between positions, or are not valid.
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
        raise FormatError(f"{where}: its keep_negative must be 0 or 1, and its bits 0 to 32")
    if not all((row == np.rint(row)).all() for row in rows):
        raise FormatError(f"{where}: its numbers of bits must be whole numbers")
    if (np.abs(whole) > 32).any():
        raise FormatError(f"{where}: has more than 32 bits before its point")
    same = all((row == row[0]).all() for row in rows)
    if same:
        signed, bits, whole = (row[:1] for row in rows)
    return FixedPoint(signed, bits, whole, rounding, overflow == "WRAP")


def activation_of(
    where: str, name: str, chain: Sequence[Function], channels: int, span: Span, source: str
) -> Activation:
    """Return quantizers, and the functions between them, as one activation called ``name``.

    Args:
        chain: the functions in order; each reads the result of the one before it.
        span: bounds of the values that the first function reads.

    Raises:
        FormatError: the result has too many values.
    """
    only, last = chain[0], chain[-1]
    if len(chain) == 1 and isinstance(only, FixedPoint):
        precision = only.precision()
        if precision is not None:
            unit = float(only.unit[0])
            return Quantize(name, precision, unit, 0, _ROUNDED[only.rounding], source)

    function = composed(chain)
    if isinstance(last, FixedPoint) and not _falls(function, span, channels):
        made = _bisected(name, function, last, channels, source)
        if made is not None:
            return made
    try:
        stairs = explored(
            function, channels, (float(span[0].min()), float(span[1].max())), is_rounded=False
        )
    except StepsError as error:
        raise FormatError(f"{where}: its result, as a function of what it reads, {error}") from None
    if stairs.falls.any():
        raise FormatError(f"{where}: its values fall as its input rises; that cannot be converted")
    distance = stairs.values[-1] - stairs.values[0]
    steps = np.rint(np.diff(stairs.values) / np.diff(stairs.values).min()).astype(int)
    if steps.sum() > 255:
        raise FormatError(f"{where}: its values span {steps.sum()} steps; at most 255 can be held")
    table = np.repeat(stairs.table, steps, axis=1)
    table = table[:1] if (table == table[:1]).all() else table
    lattice = Lattice.of(float(distance / steps.sum()), float(stairs.values[0]), name)
    return MultiThreshold(name, table, lattice.scale, lattice.step, lattice.base, source)


def _falls(function: Function, span: Span, channels: int) -> bool:
    """Return whether ``function`` falls: whether it is lower at the upper bound than at the lower.

    One channel in which it is lower is enough.
    """
    low, high = (function(np.broadcast_to(end, (1, channels)).astype(np.float32)) for end in span)
    return bool((high < low).any())


def _bisected(
    name: str, function: Function, last: FixedPoint, channels: int, source: str
) -> MultiThreshold | None:
    """Return ``function``, whose last step is the quantizer ``last``, as thresholds.

    Return None if there would be too many thresholds. Bisection finds them all, because
    ``function`` never falls: it consists of quantizers and clips.
    """
    values = last.common()
    if values is None:
        return None
    unit, low, levels = values.unit, values.low, int((values.high - values.low)[0])
    if not 0 < levels <= MAX_LEVELS or levels * channels > MAX_THRESHOLDS:
        return None
    table = channel_thresholds(lambda x: function(x) / unit - low, levels, channels)
    table = table[:1] if (table == table[:1]).all() else table
    return MultiThreshold(name, table, float(unit[0]), 1, int(low[0]), source)


# --- wrapping around -----------------------------------------------------------------


def composed(chain: Sequence[Function]) -> Function:
    """Return the function that applies the functions of ``chain`` one after the other."""

    def function(x: Array) -> Array:
        for one in chain:
            x = one(x)
        return x

    return function


def _reached(last: FixedPoint, before: Function, span: Span, channels: int) -> tuple[Array, Array]:
    """Return the smallest and the largest integer per channel, two float64 (channels,).

    They are those that ``last`` would give with 32 bits, where nothing wraps around.
    """
    wide = replace(last, signed=np.ones(1, np.float32), bits=np.full(1, 32, np.float32))
    wide = replace(wide, whole=32 + last.whole - last.bits)  # of the same unit
    ends = [np.broadcast_to(end, (1, channels)).astype(np.float32) for end in span]
    low, high = (np.rint(wide(before(end))[0] / last.unit).astype(np.float64) for end in ends)
    return low, high


def may_wrap(last: FixedPoint, before: Function, span: Span, channels: int) -> bool:
    """Return whether ``last`` wraps values around, for values between the bounds ``span``."""
    if not last.wraps:
        return False
    low, high = _reached(last, before, span, channels)
    return bool(((last.bits > 0) & ((low < last.low) | (high > last.high))).any())


def wrapped(
    names: tuple[str, str, str],
    before: Function,
    last: FixedPoint,
    channels: int,
    span: Span,
    source: str,
) -> tuple[Activation, Activation, Add] | None:
    """Return ``last``, whose values wrap around, as three layers.

    The first layer has the rounded values, with so many bits that they do not wrap. The second
    layer has the amounts by which wrapping changes them. The third layer is the difference.

    Args:
        names: names of the three layers.
        before: the function whose result ``last`` reads.
        span: bounds of the values that ``before`` reads.

    Returns:
        The layers; None if one of them would have too many values.
    """
    low, high = _reached(last, before, span, channels)
    used = np.broadcast_to(last.bits > 0, channels)
    signed = float((low[used] < 0).any())
    needed = np.ceil(np.log2(np.maximum(np.maximum(-low, high + 1), 1.0))) + signed
    bits = np.where(used, np.maximum(last.bits, needed), 0).astype(np.float32)
    wide = FixedPoint(
        np.full(1, signed, np.float32), bits, last.whole + bits - last.bits, last.rounding, False
    )
    rounded = _bisected(names[0], composed((before, wide)), wide, channels, source)
    turns = _F(2) ** last.whole  # the distance by which values wrap around
    step = float(np.broadcast_to(turns, channels)[used].min())

    def wraps(x: Array) -> Array:
        count = np.floor((wide(before(x)) / last.unit - last.low) / _F(2) ** last.bits)
        return np.where(last.bits > 0, count * turns, _F(0))

    ends = [np.broadcast_to(end, (1, channels)).astype(np.float32) for end in span]
    least, most = (wraps(end)[0] / step for end in ends)
    base, levels = int(least.min()), int(most.max() - least.min())
    if rounded is None or not 0 < levels <= MAX_LEVELS or levels * channels > MAX_THRESHOLDS:
        return None

    def level(x: Array) -> Array:
        return np.minimum(wraps(x) / _F(step) - base, levels)

    table = channel_thresholds(level, levels, channels)
    counted = MultiThreshold(names[1], table, step, 1, base, source)
    return rounded, counted, Add(names[2], names[1], names[0], (1.0, -1.0))


# --- bounds --------------------------------------------------------------------------


def span_of(name: str, layers: Sequence[Layer], given: Span) -> Span:
    """Return bounds of the real values of the layer ``name``.

    ``given`` has the bounds of the network's input.
    """
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


def _after(layer: Layer, low: Array, high: Array) -> Span:
    match layer:
        case MultiThreshold():
            table = np.asarray(layer.thresholds)
            least = np.isneginf(table).sum(axis=1)
            most = layer.levels - np.isposinf(table).sum(axis=1)
            ends = [layer.scale * (layer.base + layer.step * n) for n in (least, most)]
            return np.minimum(*ends), np.maximum(*ends)
        case Sign() | Quantize():
            ends = [
                np.full(1, layer.scale * (layer.base + n)) for n in (0, layer.step * layer.levels)
            ]
            return np.minimum(*ends), np.maximum(*ends)
        case MaxPool():
            return low, high
        case Flatten():
            return low.min(keepdims=True), high.max(keepdims=True)
        case BatchNorm() | Scale() | Clip() | Leaky():
            y = real_layer(layer, np.stack(np.broadcast_arrays(low, high)).astype(np.float64))
            return y.min(axis=0), y.max(axis=0)
        case Linear() | Conv2d():
            return _sums(layer, low, high)
        case Add() | Concat() | RealDense() | FixedPointLayer():
            raise FormatError(f"{layer.name}: the bounds of its values are not known here")
    assert_never(layer)


def _sums(layer: Linear | Conv2d, low: Array, high: Array) -> Span:
    if isinstance(layer, Conv2d):  # the padding
        low, high = np.minimum(low, 0.0), np.maximum(high, 0.0)
    rows = layer.weights.astype(np.float64)
    positive, negative = np.maximum(rows, 0), np.minimum(rows, 0)
    axes = tuple(range(1, rows.ndim))
    scale = np.asarray(layer.scale, np.float64)
    sums = scale * np.stack(
        [
            (positive * high + negative * low).sum(axis=axes),
            (positive * low + negative * high).sum(axis=axes),
        ]
    )
    if layer.bias is not None:
        sums = sums + np.asarray(layer.bias, np.float64)
    return sums.min(axis=0), sums.max(axis=0)

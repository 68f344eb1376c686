# SPDX-License-Identifier: BSD-3-Clause
"""Find all values of a function of float32 x that has few values, and where each value begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

MAX_VALUES = 256
#: Values closer than this part of the largest are one value.
SAME = 1e-6
#: If these are too many, values closer than a few units in the last place of the largest x are:
#: what float32 rounds of x + (q - x). Never more than this part of the largest value, and only
#: where all values are many times further apart.
ROUNDING, MAX_NOISE, APART = 2.0**-22, 2.0**-9, 16
#: Points between the bounds that are always looked at.
SAMPLES = 513
#: Intervals that are halved at a time, for all channels together.
MAX_INTERVALS = 1 << 22


class StepsError(Exception):
    """A function is not a staircase; the message says why."""


@dataclass(frozen=True, eq=False)
class Staircase:
    """A function that in each channel only rises, or only falls, in steps.

    Attributes:
        values: float64 (levels + 1,), ascending.
        table: float32 (channels, levels): for each value except the lowest, the smallest x at
            which the function reaches it. In channels in which the function falls, the smallest -x.
        falls: bool (channels,): whether the function falls in this channel.
        noise: largest distance between the function and ``values``.
    """

    values: Array
    table: Array
    falls: Array
    noise: float


def explored(
    function: Callable[[Array], Array],
    channels: int,
    span: tuple[float, float],
    meetings: Sequence[Callable[[Array], Array]] = (),
    *,
    is_rounded: bool = True,
) -> Staircase:
    """Return the steps of ``function`` between two bounds.

    Args:
        function: takes x, float32 (n, channels), and returns real numbers of the same shape.
        channels: number of channels.
        span: lower and upper bound of x.
        meetings: functions like ``function`` that have the values -1, 0 and 1, and only rise or
            only fall. ``function`` may change from rising to falling, or back, only where one of
            them is 0.
        is_rounded: whether two results that should be equal may differ by the rounding of the
            largest x to float32.

    Raises:
        StepsError: the function both rises and falls, has more than 256 values, or has values that
            are not finite; the message says which.
    """
    low, high = _position(span[0]), _position(span[1])
    ends = _samples(low, high)
    rows = [np.broadcast_to(np.asarray(ends)[:, None], (len(ends), channels))]
    rows += [_around(meeting, low, high, channels) for meeting in meetings]
    places = np.sort(np.clip(np.concatenate(rows), low, high), axis=0)
    y = _values(function, places)
    largest = float(np.abs(y).max(initial=0))
    strict = max(SAME * largest, 1e-30)
    try:
        return _explored(function, places, y, low, high, strict)
    except StepsError:
        loose = min(ROUNDING * max(abs(span[0]), abs(span[1])), MAX_NOISE * largest)
        if not is_rounded or loose <= strict:
            raise
    found = _explored(function, places, y, low, high, loose)
    if np.diff(found.values).min() < APART * loose:
        raise StepsError("has values so close together that float32 cannot keep them apart")
    return found


def _explored(
    function: Callable[[Array], Array],
    places: Array,
    y: Array,
    low: int,
    high: int,
    tolerance: float,
) -> Staircase:
    falls = y[0] > y[-1] + tolerance
    signs = np.where(falls, -1, 1)
    places = np.where(falls, -places[::-1], places)
    y = np.where(falls, y[::-1], y)
    lows, highs = np.where(falls, -high, low), np.where(falls, -low, high)

    def turned(x: Array) -> Array:
        return function(x * signs.astype(x.dtype))

    if (np.diff(y, axis=0) < -tolerance).any():
        raise StepsError("neither rises nor falls")
    values = _all_values(turned, places, y, tolerance)
    clean, noise = _clusters(values, tolerance)
    if noise > tolerance:
        raise StepsError(f"has more than {MAX_VALUES} values")
    if len(clean) == 1:  # the next value is never reached
        clean = np.array([clean[0], clean[0] + max(1.0, abs(clean[0]))])
    table = _table(turned, clean, lows, highs)
    return Staircase(clean, table, falls, noise)


def _samples(low: int, high: int) -> list[int]:
    """Return positions of samples from ``low`` to ``high``.

    Some are evenly spaced as numbers, some are evenly spaced as positions, and some are around 0.
    """
    a, b = float(_number(np.int64(low))), float(_number(np.int64(high)))
    evenly = [_position(x) for x in np.linspace(a, b, SAMPLES)]
    placed = np.linspace(low, high, SAMPLES).astype(np.int64).tolist()
    return [low, high, *evenly, *placed, *(n for n in (-1, 0, 1) if low <= n <= high)]


def _around(meeting: Callable[[Array], Array], low: int, high: int, channels: int) -> Array:
    """Return where ``meeting``, which only rises or only falls in each channel, is 0.

    The result is int64 (4, channels), positions: the first at which it is 0, the position before
    that one, the first after the zeros, and the last at which it is 0.
    """
    found = []
    ends = _values(meeting, np.array([[low] * channels, [high] * channels]))
    sign = np.where(ends[0] > ends[-1], -1, 1)
    for least in (0, 1):
        first = np.full(channels, low, np.int64)
        last = np.full(channels, high + 1, np.int64)
        while (first < last).any():
            middle = (first + last) // 2
            reached = sign * _values(meeting, np.minimum(middle, high)[None])[0] >= least
            reached |= middle > high
            last = np.where(reached, middle, last)
            first = np.where(reached, first, middle + 1)
        found += [first, first - 1]
    return np.array(found)


def _all_values(
    function: Callable[[Array], Array], places: Array, y: Array, tolerance: float
) -> Array:
    """Return every value that the function has from the first to the last sample.

    Where two neighbouring samples have different values, the interval between them is halved until
    no new value is found.
    """
    found = [np.unique(y)]
    first, last, below, above = places[:-1], places[1:], y[:-1], y[1:]
    while True:
        active = (above - below > tolerance) & (last - first > 1)
        count = int(active.sum(axis=0).max(initial=0))
        if count == 0:
            return np.concatenate(found)
        if len(np.concatenate(found)) > 1 << 20 or count * places.shape[1] > MAX_INTERVALS:
            raise StepsError(f"has more than {MAX_VALUES} values")
        order = np.argsort(~active, axis=0, kind="stable")[:count]
        first, last, below, above = (
            np.take_along_axis(one, order, axis=0) for one in (first, last, below, above)
        )
        middle = (first + last) // 2
        between = _values(function, middle)
        known, _ = _clusters(np.concatenate([*found, np.unique(between)]), tolerance)
        if len(known) > MAX_VALUES:
            raise StepsError(f"has more than {MAX_VALUES} values")
        found = [known, np.unique(between)]
        if (between < below - tolerance).any() or (between > above + tolerance).any():
            raise StepsError("neither rises nor falls")
        first, last = np.concatenate([first, middle]), np.concatenate([middle, last])
        below, above = np.concatenate([below, between]), np.concatenate([between, above])


def _clusters(values: Array, tolerance: float) -> tuple[Array, float]:
    """Return one value for each group of nearly equal values, and the largest distance to it.

    Neighbouring values in a group differ by at most ``tolerance``.
    """
    ordered = np.unique(values)
    groups = np.split(ordered, np.flatnonzero(np.diff(ordered) > tolerance) + 1)
    middles = np.array([_plain(group) for group in groups])
    noise = max(
        float(np.abs(group - middle).max()) for group, middle in zip(groups, middles, strict=True)
    )
    return middles, noise


def _plain(group: Array) -> float:
    """Return the number of ``group`` with the fewest significant bits."""
    return min((float(one) for one in group), key=lambda x: (_bits(x), abs(x)))


def _bits(x: float) -> int:
    mantissa = int(abs(np.frexp(x)[0]) * 2**53)
    return (mantissa & -mantissa).bit_length() * -1 if mantissa else -64


def _table(function: Callable[[Array], Array], values: Array, lows: Array, highs: Array) -> Array:
    """Return for each value except the first the least float32 at which it is reached.

    The result has the shape (channels, levels).
    """
    middles = (values[1:] + values[:-1])[:, None] / 2
    shape = (len(middles), len(lows))
    first = np.broadcast_to(lows, shape).astype(np.int64)
    last = np.broadcast_to(highs + 1, shape).astype(np.int64)
    while (first < last).any():
        middle = (first + last) // 2
        reached = _values(function, np.minimum(middle, highs)) >= middles
        reached |= middle > highs
        last = np.where(reached, middle, last)
        first = np.where(reached, first, middle + 1)
    table = _number(np.minimum(first, highs))
    # What is never or always reached between the bounds is so outside of them, too.
    table = np.where(first > highs, np.float32(np.inf), table)
    table = np.where(first <= lows, np.float32(-np.inf), table)
    return np.asarray(table.T)


def _values(function: Callable[[Array], Array], places: Array) -> Array:
    with np.errstate(all="ignore"):
        y = np.asarray(function(_number(places)), np.float64)
    if not np.isfinite(y).all():
        raise StepsError("has values that are not finite")
    return y


def _position(x: float) -> int:
    """Return the position of ``x`` among all float32 numbers in order; 0 has position 0."""
    with np.errstate(over="ignore"):  # beyond float32 it is infinite
        bits = int(np.abs(np.float32(x)).view(np.int32))
    return -bits if x < 0 else bits


def _number(places: Any) -> Array:
    """Return the float32 numbers at the positions ``places``."""
    sizes = np.abs(places).astype(np.int32).view(np.float32)
    found: Array = np.where(np.asarray(places) < 0, -sizes, sizes).astype(np.float32)
    return found

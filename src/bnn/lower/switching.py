# SPDX-License-Identifier: BSD-3-Clause
"""Find the switching points of an activation: where a function takes its next level."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bnn.errors import NetworkError
from bnn.network.network import Integers

#: Points at which monotonicity is checked before the bisection.
PROBES = 65

#: About how many evaluations a bisection takes per level.
_BISECTIONS = 8
#: Most values that are computed at a time, and most values of a table, to bound memory.
_PIECE, _TABLE = 1 << 20, 1 << 24

LevelFunction = Callable[[Integers], Integers]


def switching_points(
    name: str, level: LevelFunction, levels: int, low: int, high: int, rises: Integers
) -> Integers:
    """Return the smallest t at which each level from 1 to ``levels`` is reached.

    Here ``t = rises * q``, so that levels rise with t in every channel.

    Args:
        name: name of the layer, for messages.
        level: function from integers q (n, channels) to levels (n, channels), 0 to ``levels``.
        levels: number of levels above 0, so of thresholds per channel.
        low, high: proved bounds of q.
        rises: (channels,), +1 if level rises with q, -1 if it falls.

    Returns:
        int64 (channels, levels), ascending along levels. If a level is reached for every q, the
        result is the smallest t; if it is not reached for any q, the largest t plus one.

    Raises:
        NetworkError: ``level`` is not monotone, so thresholds cannot express it.
    """
    least = np.where(rises > 0, low, -high)
    most = np.where(rises > 0, high, -low)
    _check_monotone(name, level, least, most, rises)
    width = high - low + 1
    if width < levels * _BISECTIONS and width * rises.size <= _TABLE:
        return _looked_up(name, level, levels, least, width, rises)
    piece = max(1, _PIECE // rises.size)
    points = [
        _bisected(level, np.arange(first, min(first + piece, levels + 1)), least, most, rises)
        for first in range(1, levels + 1, piece)
    ]
    return np.concatenate(points, axis=1)


def _bisected(
    level: LevelFunction, levels: Integers, least: Integers, most: Integers, rises: Integers
) -> Integers:
    """Return the switching points (channels, n) of ``levels`` (n,), found by bisection.

    ``least`` and ``most`` are bounds of t, (channels,).
    """
    wanted = levels[:, None]
    first = np.broadcast_to(least, (levels.size, least.size)).copy()
    last = np.broadcast_to(most + 1, first.shape).copy()
    while (first < last).any():
        middle = (first + last) // 2
        reached = level(rises * np.minimum(middle, most)) >= wanted
        reached |= middle > most
        last = np.where(reached, middle, last)
        first = np.where(reached, first, middle + 1)
    return first.T


def _looked_up(
    name: str, level: LevelFunction, levels: int, least: Integers, width: int, rises: Integers
) -> Integers:
    """Return the switching points of all levels, from a table of the level of every integer.

    For an activation with many levels, this takes fewer evaluations than bisection.
    """
    piece = max(1, _PIECE // rises.size)
    starts = [np.arange(at, min(at + piece, width))[:, None] for at in range(0, width, piece)]
    table = np.concatenate([level(rises * (least + start)) for start in starts])
    if (np.diff(table, axis=0) < 0).any():
        raise NetworkError(
            f"{name}: its levels rise for some sums and fall for others; that cannot be "
            "expressed by thresholds"
        )
    wanted = np.arange(1, levels + 1)
    return np.stack(
        [first + np.searchsorted(row, wanted) for first, row in zip(least, table.T, strict=True)]
    )


def _check_monotone(
    name: str, level: LevelFunction, least: Integers, most: Integers, rises: Integers
) -> None:
    spread = np.linspace(0, 1, PROBES)[:, None]
    probes = least + np.floor(spread * (most - least)).astype(np.int64)
    if (np.diff(level(rises * probes), axis=0) < 0).any():
        raise NetworkError(
            f"{name}: its levels rise for some sums and fall for others; that cannot be "
            "expressed by thresholds"
        )

# SPDX-License-Identifier: BSD-3-Clause
"""Pictures of digits that have the input's size already are made light on black, as in MNIST.

Networks of digits were trained on light strokes on a black background. A picture of the input's
size is not searched for a stroke, so it must be light on black already, or is changed here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

#: A picture with a ground of at most `MAX_GROUND` and strokes of at least `MIN_STROKE` is not
#: changed: it is like MNIST's (ground 0, strokes 254 or 255).
MAX_GROUND, MIN_STROKE = 64, 128
#: Least difference of strokes and ground.
MIN_APART = 16
#: Levels of the ground differ by at most so much, and by a quarter of the strokes' difference.
GROUND_NOISE = 32
#: Tenths of the pixels that are ground, at least.
GROUND_TENTHS = 6
#: White.
MAX_LEVEL = 255
#: Pictures that are changed at a time; their pixels fit a processor's cache.
_AT_ONCE = 256


def settled(levels: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """Return a picture as light strokes on black; None if its background cannot be recognised.

    A picture with a dark background and light pixels, as in MNIST, is returned as it is. If most
    of another picture is an even background, the background becomes 0, and the levels that differ
    most from it become 255.

    Args:
        levels: uint8 (height, width).
    """
    flat = levels.reshape(1, -1)
    if not len(_unlike_mnist(flat)):
        return levels
    known, now = _recognised(flat)
    return now[0].reshape(levels.shape) if len(known) else None


def settled_each(
    pictures: NDArray[np.uint8],
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return pictures as `settled` makes each, and for which of them it returns None.

    Args:
        pictures: uint8 (N, height, width).

    Returns:
        The pictures, of the same shape, of which those with None are not changed; and bool (N,),
        whether it is None. ``pictures`` is not changed.
    """
    unknown = np.zeros(len(pictures), np.bool_)
    made = pictures
    for unlike, known, now in _groups(pictures):
        unknown[unlike] = True
        unknown[known] = False
        made = pictures.copy() if made is pictures else made
        made[known] = now
    return made, unknown


def changed(pictures: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which of the pictures, uint8 (N, height, width), `settled` would change: bool (N,)."""
    found = np.zeros(len(pictures), np.bool_)
    for known, _ in _changes(pictures):
        found[known] = True
    return found


def _changes(
    pictures: NDArray[np.uint8],
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
    """Yield indexes of pictures that `settled` changes, and what it makes of them."""
    for _, known, now in _groups(pictures):
        other = (now != pictures[known]).any(axis=(1, 2))
        yield known[other], now[other]


def _groups(
    pictures: NDArray[np.uint8],
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]]:
    """Yield, for parts of the pictures, what is unlike MNIST in them.

    Each item has the indexes of all these pictures, the indexes of those whose background is
    recognised, and what `settled` makes of the latter, uint8 (number, height, width).
    """
    if not pictures.size:
        return
    unlike = _unlike_mnist(pictures.reshape(len(pictures), -1))
    for first in range(0, len(unlike), _AT_ONCE):
        part = unlike[first : first + _AT_ONCE]
        rows = pictures[part]
        known, now = _recognised(rows.reshape(len(rows), -1))
        yield part, part[known], now.reshape(-1, *pictures.shape[1:])


def _recognised(rows: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Return which of the pictures have an even background, and these as light strokes on black.

    Args:
        rows: uint8 (N, pixels), pictures that are unlike MNIST's.
    """
    pixels = rows.shape[1]
    least, most = rows.min(axis=1).astype(np.int32), rows.max(axis=1).astype(np.int32)
    ground = _medians(rows, most)
    darker, lighter = ground - least, most - ground
    apart = np.maximum(darker, lighter)
    found = (apart >= MIN_APART) & (2 * np.minimum(darker, lighter) <= apart)
    known = np.flatnonzero(found)
    if not len(known):
        return known, rows[:0]
    rows, ground, apart = rows[known], ground[known], apart[known]
    is_dark = (darker > lighter)[known]
    level = ground.astype(np.uint8)[:, None]
    above, below = np.maximum(rows, level) - level, level - np.minimum(rows, level)
    limit = np.minimum(GROUND_NOISE, apart // 4).astype(np.uint8)[:, None]
    even = _count((above | below) <= limit)
    enough = 10 * even >= GROUND_TENTHS * pixels
    away = np.where(is_dark[:, None], below, above)[enough]
    return known[enough], _scaled(away, apart[enough])


def _medians(rows: NDArray[np.uint8], most: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the median of each row, the lower one of two; ``most`` are the rows' largest values.

    On white paper the median is the largest value; then it need not be searched.
    """
    middle = (rows.shape[1] - 1) // 2
    found = most.copy()
    other = np.flatnonzero(_count(rows < most.astype(np.uint8)[:, None]) > middle)
    if len(other):
        found[other] = np.partition(rows[other], middle, axis=1)[:, middle]
    return found


def _count(rows: NDArray[np.bool_]) -> NDArray[np.uint32]:
    """Return how many values of each row are true, uint32 (N,); faster than NumPy's own count."""
    counts: NDArray[np.uint32] = np.add.reduce(rows.view(np.uint8), axis=1, dtype=np.uint32)
    return counts


def _scaled(away: NDArray[np.uint8], apart: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Return ``away``, (N, pixels), times 255 / ``apart``, rounded; ``apart`` is the largest."""
    if (apart == MAX_LEVEL).all():
        return away
    # All numbers are exact, and no quotient is so close under an integer that it is rounded to it.
    wide = away.astype(np.float32)
    wide *= MAX_LEVEL
    wide += (apart // 2).astype(np.float32)[:, None]
    wide /= apart.astype(np.float32)[:, None]
    return wide.astype(np.uint8)


def _unlike_mnist(flat: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the indexes of pictures (N, pixels) that have a light background or no light pixel.

    In most sets they are few. Only their backgrounds are searched, which takes longer.
    """
    pale = flat.max(axis=1) < MIN_STROKE
    # With a ground above MAX_GROUND, half of the pixels are above it.
    sums = flat.sum(axis=1, dtype=np.uint32)
    unsure = np.flatnonzero(pale | (2 * sums >= MAX_GROUND * flat.shape[1]))
    if not len(unsure):
        return unsure
    dark = _count(flat[unsure] <= MAX_GROUND)
    chosen: NDArray[np.int64] = unsure[pale[unsure] | (dark <= (flat.shape[1] - 1) // 2)]
    return chosen


def all_settled(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return pictures, uint8 (N, height, width, 1), as `settled` makes them.

    Pictures for which it returns None are not changed. If none is changed, ``pictures`` itself is
    returned.
    """
    made = pictures
    for known, now in _changes(pictures[..., 0]):
        if len(known):
            made = pictures.copy() if made is pictures else made
            made[known, ..., 0] = now
    return made


def replaced(
    pictures: NDArray[np.uint8], changes: Iterable[tuple[int, NDArray[np.uint8]]]
) -> NDArray[np.uint8]:
    """Return ``pictures``, uint8 (N, height, width, 1), with other levels at some indexes.

    ``pictures`` itself is not changed; it is returned if there are no changes.
    """
    made = pictures
    for index, now in changes:
        made = pictures.copy() if made is pictures else made
        made[index, ..., 0] = now
    return made

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


def settled(levels: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """Return a picture as light strokes on black; None if its background cannot be recognised.

    A picture with a dark background and light pixels, as in MNIST, is returned as it is. If most
    of another picture is an even background, the background becomes 0, and the levels that differ
    most from it become 255.

    Args:
        levels: uint8 (height, width).
    """
    ordered = np.sort(levels, axis=None)
    ground, least, most = int(ordered[(ordered.size - 1) // 2]), int(ordered[0]), int(ordered[-1])
    if ground <= MAX_GROUND and most >= MIN_STROKE:
        return levels
    darker, lighter = ground - least, most - ground
    apart = max(darker, lighter)
    away = np.abs(levels.astype(np.int32) - ground)
    even = (away <= GROUND_NOISE) & (4 * away <= apart)
    if apart < MIN_APART or 2 * min(darker, lighter) > apart:
        return None
    if 10 * int(even.sum()) < GROUND_TENTHS * levels.size:
        return None
    sign = -1 if darker > lighter else 1
    scaled = (sign * (levels.astype(np.int32) - ground) * 255 + apart // 2) // apart
    return np.clip(scaled, 0, 255).astype(np.uint8)


def changed(pictures: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which of the pictures, uint8 (N, height, width), `settled` would change: bool (N,)."""
    found = np.zeros(len(pictures), np.bool_)
    found[[index for index, _ in _changes(pictures)]] = True
    return found


def _changes(pictures: NDArray[np.uint8]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yield the index and the changed picture of each of the pictures that `settled` changes."""
    if not pictures.size:
        return
    for index in _unlike_mnist(pictures.reshape(len(pictures), -1)).tolist():
        now = settled(pictures[index])
        if now is not None and (now != pictures[index]).any():
            yield index, now


def _unlike_mnist(flat: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the indexes of pictures (N, pixels) that have a light background or no light pixel.

    In most sets they are few. `settled` sorts the pixels of a picture, and needs to do so only for
    these.
    """
    pale = flat.max(axis=1) < MIN_STROKE
    # With a ground above MAX_GROUND, half of the pixels are above it.
    sums = flat.sum(axis=1, dtype=np.uint32)
    unsure = np.flatnonzero(pale | (2 * sums >= MAX_GROUND * flat.shape[1]))
    dark = np.count_nonzero(flat[unsure] <= MAX_GROUND, axis=1)
    chosen: NDArray[np.int64] = unsure[pale[unsure] | (dark <= (flat.shape[1] - 1) // 2)]
    return chosen


def all_settled(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return pictures, uint8 (N, height, width, 1), as `settled` makes them.

    Pictures for which it returns None are not changed.
    """
    return replaced(pictures, _changes(pictures[..., 0]))


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

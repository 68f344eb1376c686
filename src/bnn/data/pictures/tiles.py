# SPDX-License-Identifier: BSD-3-Clause
"""Squares of a larger picture, to look for something in it."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.errors import InputError

#: Bytes of all tiles of a frame, and their number.
MAX_TILE_BYTES = 1 << 30
MAX_TILES = 1 << 20


def tiles(frame: Any, size: int, stride: int) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Return the squares of a picture, and the position of each.

    Args:
        frame: uint8 (height, width) or (height, width, 1, 3 or 4), a PIL picture, or a file's path.
            Pictures and files become upright and opaque, grey or RGB.
        size: side of a square, in pixels.
        stride: distance from one square to the next, in pixels.

    Returns:
        Pictures uint8 (N, size, size[, channels]), in rows from the top left, and their boxes,
        int32 (N, 4): left, top, right, bottom. If the last square of a row or column does not end
        at the border, another square that ends there is added. So every pixel is in a square, if
        ``stride`` is at most ``size``.

    Raises:
        InputError: the frame is not a picture or smaller than a tile, or has too many tiles.
        DataError: the file cannot be read.
    """
    for name, value in (("size", size), ("stride", stride)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise InputError(f"{name} is a whole number of pixels from 1, not {value!r}")
    pixels = _pixels(frame)
    height, width = pixels.shape[:2]
    if min(height, width) < size:
        raise InputError(f"a frame of {width}x{height} pixels has no tile of {size}x{size}")
    tops, lefts = _starts(height, int(size), int(stride)), _starts(width, int(size), int(stride))
    count = len(tops) * len(lefts)
    if count > MAX_TILES or count * size * size * pixels[0, 0].size > MAX_TILE_BYTES:
        raise InputError(
            f"a frame of {width}x{height} pixels has {count:,} tiles of {size}x{size}, which need "
            "too much memory; give a larger stride"
        )
    places = [(left, top, left + size, top + size) for top in tops for left in lefts]
    made = np.stack([pixels[top:bottom, left:right] for left, top, right, bottom in places])
    return made, np.array(places, np.int32)


def _starts(length: int, size: int, stride: int) -> list[int]:
    starts = list(range(0, length - size + 1, stride))
    return starts if starts[-1] == length - size else [*starts, length - size]


def _pixels(frame: Any) -> NDArray[np.uint8]:
    if isinstance(frame, np.ndarray):
        fits = frame.ndim == 2 or (frame.ndim == 3 and frame.shape[2] in (1, 3, 4))
        if frame.dtype != np.uint8 or not fits:
            raise InputError(
                f"a frame is uint8 (height, width) or (height, width, 1, 3 or 4), not "
                f"{frame.dtype} {frame.shape}"
            )
        return frame
    from bnn.data.pictures.seen import open_one, say_frames, seen

    if isinstance(frame, str | os.PathLike):
        with open_one(frame) as opened:
            say_frames(opened)
            return np.asarray(seen(opened).image)
    if hasattr(frame, "getbbox"):
        return np.asarray(seen(frame).image)
    raise InputError(
        f"a frame is an array, a picture or a file's path, not a {type(frame).__name__}"
    )

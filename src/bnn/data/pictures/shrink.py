# SPDX-License-Identifier: BSD-3-Clause
"""Pictures of another size: Pillow's resizing, at once or after whole boxes of pixels are averaged.

With a ``gap``, boxes of pixels are averaged first, and the averages are resized. A box is as large
as possible, so that at least ``gap`` times the wanted width and height remain. This is Pillow's
``reducing_gap``: a frame of a camera takes a tenth of the time, and gets other bytes. Therefore the
gap belongs to a model's preparation.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bnn.data.pictures.pillow import Resampling

#: Most pixels of a box whose sum is exact in float32: 255 times that many are less than 2**24.
_EXACT = (1 << 24) // 255 - 1
#: Longest side of a box: Pillow adds up in 32 bits.
_MAX_SIDE = 2048

Size = tuple[int, int]


def resized(
    image: Image.Image, size: Size, filter_: Resampling, gap: int | None = None
) -> Image.Image:
    """Return a picture of another size: first along the rows, then along the columns.

    The result of the first step has 8 bits. Pillow did so for a long time; newer versions resize
    tall pictures along the columns first, which gives other bytes. Resizing in one direction only
    gives the same bytes in all versions. Colours with alpha are premultiplied.

    Args:
        image: a picture of mode L, LA, RGB or RGBA. It is not changed.
        size: the wanted (width, height).
        filter_: the filter of Pillow.
        gap: None, or at least how many times the wanted width and height remain after boxes are
            averaged, from 1.
    """
    premultiplied = {"LA": "La", "RGBA": "RGBa"}.get(image.mode)
    plain = image if premultiplied is None else image.convert(premultiplied)
    made = _resampled(
        _averaged(plain, boxes(plain.size, size, gap)), plain.size, size, filter_, gap
    )
    return made if premultiplied is None else made.convert(image.mode)


def resized_array(
    pixels: NDArray[np.uint8], size: Size, filter_: Resampling, gap: int
) -> Image.Image:
    """Return the picture that `resized` makes of ``Image.fromarray(pixels)``, in less time.

    Only the averages become a picture, not all the pixels.

    Args:
        pixels: uint8 (height, width) or (height, width, 3), grey or RGB.
        size, filter_, gap: as for `resized`.
    """
    whole = pixels.shape[1], pixels.shape[0]
    small = Image.fromarray(averages(pixels, boxes(whole, size, gap)))
    return _resampled(small, whole, size, filter_, gap)


def boxes(size: Size, target: Size, gap: int | None) -> Size:
    """Return the width and height of the boxes that are averaged; (1, 1): none are.

    A side has at most `_MAX_SIDE` pixels.
    """
    if gap is None:
        return 1, 1
    across, down = (
        min(max(side // (wanted * gap), 1), _MAX_SIDE)
        for side, wanted in zip(size, target, strict=True)
    )
    return across, down


def averages(pixels: NDArray[np.uint8], box: Size) -> NDArray[np.uint8]:
    """Return the averages of boxes of pixels, byte for byte as Pillow's ``reduce`` rounds them.

    Args:
        pixels: uint8 (height, width[, channels]).
        box: width and height of a box. Boxes at the right and at the bottom may be smaller.

    Returns:
        uint8 (boxes down, boxes across[, channels]).
    """
    flat = pixels.reshape(*pixels.shape[:2], -1)
    height, width, channels = flat.shape
    across, down = box
    made = np.empty((-(-height // down), -(-width // across), channels), np.uint8)
    right, bottom = width // across * across, height // down * down
    for top, end in ((0, bottom), (bottom, height)):
        for left, stop in ((0, right), (right, width)):
            part = flat[top:end, left:stop]
            if part.size:
                one = min(across, stop - left), min(down, end - top)
                place = np.s_[top // down : -(-end // down), left // across : -(-stop // across)]
                made[place] = _of_whole_boxes(part, one)
    return made.reshape(*made.shape[:2], *pixels.shape[2:])


def _of_whole_boxes(pixels: NDArray[np.uint8], box: Size) -> NDArray[np.uint8]:
    """Return the averages of a part that has whole boxes only."""
    (height, width, channels), (across, down) = pixels.shape, box
    rows = pixels.reshape(height // down, down, width * channels)
    columns = rows.sum(axis=1, dtype=np.uint16 if down <= 257 else np.uint32)
    # A product with a matrix of 0 and 1 adds the columns of a box, exactly, channel by channel.
    kind = np.float32 if across * down <= _EXACT else np.float64
    ones = np.tile(np.eye(channels, dtype=kind), (across, 1))
    values = columns.reshape(height // down, width // across, across * channels).astype(kind)
    # A product for each line: BLAS would give one large product to several threads.
    # Some BLAS compute with memory beside the values too, whose results they do not use.
    with np.errstate(invalid="ignore", over="ignore", divide="ignore", under="ignore"):
        sums = (values @ ones).astype(np.uint32)
    # Pillow multiplies by the inverse, 24 bits after the point (Reduce.c). A product is at most
    # 255.5 * 2**24, so it fits 32 bits.
    inverse = np.uint32(np.float32(1 << 32) / np.float32(across * down << 8))
    half = np.uint32(across * down // 2)
    levels: NDArray[np.uint8] = ((sums + half) * inverse >> np.uint32(24)).astype(np.uint8)
    return levels.reshape(height // down, width // across, channels)


def _averaged(image: Image.Image, box: Size) -> Image.Image:
    return image if box == (1, 1) else image.reduce(box)


def _resampled(
    image: Image.Image, whole: Size, size: Size, filter_: Resampling, gap: int | None
) -> Image.Image:
    """Return ``image``, the averages of a picture of the size ``whole``, resized to ``size``.

    Only a part of the last box of a row or a column may be in the picture.
    """
    across, down = boxes(whole, size, gap)
    width, height = whole[0] / across, whole[1] / down
    if (image.width, width) != (size[0], size[0]):
        box = (0, 0, width, image.height)
        image = image.resize((size[0], image.height), filter_, box=box)
    if (image.height, height) != (size[1], size[1]):
        image = image.resize(size, filter_, box=(0, 0, size[0], height))
    return image

# SPDX-License-Identifier: BSD-3-Clause
"""Pictures of text lines to columns of integers, by LSTM-PYNQ's rules.

Every integer equals the one that LSTM-PYNQ computes."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bnn.data.pictures.depth import is_deep
from bnn.data.pictures.line_checks import dark_on_light, fitted
from bnn.data.pictures.pillow import Resampling
from bnn.data.pictures.rules import decoding, picture_name
from bnn.data.pictures.seen import open_one, say_frames, seen
from bnn.errors import DataError, InputError

#: A picture, the path of a file of one, or grey levels uint8 (height, width).
Line = Image.Image | str | os.PathLike[str] | NDArray[np.uint8]

#: Zero columns before and after a Fraktur line.
FRAKTUR_BORDER = 16
#: Least and largest prepared value of a Fraktur line, which has 2 bits after the point.
FRAKTUR_ENDS = (-1.75, 3.75)


@contextmanager
def _grey(line: Line, original: bool) -> Iterator[tuple[Image.Image, str]]:
    """Yield the picture of a line in grey levels, and its name for messages.

    Args:
        line: the line.
        original: as the original reads it: alpha is not used, the picture is not turned, and
            nothing is checked. Otherwise as a person sees it, see `bnn.data.pictures.seen`.
    """
    if isinstance(line, np.ndarray):
        if line.dtype != np.uint8 or line.ndim != 2 or not line.size:
            raise InputError(
                f"a line is grey levels uint8 (height, width), not {line.dtype} {line.shape}"
            )
        yield _checked(Image.fromarray(line), "line", original), "line"
    elif isinstance(line, Image.Image):
        with decoding(picture_name(line)):
            yield _as_grey(line, picture_name(line), original), picture_name(line)
    elif isinstance(line, str | os.PathLike):
        with open_one(line) as opened, decoding(picture_name(opened)):
            yield _as_grey(opened, os.fspath(line), original), os.fspath(line)
    else:
        raise InputError(f"a line is a picture, its path or an array, not {type(line).__name__}")


def _as_grey(image: Image.Image, name: str, original: bool) -> Image.Image:
    if not original:
        say_frames(image)
        return _checked(seen(image).image.convert("L"), name, original)
    if is_deep(image.mode):
        raise DataError(f"{name}: has more than 8 bits per pixel; save it with 8")
    if not image.width or not image.height:
        raise DataError(f"{name}: has no pixels")
    return image.convert("L")


def _checked(grey: Image.Image, name: str, original: bool) -> Image.Image:
    return grey if original else Image.fromarray(dark_on_light(np.asarray(grey), name))


def plain_columns(
    line: Line, rows: int, bits: int, limit: int, *, original: bool = False
) -> NDArray[np.int16]:
    """Return a line as columns of signed integers with ``bits - 1`` bits after the point.

    The picture is inverted and scaled to ``rows`` pixels of height, and to an even width. Before,
    unless it is read as the original does, paper becomes white, ink black and margins narrow; see
    `bnn.data.pictures.line_checks.fitted`.

    Args:
        line: the picture; dark text on light paper.
        rows: number of pixels in a column.
        bits: number of bits of a pixel.
        limit: largest number of columns.
        original: the picture is read as the original reads it, unchecked.

    Returns:
        int16 (columns, rows), the top pixel first.

    Raises:
        DataError: the picture cannot be read, is blank, is so narrow that it has no column, or has
            more columns than ``limit``.
    """
    with _grey(line, original) as (image, name):
        levels = np.asarray(image)
        inverted = Image.fromarray(255 - (levels if original else fitted(levels)))
        width = 2 * int(math.ceil(inverted.width * (rows + 0.1) / inverted.height) / 2)
        if width == 0:
            size = f"{image.width} x {image.height} pixels"
            raise DataError(f"{name}: {size} are too narrow: scaled, they have no column")
        _check_width(name, width, limit)
        scaled = np.asarray(inverted.resize((width, rows), Resampling.BILINEAR))
    values = (scaled.T.astype(np.float32) / np.float32(255) - np.float32(0.5)) * np.float32(2)
    return plain_codes(values, bits)


def plain_codes(values: NDArray[np.floating], bits: int) -> NDArray[np.int16]:
    """Return real pixel values from -1 to 1 as signed integers of ``bits`` bits, int16.

    They have ``bits - 1`` bits after the point; 1 becomes the largest of them.
    """
    scale = 1 << (bits - 1)
    clipped = np.clip(values, -1.0, 1.0 - 1.0 / scale)
    codes: NDArray[np.int16] = np.rint(clipped * scale).astype(np.int16)
    return codes


def fraktur_columns(
    line: Line,
    mean: tuple[float, ...],
    deviation: tuple[float, ...],
    limit: int,
    *,
    original: bool = False,
) -> NDArray[np.int16]:
    """Return a Fraktur line as columns of signed integers with 2 bits after the point.

    Args:
        line: the picture, as high as there are numbers in ``mean``; dark text on light paper.
        mean, deviation: mean and standard deviation of each row of pixels.
        limit: largest number of columns.
        original: the picture is read as the original reads it, unchecked.

    Returns:
        int16 (columns, rows), the top pixel first; 16 empty columns are added at both ends.

    Raises:
        DataError: the picture cannot be read, does not have as many rows as ``mean`` has numbers,
            is blank, is black everywhere, or has more columns than ``limit``.
    """
    with _grey(line, original) as (image, name):
        if image.height != len(mean):
            raise DataError(
                f"{name}: is {image.height} pixels high; this network takes {len(mean)}, and the "
                "original does not scale: scale it first"
            )
        _check_width(name, image.width + 2 * FRAKTUR_BORDER + 1, limit)
        grey = np.asarray(image).astype(np.float64)
    if grey.max() == 0:
        raise DataError(f"{name}: is black everywhere; a line has light paper")
    light = grey / grey.max()
    ink = (light.max() - light).T
    border = np.zeros((FRAKTUR_BORDER, len(mean)))
    columns = np.concatenate([border, ink, border])
    normal = (columns - np.array(mean)) / np.array(deviation)
    values = np.clip(np.rint(4 * normal) / 4, *FRAKTUR_ENDS)
    return even_pixels(np.rint(4 * values).astype(np.int16))


def even_pixels(columns: NDArray[np.int16]) -> NDArray[np.int16]:
    """Return the columns; if their total number of pixels is odd, the last column is there twice.

    The original's host code does so, because the board's memory takes two pixels at a time.
    """
    if columns.size % 2:
        return np.concatenate([columns, columns[-1:]])
    return columns


def _check_width(name: str, width: int, limit: int) -> None:
    if width > limit:
        raise DataError(f"{name}: has {width} columns; lines of at most {limit} are read")

# SPDX-License-Identifier: BSD-3-Clause
"""Pictures of more than 8 bits, or of real numbers, are converted to 8 bits here.

Pillow's own conversion of such pictures clips values to 255, so that most become white. Here black
and white are defined by the file; a picture without this information is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bnn.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

#: Tags of TIFF files (TIFF 6.0, sections 8 and 19).
_BITS, _PHOTOMETRIC, _MIN_VALUE, _MAX_VALUE = 258, 262, 280, 281
_FORMAT, _MIN_SIGNED, _MAX_SIGNED = 339, 340, 341
_UNSIGNED = 1
_WHITE_IS_ZERO = 0

#: A picture of 16 bits whose values are all below this share of its range is refused: it probably
#: has fewer bits, which its file does not say.
MIN_RANGE = 1 / 16

_ADVICE = "convert it to 8 bits first, with the range that you know"


@dataclass(frozen=True)
class Range:
    """The values of black and of white in a picture.

    ``black`` is larger than ``white`` in pictures where 0 is white. ``declared`` is False if the
    file does not state the two values: then they are the ends of the number type's range.
    """

    black: float
    white: float
    declared: bool = True


def is_deep(mode: str) -> bool:
    """Whether pictures of Pillow's ``mode`` have more than 8 bits per value."""
    return mode in ("I", "F") or mode.startswith("I;16")


def to_8_bits(image: Image.Image, name: str) -> NDArray[np.uint8]:
    """Return grey levels, uint8 (height, width), of a picture for which :func:`is_deep` is true.

    Black becomes 0, white becomes 255, and values between them are rounded to the nearest level.

    Raises:
        DataError: the values of black and white are unknown, a pixel is outside their range or
            NaN, or the picture is nearly black although the file does not state its range.
    """
    stated = stated_range(image, name)
    values: NDArray[Any] = np.asarray(image)
    if stated.white >= 2**31 or stated.black >= 2**31:
        values = values.view(np.uint32)  # Pillow keeps them as signed integers
    least, most = float(values.min()), float(values.max())
    low, high = sorted((stated.black, stated.white))
    if not (low <= least and most <= high):  # nor NaN
        raise DataError(
            f"{name}: holds values from {least:g} to {most:g}, its range is {low:g} to {high:g}; "
            f"{_ADVICE}"
        )
    if not stated.declared and 0 < most < high * MIN_RANGE:
        raise DataError(
            f"{name}: its largest value is {most:g} of {high:g}, which is nearly black; "
            f"if it holds fewer bits, {_ADVICE}"
        )
    return _scaled(values, stated)


def _scaled(values: NDArray[Any], stated: Range) -> NDArray[np.uint8]:
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:  # a table: little memory
        low, high = sorted((stated.black, stated.white))
        levels: NDArray[np.uint8] = _rounded(np.clip(np.arange(2.0**16), low, high), stated)[values]
        return levels
    return np.concatenate([_rounded(row[None], stated) for row in values])


def _rounded(values: NDArray[Any], stated: Range) -> NDArray[np.uint8]:
    share = (values.astype(np.float64) - stated.black) / (stated.white - stated.black)
    return np.floor(255 * share + 0.5).astype(np.uint8)


def stated_range(image: Image.Image, name: str) -> Range:
    """Return the values of black and white in a deep picture, by its format and its file.

    Raises:
        DataError: the file does not state them, or the picture does not come from a file.
    """
    if image.format == "PNG" and image.mode != "F":
        return Range(0, 65535, declared=False)
    # Pillow brings both to 16 bits, by the maximum in the header and the number of bits.
    if (image.format, image.mode) == ("PPM", "I") or (
        image.format == "JPEG2000" and image.mode.startswith("I;16")
    ):
        return Range(0, 65535)
    tags = getattr(image, "tag_v2", None)
    if image.format == "TIFF" and tags is not None:
        return _of_tiff(tags, name)
    raise DataError(
        f"{name}: a picture of mode {image.mode}, and nothing says which values are black and "
        f"white; {_ADVICE}"
    )


def _of_tiff(tags: Any, name: str) -> Range:
    bits, kind = _number(tags, _BITS, 1), _number(tags, _FORMAT, _UNSIGNED)
    least = _number(tags, _MIN_SIGNED, _number(tags, _MIN_VALUE, None))
    most = _number(tags, _MAX_SIGNED, _number(tags, _MAX_VALUE, None))
    declared = most is not None and (least is not None or kind == _UNSIGNED)
    if kind == _UNSIGNED and bits is not None and bits <= 16:
        least, most = least or 0, 2**bits - 1 if most is None else most
        declared = declared or bits < 16
    elif kind == _UNSIGNED and declared:
        least = least or 0
    elif not declared:
        what = {1: "unsigned integers", 2: "signed integers", 3: "real numbers"}.get(
            0 if kind is None else int(kind), "values of unknown kind"
        )
        raise DataError(
            f"{name}: a TIFF of {bits or 0:g}-bit {what} without SMinSampleValue and "
            f"SMaxSampleValue: nothing says which values are black and white; {_ADVICE}"
        )
    assert least is not None
    assert most is not None
    if not least < most:
        raise DataError(
            f"{name}: its file states an impossible range of values, {least:g} to {most:g}; "
            f"{_ADVICE}"
        )
    if _number(tags, _PHOTOMETRIC, None) == _WHITE_IS_ZERO:
        return Range(most, least, declared)
    return Range(least, most, declared)


def _number(tags: Any, tag: int, default: float | None) -> float | None:
    """Return the number of a TIFF tag; ``default`` if it is missing or not finite.

    Return ``default`` too if the samples (colours) of a pixel have different numbers.
    """
    value = tags.get(tag)
    values = value if isinstance(value, tuple) else (value,)
    if len(set(values)) != 1:
        return default
    try:
        number = float(values[0])
    except (TypeError, ValueError, OverflowError):
        return default
    return number if np.isfinite(number) else default


def check_tiff(image: Image.Image, name: str) -> None:
    """Refuse TIFF files of 8 bits whose values Pillow reads wrongly.

    Raises:
        DataError: the file has signed bytes, colours of 16 bits whose range is not 0 to 65535, or
            a palette of 8 bits instead of 16 (the picture would be black).
    """
    tags = getattr(image, "tag_v2", None)
    if image.format != "TIFF" or tags is None or is_deep(image.mode):
        return
    if _number(tags, _FORMAT, _UNSIGNED) != _UNSIGNED:
        raise DataError(f"{name}: a TIFF of 8-bit values that are not unsigned; {_ADVICE}")
    bits = _number(tags, _BITS, 1)
    most = _number(tags, _MAX_SIGNED, _number(tags, _MAX_VALUE, None))
    if bits == 16 and most is not None and most != 65535:
        raise DataError(f"{name}: colours of 16 bits whose largest value is {most:g}; {_ADVICE}")
    palette = tags.get(320) if image.mode in ("P", "PA") else None
    if palette and 0 < max(palette) < 256:
        raise DataError(
            f"{name}: the palette of this TIFF has 8 bits, but TIFF requires 16; save it as RGB"
        )


def check_colours(image: Image.Image, raw: str, name: str) -> None:
    """Refuse a picture with colours of 16 bits that is nearly black.

    ``raw`` is Pillow's raw mode of the picture.

    Raises:
        DataError: the largest value divided by the largest possible value is below `MIN_RANGE`.
    """
    if ";16" not in raw or is_deep(image.mode) or image.mode == "CMYK":
        return
    extrema: Any = image.getextrema()
    bands = extrema if isinstance(extrema[0], tuple) else (extrema,)
    colours = bands[:-1] if image.mode in ("LA", "RGBA") else bands
    most = max(high for _, high in colours)
    # Pillow keeps the upper 8 bits: of values up to 255, as bytes in 16 bits are, nothing is left.
    if most < 256 * MIN_RANGE:
        raise DataError(
            f"{name}: its largest value is below {256 * (most + 1)} of 65536, which would be "
            f"nearly black; if it holds fewer than 16 bits, {_ADVICE}"
        )

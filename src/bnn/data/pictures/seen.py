# SPDX-License-Identifier: BSD-3-Clause
"""Any picture as a person sees it: upright, laid on paper, in grey or RGB of 8 bits.

All pictures for a model are read by `seen`, in training and in use. The exception is
`bnn.original`, which must give the same bytes as the original package.

Colour profiles (ICC) and gamma are ignored; levels are taken as sRGB.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from bnn.data.pictures.depth import check_colours, check_tiff, is_deep, to_8_bits
from bnn.data.pictures.pillow import Transpose, check_format, is_tiff, is_webp
from bnn.data.pictures.rules import (
    WHITE,
    Colour,
    check_sides,
    decode,
    decoding,
    fitted,
    open_bytes,
    open_picture,
    picture_name,
    twin,
)
from bnn.errors import BnnWarning, DataError

if TYPE_CHECKING:
    from PIL.WebPImagePlugin import WebPImageFile

_ORIENTATION, _SUBFILE = 274, 254
_TURNS = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
#: From this orientation on, width and height are exchanged.
_LYING = 5
#: PNG raw mode -> mask and scale of the transparent level.
_KEYS = {"1": (1, 1), "L;2": (3, 85), "L;4": (15, 17), "L": (255, 1)}
#: A JPEG of more pixels is decoded at a reduced scale.
_WHOLE = 64_000_000


@dataclass(frozen=True, eq=False)
class Seen:
    """A picture as a person sees it.

    Attributes:
        image: the picture, decoded, upright, opaque, of mode ``L`` or ``RGB``. It may be the
            caller's own object, so it must not be changed.
        size: (width, height) of the upright picture at full scale; ``image`` is smaller if a JPEG
            was decoded at a reduced scale.
        transparent: whether some pixel was transparent, so that the paper shows there.
    """

    image: Image.Image
    size: tuple[int, int]
    transparent: bool


@contextmanager
def open_one(path: str | os.PathLike[str]) -> Iterator[Image.Image]:
    """Open a picture file for `seen`; if it is an animation, open the first frame.

    Raises:
        DataError: for the reasons of `bnn.data.pictures.rules.open_picture`, and for a TIFF file
            with several pages.
    """
    with open_picture(path) as image:
        _check_one(image)
        yield image


@contextmanager
def open_one_of(data: bytes, name: str) -> Iterator[Image.Image]:
    """Open the bytes of a picture file in the same way as :func:`open_one` opens a file."""
    with open_bytes(data, name) as image:
        _check_one(image)
        yield image


def _check_one(image: Image.Image) -> None:
    with decoding(picture_name(image)):
        _check_pages(image)
        if is_webp(image):
            _decode_webp(image)


def _decode_webp(image: WebPImageFile) -> None:
    """Decode a WebP file and free its decoder, which has three times the picture's memory."""
    image.load()
    image._decoder = image.fp = None


def say_frames(image: Image.Image) -> None:
    """Print a notice for an animation: its number of frames, and that the first one is used."""
    if image.format != "TIFF" and getattr(image, "is_animated", False):
        name, count = picture_name(image), getattr(image, "n_frames", 2)
        text = f"{name}: has {count} frames; the first one is used"
        warnings.warn(text, BnnWarning, stacklevel=1)


def _check_pages(image: Image.Image) -> None:
    if image.format != "TIFF" or not getattr(image, "is_animated", False):
        return
    image.seek(1)
    smaller_copy = image.tag_v2.get(_SUBFILE, 0)  # type: ignore[attr-defined]  # or a mask
    image.seek(0)
    if not smaller_copy:
        raise DataError(f"{picture_name(image)}: has several pages; save each as one file")


def seen(
    picture: Image.Image, paper: Colour = WHITE, within: tuple[int, int] | None = None
) -> Seen:
    """Return a picture as a person sees it. The caller's picture is not changed, only decoded.

    The result is rotated by the EXIF orientation (tag 274). Values of more than 8 bits are scaled
    by the range that the file states, other colour spaces become RGB, and transparent pixels show
    ``paper``.

    Args:
        picture: a picture of any mode.
        paper: colour that transparent pixels show: red, green and blue, 0 to 255.
        within: (width, height) of the input: a JPEG that is not decoded yet may be decoded at a
            reduced scale for it, as `bnn.data.pictures.rules.thumbnail_pillow6` does.

    Raises:
        DataError: the picture cannot be decoded, has no pixels, is completely transparent, or has
            values without a known range.
    """
    name = picture_name(picture)
    with decoding(name):
        if is_undecoded_jpeg(picture):
            return _of_jpeg(picture, within)
        check_format(picture, name)
        raw = _raw_mode(picture)
        decode(picture)
        if 0 in picture.size:
            raise DataError(f"{name}: has no pixels")
        check_sides(picture.size, name)
        # Pillow rotates TIFF files when it decodes them, and may keep the tag.
        turn = 1 if is_tiff(picture) else orientation(picture)
        check_tiff(picture, name)
        check_colours(picture, raw, name)
        flat, transparent = _on_paper(picture, raw, paper, name)
        upright = _turned(flat, turn)
        return Seen(upright, upright.size, transparent)


def is_undecoded_jpeg(image: Image.Image) -> bool:
    """Whether a picture is a JPEG file that can still be decoded at a reduced scale."""
    undecoded = isinstance(image, JpegImageFile) and image.tile and not image.decoderconfig
    return bool(undecoded) and image.tell() == 0


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation of a picture, 1 (upright) to 8; 1 if missing or illegal."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = image.getexif().get(_ORIENTATION, 1)
    # Damaged metadata raise many kinds of exceptions; the picture itself may be intact.
    except Exception:
        return 1
    return value if type(value) is int and 1 <= value <= max(_TURNS) else 1


def _of_jpeg(picture: Image.Image, within: tuple[int, int] | None) -> Seen:
    turn = orientation(picture)
    lying = turn >= _LYING
    size = picture.size[::-1] if lying else picture.size
    image = twin(picture)
    if within is not None and (target := fitted(size, within)) != size:
        image.draft(None, target[::-1] if lying else target)
    elif size[0] * size[1] > _WHOLE:
        image.draft(None, _reduced(image.size))
    return Seen(_turned(_opaque(image, picture_name(picture)), turn), size, False)


def _reduced(size: tuple[int, int]) -> tuple[int, int]:
    """Return the width and height at which a JPEG is decoded.

    A huge JPEG is decoded at 1/2, 1/4 or 1/8 scale, so that it needs less memory.
    """
    width, height = size
    while width * height > _WHOLE:
        width, height = width // 2, height // 2
    return width, height


def _turned(image: Image.Image, turn: int) -> Image.Image:
    return image.transpose(_TURNS[turn]) if turn in _TURNS else image


def _raw_mode(image: Image.Image) -> str:
    """Return Pillow's raw mode of a picture, such as ``RGB;16B``; "" if it is decoded already."""
    tile = getattr(image, "tile", None)
    args = tile[0][3] if tile else ""
    first = args[0] if isinstance(args, tuple) and args else args
    return first if isinstance(first, str) else ""


def _on_paper(image: Image.Image, raw: str, paper: Colour, name: str) -> tuple[Image.Image, bool]:
    """Return the picture on paper, in mode L or RGB, and whether the paper shows somewhere."""
    if image.mode in ("La", "RGBa"):
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
    key = image.info.get("transparency")
    if image.mode in ("LA", "PA", "RGBA") or (image.mode == "P" and _has_alpha(image)):
        both = image.convert("RGBA")
        colours, alpha = both.convert("RGB"), both.getchannel("A")
    elif key is not None and (image.mode in ("1", "L", "RGB") or is_deep(image.mode)):
        colours = _opaque(image, name)
        alpha = Image.fromarray(np.where(_is_key(image, key, raw, name), 0, 255).astype(np.uint8))
    else:
        return _opaque(image, name), False
    least, most = alpha.getextrema()
    if most == 0:
        raise DataError(f"{name}: is completely transparent")
    if least == 255:
        return colours, False
    sheet = Image.new("RGB", image.size, paper)
    sheet.paste(colours, mask=alpha)
    return sheet, True


def _has_alpha(image: Image.Image) -> bool:
    mode = image.palette.mode if image.palette is not None else "RGB"
    return "transparency" in image.info or mode.endswith("A")


def _is_key(image: Image.Image, key: object, raw: str, name: str) -> NDArray[np.bool_]:
    """Return which pixels have the transparent colour (PNG's tRNS), bool (height, width)."""
    parts = key if isinstance(key, tuple) else (key,)
    if not all(type(part) is int for part in parts) or len(parts) != len(image.getbands()):
        raise DataError(
            f"{name}: its transparent colour {key!r} does not fit its mode {image.mode}; save it "
            "with an alpha channel"
        )
    if image.mode == "RGB" and (";16" in raw or max(parts) > 255):
        raise DataError(
            f"{name}: has colours of 16 bits and a transparent colour, which cannot be read "
            "exactly; save it with an alpha channel"
        )
    # PNG writes 16 bits, of which those count that a pixel has. Pillow spreads levels of 2 and
    # 4 bits over 0 to 255, but not the transparent one.
    bits, scale = _KEYS.get("1" if image.mode == "1" else raw, (~0, 1))
    pixels = np.asarray(image).reshape(image.height, image.width, -1)
    return np.asarray((pixels == (np.array(parts) & bits) * scale).all(axis=2))


def _opaque(image: Image.Image, name: str) -> Image.Image:
    """Return a picture without alpha in mode L or RGB, decoded."""
    if is_deep(image.mode):
        return Image.fromarray(to_8_bits(image, name))
    if image.mode in ("L", "RGB"):
        image.load()
        return image  # not a copy: pictures are large
    if image.mode == "1":
        return image.convert("L")
    if image.mode == "LAB":
        return _from_lab(image, name)
    if image.mode in ("P", "RGBX", "CMYK", "YCbCr", "HSV"):
        return image.convert("RGB")
    raise DataError(f"{name}: pictures of mode {image.mode} cannot be read; convert it to RGB")


def _from_lab(image: Image.Image, name: str) -> Image.Image:
    try:
        from PIL import ImageCms

        profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, *profiles, outputMode="RGB")
    except ImportError:
        raise DataError(
            f"{name}: is a picture of mode LAB, for which this Pillow lacks LittleCMS; "
            "convert it to RGB"
        ) from None
    assert converted is not None
    return converted

# SPDX-License-Identifier: BSD-3-Clause
"""Pictures to uint8 arrays, by the rules that decide whether scores match the recorded ones.

Section 4 of the behavioural specification: the thumbnail rule of Pillow before version 7,
its JPEG draft mode, the white canvas of the CIFAR conversion, and the rule of the webcam
notebooks for handwritten digits. Works alike with every Pillow from 9.1 on.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import TiffImageFile

from bnn.errors import BnnError, DataError
from bnn.system.files import open_file

#: Larger than any photograph.
MAX_FILE_BYTES = 1 << 29

Colour = tuple[int, int, int]

WHITE: Colour = (255, 255, 255)

#: Most pixels of a picture, and of a JPEG, which can be decoded at a reduced scale.
MAX_PIXELS, MAX_JPEG_PIXELS = 64_000_000, 256_000_000
#: Most pixels of a side, as of a JPEG.
MAX_SIDE = 65_535
#: Rows of a picture that are converted at once.
_ROWS = 256
#: Raster formats only. Some of Pillow's other readers start programs (Ghostscript for EPS),
#: or take nearly any file for a picture (TGA has no magic).
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP", "JPEG2000")


def open_picture(path: str | os.PathLike[str]) -> Image.Image:
    """Open a picture file without decoding it, so that JPEG draft mode still applies.

    Raises `DataError` if the file is missing, no picture of `FORMATS`, or has too many pixels
    (`MAX_PIXELS`). Damage further inside shows when it is decoded.
    """
    with open_file(path, MAX_FILE_BYTES, DataError) as file:
        is_jpeg = file.read(3) == b"\xff\xd8\xff"
    with decoding(os.fspath(path)):
        try:
            image: Image.Image = Image.open(path, formats=FORMATS)
        except Image.DecompressionBombError:
            if not is_jpeg:
                raise DataError(_too_many_pixels(os.fspath(path))) from None
            image = JpegImageFile(path)  # without Pillow's limit; ours follows
        try:
            check_pixels(image, os.fspath(path))
            check_sides(image, os.fspath(path))
        except DataError:
            image.close()
            raise
        return image


def check_pixels(image: Image.Image, name: str) -> None:
    """Refuse a picture that would need too much memory."""
    most = MAX_JPEG_PIXELS if isinstance(image, JpegImageFile) else MAX_PIXELS
    if image.width * image.height > most:
        raise DataError(_too_many_pixels(name, image))


def _too_many_pixels(name: str, image: Image.Image | None = None) -> str:
    size = "" if image is None else f"{image.width} x {image.height} = "
    count = "too many" if image is None else f"{image.width * image.height}"
    return (
        f"{name}: has {size}{count} pixels; at most {MAX_PIXELS // 10**6} million are read "
        f"({MAX_JPEG_PIXELS // 10**6} million of a JPEG); save it smaller"
    )


def check_sides(image: Image.Image, name: str) -> None:
    """Refuse a picture like a thread: borders and resizing would need memory for a sheet."""
    if max(image.size) > MAX_SIDE:
        size = f"{image.width} x {image.height}"
        raise DataError(f"{name}: has {size} pixels; sides of at most {MAX_SIDE} are read")


@contextmanager
def decoding(name: str) -> Iterator[None]:
    """Turn whatever goes wrong while Pillow decodes the picture ``name`` into a `DataError`."""
    try:
        with warnings.catch_warnings():
            # Pillow's, of odd metadata, are of no concern here; this package's own are.
            warnings.filterwarnings("ignore", category=UserWarning, module=r"(?!bnn\b)")
            # Files are bounded when they are opened, by `check_pixels`.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            yield
    except BnnError:
        raise
    except UnidentifiedImageError:
        raise DataError(f"{name}: is no picture ({', '.join(FORMATS)})") from None
    # Its decoders raise nearly every kind of exception on damaged files.
    except Exception as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise DataError(
            f"{name}: cannot be read as a picture: {' '.join(reason.split())}"
        ) from error


def picture_name(image: Image.Image) -> str:
    """The file that a picture was opened from, where it is known."""
    return str(getattr(image, "filename", "")) or "<picture>"


def twin(image: Image.Image) -> Image.Image:
    """A copy of a picture; an undecoded JPEG yields an undecoded copy."""
    with decoding(picture_name(image)):
        if isinstance(image, JpegImageFile) and image.tile and not image.decoderconfig:
            assert image.fp is not None, "its file was closed before it was decoded"
            image.fp.seek(0)
            other: Image.Image = JpegImageFile(BytesIO(image.fp.read()))
        else:
            other = image.copy()
        other.filename = picture_name(image)  # type: ignore[attr-defined]  # for messages
        return other


def thumbnail_pillow6(image: Image.Image, size: tuple[int, int]) -> None:
    """Shrink a picture in place to fit ``size`` (width, height) as Pillow before 7 did.

    The shorter side is truncated, not rounded; a JPEG not decoded yet is decoded at 1/2,
    1/4 or 1/8 scale where that is still large enough; then one Lanczos resize, on
    premultiplied colours where there is alpha. Never enlarges. Raises `DataError` if the
    picture cannot be decoded.
    """
    target = fitted(image.size, size)
    if target == image.size:
        return
    with decoding(picture_name(image)):
        image.draft(None, target)
        if image.size != target:
            _become(image, _resized(image, target, Image.Resampling.LANCZOS))


def fitted(size: tuple[int, int], into: tuple[int, int]) -> tuple[int, int]:
    """The (width, height) that Pillow before 7 shrank ``size`` to, to fit ``into``."""
    width, height = size
    if width > into[0]:
        width, height = into[0], int(max(height * into[0] / width, 1))
    if height > into[1]:
        width, height = int(max(width * into[1] / height, 1)), into[1]
    return width, height


def _resized(image: Image.Image, size: tuple[int, int], filter_: Image.Resampling) -> Image.Image:
    """Resize rows first, then columns, with 8 bits in between.

    So did Pillow for long; newer ones take the columns of tall pictures first, which
    gives other bytes. One direction at a time is the same in all.
    """
    premultiplied = {"LA": "La", "RGBA": "RGBa"}.get(image.mode, image.mode)
    rows = image.convert(premultiplied).resize((size[0], image.height), filter_)
    return rows.resize(size, filter_).convert(image.mode)


def _become(image: Image.Image, other: Image.Image) -> None:
    """Give ``image`` the pixels and size of ``other``, as Pillow's own thumbnail does."""
    image.im = other.im
    image._size = other.size  # Pillow offers no other way to change a picture's size in place
    image.readonly = 0
    if hasattr(image, "pyaccess"):  # until Pillow 11: a view of the old pixels
        image.pyaccess = None


def decode(image: Image.Image) -> None:
    """Decode a picture in place, around a fault of Pillow.

    Pillow (13.0, for one) maps uncompressed grey TIFF files that lie on their side into
    memory with width and height exchanged, and so mixes up their pixels without a word. It
    maps only where it knows the file's name.
    """
    name = getattr(image, "filename", "")
    if not isinstance(image, TiffImageFile) or not image.tile or not name:
        image.load()
        return
    image.filename = ""
    try:
        image.load()
    finally:
        image.filename = name


def turn_back(image: Image.Image) -> None:
    """Decode a TIFF file as it is stored, in place; other pictures are left alone.

    Pillow turns them by their orientation tag when it decodes them, which Pillow 6 did not. Of
    a picture that is decoded already nothing is known.
    """
    if not isinstance(image, TiffImageFile) or not image.tile:
        return
    turn = image.tag_v2.get(274)
    decode(image)
    back = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    if turn in back:
        _become(image, image.transpose(back[turn]))


def on_canvas(
    image: Image.Image, shape: tuple[int, int], background: Colour = WHITE
) -> NDArray[np.uint8]:
    """Shrink to fit and centre on a canvas: uint8 (height, width, 3) of ``shape``'s two.

    `thumbnail_pillow6` first: the caller's picture is left shrunk. Then it is pasted
    without a mask, and alpha is dropped: transparent pixels show their stored colour.
    Raises `DataError` if the picture cannot be decoded.
    """
    height, width = shape
    thumbnail_pillow6(image, (width, height))
    with decoding(picture_name(image)):
        return _centred(image, shape, background)


def thumbnail_array(
    image: Image.Image, size: tuple[int, int], shape: tuple[int, int], background: Colour = WHITE
) -> NDArray[np.uint8]:
    """As `on_canvas`, for an opaque picture that may be decoded at a reduced scale.

    ``image`` is of mode L or RGB, ``size`` the (width, height) that it has in full; see
    `bnn.data.pictures.seen.Seen`. The result is uint8 (height, width, 3) of ``shape``'s two.
    """
    target = fitted(size, shape[::-1])
    if image.size != target:
        image = _resized(image, target, Image.Resampling.LANCZOS)
    return _centred(image, shape, background)


def _centred(image: Image.Image, shape: tuple[int, int], background: Colour) -> NDArray[np.uint8]:
    height, width = shape
    canvas = Image.new("RGBA", (width, height), (*background, 0))
    canvas.paste(image, (int((width - image.width) / 2), int((height - image.height) / 2)))
    return np.array(canvas)[:, :, :3].copy()


def image_to_cifar_array(image: Image.Image) -> NDArray[np.uint8]:
    """Any picture to uint8 (32, 32, 3), byte for byte as the original's ``image_to_cifar``.

    The caller's picture is left shrunk; see `on_canvas`.
    """
    return on_canvas(image, (32, 32))


def stretched(image: Image.Image, shape: tuple[int, int], mode: str) -> NDArray[np.uint8]:
    """Convert to ``mode`` ("L" or "RGB") and resize bilinearly to (height, width) of ``shape``.

    Returns uint8 (height, width) or (height, width, 3); the caller's picture is only decoded.
    """
    with decoding(picture_name(image)):
        flat = image.convert(mode)
        return np.array(_resized(flat, (shape[1], shape[0]), Image.Resampling.BILINEAR))


def digit_array(
    image: Image.Image,
    shape: tuple[int, int] = (28, 28),
    *,
    contrast: float = 3.0,
    brightness: float = 4.0,
    cut: int | None = None,
    border: int = 80,
) -> NDArray[np.uint8]:
    """A dark stroke on light paper to a white stroke on black: uint8 (height, width).

    A picture that has the size already is taken as it is, as grey levels. Any other goes
    through the rule of the webcam notebooks: enhance contrast, then brightness; with
    ``cut``, make levels above it white and the others black; surround with ``border``
    white pixels; crop to what is not white; resize to fit ``shape`` (nearest neighbour,
    also enlarging), centred on white; invert. Pixels that are then exactly 255 (the
    stroke) stay 255, all others become 1. An empty sheet gives all 1.

    The defaults are those for MNIST; for the letters of NIST the notebook had contrast 5,
    brightness 2, cut 180. The caller's picture is only decoded. Raises `DataError` if
    that fails.
    """
    height, width = shape
    with decoding(picture_name(image)):
        grey = grey_levels(image)
        if grey.size == (width, height):
            return np.array(grey)
        return sheet_array(ink_sheet(grey, contrast, brightness, cut, border), shape)


def ink_sheet(
    grey: Image.Image, contrast: float, brightness: float, cut: int | None, border: int
) -> Image.Image:
    """Grey levels with what is not ink brightened to white, in a white border: `digit_array`."""
    grey = ImageEnhance.Contrast(grey).enhance(contrast)
    grey = ImageEnhance.Brightness(grey).enhance(brightness)
    if cut is not None:
        grey = grey.point([255 if level > cut else 0 for level in range(256)])
    return ImageOps.expand(grey, border, fill=255)


def sheet_array(sheet: Image.Image, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Crop to what is not white, fit to ``shape`` and invert: `digit_array`'s second half."""
    height, width = shape
    stroke = sheet.crop(ImageOps.invert(sheet).getbbox())
    fitting = stroke.resize(_fit(stroke.size, (width, height)), Image.Resampling.NEAREST)
    canvas = Image.new("L", (width, height), 255)
    canvas.paste(fitting, (int((width - fitting.width) / 2), int((height - fitting.height) / 2)))
    return np.where(np.asarray(canvas) == 0, np.uint8(255), np.uint8(1))


def grey_levels(image: Image.Image) -> Image.Image:
    """Grey levels as Pillow before 7 had them: the weighted sum truncated, not rounded."""
    if image.mode in ("1", "L", "LA", "I", "F") or image.mode.startswith("I;16"):
        return image.convert("L")
    colours = image if image.mode == "RGB" else image.convert("RGB")
    levels = np.empty((image.height, image.width), np.uint8)
    for top in range(0, image.height, _ROWS):  # in strips: little memory
        strip = colours.crop((0, top, image.width, min(top + _ROWS, image.height)))
        red, green, blue = np.moveaxis(np.asarray(strip).astype(np.uint32), 2, 0)
        levels[top : top + _ROWS] = (red * 19595 + green * 38470 + blue * 7471) >> 16
    return Image.fromarray(levels)


def _fit(size: tuple[int, int], into: tuple[int, int]) -> tuple[int, int]:
    """The largest (width, height) of the same aspect that fits ``into``, truncated."""
    across, down = into[0] / size[0], into[1] / size[1]
    if across < down:
        return into[0], max(int(size[1] * across), 1)
    return max(int(size[0] * down), 1), into[1]

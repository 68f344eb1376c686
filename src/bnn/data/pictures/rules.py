# SPDX-License-Identifier: BSD-3-Clause
"""Pictures to uint8 arrays, by the original's rules, exact to the byte.

Section 4 of the specification describes them: the thumbnail rule of Pillow before version 7, its
JPEG draft mode, the white canvas of the CIFAR conversion, and the rule of the webcam notebooks for
handwritten digits. The results are the same with every Pillow from 9.1 on.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from bnn.data.pictures.pillow import Resampling, Transpose, check_format, is_tiff
from bnn.data.pictures.shrink import resized, resized_array
from bnn.errors import BnnError, DataError
from bnn.system.files import open_file

#: Most bytes of a picture file.
MAX_FILE_BYTES = 1 << 29

#: How a JPEG file begins.
_JPEG = b"\xff\xd8\xff"

Colour = tuple[int, int, int]

WHITE: Colour = (255, 255, 255)

#: Most pixels of a picture, and of a JPEG, which can be decoded at a reduced scale.
MAX_PIXELS, MAX_JPEG_PIXELS = 64_000_000, 256_000_000
#: Most pixels of a side (the limit of JPEG).
MAX_SIDE = 65_535
#: Digits of MNIST: sides of the picture and of the box that the stroke fits.
_MNIST_SIDE, _MNIST_BOX = 28, 20
#: Number of rows that are converted at once.
_ROWS = 256
#: Raster formats only. Some of Pillow's other readers start programs (Ghostscript for EPS),
#: or accept nearly any file as a picture (TGA has no magic number).
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP", "JPEG2000")


def open_picture(path: str | os.PathLike[str]) -> Image.Image:
    """Open a picture file without decoding it, so that JPEG draft mode still applies.

    Raises `DataError` if the file is missing, not a picture of `FORMATS`, or has too many pixels
    (`MAX_PIXELS`). Damage of the pixels is found only when the picture is decoded.
    """
    with open_file(path, MAX_FILE_BYTES, DataError) as file:
        is_jpeg = file.read(3) == _JPEG
    return _opened(lambda: path, os.fspath(path), is_jpeg)


def open_bytes(data: bytes, name: str) -> Image.Image:
    """Open the bytes of a picture file without decoding them; ``name`` is for messages.

    Raises `DataError` for the same reasons as `open_picture`.
    """
    image = _opened(lambda: BytesIO(data), name, data.startswith(_JPEG))
    image.filename = name  # type: ignore[attr-defined]  # for messages
    return image


def _opened(source: Callable[[], Any], name: str, is_jpeg: bool) -> Image.Image:
    with decoding(name):
        try:
            image: Image.Image = Image.open(source(), formats=FORMATS)
        except Image.DecompressionBombError:
            if not is_jpeg:
                raise DataError(_too_many_pixels(name)) from None
            image = JpegImageFile(source())  # without Pillow's limit; ours follows
        try:
            check_format(image, name)
            check_pixels(image, name)
            check_sides(image.size, name)
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


def check_sides(size: tuple[int, int], name: str) -> None:
    """Refuse a picture with a very long side: borders and resizing would need too much memory."""
    if max(size) > MAX_SIDE:
        raise DataError(
            f"{name}: has {size[0]} x {size[1]} pixels; sides of at most {MAX_SIDE} are read"
        )


@contextmanager
def decoding(name: str) -> Iterator[None]:
    """Turn any exception while Pillow decodes the picture ``name`` into a `DataError`."""
    try:
        with warnings.catch_warnings():
            # Ignore Pillow's warnings about metadata, but not this package's.
            warnings.filterwarnings("ignore", category=UserWarning, module=r"(?!bnn\b)")
            # Files are bounded when they are opened, by `check_pixels`.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            yield
    except BnnError:
        raise
    except UnidentifiedImageError:
        raise DataError(f"{name}: is not a picture ({', '.join(FORMATS)})") from None
    # Pillow's decoders raise many kinds of exceptions on damaged files.
    except Exception as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise DataError(
            f"{name}: cannot be read as a picture: {' '.join(reason.split())}"
        ) from error


def picture_name(image: Image.Image) -> str:
    """Return the name of the file from which a picture was opened, or a substitute."""
    return str(getattr(image, "filename", "")) or "<picture>"


def twin(image: Image.Image) -> Image.Image:
    """Return a copy of a picture; the copy of a JPEG that is not decoded yet is not decoded."""
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

    The length of the shorter side is truncated, not rounded. A JPEG that is not decoded yet is
    decoded at 1/2, 1/4 or 1/8 scale, if it is still large enough then. After that the picture is
    resized once (Lanczos); colours with alpha are premultiplied. A picture is never enlarged.
    Raises `DataError` if the picture cannot be decoded.
    """
    target = fitted(image.size, size)
    if target == image.size:
        return
    with decoding(picture_name(image)):
        image.draft(None, target)
        if image.size != target:
            _become(image, resized(image, target, Resampling.LANCZOS))


def fitted(size: tuple[int, int], into: tuple[int, int]) -> tuple[int, int]:
    """Return the (width, height) to which Pillow before 7 shrinks ``size`` to fit ``into``."""
    width, height = size
    if width > into[0]:
        width, height = into[0], int(max(height * into[0] / width, 1))
    if height > into[1]:
        width, height = int(max(width * into[1] / height, 1)), into[1]
    return width, height


def _become(image: Image.Image, other: Image.Image) -> None:
    """Replace the pixels and the size of ``image`` by those of ``other``.

    Pillow's own thumbnail does the same.
    """
    image.im = other.im
    image._size = other.size  # Pillow offers no other way to change a picture's size in place
    image.readonly = 0
    if hasattr(image, "pyaccess"):  # until Pillow 11: a view of the old pixels
        image.pyaccess = None


def decode(image: Image.Image) -> None:
    """Decode a picture in place, avoiding a defect of Pillow.

    Pillow (13.0, for example) maps uncompressed grey TIFF files with a rotated orientation into
    memory with width and height exchanged, and gives wrong pixels without an error. It does so
    only if it knows the file's name.
    """
    name = getattr(image, "filename", "")
    if not is_tiff(image) or not image.tile or not name:
        image.load()
        return
    image.filename = ""
    try:
        image.load()
    finally:
        image.filename = name


def turn_back(image: Image.Image) -> None:
    """Decode a TIFF file in place without rotating it; other pictures are not changed.

    Pillow rotates TIFF files by their orientation tag when it decodes them; Pillow 6 did not. A
    picture that is decoded already cannot be turned back.
    """
    if not is_tiff(image) or not image.tile:
        return
    turn = image.tag_v2.get(274)
    decode(image)
    back = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_90,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_270,
    }
    if turn in back:
        _become(image, image.transpose(back[turn]))


def on_canvas(
    image: Image.Image, shape: tuple[int, int], background: Colour = WHITE
) -> NDArray[np.uint8]:
    """Return a picture, shrunk to fit, in the middle of a canvas: uint8 (height, width, 3).

    ``shape`` is (height, width) of the canvas. The caller's picture is shrunk in place by
    `thumbnail_pillow6`. Then it is pasted without a mask, and alpha is dropped: transparent pixels
    show their stored colour. Raises `DataError` if the picture cannot be decoded.
    """
    height, width = shape
    thumbnail_pillow6(image, (width, height))
    with decoding(picture_name(image)):
        return _centred(image, shape, background)


def thumbnail_array(
    image: Image.Image,
    size: tuple[int, int],
    shape: tuple[int, int],
    background: Colour = WHITE,
    gap: int | None = None,
) -> NDArray[np.uint8]:
    """Return what `on_canvas` returns, for an opaque picture decoded at full or reduced scale.

    ``image`` has mode L or RGB, and is not changed; ``size`` is the (width, height) of the picture
    at full scale, see `bnn.data.pictures.seen.Seen`; ``gap`` is that of
    `bnn.data.pictures.shrink.resized`. The result is uint8 (*shape, 3).
    """
    target = fitted(size, shape[::-1])
    if image.size != target:
        image = resized(image, target, Resampling.LANCZOS, gap)
    return _laid_on(np.asarray(image), shape, background)


def thumbnail_of_array(
    pixels: NDArray[np.uint8], shape: tuple[int, int], background: Colour, gap: int
) -> NDArray[np.uint8]:
    """Return what `thumbnail_array` returns for the picture of an array, in less time.

    ``pixels`` is uint8 (height, width) or (height, width, 3), grey or RGB.
    """
    size = pixels.shape[1], pixels.shape[0]
    small = resized_array(pixels, fitted(size, shape[::-1]), Resampling.LANCZOS, gap)
    return _laid_on(np.asarray(small), shape, background)


def _laid_on(
    pixels: NDArray[np.uint8], shape: tuple[int, int], background: Colour
) -> NDArray[np.uint8]:
    """Return what `_centred` returns for the pixels of a picture of mode L or RGB."""
    height, width = pixels.shape[:2]
    top, left = (shape[0] - height) // 2, (shape[1] - width) // 2
    canvas = np.empty((*shape, 3), np.uint8)
    canvas[...] = background
    canvas[top : top + height, left : left + width] = (
        pixels if pixels.ndim == 3 else pixels[..., None]
    )
    return canvas


def _centred(image: Image.Image, shape: tuple[int, int], background: Colour) -> NDArray[np.uint8]:
    height, width = shape
    canvas = Image.new("RGBA", (width, height), (*background, 0))
    canvas.paste(image, (int((width - image.width) / 2), int((height - image.height) / 2)))
    return np.array(canvas)[:, :, :3].copy()


def image_to_cifar_array(image: Image.Image) -> NDArray[np.uint8]:
    """Return any picture as uint8 (32, 32, 3), byte for byte as the original's ``image_to_cifar``.

    The caller's picture is shrunk in place; see `on_canvas`.
    """
    return on_canvas(image, (32, 32))


def stretched(
    image: Image.Image, shape: tuple[int, int], mode: str, gap: int | None = None
) -> NDArray[np.uint8]:
    """Return a picture in ``mode`` ("L" or "RGB"), resized (bilinear) to ``shape``.

    ``shape`` is (height, width); ``gap`` is that of `bnn.data.pictures.shrink.resized`. The result
    is uint8 (height, width) or (height, width, 3). The caller's picture is decoded, but not
    changed.
    """
    with decoding(picture_name(image)):
        flat = image.convert(mode)
        return np.array(resized(flat, (shape[1], shape[0]), Resampling.BILINEAR, gap))


def digit_array(
    image: Image.Image,
    shape: tuple[int, int] = (28, 28),
    *,
    contrast: float = 3.0,
    brightness: float = 4.0,
    cut: int | None = None,
    border: int = 80,
) -> NDArray[np.uint8]:
    """Return a dark stroke on light paper as a white stroke on black: uint8 (height, width).

    A picture that has this size already is only converted to grey levels. Other pictures are
    prepared by the rule of the original's webcam notebooks: enhance contrast, then brightness;
    with ``cut``, make levels above ``cut`` white and the others black; surround with ``border``
    white pixels; crop to the rectangle that is not white; resize to fit ``shape`` (nearest
    neighbour, also enlarging), centred on white; invert. Pixels that are then exactly 255 (the
    stroke) stay 255, all others become 1. An empty sheet gives 1 everywhere.

    The defaults are those of the notebook for MNIST; for the letters of NIST the notebook had
    contrast 5, brightness 2, cut 180. The caller's picture is decoded, but not changed. Raises
    `DataError` if it cannot be decoded.
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
    """Return the first half of `digit_array`: grey levels after contrast, brightness and ``cut``.

    ``border`` white pixels are added on each side.
    """
    from PIL import ImageEnhance, ImageOps

    grey = ImageEnhance.Contrast(grey).enhance(contrast)
    grey = ImageEnhance.Brightness(grey).enhance(brightness)
    if cut is not None:
        grey = grey.point([255 if level > cut else 0 for level in range(256)])
    return ImageOps.expand(grey, border, fill=255)


def sheet_array(sheet: Image.Image, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the second half of `digit_array`: the ink, cropped, fitted to ``shape``, inverted."""
    from PIL import ImageOps

    height, width = shape
    stroke = sheet.crop(ImageOps.invert(sheet).getbbox())
    fitting = stroke.resize(_fit(stroke.size, (width, height)), Resampling.NEAREST)
    canvas = Image.new("L", (width, height), 255)
    canvas.paste(fitting, (int((width - fitting.width) / 2), int((height - fitting.height) / 2)))
    return np.where(np.asarray(canvas) == 0, np.uint8(255), np.uint8(1))


def in_box(shape: tuple[int, int]) -> tuple[int, int]:
    """Return the height and width of the box into which digits are fitted.

    It is 20/28 of each side of ``shape``, as in MNIST.
    """
    height, width = (
        max((side * _MNIST_BOX + _MNIST_SIDE // 2) // _MNIST_SIDE, 1) for side in shape
    )
    return height, width


def mnist_array(sheet: Image.Image, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Return black ink as a picture like those of MNIST, uint8 (height, width).

    The ink becomes light on 0, and is smoothed. Its ratio of width to height is kept; it fits a
    box of 20x20 of 28x28 pixels, and its centre of mass is in the middle of the picture (LeCun et
    al., "Gradient-based learning applied to document recognition", section III.A).
    """
    ink = Image.fromarray(np.where(np.asarray(sheet) == 0, np.uint8(255), np.uint8(0)))
    made = np.zeros(shape, np.uint8)
    if (box := ink.getbbox()) is None:
        return made
    stroke = ink.crop(box)
    small = resized(stroke, _fit(stroke.size, in_box(shape)[::-1]), Resampling.BILINEAR)
    levels = np.asarray(small)
    if not levels.any():
        return made
    top, left = (_start(levels.sum(axis=1 - axis, dtype=np.int64), shape[axis]) for axis in (0, 1))
    made[top : top + small.height, left : left + small.width] = levels
    return made


def _start(mass: NDArray[np.int64], length: int) -> int:
    """Return the first position for ``mass`` on a side of ``length``.

    The centre of the mass is then in the middle of the side, if there is enough room.
    """
    total = int(mass.sum())
    twice = int((mass * (2 * np.arange(len(mass)) + 1)).sum())
    start = (length * total - twice + total) // (2 * total)  # rounded, a half up
    return min(max(start, 0), length - len(mass))


def grey_levels(image: Image.Image) -> Image.Image:
    """Return a picture in grey levels as Pillow before 7 computed them.

    The weighted sum of the colours is truncated, not rounded.
    """
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
    """Return the largest (width, height) that fits ``into`` with the ratio of sides of ``size``.

    The shorter side is truncated.
    """
    across, down = into[0] / size[0], into[1] / size[1]
    if across < down:
        return into[0], max(int(size[1] * across), 1)
    return max(int(size[0] * down), 1), into[1]

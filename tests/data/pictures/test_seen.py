# SPDX-License-Identifier: BSD-3-Clause
"""Pictures as a person sees them: upright, on paper, in 8 bits; or refused by name."""

from __future__ import annotations

import struct
import warnings
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageCms

import bnn
from bnn.data.pictures.pillow import PORTABLE_MAPS, release
from bnn.data.pictures.preprocess import Digit, Preprocess, Stretch, Thumbnail
from bnn.data.pictures.rules import turn_back
from bnn.data.pictures.seen import open_one, orientation, seen
from bnn.errors import BnnWarning, DataError
from bnn.model.batch import as_batch

Levels = NDArray[np.uint8]
#: What has to be done to an upright array, so that a viewer that obeys the tag shows it upright.
LAID: dict[int, Any] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}


def corners(height: int = 40, width: int = 56) -> Levels:
    """A picture whose four quarters differ, in blocks that JPEG keeps nearly exactly."""
    levels = np.zeros((height, width, 3), np.uint8)
    levels[: height // 2, : width // 2] = (250, 10, 10)
    levels[: height // 2, width // 2 :] = (10, 240, 20)
    levels[height // 2 :, : width // 2] = (20, 20, 230)
    levels[height // 2 :, width // 2 :] = (240, 240, 30)
    return levels


def tag(number: int) -> bytes:
    exif = Image.Exif()
    exif[274] = number
    return exif.tobytes()


def read(path: Path) -> Image.Image:
    with open_one(path) as image:
        return seen(image).image


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_upright(turn: int, format_: str, tmp_path: Path) -> None:
    wanted = corners()
    path = tmp_path / "lying"
    stored = Image.fromarray(np.ascontiguousarray(LAID[turn](wanted)))
    lossless: dict[str, Any] = {"lossless": True} if format_ == "WEBP" else {}
    if format_ == "JPEG":
        lossless = {"quality": 100, "subsampling": 0}
    stored.save(path, format_, exif=tag(turn), **lossless)
    tolerance = 4 if format_ == "JPEG" else 0
    shape = (40, 56, 3)
    for rule in (Stretch(), Thumbnail()):
        array = rule.to_array(path, shape)
        assert np.abs(array.astype(int) - wanted).max() <= tolerance
        with Image.open(path) as image:
            size = image.size
            np.testing.assert_array_equal(rule.to_array(image, shape), array)
            assert format_ == "TIFF" or (image.size, image.mode) == (size, "RGB")
            image.load()
            np.testing.assert_array_equal(rule.to_array(image, shape), array)
            np.testing.assert_array_equal(rule.to_array(image, shape), array)


@pytest.mark.parametrize("turn", range(1, 9))
def test_lying_jpegs_are_drafted_as_upright_ones(turn: int, tmp_path: Path) -> None:
    wanted = corners(600, 880)
    stored = Image.fromarray(np.ascontiguousarray(LAID[turn](wanted)))
    stored.save(tmp_path / "lying.jpg", quality=95, subsampling=0, exif=tag(turn))
    with open_one(tmp_path / "lying.jpg") as image:
        look = seen(image, within=(32, 32))
    assert look.size == (880, 600)
    assert look.image.size == (110, 75)  # an eighth
    array = Thumbnail().to_array(tmp_path / "lying.jpg", (32, 32, 3))
    assert (array[:5] == 255).all()
    for row, column in ((10, 5), (10, 25), (22, 5), (22, 25)):
        expected = wanted[(row - 5) * 27, column * 27]
        assert np.abs(array[row, column].astype(int) - expected).max() < 12


@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + bytes(range(90)),
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x09\0\0\0\0\0\0\0",  # nine
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x0c\0\x01\0\0\0\x20\0\0\0\0\0\0\0",  # a double
        b"\0" * 50,
        b"not metadata at all",
    ],
)
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_damaged_orientation(exif: bytes, format_: str, tmp_path: Path) -> None:
    path = tmp_path / "odd"
    Image.fromarray(corners()).save(path, format_, exif=exif)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read(path).size == (56, 40)


@given(st.binary(max_size=80))
def test_any_metadata(exif: bytes) -> None:
    image = Image.new("RGB", (3, 2))
    image.info["exif"] = b"Exif\0\0II*\0\x08\0\0\0" + exif
    assert 1 <= orientation(image) <= 8
    assert Thumbnail().to_array(image, (4, 4, 3)).shape == (4, 4, 3)


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("mode", ["L", "P", "1", "I;16", "CMYK", "RGBA"])
@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_upright_tiffs_of_any_mode(
    turn: int, mode: str, compression: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "lying.tif"
    grey = np.arange(15 * 22).reshape(15, 22) * 7 % 251
    levels = np.ascontiguousarray(LAID[turn](grey.astype(np.uint8)))
    if mode == "I;16":
        image = Image.fromarray(levels.astype(np.uint16) * 257)
    elif mode == "P":
        image = Image.new("P", levels.shape[::-1])
        image.frombytes(levels.tobytes())
        image.putpalette(bytes(np.repeat(np.arange(256), 3).astype(np.uint8)))
    else:
        image = Image.fromarray(levels).convert("RGB" if mode == "CMYK" else "L").convert(mode)
    image.save(path, exif=tag(turn), compression=compression)
    with Image.open(path) as opened:
        again = seen(opened).image
    for read_back in (read(path), again):
        found = np.asarray(read_back.convert("L"), int)
        if mode == "1":
            image.save(path, "PNG", exif=tag(turn))
            wanted = np.asarray(read(path).convert("L"), int)
        else:
            wanted = grey
        assert np.abs(found - wanted).max() <= 1
        image.save(path, "TIFF", exif=tag(turn), compression=compression)


def test_the_original_does_not_turn_tiffs(tmp_path: Path) -> None:
    for turn in range(1, 9):
        for stored in (LAID[turn](corners()), LAID[turn](corners()[..., 1])):
            Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "t.tif", exif=tag(turn))
            with Image.open(tmp_path / "t.tif") as image:
                turn_back(image)
                np.testing.assert_array_equal(np.asarray(image), stored)


# Deep pictures.

GRADIENT = np.linspace(0, 1, 48 * 40).reshape(40, 48)


def grey_of(path: Path) -> NDArray[np.int64]:
    return np.asarray(read(path), np.int64)


def wanted_of(values: NDArray[Any], white: float, black: float = 0) -> NDArray[np.float64]:
    return np.floor(255 * (values.astype(np.float64) - black) / (white - black) + 0.5)


@pytest.mark.parametrize("suffix", ["png", "tif", "jp2"])
def test_sixteen_bits(suffix: str, tmp_path: Path) -> None:
    values = (GRADIENT * 65535).astype(np.uint16)
    path = tmp_path / f"deep.{suffix}"
    Image.fromarray(values).save(path)
    np.testing.assert_array_equal(grey_of(path), wanted_of(values, 65535))
    with Image.open(path) as image:
        assert 100 < Stretch().to_array(image, (2, 2, 1)).mean() < 155
        # What a crop's values mean, only its file could tell.
        with pytest.raises(DataError, match="nothing says which values are black and white"):
            Stretch().to_array(image.crop((0, 0, 9, 9)), (2, 2, 1))


@pytest.mark.parametrize("maximum", [256, 1000, 1023, 4095, 65535])
@pytest.mark.parametrize("plain", [False, True])
def test_portable_maps(maximum: int, plain: bool, tmp_path: Path) -> None:
    values = np.floor(GRADIENT * maximum).astype(">u2")
    body = " ".join(map(str, values.ravel())).encode() if plain else values.tobytes()
    path = tmp_path / "deep.pgm"
    path.write_bytes(b"P%d 48 40 %d\n" % (2 if plain else 5, maximum) + body)
    if release() < PORTABLE_MAPS:
        with pytest.raises(
            DataError, match=r"deep\.pgm: (Pillow .* wrongly|is not a picture|cannot be)"
        ):
            grey_of(path)
        return
    assert np.abs(grey_of(path) - wanted_of(values, maximum)).max() <= 1
    colours = np.repeat(values, 3)
    path.write_bytes(b"P6 48 40 %d\n" % maximum + colours.tobytes())
    assert np.abs(np.asarray(read(path), int)[..., 1] - wanted_of(values, maximum)).max() <= 1


def tiff(values: NDArray[Any], photometric: int = 1, kind: int = 1, **more: Any) -> bytes:
    """A little-endian TIFF of one strip. ``more``: tags as t280=(type, value)."""
    height, width = values.shape
    bits = more.pop("bits", 8 * values.dtype.itemsize)
    body = more.pop("body", values.astype(values.dtype.newbyteorder("<")).tobytes())
    tags = {
        256: (3, width),
        257: (3, height),
        258: (3, bits),
        259: (3, 1),
        262: (3, photometric),
        273: (4, 8),
        277: (3, 1),
        278: (3, height),
        279: (4, len(body)),
        339: (3, kind),
        **{int(name[1:]): value for name, value in more.items()},
    }
    entries = b""
    for number, (type_, value) in sorted(tags.items()):
        form = {3: "<Hxx", 4: "<I", 8: "<hxx", 9: "<i", 11: "<f"}[type_]
        entries += struct.pack("<HHI", number, type_, 1) + struct.pack(form, value)
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(body)) + body + directory


def packed_12(values: NDArray[np.uint16]) -> bytes:
    first, second = values.ravel()[0::2].astype(int), values.ravel()[1::2].astype(int)
    three = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=1)
    return three.astype(np.uint8).tobytes()


U16 = (GRADIENT * 65535).astype(np.uint16)
U12 = (GRADIENT * 4095).astype(np.uint16)
I16 = (GRADIENT * 2000 - 1000).astype(np.int16)
U32 = (GRADIENT * (2**32 - 1)).astype(np.uint32)
F32 = GRADIENT.astype(np.float32)


@pytest.mark.parametrize(
    ("file", "values", "black", "white"),
    [
        (tiff(U16), U16, 0, 65535),
        (tiff(U16, 0), U16, 65535, 0),
        (tiff(U12, bits=12, body=packed_12(U12)), U12, 0, 4095),
        (tiff(U12, t281=(3, 4095)), U12, 0, 4095),
        (tiff(U12, 0, t281=(3, 4095)), U12, 4095, 0),
        (tiff(U12 + 100, t280=(3, 100), t281=(3, 4195)), U12 + 100, 100, 4195),
        (tiff(U32, t281=(4, 2**32 - 1)), U32, 0, 2**32 - 1),
        (tiff(U32 // 2**20, t281=(4, 4095)), U32 // 2**20, 0, 4095),
        (tiff(I16, kind=2, t340=(8, -1000), t341=(8, 1000)), I16, -1000, 1000),
        (tiff(F32, kind=3, t340=(11, 0.0), t341=(11, 1.0)), F32, 0, 1),
        (tiff(F32 * 255, kind=3, t340=(11, 0.0), t341=(11, 255.0)), F32 * 255, 0, 255),
        (tiff(F32, 0, kind=3, t340=(11, 0.0), t341=(11, 1.0)), F32, 1, 0),
        (tiff((F32 * 255).astype(np.uint8), 0), (F32 * 255).astype(np.uint8), 255, 0),
    ],
)
def test_tiffs(
    file: bytes, values: NDArray[Any], black: float, white: float, tmp_path: Path
) -> None:
    (tmp_path / "deep.tif").write_bytes(file)
    if release() < (9, 1) and black > white and values.dtype == np.uint16:  # unknown to it
        with pytest.raises(DataError, match="is not a picture"):
            grey_of(tmp_path / "deep.tif")
        return
    np.testing.assert_array_equal(grey_of(tmp_path / "deep.tif"), wanted_of(values, white, black))


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (tiff(U12), "largest value is 4095 of 65535"),
        (tiff(np.full((9, 9), 300, np.uint16)), "largest value is 300 of 65535"),
        (tiff(U32), "32-bit unsigned integers without SMinSampleValue"),
        (tiff(I16, kind=2), "16-bit signed integers without"),
        (tiff(I16, kind=2, t341=(8, 1000)), "16-bit signed integers without"),
        (tiff(F32, kind=3), "32-bit real numbers without"),
        (tiff(F32 * 255, kind=3), "32-bit real numbers without"),
        (tiff(F32 * np.float32(np.nan), kind=3, t340=(11, 0.0), t341=(11, 1.0)), "from nan to"),
        (tiff(F32 * 2, kind=3, t340=(11, 0.0), t341=(11, 1.0)), "holds values from 0 to 2"),
        (tiff(U16, t281=(3, 4095)), "holds values from 0 to 65535, its range is 0 to 4095"),
        (tiff(U16, t280=(3, 9), t281=(3, 9)), "impossible range of values, 9 to 9"),
        (tiff(np.zeros((9, 9), np.int8), kind=2), "not unsigned|is not a picture"),  # by Pillow 9
    ],
)
def test_tiffs_that_say_too_little(file: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "deep.tif"
    path.write_bytes(file)
    for rule in (Stretch(), Thumbnail(), Digit()):
        with pytest.raises(DataError, match=reason) as caught:
            rule.to_array(path, (9, 9, 1))
        assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("rule", [Stretch(), Thumbnail(), Digit()])
@pytest.mark.parametrize(
    "array",
    [
        np.full((64, 64), 300, np.uint16),
        np.full((64, 64), 65535, np.uint16),
        np.full((64, 64), 9, np.int32),
        np.full((64, 64), 0.5, np.float32),
    ],
)
def test_deep_pictures_of_no_file(rule: Preprocess, array: NDArray[Any]) -> None:
    with pytest.raises(DataError, match="nothing says which values are black and white"):
        rule.to_array(Image.fromarray(array), (28, 28, 1))


def test_faint_pictures_of_16_bits(tmp_path: Path) -> None:
    Image.fromarray(U12).save(tmp_path / "faint.png")
    with pytest.raises(DataError, match="largest value is 4095 of 65535"):
        read(tmp_path / "faint.png")
    colours = np.repeat(U12[..., None], 3, axis=2)
    (tmp_path / "faint.png").write_bytes(png(colours, 2, 16))
    with pytest.raises(DataError, match="nearly black"):
        read(tmp_path / "faint.png")
    for most, faint in ((0x0FFF, True), (0x1000, False)):  # a sixteenth of what there may be
        path = tmp_path / f"{most}.png"
        path.write_bytes(png(np.full((4, 4, 3), most, np.uint16), 2, 16))
        if faint:
            with pytest.raises(DataError, match="nearly black"):
                read(path)
        else:
            assert np.asarray(read(path)).max() == 16
    # Black cannot be told from bytes in 16 bits, of which Pillow keeps nothing.
    (tmp_path / "dark.png").write_bytes(png(colours * 0, 2, 16))
    with pytest.raises(DataError, match="below 256 of 65536"):
        read(tmp_path / "dark.png")


# Transparency.


def png(values: NDArray[Any], kind: int, bits: int, **chunks: bytes) -> bytes:
    """A PNG of any depth, written here: Pillow writes few of them."""
    height, width = values.shape[:2]
    rows = values.reshape(height, -1)
    if bits == 16:
        lines = [row.astype(">u2").tobytes() for row in rows]
    elif bits == 8:
        lines = [row.astype(np.uint8).tobytes() for row in rows]
    else:
        spread = (rows[..., None] >> np.arange(bits)[::-1]) & 1
        lines = [np.packbits(row.ravel()).tobytes() for row in spread.astype(np.uint8)]
    body = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0),
        **{name.encode(): data for name, data in chunks.items()},
        b"IDAT": zlib.compress(b"".join(b"\0" + line for line in lines)),
        b"IEND": b"",
    }
    file = b"\x89PNG\r\n\x1a\n"
    for name, data in body.items():
        check = zlib.crc32(name + data)
        file += struct.pack(">I", len(data)) + name + data + struct.pack(">I", check)
    return file


def ink_on_nothing(mode: str) -> Image.Image:
    """A black rectangle, all else transparent black."""
    image = Image.new("RGBA", (60, 60), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (25, 10, 32, 50))
    if mode == "P bytes":
        image = Image.new("P", (60, 60), 1)
        image.putpalette(bytes(6))
        image.paste(0, (25, 10, 32, 50))
        image.info["transparency"] = b"\xff\x00"
    elif mode == "P index":
        image = Image.new("P", (60, 60), 7)
        image.putpalette(bytes(3 * 8))
        image.paste(0, (25, 10, 32, 50))
        image.info["transparency"] = 7
    elif mode == "PA":
        alpha = image.getchannel("A")
        image = Image.new("L", (60, 60)).convert("P").convert("PA")
        image.putalpha(alpha)
        assert image.mode == "PA"
    elif mode in ("L", "RGB"):
        key: Any = 90 if mode == "L" else (90, 91, 92)
        image = Image.new(mode, (60, 60), key)
        image.paste(0 if mode == "L" else (0, 0, 0), (25, 10, 32, 50))
        image.info["transparency"] = key
    elif mode in ("La", "RGBa"):
        image = image.convert(mode.upper()).convert(mode)
    else:
        image = image.convert(mode)
    return image


TRANSPARENT = ["RGBA", "LA", "La", "RGBa", "PA", "P bytes", "P index", "L", "RGB"]


@pytest.mark.parametrize("mode", TRANSPARENT)
def test_transparent_pixels_show_paper(mode: str) -> None:
    image = ink_on_nothing(mode)
    on_white = np.asarray(seen(image).image.convert("L"))
    expected = np.full((60, 60), 255)
    expected[10:50, 25:32] = 0
    np.testing.assert_array_equal(on_white, expected)
    assert seen(image).transparent
    for rule in (Stretch(), Thumbnail()):
        assert rule.to_array(image, (60, 60, 3))[0, 0].tolist() == [255, 255, 255]
    on_blue = Thumbnail((10, 20, 240)).to_array(image, (60, 60, 3))
    assert on_blue[5, 5].tolist() == [10, 20, 240]
    assert on_blue[30, 28].tolist() == [0, 0, 0]
    digit = Digit().to_array(image, (28, 28, 1))[..., 0]
    flat = Digit().to_array(Image.fromarray(expected.astype(np.uint8)), (28, 28, 1))[..., 0]
    np.testing.assert_array_equal(digit, flat)
    assert 0 < (digit == 255).sum() < 28 * 28 // 2


@pytest.mark.parametrize("format_", ["PNG", "GIF", "WEBP", "TIFF"])
def test_transparent_files(format_: str, tmp_path: Path) -> None:
    path = tmp_path / "canvas"
    more: dict[str, Any] = {"lossless": True} if format_ == "WEBP" else {}
    ink_on_nothing("P index" if format_ == "GIF" else "RGBA").save(path, format_, **more)
    levels = np.asarray(read(path).convert("L"))
    assert (levels[0, 0], levels[30, 28]) == (255, 0)


@pytest.mark.parametrize(
    ("bits", "above"), [(1, 0), (2, 0), (2, 4), (4, 0), (4, 16), (8, 0), (8, 256), (16, 0)]
)
def test_transparent_level_of_any_depth(bits: int, above: int, tmp_path: Path) -> None:
    """Of the 16 bits of the transparent level, only those that a pixel has count."""
    white = 2**bits - 1
    values = np.zeros((6, 8), np.int64)
    values[:, 4:] = white
    (tmp_path / "t.png").write_bytes(png(values, 0, bits, tRNS=struct.pack(">H", above)))
    assert (np.asarray(read(tmp_path / "t.png").convert("L")) == 255).all()
    middle = 2 ** (bits - 1)
    values[:, 4:] = middle
    (tmp_path / "t.png").write_bytes(png(values, 0, bits, tRNS=struct.pack(">H", above + middle)))
    levels = np.asarray(read(tmp_path / "t.png").convert("L"))
    assert (levels[:, :4] == 0).all()
    assert (levels[:, 4:] == 255).all()


def test_transparent_colour_of_16_bits_is_refused(tmp_path: Path) -> None:
    values = np.full((5, 5, 3), 40000)
    (tmp_path / "t.png").write_bytes(png(values, 2, 16, tRNS=struct.pack(">HHH", 0, 0, 0)))
    with pytest.raises(DataError, match="colours of 16 bits and a transparent colour"):
        read(tmp_path / "t.png")


@pytest.mark.parametrize("key", [(1, 2), b"\1", "white", 1.5, (1, 2, 3, 4)])
def test_transparent_colours_of_another_mode(key: Any) -> None:
    image = Image.new("RGB", (5, 5))
    image.info["transparency"] = key
    with pytest.raises(DataError, match="transparent colour"):
        seen(image)


def test_nothing_to_see() -> None:
    with pytest.raises(DataError, match="completely transparent"):
        seen(Image.new("RGBA", (5, 5), (9, 9, 9, 0)))
    with pytest.raises(DataError, match="has no pixels"):
        seen(Image.new("RGB", (0, 5)))


@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255))
def test_half_transparent(level: int, alpha: int, paper: int) -> None:
    image = Image.new("LA", (2, 1), (level, alpha))
    image.putpixel((1, 0), (0, 255))
    value = seen(image, (paper, paper, paper)).image.convert("L").getpixel((0, 0))
    assert isinstance(value, int)
    assert abs(value - (level * alpha + paper * (255 - alpha)) / 255) <= 1


# Other colours.


@pytest.mark.parametrize("mode", ["HSV", "CMYK", "LAB", "YCbCr", "RGBX", "P", "1"])
@pytest.mark.parametrize("rule", [Stretch(), Thumbnail(), Digit()])
def test_colours_are_converted_before_they_are_resized(mode: str, rule: Preprocess) -> None:
    colours = Image.fromarray(corners(120, 150)).convert("RGB")
    if mode == "LAB":
        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        other = ImageCms.profileToProfile(colours, *profiles, outputMode="LAB")
        assert other is not None
        back = ImageCms.profileToProfile(other, *profiles[::-1], outputMode="RGB")
        assert back is not None
    else:
        other = colours.convert(mode)
        back = other.convert("RGB")
    assert (
        np.abs(np.asarray(back, int) - np.asarray(colours, int)).max()
        < (30 if mode == "LAB" else 13)
        or mode in "P1"
    )
    for shape in ((20, 30, 3), (120, 150, 3)):
        np.testing.assert_array_equal(_or_error(rule, other, shape), _or_error(rule, back, shape))


def _or_error(rule: Preprocess, image: Image.Image, shape: tuple[int, int, int]) -> Any:
    try:
        return rule.to_array(image, shape)
    except DataError as error:
        return str(error)


def test_cmyk_jpegs(tmp_path: Path) -> None:
    image = Image.fromarray(corners())
    image.convert("CMYK").save(tmp_path / "c.jpg", quality=100, subsampling=0)  # Adobe: inverted
    array = Stretch().to_array(tmp_path / "c.jpg", (40, 56, 3))
    assert np.abs(array.astype(int) - corners()).max() < 8


def test_a_black_palette_is_refused(tmp_path: Path) -> None:
    image = Image.fromarray(corners()).quantize(4)
    image.save(tmp_path / "p.tif")
    assert np.asarray(read(tmp_path / "p.tif")).max() > 200
    file = (tmp_path / "p.tif").read_bytes()
    with Image.open(tmp_path / "p.tif") as opened:
        palette = opened.tag_v2[320]  # type: ignore[attr-defined]
    wide = struct.pack(f"<{len(palette)}H", *palette)
    assert wide in file
    narrow = struct.pack(f"<{len(palette)}H", *(level // 256 for level in palette))
    (tmp_path / "p.tif").write_bytes(file.replace(wide, narrow))
    with pytest.raises(DataError, match="palette of this TIFF has 8 bits"):
        read(tmp_path / "p.tif")


# Several pictures in a file, sizes, damage.


@pytest.mark.parametrize("format_", ["GIF", "PNG", "WEBP"])
def test_first_frame(format_: str, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue", "white")]
    path = tmp_path / "moving"
    frames[0].save(path, format_, save_all=True, append_images=frames[1:], duration=90)
    with pytest.warns(BnnWarning, match="moving: has 3 frames; the first one is used"):
        red, _, blue = as_batch(bnn.load("cnv-w1a1"), path)[0, 16, 16].tolist()
    assert red > 200 > 50 > blue
    with Image.open(path) as image:
        image.seek(1)  # the caller's choice
        red, _, blue = np.asarray(seen(image).image)[5, 5].tolist()
    assert blue > 200 > 50 > red


def test_pages(tmp_path: Path) -> None:
    pages = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    path = tmp_path / "pages.tif"
    pages[0].save(path, save_all=True, append_images=pages[1:])
    with pytest.raises(DataError, match=r"pages\.tif: has several pages"):
        Thumbnail().to_array(path, (8, 8, 3))
    with Image.open(path) as image:
        image.seek(1)
        assert Stretch().to_array(image, (1, 1, 3)).ravel().tolist() == [0, 0, 255]


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (2, 4999), (4999, 3)])
@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA", "P", "CMYK"])
def test_extreme_aspects(size: tuple[int, int], mode: str) -> None:
    image = Image.new("RGB", size, (90, 80, 70)).convert(mode)
    for rule in (Stretch(), Thumbnail()):
        assert rule.to_array(image, (28, 32, 3)).shape == (28, 32, 3)
    with pytest.raises(DataError, match="no stroke found"):
        Digit().to_array(image, (28, 28, 1))


FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "PPM", "WEBP", "JPEG2000")


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8, 0.95])
def test_truncated_files(format_: str, share: float, tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (70, 90, 3), np.uint8)
    file = BytesIO()
    Image.fromarray(noise).save(file, format_)
    path = tmp_path / "cut"
    path.write_bytes(file.getvalue()[: int(share * len(file.getvalue()))])
    for rule in (Stretch(), Thumbnail(), Digit()):
        with pytest.raises(DataError, match=r"cut: (cannot be read|is not a picture|Pillow)"):
            rule.to_array(path, (28, 28, 1))


@pytest.mark.parametrize("size", [(4, 70_000), (70_000, 4)])
def test_a_picture_like_a_thread_is_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    """A border of 80 pixels around 4 x 4 million made a sheet of 2 GiB."""
    picture = Image.new("RGBA", size)
    picture.save(tmp_path / "thread.png")
    for thread in (picture, tmp_path / "thread.png"):
        with pytest.raises(DataError, match="sides of at most 65535 are read"):
            Digit().to_array(thread, (28, 28, 1))


def test_a_palette_may_have_transparent_colours_itself() -> None:
    image = Image.new("P", (4, 4), 0)
    image.putpalette([255, 0, 0, 0, 0, 0, 255, 255], "RGBA")
    image.putpixel((1, 2), 1)
    array = Thumbnail().to_array(image, (4, 4, 3))
    wanted = np.full((4, 4, 3), 255, np.uint8)  # the paper
    wanted[2, 1] = 0, 0, 255
    np.testing.assert_array_equal(array, wanted)

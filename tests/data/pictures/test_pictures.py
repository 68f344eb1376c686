# SPDX-License-Identifier: BSD-3-Clause
"""Pictures to arrays: byte for byte what Pillow 6 gave, and one line for what is not a picture."""

import hashlib
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from bnn.data import cifar
from bnn.data.pictures.pillow import PORTABLE_MAPS, release
from bnn.data.pictures.rules import (
    digit_array,
    image_to_cifar_array,
    on_canvas,
    open_picture,
    stretched,
    thumbnail_pillow6,
    twin,
)
from bnn.errors import DataError

SIDES = st.integers(1, 150)


def pattern(width: int, height: int, channels: int) -> NDArray[np.uint8]:
    y, x, c = np.mgrid[:height, :width, :channels]
    return ((x * x * 3 + y * y * 5 + x * y * 7 + c * 61) % 256).astype(np.uint8)


def picture(width: int, height: int, mode: str) -> Image.Image:
    levels = pattern(width, height, len(mode))
    image = Image.fromarray(levels if len(mode) > 1 else levels[:, :, 0])
    assert image.mode == mode
    return image


def jpeg(width: int, height: int) -> BytesIO:
    file = BytesIO()
    picture(width, height, "RGB").save(file, "JPEG", quality=90)
    return file


def digest(array: NDArray[np.uint8]) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()[:16]


# Made with Pillow 6.2.2: thumbnail((32, 32), LANCZOS), paste on the white RGBA canvas, drop alpha.
@pytest.mark.parametrize(
    ("mode", "width", "height", "expected"),
    [
        ("RGB", 100, 75, "2ae1f35c77212a99"),
        ("RGB", 75, 100, "5aa4ad678b66fb43"),
        ("RGB", 40, 200, "30632d689a2f6f84"),
        ("RGB", 200, 40, "49214537a58db448"),
        ("RGB", 33, 31, "f8bc144061853288"),
        ("RGBA", 90, 61, "83746bc63126317a"),
        ("RGBA", 50, 170, "bba8039e08b18b7d"),
        ("LA", 60, 150, "ecd412d75932f416"),
        ("L", 37, 120, "f17dd2431e824956"),
        ("RGB", 20, 30, "2d55db7328d56e33"),
        ("RGB", 1, 500, "e39e54f9f3f7791d"),
    ],
)
def test_same_bytes_as_pillow_6(mode: str, width: int, height: int, expected: str) -> None:
    assert digest(image_to_cifar_array(picture(width, height, mode))) == expected


def sheet(
    mode: str, width: int, height: int, box: tuple[int, int, int, int], ink: int
) -> Image.Image:
    """Uneven light paper with a dark rectangle."""
    levels = pattern(width, height, len(mode)) // 16 + 200
    left, top, right, bottom = box
    levels[top:bottom, left:right] = ink + levels[top:bottom, left:right] // 20
    return Image.fromarray(levels if len(mode) > 1 else levels[:, :, 0])


# Made with Pillow 6.2.2 and the steps of section 4, as `digit_array` tells them.
@pytest.mark.parametrize(
    ("mode", "width", "height", "box", "ink", "expected"),
    [
        ("L", 64, 48, (20, 10, 30, 40), 30, "95680059f47580ee"),
        ("RGB", 120, 90, (5, 60, 100, 80), 0, "060e0fac46c3b9c6"),
        ("RGB", 50, 50, (10, 10, 40, 40), 60, "3aab5662a134cd4a"),
        ("RGBA", 28, 40, (0, 0, 9, 40), 90, "684b57022ed6466c"),
    ],
)
def test_same_digits_as_pillow_6(
    mode: str, width: int, height: int, box: tuple[int, int, int, int], ink: int, expected: str
) -> None:
    assert digest(digit_array(sheet(mode, width, height, box, ink))) == expected


@given(SIDES, SIDES, st.tuples(st.integers(1, 40), st.integers(1, 40)))
def test_thumbnail_truncates_and_never_enlarges(
    width: int, height: int, size: tuple[int, int]
) -> None:
    image = Image.new("RGB", (width, height))
    if width > size[0]:
        width, height = size[0], max(height * size[0] // width, 1)
    if height > size[1]:
        width, height = max(width * size[1] // height, 1), size[1]
    thumbnail_pillow6(image, size)
    assert image.size == (width, height)
    assert np.asarray(image).shape == (height, width, 3)


@given(SIDES, SIDES, st.tuples(st.integers(1, 40), st.integers(1, 40)))
def test_canvas_is_centred(width: int, height: int, shape: tuple[int, int]) -> None:
    image = Image.new("RGBA", (width, height), (10, 20, 30, 255))
    array = on_canvas(image, shape, background=(1, 2, 3))
    top, left = (shape[0] - image.height) // 2, (shape[1] - image.width) // 2
    expected = np.full((*shape, 3), (1, 2, 3), np.uint8)
    expected[top : top + image.height, left : left + image.width] = (10, 20, 30)
    np.testing.assert_array_equal(array, expected)


@given(st.sampled_from(["L", "LA", "RGB", "RGBA"]), st.integers(1, 32), st.integers(1, 32))
def test_small_pictures_show_their_stored_colours(mode: str, width: int, height: int) -> None:
    image = picture(width, height, mode)
    colours = np.asarray(image).reshape(height, width, -1)
    colours = colours[:, :, :3] if colours.shape[2] > 2 else colours[:, :, [0, 0, 0]]
    array = image_to_cifar_array(image)
    top, left = (32 - height) // 2, (32 - width) // 2
    np.testing.assert_array_equal(array[top : top + height, left : left + width], colours)


@pytest.mark.parametrize("mode", ["1", "P", "CMYK", "YCbCr", "I", "F"])
def test_other_modes(mode: str) -> None:
    image = picture(80, 50, "RGB").convert(mode)
    assert image_to_cifar_array(image.copy()).shape == (32, 32, 3)
    assert digit_array(image).shape == (28, 28)
    assert stretched(image, (5, 7), "L").shape == (5, 7)


def test_undecoded_jpeg_is_drafted() -> None:
    lazy, decoded = Image.open(jpeg(256, 200)), Image.open(jpeg(256, 200))
    decoded.load()
    # At 1/8 scale libjpeg gives the size wanted, so that nothing is left to resize.
    reference = Image.open(jpeg(256, 200))
    assert reference.draft("RGB", (32, 25)) is not None
    array = image_to_cifar_array(lazy)
    np.testing.assert_array_equal(array[3:28], np.asarray(reference))
    full = Image.fromarray(np.asarray(decoded))
    assert (array != image_to_cifar_array(decoded)).any()
    np.testing.assert_array_equal(np.asarray(decoded), image_to_cifar_array(full)[3:28])


def test_draft_then_resize() -> None:
    lazy, drafted = Image.open(jpeg(500, 300)), Image.open(jpeg(500, 300))
    drafted.draft("RGB", (64, 38))
    drafted.load()
    assert drafted.size == (125, 75)  # 500 // 64 = 7: no eighth, a quarter
    thumbnail_pillow6(lazy, (64, 64))
    thumbnail_pillow6(drafted, (64, 38))
    assert lazy.size == (64, 38)
    np.testing.assert_array_equal(np.asarray(lazy), np.asarray(drafted))


def test_twin_keeps_a_jpeg_undecoded() -> None:
    image = Image.open(jpeg(256, 200))
    expected = image_to_cifar_array(Image.open(jpeg(256, 200)))
    np.testing.assert_array_equal(image_to_cifar_array(twin(image)), expected)
    np.testing.assert_array_equal(image_to_cifar_array(twin(image)), expected)
    assert image.size == (256, 200)
    image.load()
    assert (image_to_cifar_array(twin(image)) != expected).any()


def test_deer(data_dir: Path) -> None:
    stored = cifar.read_records(data_dir / "images" / "deer.bin")[0][0]
    with open_picture(data_dir / "images" / "deer.jpg") as deer:
        deer.load()  # deer.bin was made from a decoded picture, on a black canvas
        array = image_to_cifar_array(deer)
        assert deer.size == (28, 32)
    np.testing.assert_array_equal(array[:, 2:30], stored[:, 2:30])
    assert (array[:, [0, 1, 30, 31]] == 255).all()


def test_digit_of_its_size_is_taken_as_is() -> None:
    image = picture(28, 28, "L")
    np.testing.assert_array_equal(digit_array(image), np.asarray(image))


@pytest.mark.parametrize("shape", [(28, 28), (20, 30)])
def test_digit_fills_the_height(shape: tuple[int, int]) -> None:
    image = Image.new("L", (100, 300), 250)
    image.paste(5, (40, 100, 50, 140))
    array = digit_array(image, shape)
    width = shape[0] // 4  # 10 x 40 pixels of ink
    left = (shape[1] - width) // 2
    expected = np.ones(shape, np.uint8)
    expected[:, left : left + width] = 255
    np.testing.assert_array_equal(array, expected)


def test_digit_cut() -> None:
    image = Image.new("L", (60, 60), 255)
    image.paste(100, (20, 20, 40, 40))
    plain = digit_array(image, contrast=1, brightness=1)
    assert (plain == 1).all()  # grey is not black enough
    assert (digit_array(image, contrast=1, brightness=1, cut=100) == 255).all()
    assert (digit_array(image, contrast=1, brightness=1, cut=99) == 1).all()


def test_empty_sheet() -> None:
    assert (digit_array(Image.new("RGB", (70, 50), "white")) == 1).all()


def test_stretched() -> None:
    image = picture(9, 5, "RGB")
    np.testing.assert_array_equal(stretched(image, (5, 9), "RGB"), np.asarray(image))
    np.testing.assert_array_equal(stretched(image, (5, 9), "L"), np.asarray(image.convert("L")))
    assert (stretched(Image.new("RGB", (9, 5), (7, 8, 9)), (4, 20), "RGB") == (7, 8, 9)).all()


NO_PICTURES = {
    "empty": b"",
    "text": b"this is a text file, whatever its name says\n" * 10,
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n",
    "half a header": b"\x89PNG\r\n\x1a\n",
    "cifar": bytes(3073),
}


@pytest.mark.parametrize("kind", sorted(NO_PICTURES))
def test_no_pictures(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "thing.jpg"
    path.write_bytes(NO_PICTURES[kind])
    with pytest.raises(DataError) as caught:
        open_picture(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("path", "reason"),
    [("no/such.png", "cannot be read: No such file"), (".", "is a directory, not a file")],
)
def test_missing_pictures(path: str, reason: str) -> None:
    with pytest.raises(DataError, match=f"^{path}: {reason}"):
        open_picture(path)


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "PPM"])
def test_truncated_pictures(tmp_path: Path, format_: str) -> None:
    if format_ == "PPM" and release() < PORTABLE_MAPS:
        pytest.skip("this Pillow's portable maps are refused whole")
    path = tmp_path / "cut"
    picture(90, 60, "RGB").save(path, format_)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    for convert in (image_to_cifar_array, digit_array, lambda i: stretched(i, (3, 3), "L")):
        with open_picture(path) as image, pytest.raises(DataError) as caught:
            convert(image)
        assert str(caught.value).startswith(f"{path}: cannot be read as a picture: ")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("format_", ["PNG", "JPEG"])
@pytest.mark.parametrize("limit", [100, 70])  # Pillow warns above it, and refuses above twice it
def test_pictures_of_too_many_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, format_: str
) -> None:
    path = tmp_path / "huge"
    picture(15, 10, "L").save(path, format_)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    monkeypatch.setattr("bnn.data.pictures.rules.MAX_PIXELS", 149)
    monkeypatch.setattr("bnn.data.pictures.rules.MAX_JPEG_PIXELS", 149)
    with pytest.raises(DataError, match=r"huge: has .* pixels; at most .* save it smaller"):
        open_picture(path)
    monkeypatch.setattr("bnn.data.pictures.rules.MAX_JPEG_PIXELS", 150)
    if format_ == "JPEG":
        with open_picture(path) as image:
            assert np.asarray(image).shape == (10, 15)


@pytest.mark.parametrize("model", ["lfc-w1a1", "cnv-w1a1"])
@pytest.mark.parametrize("format_", ["png", "jpg"])
def test_memory_of_a_large_picture(tmp_path: Path, model: str, format_: str) -> None:
    script = Path(__file__).parent / "picture_memory.py"
    command = [sys.executable, str(script), model, "12", format_, str(tmp_path)]
    subprocess.run(command, check=True)
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert int(printed.split()[1]) < 400  # MiB; docs/reliability.md has the figures


PICTURES = {
    format_: (lambda f: (picture(40, 50, "RGB").save(f, format_), f.getvalue())[1])(BytesIO())
    for format_ in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "PPM")
}


@given(
    format_=st.sampled_from(sorted(PICTURES)),
    flips=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_damaged_pictures_never_crash(
    tmp_path_factory: pytest.TempPathFactory, format_: str, flips: list[tuple[float, int]]
) -> None:
    file = bytearray(PICTURES[format_])
    for where, value in flips:
        file[int(where * min(len(file), 300))] = value
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(file)
    try:
        with open_picture(path) as image:
            shape = image_to_cifar_array(image).shape
    except DataError:
        return
    assert shape == (32, 32, 3)

# SPDX-License-Identifier: BSD-3-Clause
"""Handwriting in any light: the same stroke is found as in black ink on white, or none."""

from __future__ import annotations

import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw

import bnn
from bnn.data.pictures import parts, strokes
from bnn.data.pictures.pillow import Resampling
from bnn.data.pictures.preprocess import Digit
from bnn.data.pictures.rules import digit_array
from bnn.data.pictures.strokes import find_stroke, is_solid
from bnn.errors import BnnWarning, DataError

#: Strokes fill the input, as in the original's rule, so that results can be compared with it.
FILLED = Digit(like_mnist=False)
HEIGHT, WIDTH = 300, 400
ROWS, COLUMNS = np.mgrid[:HEIGHT, :WIDTH].astype(np.float64)
#: Light on the sheet, 0 to 1 and (height, width).
LIGHT: dict[str, Any] = {
    "even": np.ones((HEIGHT, WIDTH)),
    "dim": np.full((HEIGHT, WIDTH), 0.4),
    "from one side": 0.35 + 0.65 * COLUMNS / WIDTH,
    "vignette": 1 - 0.3 * ((COLUMNS / 200 - 1) ** 2 + (ROWS / 150 - 1) ** 2),
    "shadow of a phone": np.where(COLUMNS + 0.5 * ROWS > 360, 0.5, 1.0),
}


def ink() -> NDArray[np.float64]:
    """A 5 or so: 1 where there is ink."""
    image = Image.new("L", (WIDTH, HEIGHT))
    draw = ImageDraw.Draw(image)
    draw.line([(210, 90), (140, 90), (135, 145), (190, 150), (205, 180)], fill=255, width=14)
    draw.line([(205, 180), (190, 215), (140, 215)], fill=255, width=14)
    return np.asarray(image) / 255.0


def sheet(paper: float, stroke: float, light: str = "even", noise: float = 0) -> Image.Image:
    levels = (paper + (stroke - paper) * ink()) * LIGHT[light]
    levels += np.random.default_rng(3).normal(0, 1, levels.shape) * noise
    return Image.fromarray(levels.clip(0, 255).astype(np.uint8))


def found(image: Image.Image) -> NDArray[np.bool_]:
    array: NDArray[np.bool_] = FILLED.to_array(image, (28, 28, 1))[..., 0] == 255
    return array


BLACK = digit_array(sheet(255, 0)) == 255


def test_black_ink_keeps_its_bytes() -> None:
    assert 100 < BLACK.sum() < 400
    for paper, stroke in ((255, 0), (230, 20), (255, 90), (200, 40)):
        image = sheet(paper, stroke)
        assert (FILLED.to_array(image, (28, 28, 1))[..., 0] == digit_array(image)).all()
        assert (found(image) == BLACK).all()


@pytest.mark.parametrize(("paper", "stroke"), [(220, 150), (225, 190), (120, 95), (45, 220)])
def test_pencil_and_chalk_are_found_exactly(paper: int, stroke: int) -> None:
    assert (digit_array(sheet(paper, stroke)) == 255).sum() in (0, 784)
    assert (found(sheet(paper, stroke)) == BLACK).all()


@pytest.mark.parametrize("light", LIGHT)
@pytest.mark.parametrize(("paper", "stroke"), [(235, 30), (225, 150), (60, 230)])
@pytest.mark.parametrize("noise", [0, 4])
def test_uneven_light(light: str, paper: int, stroke: int, noise: float) -> None:
    if (light, paper) == ("dim", 60) and noise:
        noise = 2
    # A pixel more or less at the edges of the stroke, where there is noise.
    assert (found(sheet(paper, stroke, light, noise)) != BLACK).mean() < 0.06


@pytest.mark.parametrize("light", LIGHT)
@pytest.mark.parametrize("paper", [250, 220, 50, 0, 255])
@pytest.mark.parametrize("noise", [0, 5])
def test_empty_sheets(light: str, paper: int, noise: float) -> None:
    image = sheet(paper, paper, light, noise)
    image.filename = "sheet.png"  # type: ignore[attr-defined]
    with pytest.raises(DataError, match=r"^sheet\.png: no stroke found"):
        found(image)
    assert Digit(adaptive=False, like_mnist=False).to_array(image, (28, 28, 1)).shape == (28, 28, 1)


def test_dust_is_no_ink() -> None:
    image = sheet(240, 30)
    for x, y in ((20, 30), (350, 250), (300, 20), (60, 280)):
        image.paste(0, (x, y, x + 3, y + 3))
    assert (found(image) == BLACK).all()
    empty = Image.new("L", (WIDTH, HEIGHT), 240)
    empty.paste(0, (30, 30, 33, 33))
    with pytest.raises(DataError, match="no stroke found"):
        found(empty)


def test_a_sheet_on_a_dark_table() -> None:
    levels = np.asarray(sheet(235, 20)).copy()
    levels[:25], levels[-20:], levels[:, :30] = 80, 75, 85
    assert (found(Image.fromarray(levels)) == BLACK).all()
    levels[25:-20, 30:] = 235
    with pytest.raises(DataError, match="no stroke found"):
        found(Image.fromarray(levels))


def test_lined_paper() -> None:
    levels = np.asarray(sheet(235, 20)).copy()
    for row in range(10, HEIGHT, 24):
        levels[row : row + 2][levels[row : row + 2] > 200] = 170
    assert (found(Image.fromarray(levels)) != BLACK).mean() < 0.06


def test_large_photos() -> None:
    large = sheet(225, 150, "from one side").resize((2400, 1800), Resampling.BICUBIC)
    assert (found(large) != BLACK).mean() < 0.06


def test_ink_that_is_cut_out_keeps_its_bytes() -> None:
    rows, columns = np.nonzero(ink())
    box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    for paper, stroke in ((255, 0), (220, 40)):
        image = sheet(paper, stroke).crop(tuple(map(int, box)))
        assert (FILLED.to_array(image, (28, 28, 1))[..., 0] == digit_array(image)).all()


def test_a_transparent_canvas_of_the_models_size_is_a_sheet() -> None:
    canvas = Image.new("RGBA", (28, 28), (0, 0, 0, 0))
    canvas.paste((0, 0, 0, 255), (12, 4, 15, 24))
    array = FILLED.to_array(canvas, (28, 28, 1))[..., 0]
    assert (array == 255).any(axis=1).all()  # it fills the height
    assert 0 < (array == 255).sum() < 200
    white = Image.new("RGBA", (28, 28), (255, 255, 255, 0))
    white.paste((255, 255, 255, 255), (12, 4, 15, 24))  # not to be seen on paper
    with pytest.raises(DataError, match="no stroke found"):
        FILLED.to_array(white, (28, 28, 1))


@given(
    st.integers(1, 60), st.integers(1, 60), st.integers(0, 2**32 - 1), st.sampled_from([2, 20, 256])
)
def test_anything_is_a_stroke_or_an_error(width: int, height: int, seed: int, levels: int) -> None:
    values = np.random.default_rng(seed).integers(0, levels, (height, width), np.uint8)
    array = np.ones((28, 28, 1), np.uint8)
    with suppress(DataError):
        array = FILLED.to_array(Image.fromarray(values), (28, 28, 1))
    assert set(np.unique(array)) <= ({1, 255} if (width, height) != (28, 28) else set(range(256)))


def test_pale_digits_get_the_class_of_black_ones() -> None:
    samples = sorted((Path(bnn.__file__).parent / "samples" / "mnist").glob("*.png"))
    assert len(samples) == 10
    classifier = bnn.Classifier("lfc-w1a1")
    for sample in samples:
        with Image.open(sample) as image:
            stroke = np.asarray(image.convert("L").resize((280, 280), Resampling.BICUBIC))
        drawn = np.pad(stroke, 60) > 127
        black, pale, chalk = (
            np.where(drawn, ink, paper).astype(np.uint8)
            for ink, paper in ((0, 255), (150, 220), (210, 50))
        )
        expected = classifier.scores(Image.fromarray(black)).tolist()
        for other in (pale, chalk):
            assert classifier.scores(Image.fromarray(other)).tolist() == expected


@pytest.mark.parametrize("light", LIGHT)
def test_rows_and_columns_are_alike(light: str) -> None:
    """A sheet with rows and columns exchanged has the same stroke, exchanged as well."""
    for image in (sheet(230, 30, light, 2), sheet(60, 200, light, 2)):
        stroke, other = find_stroke(np.asarray(image)), find_stroke(np.asarray(image).T)
        assert stroke is not None
        assert other is not None
        np.testing.assert_array_equal(other, stroke.T)


@pytest.mark.parametrize("size", [(200, 14), (14, 200)])
def test_a_straight_stroke_is_no_blot(size: tuple[int, int]) -> None:
    ink = np.zeros((HEIGHT, WIDTH), np.bool_)
    ink[50 : 50 + size[0], 90 : 90 + size[1]] = True
    assert not is_solid(ink)
    assert is_solid(np.pad(np.ones((60, 80), np.bool_), (20, 90)))


@pytest.mark.parametrize(
    ("height", "width", "gaps", "solid"),
    [
        (40, 79, 0, True),
        (79, 40, 0, True),
        (40, 80, 0, False),  # twice as long as wide: a stroke
        (80, 40, 0, False),
        (40, 60, 479, True),
        (40, 60, 480, False),  # a fifth of it is paper
    ],
)
def test_from_where_on_ink_is_a_blot(height: int, width: int, gaps: int, solid: bool) -> None:
    ink = np.ones((height, width), np.bool_)
    inner = ink[1:-1, 1:-1].copy()
    inner.ravel()[:gaps] = False
    ink[1:-1, 1:-1] = inner
    assert is_solid(np.pad(ink, 30)) == solid


# What else is in the picture than one digit.


def surrounded(image: Image.Image, sides: tuple[int, int, int, int], level: int) -> Image.Image:
    """More of one level above, below, left and right."""
    pads = (sides[:2], sides[2:])
    return Image.fromarray(np.pad(np.asarray(image), pads, constant_values=level))


@pytest.mark.parametrize("level", [10, 80, 120])
@pytest.mark.parametrize(
    "sides",
    [
        (40, 40, 40, 40),
        (3, 90, 60, 8),
        (50, 0, 0, 0),
        (0, 0, 0, 30),
        (60, 0, 25, 0),
        (0, 9, 70, 80),
    ],
)
@pytest.mark.parametrize("noise", [0, 3])
def test_a_table_is_no_ink(sides: tuple[int, int, int, int], level: int, noise: float) -> None:
    image = surrounded(sheet(235, 25), sides, level)
    levels = np.asarray(image) + np.random.default_rng(3).normal(0, 1, image.size[::-1]) * noise
    image = Image.fromarray(levels.clip(0, 255).astype(np.uint8))
    assert (found(image) != BLACK).mean() < 0.06


@pytest.mark.parametrize("angle", [-12, -4, 3, 9])
def test_a_sheet_that_lies_askew(angle: float) -> None:
    straight = surrounded(sheet(235, 25).rotate(-angle, fillcolor=235), (90, 90, 90, 90), 60)
    askew = straight.rotate(angle, Resampling.BICUBIC, fillcolor=60)
    assert (found(askew) != BLACK).mean() < 0.08


@pytest.mark.parametrize("wide", [1, 3, 6])
@pytest.mark.parametrize("outside", [0, 4, 40])
@pytest.mark.parametrize("level", [20, 120])
def test_a_frame_is_no_ink(wide: int, outside: int, level: int) -> None:
    framed = surrounded(sheet(235, 25), (wide,) * 4, level)
    assert (found(surrounded(framed, (outside,) * 4, 235)) != BLACK).mean() < 0.06


def test_ruled_lines_are_no_ink() -> None:
    for above, below in ((5, 0), (0, 5), (4, 4)):
        ruled = surrounded(sheet(235, 25), (above, below, 0, 0), 25)
        assert (found(surrounded(ruled, (30, 30, 30, 30), 235)) == BLACK).all()


@pytest.mark.parametrize("gap", [14, 20, 40])
def test_a_frame_near_the_digit_is_no_ink(gap: int) -> None:
    """All bundled digits, in a frame that is not far from them."""
    classifier = bnn.Classifier("lfc-w1a1", "reference")
    for number, path in enumerate(sorted((Path(bnn.__file__).parent / "samples/mnist").glob("*"))):
        with Image.open(path) as image:
            large = image.convert("L").resize((224, 224), Resampling.BICUBIC)
        levels = np.pad(255 - np.asarray(large), gap + 30, constant_values=255)
        framed = Image.fromarray(levels)
        ImageDraw.Draw(framed).rectangle(
            (30, 30, framed.width - 30, framed.height - 30), outline=0, width=4
        )
        assert classifier.classify(framed).tolist() == [number]


@pytest.mark.parametrize("kind", ["base line", "through it", "lines", "grid"])
def test_lines_through_a_digit_are_refused(kind: str) -> None:
    levels = np.asarray(sheet(235, 20)).copy()
    rows = {"base line": [218], "through it": [150]}.get(kind, range(10, HEIGHT, 40))
    for row in rows:
        levels[row : row + 3, 20:-20] = 20
    for column in range(25, WIDTH - 20, 40) if kind == "grid" else ():
        levels[10:-10, column : column + 3] = 20
    with pytest.raises(DataError, match=r"a line runs through the digit|no stroke|more than one"):
        found(Image.fromarray(levels))


def test_bars_of_letters_are_not_lines_of_the_paper() -> None:
    for name, lines in {
        "T": [[(90, 60), (210, 60)], [(150, 60), (150, 240)]],
        "E": [[(100, 60), (200, 60)], [(100, 60), (100, 240)], [(100, 240), (200, 240)],
              [(100, 150), (190, 150)]],
        "1": [[(150, 60), (150, 240)], [(100, 240), (200, 240)]],
        "2": [[(100, 90), (150, 60), (200, 100), (100, 240), (210, 240)]],
    }.items():  # fmt: skip
        assert found(drawn(*lines)).any(), name


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize(("paper", "stroke"), [(255, 0), (225, 150), (45, 220)])
def test_two_digits_are_refused(axis: int, paper: int, stroke: int) -> None:
    one = np.asarray(sheet(paper, stroke))
    with pytest.raises(DataError, match="more than one digit: crop the picture to one"):
        found(Image.fromarray(np.concatenate([one, one], axis)))


def drawn(*lines: list[tuple[int, int]], width: int = 14, size: int = 300) -> Image.Image:
    image = Image.new("L", (size, size), 240)
    for line in lines:
        ImageDraw.Draw(image).line(line, fill=20, width=width)
    return image


@pytest.mark.parametrize(
    "lines",
    [
        ([(130, 70), (200, 70)], [(120, 90), (120, 150), (190, 170), (180, 230), (110, 235)]),  # 5
        ([(110, 70), (90, 170), (190, 170)], [(170, 120), (165, 240)]),  # 4
        ([(110, 70), (90, 170), (150, 170)], [(170, 90), (170, 240)]),  # 4, apart
        ([(150, 60), (150, 75)], [(150, 110), (150, 240)]),  # i
        ([(120, 60), (120, 240)], [(190, 60), (132, 150), (190, 240)]),  # K
    ],
)
def test_strokes_of_one_digit_stay_together(lines: Any) -> None:
    image = drawn(*lines)
    assert (FILLED.to_array(image, (28, 28, 1))[..., 0] == digit_array(image)).all()


@pytest.mark.parametrize("width", [1, 2, 4, 9])
@pytest.mark.parametrize("size", [1200, 3000])
@pytest.mark.parametrize("pale", [False, True])
def test_thin_strokes_stay_whole(width: int, size: int, pale: bool) -> None:
    points = [(0.3, 0.2), (0.7, 0.2), (0.5, 0.5), (0.6, 0.8)]
    line = [(round(x * size), round(y * size)) for x, y in points]
    image = drawn(line, width=width, size=size)
    if pale:
        image = image.point([150 + level // 3 for level in range(256)])
    array = found(image)
    assert array.any(axis=1).all()  # no gap from top to bottom
    assert 80 < array.sum() < 330


def test_ink_at_the_border_is_said() -> None:
    image = sheet(235, 25).crop((0, 150, WIDTH, HEIGHT))
    with pytest.warns(BnnWarning, match="the ink touches the border of the picture"):
        found(image)


@given(
    sides=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    margin=st.integers(0, 30),
    factor=st.integers(1, 9),
    seed=st.integers(0, 2**32 - 1),
)
def test_what_saves_memory_gives_the_same(
    sides: tuple[int, int], margin: int, factor: int, seed: int
) -> None:
    levels = np.random.default_rng(seed).integers(0, 256, sides, np.uint8)
    wanted = np.pad(levels, margin, constant_values=7)[::factor, ::factor]
    np.testing.assert_array_equal(strokes._widened(levels, margin, factor, 7), wanted)
    flat = levels.ravel()
    assert strokes._median(flat) == int(np.median(flat))
    assert strokes._deviation(flat) == pytest.approx(float(flat.std()), abs=1e-9)


@pytest.mark.parametrize("width", [2, 5, 9])
@pytest.mark.parametrize("shape", ["circle", "diamond"])
def test_a_line_around_a_digit_is_refused(shape: str, width: int) -> None:
    image = sheet(255, 0)
    draw = ImageDraw.Draw(image)
    if shape == "circle":
        draw.ellipse((65, 40, 285, 260), outline=0, width=width)
    else:
        corners = [(172, 5), (345, 150), (172, 295), (5, 150), (172, 5)]
        draw.line(corners, fill=0, width=width)
    with pytest.raises(DataError, match=r"a line is drawn around the digit: crop|more than one"):
        found(image)


def test_a_zero_with_a_dot_and_an_open_line_are_digits() -> None:
    zero = Image.new("L", (WIDTH, HEIGHT), 255)
    draw = ImageDraw.Draw(zero)
    draw.ellipse((120, 40, 260, 260), outline=0, width=14)
    assert not parts.is_ringed(parts.pieces(np.asarray(zero) < 128))
    draw.ellipse((182, 142, 198, 158), fill=0)
    assert found(zero).any()
    opened = sheet(255, 0)
    ImageDraw.Draw(opened).arc((65, 40, 285, 260), 20, 340, fill=0, width=5)
    assert not parts.is_ringed(parts.pieces(np.asarray(opened) < 128))


@pytest.mark.parametrize(("place", "told"), [((300, 190), True), ((222, 190), False)])
def test_a_mark_beside_the_digit_is_told(place: tuple[int, int], told: bool) -> None:
    """A decimal point; a mark that is close may be of the digit."""
    image = sheet(255, 0)
    x, y = place
    ImageDraw.Draw(image).ellipse((x, y, x + 18, y + 18), fill=0)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert found(image).any()
    assert any("there is ink beside the digit" in str(one.message) for one in said) == told

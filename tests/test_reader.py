# SPDX-License-Identifier: BSD-3-Clause
"""Lines of text: pictures to columns, class sums to characters, and what is refused."""

from __future__ import annotations

import copy
import io
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

import bnn
from bnn.data.pictures.line_checks import fitted
from bnn.data.pictures.lines import fraktur_columns, plain_codes, plain_columns
from bnn.data.pictures.pillow import Transpose
from bnn.errors import (
    BnnError,
    BnnWarning,
    DataError,
    InputError,
    ModelFileError,
    ProgramError,
    RuntimeUnavailableError,
)
from bnn.formats import lstm_pynq
from bnn.model.lines import FrakturLines, PlainLines, lines_from_json
from bnn.model.model import Model
from support.lstm_pynq import class_sums, small, text_of, write

FRAKTUR = FrakturLines(
    (0.0,) * 25, (1.0,) * 25, tuple(int(256 * 2.718 ** (-6 + k / 15)) for k in range(256))
)


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return lstm_pynq.load(write(small(3, 4, 4), tmp_path))


# --- pictures -----------------------------------------------------------------------------------


def test_a_line_is_scaled_inverted_and_read_column_by_column() -> None:
    """Three black rows at the top, white below, as the original reads them."""
    grey = np.full((6, 8), 255, np.uint8)
    grey[:3] = 0
    columns = plain_columns(grey, 6, 4, 1000, original=True)
    assert columns.shape == (8, 6)  # 8 * 6.1 / 6 is more than 8, and then the width is made even
    assert columns[3].tolist() == [7, 7, 7, -8, -8, -8]
    assert (columns == columns[0]).all()


@given(st.integers(1, 60), st.integers(1, 60))
def test_the_width_is_that_of_the_rule(width: int, height: int) -> None:
    line, wanted = (
        np.zeros((height, width), np.uint8),
        2 * int(math.ceil(width * 32.1 / height) / 2),
    )
    if wanted:
        assert plain_columns(line, 32, 2, 1 << 17, original=True).shape == (wanted, 32)
        return
    with pytest.raises(DataError, match="too narrow"):
        plain_columns(line, 32, 2, 1 << 17, original=True)


def test_halves_become_even_codes_and_ends_saturate() -> None:
    values = np.float32([-2, -1, -0.75, -0.25, 0.25, 0.74, 0.75, 1, 9])
    assert plain_codes(values, 2).tolist() == [-2, -2, -2, 0, 0, 1, 1, 1, 1]
    assert plain_codes(values, 4).tolist() == [-8, -8, -6, -2, 2, 6, 6, 7, 7]


def _ends(height: int) -> NDArray[np.uint8]:
    """One column, dark at its ends."""
    line = np.full((height, 1), 255, np.uint8)
    line[[0, -1]] = 0
    return line


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (np.zeros((0, 5), np.uint8), r"grey levels uint8 \(height, width\)"),
        (np.zeros((5, 5, 3), np.uint8), r"grey levels uint8 \(height, width\)"),
        (np.zeros((5, 5)), r"grey levels uint8 \(height, width\)"),
        (200 - 99 * np.eye(6, 200_000, dtype=np.uint8), "lines of at most 131072 are read"),
        (200 - 99 * np.eye(2, 60_000, dtype=np.uint8), "has 183000 columns"),
        (_ends(500), "1 x 500 pixels are too narrow"),
        (np.full((9, 30), 99, np.uint8), r"line: is blank \(grey levels 99 to 99\)"),
        (np.eye(9, 30, dtype=np.uint8) * 15, r"is blank \(grey levels 0 to 15\)"),
        (Image.new("RGBA", (30, 9)), "is completely transparent"),
        (5, "is a picture, its path or an array, not int"),
        ("no-such.png", "no-such.png"),
    ],
)
def test_lines_that_cannot_be_read(model: Model, line: Any, reason: str) -> None:
    with pytest.raises((InputError, DataError), match=reason):
        bnn.LineReader(model).read(line)


@pytest.mark.parametrize(("light", "told"), [(1.0, False), (0.85, False), (0.7, True), (0.4, True)])
def test_uneven_light_is_told(model: Model, light: float, told: bool) -> None:
    line = np.full((9, 80), 255.0)
    line[2:7, 5:75:7] = 0
    falling = (line * np.linspace(light, 1, 80)).astype(np.uint8)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        bnn.LineReader(model).read(falling)
    assert any("the light on the paper is uneven" in str(one.message) for one in said) == told


def test_the_originals_way_of_reading_a_picture(model: Model) -> None:
    """Alpha is not used, nothing is turned, inverted or refused, not even a blank picture."""
    grey = np.random.default_rng(1).integers(0, 99, (9, 30)).astype(np.uint8)
    clear = Image.fromarray(np.dstack([grey, grey, grey, 0 * grey]))
    turned = Image.fromarray(grey)
    turned.getexif()[274] = 6
    reader = bnn.LineReader(model)
    wanted = reader.scores_of(PlainLines(4).columns(grey, 6, original=True))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for line in (grey, clear, turned):
            np.testing.assert_array_equal(reader.scores(line, original=True), wanted)
        assert reader.read(clear, original=True) == reader.text(wanted)
        reader.scores(np.zeros((9, 30), np.uint8), original=True)
    with pytest.raises(DataError, match="more than 8 bits"):
        reader.read(Image.new("I;16", (5, 5)), original=True)


def _text() -> NDArray[np.uint8]:
    """Dark strokes on light paper, 90 x 12, from its first row to its last one."""
    line = np.full((12, 90), 240, np.uint8)
    line[:, 5::9] = 20
    return line


def _picture(kind: str) -> Image.Image:
    line = Image.fromarray(_text())
    match kind:
        case "turned":
            line = line.transpose(Transpose.ROTATE_90)
            line.getexif()[274] = 6
        case "deep":
            file = io.BytesIO()
            Image.fromarray(_text().astype(np.uint16) * 257).save(file, "PNG")
            line = Image.open(file)
        case "palette":
            line = line.convert("P")
        case "on paper":
            ink = np.where(_text() < 99, 255, 0).astype(np.uint8)
            line = Image.fromarray(np.dstack([0 * ink + 20] * 3 + [ink]))
    return line


@pytest.mark.parametrize("kind", ["plain", "turned", "deep", "palette"])
def test_a_line_is_read_as_a_person_sees_it(model: Model, kind: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = bnn.LineReader(model).columns(_picture(kind))
    np.testing.assert_array_equal(found, plain_columns(_text(), 6, 4, 1000))


def test_transparent_pixels_of_a_line_show_white_paper(model: Model) -> None:
    white = np.where(_text() < 99, _text(), 255).astype(np.uint8)
    found = bnn.LineReader(model).columns(_picture("on paper"))
    np.testing.assert_array_equal(found, plain_columns(white, 6, 4, 1000))


def _below(rows: int, times: int = 1) -> NDArray[np.uint8]:
    """The text ``times`` times, one below the other, with ``rows`` empty rows after each."""
    empty = np.full((rows, 90), 240, np.uint8)
    return np.concatenate([_text(), empty] * times)


def _framed() -> NDArray[np.uint8]:
    """The text within a black frame, such as a scanner's."""
    return np.pad(np.pad(_text(), 2, constant_values=240), 1, constant_values=0)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (255 - _text(), "is light text on dark; it is read inverted"),
        (_below(19), "the text takes 38 % of the height; cut the picture to the line"),
        (_below(2, 2), "seems to have several lines of text; give a picture of each line"),
        (_below(2, 3), "seems to have several lines of text; give a picture of each line"),
        (_below(2, 20), "seems to have several lines of text; give a picture of each line"),
        (_framed(), "has ink at an edge that is not of the line; cut the picture to the line"),
        (
            _below(3, 2)[:20],
            "has ink at an edge that is not of the line; cut the picture to the line",
        ),
    ],
)
def test_what_is_told_of_a_line(model: Model, line: NDArray[np.uint8], said: str) -> None:
    with pytest.warns(BnnWarning, match=f"^line: {said}$") as told:
        bnn.LineReader(model).scores(line)
    assert len(told) == 1


@pytest.mark.parametrize(
    "line",
    [_below(18), _below(0, 2), _text()[:, :20].repeat(2, axis=0), _below(3, 2)[:, 5:40]],
    ids=["40 % of the height", "without a gap", "narrow", "as : is"],
)
def test_of_what_nothing_is_told(model: Model, line: NDArray[np.uint8]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bnn.LineReader(model).scores(line)


LEVELS = [(0, 255), (0, 200), (40, 220), (120, 200), (100, 130)]


@pytest.mark.parametrize(("ink", "paper"), LEVELS)
def test_paper_becomes_white_and_ink_black(ink: int, paper: int) -> None:
    line = _text_line()
    grey = np.where(line == 0, ink, paper).astype(np.uint8)
    np.testing.assert_array_equal(fitted(grey), line)


@pytest.mark.parametrize("above", [0, 1, 5, 40])
@pytest.mark.parametrize("below", [0, 1, 5, 40])
def test_margins_are_cut_or_added(above: int, below: int) -> None:
    text = _text_line()[1:11]
    line = np.pad(text, ((above, below), (0, 0)), constant_values=255)
    wanted = (
        line if (above, below) == (1, 1) else np.pad(text, ((1, 1), (0, 0)), constant_values=255)
    )
    if above + below == 1:  # 10 of 11 rows: taken as it is
        wanted = line
    np.testing.assert_array_equal(fitted(line), wanted)


def test_lines_that_fill_their_height_are_not_cut() -> None:
    for rows, kept in ((82, False), (83, True), (91, True), (92, False)):
        line = np.full((100, 300), 255, np.uint8)
        line[:rows] = 0
        assert (len(fitted(line)) == 100) is kept


@pytest.mark.parametrize("height", [1, 9, 20, 300])
def test_the_margins_of_lstm_pynqs_lines_are_kept(height: int) -> None:
    line = np.full((height + 6, 700), 255, np.uint8)
    line[3:-3, ::5] = 0
    np.testing.assert_array_equal(fitted(line), line)


def test_an_inverted_line_is_read_as_the_line(model: Model) -> None:
    reader = bnn.LineReader(model)
    with pytest.warns(BnnWarning, match="inverted"):
        found = reader.columns(255 - _text())
    np.testing.assert_array_equal(found, reader.columns(_text()))


def test_the_first_frame_of_an_animation_is_told(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "line.gif"
    Image.fromarray(_text()).save(path, save_all=True, append_images=[Image.new("L", (90, 12))])
    with pytest.warns(BnnWarning, match="has 2 frames; the first one is used"):
        bnn.LineReader(model).read(path)


def test_fraktur_is_not_scaled() -> None:
    with pytest.raises(DataError, match="is 24 pixels high; this network takes 25"):
        FRAKTUR.columns(_text()[:1].repeat(24, axis=0), 25)
    with pytest.raises(DataError, match="black everywhere"):
        FRAKTUR.columns(np.zeros((25, 9), np.uint8), 25, original=True)
    with pytest.raises(DataError, match="is blank"):
        FRAKTUR.columns(np.zeros((25, 9), np.uint8), 25)
    with pytest.raises(DataError, match="columns; lines of at most 131072"):
        FRAKTUR.columns(200 - 99 * np.eye(25, 1 << 17, dtype=np.uint8), 25)


@pytest.mark.parametrize(("width", "count"), [(1, 34), (2, 34), (3, 36)])
def test_fraktur_has_a_border_and_an_even_number_of_pixels(width: int, count: int) -> None:
    line = np.full((25, width), 255, np.uint8)
    line[0, -1] = 0
    columns = fraktur_columns(line, (0.5,) * 25, (0.25,) * 25, 1000, original=True)
    assert columns.shape == (count, 25)
    assert columns[0].tolist() == [-7] * 25  # -2 is clipped to -1.75
    assert columns[15 + width].tolist() == [8] + [-7] * 24
    assert (columns[16 + width :] == -7).all()


# --- prepared pixels ----------------------------------------------------------------------------


def test_prepared_pixels(model: Model, tmp_path: Path) -> None:
    reader, path = bnn.LineReader(model), tmp_path / "pixels.txt"
    path.write_text("-1 1\n0.5\t-0.5 0 0.07\n" * 3)
    assert reader.columns_of_file(path).tolist() == [[-8, 7, 4, -4, 0, 1]] * 3
    for text, reason in (
        ("", "not a multiple of 6"),
        ("1 2 3 4 5", "has 5 pixels, not a multiple of 6"),
        ("1 2 3 x 5 6", "numbers only"),
        ("1 2 3 nan 5 6", "not finite"),
        ("1 2 3 é 5 6", "numbers only"),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=reason):
            reader.columns_of_file(path)
    path.write_text("0.25 " * 25)
    assert FRAKTUR.prepared(path, 25).tolist() == [[1] * 25] * 2  # the last column twice
    path.write_text("0.3 " * 25)
    with pytest.raises(DataError, match=r"steps of 0\.25"):
        FRAKTUR.prepared(path, 25)


# --- characters ---------------------------------------------------------------------------------

sums = st.integers(0, 12).flatmap(
    lambda half: st.lists(
        st.lists(st.integers(-3, 4), min_size=4, max_size=4), min_size=2 * half, max_size=2 * half
    )
)


@given(sums)
def test_the_label_maker_of_plain_lines(values: list[list[int]]) -> None:
    alphabet = ("", "a", "b", "c")
    text = PlainLines(4).text(np.array(values, np.int32).reshape(-1, 4), alphabet)
    assert text == "".join(alphabet[label] for label in text_of(values, keeps_blank=False))


@given(sums)
def test_the_label_maker_of_fraktur(values: list[list[int]]) -> None:
    """Of the values of the soft-max; small sums, so that many are equal."""
    alphabet = ("", "a", "b", "c")
    scores = 30 * np.array(values, np.int64).reshape(-1, 4)
    soft = [_soft_max(row) for row in scores.tolist()]
    wanted = "".join(alphabet[label] for label in text_of(soft, keeps_blank=True))
    assert FRAKTUR.text(scores, alphabet) == wanted


def _soft_max(row: list[int]) -> list[int]:
    raised = []
    for value in row:
        scaled = 32 * value
        if scaled <= -6437:
            place = 0
        elif scaled >= 11519:
            place = 255
        else:
            half = (scaled + 6437) // 2  # a half goes to zero, and this is positive
            place = (half * 116 + 2047) // 4096
        raised.append(FRAKTUR.exponentials[place])
    return [128 * each // sum(raised) for each in raised]


def test_one_character_per_run_and_none_for_the_last() -> None:
    """Two letters without a blank give the greater; one that the line's end cuts gives none."""

    def text(*columns: str) -> str:
        alphabet = ("", "a", "b")
        rows = [[9 * (c == "_"), {"a": 2, "A": 5}.get(c, 0), {"b": 3}.get(c, 0)] for c in columns]
        return PlainLines(2).text(np.array(rows, np.int32), alphabet)

    assert text(*"_ab_") == "b"
    assert text(*"_Ab_") == "a"
    assert text(*"_a_a__") == "aa"
    assert text(*"_a_b") == "a"
    assert text(*"____") == ""


def test_an_odd_line_is_read_backwards_as_in_the_original() -> None:
    alphabet = ("", "a", "b")
    rows = [[1, 0, 0], [0, 5, 0], [1, 0, 0], [0, 0, 5], [1, 0, 0]]
    assert PlainLines(2).text(np.array(rows, np.int32), alphabet) == "ba"
    assert PlainLines(2).text(np.array([*rows, [1, 0, 0]], np.int32), alphabet) == "ab"


def test_no_columns_and_one_column(model: Model) -> None:
    reader = bnn.LineReader(model)
    for count in (0, 1):
        scores = reader.scores_of(np.zeros((count, 6), np.int16))
        assert scores.shape == (count, 5)
        assert reader.text(scores) == ""
    with pytest.raises(InputError, match=r"scores are integers \(columns, 5\), not \(3, 4\)"):
        reader.text(np.zeros((3, 4), np.int32))
    for wrong, kind in (("x", "str"), (np.zeros((3, 5)), "float64"), (None, "NoneType")):
        with pytest.raises(InputError, match=rf"scores are integers \(columns, 5\), not {kind}"):
            reader.text(wrong)
    with pytest.raises(InputError, match=r"\(N, 6\)"):
        reader.scores_of(np.zeros((3, 5), np.int16))
    with pytest.raises(InputError, match="outside int4"):
        reader.scores_of(np.full((3, 6), 8, np.int16))


# --- the reader ---------------------------------------------------------------------------------


def _text_line() -> NDArray[np.uint8]:
    """Noise on white paper, 10 of 12 rows: a line that is taken as it is."""
    line = np.full((12, 40), 255, np.uint8)
    line[1:11, 2:38] = np.random.default_rng(2).integers(0, 2, (10, 36), dtype=np.uint8) * 255
    line[1:11, 20] = 0  # no empty row
    return line


def test_a_reader_gives_what_the_network_says(model: Model) -> None:
    line = _text_line()
    for runtime in ("cpu", "reference"):
        reader = bnn.LineReader(model, runtime)
        scores = reader.scores(line)
        assert scores.tolist() == class_sums(small(3, 4, 4), reader.columns(line))
        assert reader.read(line) == reader.text(scores)
        assert reader.last_run.columns == len(scores) == 20
        again = copy.deepcopy(reader)
        assert again.read(line) == reader.read(line)
        assert repr(again) == f"LineReader('plain-w4a4', runtime={runtime!r})"


def test_models_and_runtimes_that_read_no_lines(model: Model) -> None:
    with pytest.raises(InputError, match="lfc-w1a1: does not read lines of text; use bnn classify"):
        bnn.LineReader("lfc-w1a1")
    with pytest.raises(RuntimeUnavailableError, match="board runtime cannot run sequences"):
        bnn.LineReader(model, "board")
    with pytest.raises(RuntimeUnavailableError, match="reads sequences"):
        bnn.Classifier(model)


def test_lines_are_stored_as_json() -> None:
    for lines in (PlainLines(4), FRAKTUR):
        assert lines_from_json(lines.to_json()) == lines
    good = FRAKTUR.to_json()
    for wrong in (
        None,
        {},
        {"kind": "round"},
        {"kind": "plain"},
        {"kind": "plain", "bits": 9},
        {"kind": "plain", "bits": 4, "more": 1},
        {**good, "mean": [0.0] * 24},
        {**good, "mean": 3},
        {**good, "deviation": [0.0] * 25},
        {**good, "deviation": [float("nan")] * 25},
        {**good, "exponentials": [0] * 256},
        {**good, "exponentials": [1 << 24] * 256},
        {**good, "exponentials": list(range(256, 0, -1))},
        {**good, "exponentials": [1] * 255},
    ):
        with pytest.raises(ModelFileError, match=r"^lines: "):
            lines_from_json(wrong)


def test_a_model_has_lines_or_none(model: Model) -> None:
    from dataclasses import replace

    with pytest.raises(ProgramError, match="lines is Lines or None"):
        replace(model, lines="plain")  # type: ignore[arg-type]


def test_a_file_that_is_not_a_line_is_an_error_of_ours(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))
    with pytest.raises(BnnError, match=r"x\.png"):
        bnn.LineReader(model).read(path)

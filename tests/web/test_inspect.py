# SPDX-License-Identifier: BSD-3-Clause
"""``bnn inspect`` and ``Classifier.activations``: every edge of a picture, by name."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from typer.testing import CliRunner

import bnn
from bnn.commands.inspect import edges_table
from bnn.commands.main import app
from bnn.errors import DisagreementError, InputError
from bnn.model.model import Model
from bnn.program.program import Program
from bnn.run import edges as module
from bnn.run import prepare
from bnn.run.edges import first_difference, reference_edges
from bnn.web import inspected
from bnn.web.inspected import page, tiles
from support.programs import batches, networks

SAMPLES = Path(bnn.__file__).parent / "samples"


@settings(max_examples=25, deadline=None)
@given(program=networks())
def test_activations_are_every_edge_with_its_shape_and_bounds(program: Program) -> None:
    batch = batches(program, 3, seed=1)
    edges = reference_edges(program, batch)
    assert list(edges) == list(program.edges)
    for name, values in edges.items():
        edge = program.edges[name]
        assert values.shape == (3, *edge.shape)
        assert values.dtype == np.int32
        assert edge.low <= values.min() <= values.max() <= edge.high
    scores = prepare("reference", program).run(batch).scores
    assert np.array_equal(edges[program.scores][:, 0, 0, :], scores)
    none = reference_edges(program, batch[:0])
    assert {name: values.shape for name, values in none.items()} == {
        name: (0, *edge.shape) for name, edge in program.edges.items()
    }


def test_a_classifiers_activations_end_in_its_scores() -> None:
    classifier = bnn.Classifier("lfc-w1a1")
    pictures = sorted((SAMPLES / "mnist").glob("*.png"))[:2]
    edges = classifier.activations(pictures)
    scores = edges[classifier.model.program.scores][:, 0, 0, :]
    assert np.array_equal(scores, classifier.scores(pictures))
    assert edges["input"].shape == (2, 28, 28, 1)
    assert set(np.unique(edges["input"])) == {-1, 1}


def test_too_many_images_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_VALUES", 10_000)
    with pytest.raises(
        InputError, match="2 images are too many to keep every edge; give at most 1"
    ):
        bnn.Classifier("lfc-w1a1").activations(sorted((SAMPLES / "mnist").glob("*.png"))[:2])


def test_the_first_difference_in_the_programs_order_is_found() -> None:
    one = {"a": np.zeros((2, 1, 2, 3), np.int32), "b": np.zeros((2, 1, 1, 1), np.int32)}
    two = {name: values.copy() for name, values in one.items()}
    assert first_difference(one, two) is None
    two["b"][0] = 5
    two["a"][1, 0, 1, 2] = 7
    two["a"][1, 0, 1, 1] = -7
    found = first_difference(one, {"b": two["b"], "a": two["a"]})
    assert found is not None
    assert (found.edge, found.place) == ("a", (1, 0, 1, 1))
    assert (found.expected, found.found, found.count) == (0, -7, 2)
    assert first_difference(one, {"b": one["b"]}) is None
    with pytest.raises(DisagreementError, match="b: has shape"):
        first_difference(one, {"b": one["a"]})


def test_tiles_put_each_channel_in_its_place() -> None:
    values = np.arange(2 * 2 * 3).reshape(2, 2, 3).astype(np.int32)
    sheet = tiles(values, 0, 11)
    assert sheet.shape == (4, 10, 2)
    for channel in range(3):
        tile = sheet[1:3, 1 + 3 * channel : 3 + 3 * channel]
        assert (tile[..., 1] == 255).all()
        assert np.array_equal(tile[..., 0], np.round(255 * values[:, :, channel] / 11))
    assert (sheet[0, :, 1] == 0).all()
    vector = tiles(np.array([[[3] * 40]], np.int32), 0, 3)
    assert vector.shape == (2, 32, 2)
    assert vector[..., 1].sum() == 40 * 255


@pytest.mark.parametrize("runtime", ["reference", "cpu"])
def test_the_command_shows_every_edge_and_writes_a_page(tmp_path: Path, runtime: str) -> None:
    target = tmp_path / "page.html"
    picture = SAMPLES / "cifar10/Frog.png"
    arguments = ["inspect", "cnv-w1a1", str(picture), "-o", str(target), "-r", runtime]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    program = bnn.load("cnv-w1a1").program
    for name in program.edges:
        assert re.search(rf"^{name} ", result.output, re.MULTILINE)
    assert ("scores of cpu are equal" in result.output) == (runtime == "cpu")
    text = target.read_text()
    assert "The answer is <b>Frog</b>" in text
    assert text.count("<h2>") == len(program.edges)
    assert not re.findall(r'(?:src|href)="(?!data:)', text)
    assert str(picture.parent) not in text


def test_names_from_a_file_are_escaped_in_the_page() -> None:
    model = bnn.load("lfc-w1a1")
    evil = Model(model.program, ("<script>",) * 10, model.preprocess, {}, "<b>x</b>")
    batch = np.zeros((1, 28, 28, 1), np.uint8)
    text = page(evil, reference_edges(model.program, batch), "<i>", "<script>")
    assert text.count("<script>") == 1, "the page's own, for the language"
    assert "<i>" not in text
    assert "&lt;script&gt;" in text


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        ("3.png", "is not the name of a page; end it with .html"),
        ("no/3.html", "is not a folder"),
        ("", "is not the name of a page"),
    ],
)
def test_a_page_takes_no_other_files_place(page: str, reason: str, tmp_path: Path) -> None:
    picture = tmp_path / "3.png"
    picture.write_bytes((SAMPLES / "mnist" / "3.png").read_bytes())
    command = ["inspect", "lfc-w1a1", str(picture), "-o", str(tmp_path / page)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code != 0
    assert picture.read_bytes() == (SAMPLES / "mnist" / "3.png").read_bytes()
    assert reason in str(done.exception or done.output)


@pytest.mark.parametrize(
    ("sums", "lines", "heights", "marks"),
    [
        ([0, 1, 2, 3, 3], [2], [35, 35, 35, 70], ["110.0"]),
        ([-2, -2, 1], [], [70, 0, 0, 35], []),  # 0 has its place, also without a threshold
        ([1, 1], [3, -1], [0, 0, 70, 0, 0], ["176.0", "0.0"]),
    ],
)
def test_a_histogram_has_a_bar_for_each_sum(
    sums: list[int], lines: list[int], heights: list[int], marks: list[str]
) -> None:
    text = inspected._histogram(np.array(sums, np.int32), 4, lines)
    assert [int(each) for each in re.findall(r'height="(\d+)"/>', text)] == heights
    assert re.findall(r'<line x1="([\d.]+)"', text) == marks
    width = 220 / len(heights)
    places = [float(each) for each in re.findall(r'<rect x="([\d.]+)"', text)]
    np.testing.assert_allclose(places, np.arange(len(heights)) * width, atol=0.06)
    told = ", ".join(map(str, lines)) or "none"
    label = f"channel 4: sums from {min(sums)} to {max(sums)}, threshold {told}"
    assert f'<figcaption><span lang="en">{label}</span>' in text
    assert f"和は {min(sums)} から {max(sums)}" in text


def test_a_histogram_of_many_sums_has_fewer_bars() -> None:
    text = inspected._histogram(np.arange(1000, dtype=np.int32), 0, [500])
    heights = [int(each) for each in re.findall(r'height="(\d+)"/>', text)]
    assert len(heights) == inspected._BINS
    assert min(heights) > 60  # all sums are there, the highest too


def test_the_table_of_edges_has_every_figure() -> None:
    model = bnn.load("lfc-w1a1")
    edges = reference_edges(model.program, np.full((1, 28, 28, 1), 200, np.uint8))
    table = edges_table(model, edges, "a title")
    heads = [column.header for column in table.columns]
    assert heads == ["edge", "kind", "shape", "precision", "lowest", "mean", "highest"]
    rows = list(zip(*(column.cells for column in table.columns), strict=True))
    assert [str(row[0]) for row in rows] == list(edges)
    for row, (name, values) in zip(rows, edges.items(), strict=True):
        assert row[2] == "x".join(map(str, values.shape[1:]))
        assert row[3] == model.program.edges[name].precision.name
        assert [float(each) for each in row[4:]] == pytest.approx(
            [values.min(), values.mean(), values.max()], abs=0.005
        )
    kinds = [row[1] for row in rows]
    assert kinds[0] == "input"
    assert set(kinds) == {"input", "dot", "threshold", "window"}

# SPDX-License-Identifier: BSD-3-Clause
"""Choices that a reader makes by a shape or a name, each beside its nearest neighbours."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bnn.errors import FormatError
from bnn.formats import convert
from bnn.formats.convert import Options
from bnn.formats.qonnx import axes
from bnn.formats.theano import archive


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ((28, 28, 1), "digit"),
        *(((27, 28, 1), "stretch"), ((28, 27, 1), "stretch"), ((29, 28, 1), "stretch")),
        *(((28, 29, 1), "stretch"), ((28, 28, 3), "stretch"), ((28, 28, 2), None)),
        ((32, 32, 3), "thumbnail"),
        *(((31, 32, 3), "stretch"), ((32, 33, 3), "stretch"), ((32, 32, 1), "stretch")),
        *(((32, 32, 4), None), ((8, 8, 0), None), ((784,), None), ((3,), None)),
    ],
)
def test_how_pictures_become_an_input(shape: tuple[int, ...], kind: str | None) -> None:
    found = archive.preprocess(shape)
    assert (None if found is None else found.kind) == kind


@pytest.mark.parametrize(
    ("name", "classes", "found", "last"),
    [
        ("lfc", None, "lfc-w1a1", 10),
        ("cnv", ("a", "b", "c"), "cnv-w1a1", 3),
        ("lfc-w1a2", None, "lfc-w1a2", 10),
        ("tfc-w1a1", ("a", "b"), "tfc-w1a1", 2),
    ],
)
def test_a_network_of_the_zoo(name: str, classes: Any, found: str, last: int) -> None:
    made = convert._topology(Options(topology=name, classes=classes))
    assert made.name == found
    assert [one for one in made.layers if hasattr(one, "units")][-1].units == last
    assert convert._topology(Options(topology=made, classes=classes)) is made


def test_what_is_the_architecture_of_a_keras_model(tmp_path: Path) -> None:
    made = convert._topology(Options(topology="lfc"))
    assert not convert._is_json(made)
    assert not convert._is_json("lfc")
    for name, text, is_json in (
        *(("a.json", "{}", True), ("a.txt", " \n {", True), ("b.json", "[]", False)),
        *(("c", "", False), ("d.toml", "x = 1", False)),
    ):
        (tmp_path / name).write_text(text)
        assert convert._is_json(str(tmp_path / name)) is is_json
    for gone in (tmp_path / "gone.json", tmp_path):
        with pytest.raises(FormatError):
            convert._is_json(str(gone))
    assert not convert._is_json(str(tmp_path / "gone.toml"))


def node(kind: str, source: str, made: str, **given: Any) -> Any:
    return SimpleNamespace(
        kind=kind,
        inputs=(source,) if source else (),
        outputs=(made,),
        attribute=given.get,
        is_last=False,
    )


PICTURE, FIRST, LAST = (1, 8, 9, 3), axes.FIRST, axes.LAST


@pytest.mark.parametrize(
    ("perm", "found"),
    [
        ([0, 3, 1, 2], LAST),  # the graph has them last, and turns them to the front
        ([0, 1, 2, 3], FIRST),
        (None, "guessed"),  # all axes are turned round: the rows become channels
        ([0, 2, 3, 1], "guessed"),  # the axis of rows becomes channels
        ([0, 1, 2, 2], "guessed"),
    ],
)
def test_where_a_picture_has_its_channels(
    perm: Any, found: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(axes, "picture_axes", lambda *_: "guessed")
    graph: Any = SimpleNamespace(shape=(1, 8, 9, 3), input="x")
    turned = node("Transpose", "x", "y", perm=perm)
    conv = node("Conv", "z", "w")
    between = [node("Constant", "", "c"), node("Relu", "y", "z"), node("Relu", "c", "other")]
    assert axes.input_axes(graph, [turned, *between, conv]) == found
    assert axes.input_axes(graph, [node("Reshape", "x", "y"), *between, conv]) == "guessed"
    assert axes.input_axes(graph, [node("Flatten", "x", "y"), *between, conv]) == "guessed"
    assert axes.input_axes(graph, [node("Relu", "x", "z"), conv]) == FIRST
    assert axes.input_axes(graph, [node("Relu", "other", "z"), conv]) == "guessed"
    row: Any = SimpleNamespace(shape=(1, 8, 3), input="x")
    assert axes.input_axes(row, []) == axes.ROW_FIRST

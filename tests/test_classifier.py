# SPDX-License-Identifier: BSD-3-Clause
"""The three-line API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import bnn
from bnn.errors import BnnError, DataError, InputError, UnknownNameError
from bnn.inputs import IntegerInput, PictureInput, RealInput, identity_table
from bnn.model import Model
from bnn.precision import INT, UINT
from bnn.preprocess import Stretch
from bnn.program import Affine, ArgMax, Dot, Program, Window
from param_sets import made, write


def _grey() -> Model:
    """2x2 grey pictures; the scores are the pixels."""
    program = Program(
        PictureInput((2, 2, 1), UINT(8), identity_table()),
        (Window("flat", "input", (2, 2)), Dot("d", "flat", np.eye(4), UINT(1))),
        "d",
    )
    return Model(program, ("a", "b", "c", "d"), Stretch())


def _vector(given: Any = None, **more: Any) -> Model:
    ops = (Dot("d", "input", np.eye(3), INT(2)), ArgMax("last", "d", "highest-positive"))
    program = Program(given or IntegerInput((3,), INT(8)), ops, "d", **more)
    return Model(program, ("x", "y", "z"))


@pytest.fixture(params=["cpu", "reference"])
def runtime(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_arrays(runtime: str) -> None:
    clf = bnn.Classifier(_grey(), runtime)
    batch = np.array([[[[1], [2]], [[9], [4]]], [[[5], [5]], [[0], [0]]]], np.uint8)
    scores = clf.scores(batch)
    assert scores.dtype == np.int32
    assert scores.tolist() == [[1, 2, 9, 4], [5, 5, 0, 0]]
    classes = clf.classify(batch)
    assert classes.dtype == np.int64
    assert classes.tolist() == [2, 0]
    assert clf.last_run.images == 2
    assert clf.last_run.us_per_image > 0
    assert clf.classes == ("a", "b", "c", "d")


def test_grey_channel_may_be_left_out(runtime: str) -> None:
    clf = bnn.Classifier(_grey(), runtime)
    assert clf.scores(np.ones((3, 2, 2), np.uint8)).tolist() == [[1] * 4] * 3


def test_strided_views_are_taken(runtime: str) -> None:
    clf = bnn.Classifier(_grey(), runtime)
    big = np.arange(64, dtype=np.uint8).reshape(4, 4, 4, 1)
    view = big[::-2, 1::2, ::-3]
    assert clf.scores(view).tolist() == view.reshape(2, 4).tolist()


def test_pictures_and_paths(runtime: str, tmp_path: Path) -> None:
    clf = bnn.Classifier(_grey(), runtime)
    array = np.array([[1, 2], [3, 4]], np.uint8)
    image = Image.fromarray(array)
    image.save(tmp_path / "p.png")
    expected = array.ravel().tolist()
    assert clf.scores(image).tolist() == [expected]
    assert clf.scores(tmp_path / "p.png").tolist() == [expected]
    assert clf.scores(str(tmp_path / "p.png")).tolist() == [expected]
    mixed = [image, tmp_path / "p.png", array, array[..., None]]
    assert clf.scores(mixed).tolist() == [expected] * 4
    assert clf.scores(iter(mixed)).tolist() == [expected] * 4


@pytest.mark.parametrize("empty", [[], (), np.empty((0, 2, 2, 1), np.uint8)])
def test_empty_batches(runtime: str, empty: Any) -> None:
    clf = bnn.Classifier(_grey(), runtime)
    assert clf.scores(empty).shape == (0, 4)
    assert clf.classify(empty).shape == (0,)
    assert clf.last_run.us_per_image == 0


def test_logits_decide(runtime: str) -> None:
    model = _vector(affine=Affine(np.array([1.0, -1.0, 0.5]), np.array([0.0, 0.0, 3.0])))
    clf = bnn.Classifier(model, runtime)
    assert clf.logits([[3, 1, 1]]).tolist() == [[3.0, -1.0, 3.5]]
    assert clf.classify([[3, 1, 1]]).tolist() == [2]


def test_the_programs_own_decision(runtime: str) -> None:
    clf = bnn.Classifier(_vector(decision="last"), runtime)
    assert clf.classify([[9, 1, 0], [0, 0, 0], [-1, -1, -2]]).tolist() == [1, 0, 0]
    scores, classes = clf.run([[9, 1, 0]])
    assert (scores.tolist(), classes.tolist()) == ([[9, 1, 0]], [1])


def test_other_inputs(runtime: str) -> None:
    clf = bnn.Classifier(_vector(), runtime)
    assert clf.scores([]).shape == (0, 3)
    assert clf.scores(np.array([[1, -128, 127]])).tolist() == [[1, -128, 127]]
    real = bnn.Classifier(_vector(RealInput((3,), INT(8), [0.5], [0])), runtime)
    assert real.scores([[0.4, -0.3, 1e9]]).tolist() == [[1, -1, 127]]
    assert real.scores([[1e300, -np.inf, 1e-300]]).tolist() == [[127, -128, 0]]


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((1, 3, 2, 1), np.uint8),
        np.zeros((2, 1), np.uint8),
        np.zeros((1, 2, 2, 1), np.int32),
        np.zeros((1, 2, 2, 1), np.float32),
        [np.zeros((3, 2, 1), np.uint8)],
        [np.zeros((2, 2), np.float64)],
        [3],
        7,
        None,
        [None],
    ],
)
def test_wrong_pictures(images: Any) -> None:
    with pytest.raises(InputError):
        bnn.Classifier(_grey()).scores(images)


@pytest.mark.parametrize(
    "values",
    [[[1, 2]], [[1, 2], [3]], [[1, 2, 128]], [[1.0, 2.0, 3.0]], [["a", "b", "c"]], "abc", [[[1]]]],
)
def test_wrong_integers(values: Any) -> None:
    with pytest.raises(InputError):
        bnn.Classifier(_vector()).scores(values)


def test_nan_is_refused() -> None:
    real = bnn.Classifier(_vector(RealInput((3,), INT(8), [0.5], [0])))
    with pytest.raises(InputError, match="NaN"):
        real.scores([[0.0, np.nan, 0.0]])


def test_what_is_no_picture(tmp_path: Path) -> None:
    clf = bnn.Classifier(_grey())
    (tmp_path / "text.png").write_text("not a picture")
    for name in ("text.png", "missing.png"):
        with pytest.raises(DataError, match=name):
            clf.scores(tmp_path / name)


def test_models_by_place_and_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bnn.save(_grey(), tmp_path / "grey.bnn")
    assert bnn.load(tmp_path / "grey.bnn").classes == ("a", "b", "c", "d")
    (tmp_path / "digits").mkdir()
    write(tmp_path / "digits" / "lfcW1A1", made("lfcW1A1"))
    assert bnn.load(str(tmp_path / "digits" / "lfcW1A1")).name == "lfcW1A1"
    monkeypatch.setenv("BNN_PARAMS", str(tmp_path))
    assert bnn.load("digits-lfcW1A1").name == "lfcW1A1"
    with pytest.raises(UnknownNameError, match="did you mean 'digits-lfcW1A1'"):
        bnn.load("digit-lfcW1A1")
    with pytest.raises(BnnError, match=r"gone\.bnn"):
        bnn.load("gone.bnn")


def test_unknown_runtimes_and_options() -> None:
    with pytest.raises(UnknownNameError, match="fpga"):
        bnn.Classifier(_grey(), "fpga")
    with pytest.raises(BnnError, match="threads"):
        bnn.Classifier(_grey(), "reference", threads=2)


@pytest.mark.parametrize("name", bnn.bundled())
def test_bundled_models_load_and_have_their_classes(name: str) -> None:
    model = bnn.load(name)
    assert len(model.classes) == model.program.classes
    shape = model.program.input.shape
    clf = bnn.Classifier(model)
    batch = np.random.default_rng(0).integers(0, 256, (2, *shape), dtype=np.uint8)
    assert (clf.scores(batch) == bnn.Classifier(model, "reference").scores(batch)).all()

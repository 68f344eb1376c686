# SPDX-License-Identifier: BSD-3-Clause
"""The three-line API."""

from __future__ import annotations

import copy
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import bnn
from bnn.data.pictures.preprocess import Digit, Preprocess, Stretch
from bnn.errors import BnnError, BnnWarning, DataError, InputError, UnknownNameError
from bnn.model.calibration import NO_CALIBRATION, Calibration
from bnn.model.model import Model
from bnn.program.inputs import IntegerInput, PictureInput, RealInput, check_batch, identity_table
from bnn.program.operations import Affine, ArgMax, Dot, Window
from bnn.program.precision import INT, UINT
from bnn.program.program import Program
from support.param_sets import made, write


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
        np.zeros((1, 2, 2, 1), np.int32),
        np.zeros((1, 2, 2, 1), np.float32),
        [np.zeros((2, 2), np.float64)],
        [np.zeros((2, 2, 2, 1), np.uint8)],
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
    with pytest.raises(BnnError, match=r"no option 'watched'; it has threads.*; only sim can show"):
        bnn.Classifier(_grey(), "cpu", watched=True)


@pytest.mark.parametrize("name", bnn.bundled())
def test_bundled_models_load_and_have_their_classes(name: str) -> None:
    model = bnn.load(name)
    assert len(model.classes) == model.program.classes
    shape = model.program.input.shape
    clf = bnn.Classifier(model)
    batch = np.random.default_rng(0).integers(0, 256, (2, *shape), dtype=np.uint8)
    assert (clf.scores(batch) == bnn.Classifier(model, "reference").scores(batch)).all()


# Arrays of any size.


def _channels(channels: int, preprocess: Preprocess | None = None) -> Model:
    """Pictures of 3x2; the scores are the first row's bytes."""
    size = 6 * channels
    program = Program(
        PictureInput((3, 2, channels), UINT(8), identity_table()),
        (
            Window("flat", "input", (3, 2)),
            Dot("d", "flat", np.eye(size)[: 2 * channels], UINT(1)),
        ),
        "d",
    )
    names = tuple(map(str, range(2 * channels)))
    return Model(program, names, preprocess or Stretch())


def _noise(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(9, 7), (3, 2), (1, 1), (200, 2), (5, 50)])
def test_arrays_are_prepared_as_pictures(channels: int, size: tuple[int, int]) -> None:
    clf = bnn.Classifier(_channels(channels), "reference")
    for array in (_noise(*size), _noise(*size, 3), _noise(*size, 4)):
        expected = clf.scores(Image.fromarray(array)).tolist()
        assert clf.scores([array, array]).tolist() == expected * 2
        if array.ndim == 3:
            assert clf.scores(array).tolist() == expected
            assert clf.scores(np.stack([array] * 5)).tolist() == expected * 5
        elif size[1] != 6 * channels:
            assert clf.scores(array).tolist() == expected
            assert clf.scores(array[..., None]).tolist() == expected
            assert clf.scores([array[..., None]]).tolist() == expected
            assert clf.scores(np.stack([array] * 5)[..., None]).tolist() == expected * 5
            if size[1] > 4:  # else the last axis may be channels
                assert clf.scores(np.stack([array] * 5)).tolist() == expected * 5


def test_arrays_of_the_models_shape_are_as_they_are() -> None:
    grey, colour = (bnn.Classifier(_channels(n, Digit()), "reference") for n in (1, 3))
    one, several = _noise(3, 2, 1), _noise(3, 3, 2, 1)
    assert grey.scores(one).tolist() == [one[0].ravel().tolist()]
    assert grey.scores(one[..., 0]).tolist() == [one[0].ravel().tolist()]
    assert grey.scores(several).tolist() == several[:, 0].reshape(3, -1).tolist()
    assert grey.scores(several[..., 0]).tolist() == several[:, 0].reshape(3, -1).tolist()
    one = _noise(3, 2, 3)
    assert colour.scores(one).tolist() == [one[0].ravel().tolist()]
    assert colour.scores([one]).tolist() == [one[0].ravel().tolist()]
    assert colour.scores(one[None]).tolist() == [one[0].ravel().tolist()]


@pytest.mark.parametrize("size", [(3, 2), (11, 8)])
@pytest.mark.parametrize("channels", [1, 3])
def test_blue_first(size: tuple[int, int], channels: int, tmp_path: Path) -> None:
    clf = bnn.Classifier(_channels(channels), "reference")
    camera = bnn.Classifier(_channels(channels), "reference", bgr=True)
    frame = _noise(*size, 3)
    expected = clf.scores(frame[..., ::-1])
    assert (expected != clf.scores(frame)).any()
    for given in (frame, [frame], frame[None]):
        assert (clf.scores(given, bgr=True) == expected).all()
        assert (camera.scores(given) == expected).all()
        assert (camera.scores(given, bgr=False) == clf.scores(frame)).all()
    assert camera.classify(frame).tolist() == clf.classify(frame, bgr=True).tolist()
    assert (camera.run(frame)[0] == expected).all()
    assert (camera.logits(frame) == expected).all()
    alpha = np.concatenate([frame, np.full((*size, 1), 200, np.uint8)], axis=2)
    assert (camera.scores(alpha) == clf.scores(alpha[..., [2, 1, 0, 3]])).all()
    # Pictures and files know their colours; grey has no order.
    Image.fromarray(frame).save(tmp_path / "frame.png")
    assert (camera.scores(tmp_path / "frame.png") == clf.scores(frame)).all()
    assert (camera.scores(frame[..., 0]) == clf.scores(frame[..., 0])).all()


def test_blue_first_means_nothing_without_pictures() -> None:
    with pytest.raises(InputError, match="bgr cannot be used"):
        bnn.Classifier(_vector()).scores([[1, 2, 3]], bgr=True)


@pytest.mark.parametrize(
    ("images", "reason"),
    [
        (_noise(3, 20, 30), r"channels first, or 3 grey ones; give array.transpose\(1, 2, 0\)"),
        (_noise(4, 20, 30), "channels first, or 4 grey ones"),
        (_noise(5, 3, 20, 30), r"channels first; give array.transpose\(0, 2, 3, 1\)"),
        (_noise(5, 1, 20, 30), "channels first"),
        ([_noise(3, 20, 30)], r"picture 0 is an array \(3, 20, 30\)"),
        ([_noise(9, 9), _noise(5, 20, 30)], r"picture 1 is an array \(5, 20, 30\)"),
        (_noise(20, 30, 2), "is not a picture"),
        (_noise(20, 30, 3, 2), "is not a picture"),
        (_noise(2, 3, 20, 30, 3), "is not a picture"),
        (_noise(7), "is not a picture"),
        (_noise(5, 6), "flattened pictures"),
        (np.zeros((9, 9), np.uint16), "pictures are uint8, 0 .* uint16"),
        (np.full((9, 9), 4095, np.uint16), "pictures are uint8, 0 .* uint16"),
        (np.zeros((9, 9, 3), np.float32), "pictures are uint8, 0 .* float32"),
        (np.zeros((9, 9), np.int64), "pictures are uint8"),
        ([np.zeros((9, 9, 3), np.float64)], "pictures are uint8"),
        (np.zeros((0, 9), np.uint8), "has no pixels"),
        (np.zeros((2, 9, 0, 3), np.uint8), "has no pixels"),
    ],
)
def test_arrays_that_can_mean_two_things(images: Any, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        bnn.Classifier(_channels(1), "reference").scores(images)


def test_arrays_for_a_model_without_preparation() -> None:
    model = replace(_channels(3), preprocess=None)
    one = _noise(3, 2, 3)
    assert bnn.Classifier(model, "reference").scores(one).tolist() == [one[0].ravel().tolist()]
    with pytest.raises(InputError, match="does not say how other pictures become its input"):
        bnn.Classifier(model, "reference").scores(_noise(9, 9, 3))


def test_black_and_white_arrays() -> None:
    clf = bnn.Classifier(_channels(1), "reference")
    for shape in ((3, 2), (9, 7), (5, 9, 7)):
        white = _noise(*shape) > 127
        white.flat[:2] = False, True
        expected = clf.scores(np.where(white, 255, 0).astype(np.uint8)).tolist()
        assert clf.scores(white).tolist() == expected
        with pytest.warns(BnnWarning, match=r"has only 0 and 1.*multiply by 255") as told:
            clf.scores(white.astype(np.uint8))
        assert told[0].filename == __file__  # it points at the user's line
        with pytest.warns(BnnWarning, match="has only 0 and 1"):
            clf.scores([white.astype(np.uint8)][0])


@pytest.mark.parametrize(("most", "told"), [(2, True), (15, True), (16, False), (255, False)])
def test_arrays_of_few_levels_are_told(most: int, told: bool) -> None:
    """As scikit-learn's digits, which are 0 to 16: nearly all values would be black."""
    clf = bnn.Classifier(_channels(1), "reference")
    array = np.full((8, 8), most, np.uint8)
    array[0, :3] = 0
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        clf.scores(array)
    said = [str(one.message) for one in found]
    assert any(f"has no level above {most}, which is nearly black" in one for one in said) == told
    clf.scores(array[:7])  # of few values nothing is told
    assert not clf.scores(np.zeros((9, 9), np.uint8)).any()  # black is black


def test_masked_arrays_are_refused_where_something_is_masked() -> None:
    clf = bnn.Classifier(_channels(1), "reference")
    array = _noise(3, 2)
    clear = np.ma.masked_array(array, np.zeros_like(array, bool))
    assert clf.scores(clear).tolist() == clf.scores(array).tolist()
    with pytest.raises(InputError, match="are masked; fill them"):
        clf.scores(np.ma.masked_array(array, np.arange(6).reshape(3, 2) == 4))


@pytest.mark.parametrize("images", [10**15, 2**70])
def test_more_images_than_memory_holds(images: int) -> None:
    with pytest.raises(InputError, match=f"no memory for {images} images"):
        bnn.Classifier(_channels(1), "reference").allocate(images)


def test_classes_are_the_models() -> None:
    """What is set would be lost in a copy, or in another process."""
    clf = bnn.Classifier(_channels(1), "reference")
    with pytest.raises(AttributeError):
        clf.classes = ("a", "b")  # type: ignore[misc]
    assert clf.classes == clf.model.classes


class _Tensor:
    shape = (9, 7)

    def __array__(self) -> Any:
        raise AssertionError

    def __iter__(self) -> Any:
        raise AssertionError


@pytest.mark.parametrize(
    ("images", "hint"),
    [
        (b"\x89PNG", r"PIL\.Image\.open\(io\.BytesIO"),
        ([b"\x89PNG"], "picture 0: cannot classify bytes"),
        (_Tensor(), r"cannot classify a _Tensor; give a NumPy array, as x\.numpy\(\)"),
        ([_Tensor()], r"x\.numpy\(\)"),
        ([[1, 2], [3, 4]], r"give np\.array\(values, np\.uint8\)"),
        (7, r"give np\.array"),
        (None, "give a picture"),
    ],
)
def test_what_to_give_is_said(images: Any, hint: str) -> None:
    with pytest.raises(InputError, match=hint):
        bnn.Classifier(_channels(1), "reference").scores(images)


def test_what_is_no_name_is_an_unknown_name() -> None:
    with pytest.raises(UnknownNameError, match="not an empty text"):
        bnn.load("")
    for source in (None, 7, b"lfc-w1a1"):
        with pytest.raises(UnknownNameError, match="a model's name or path is needed, not"):
            bnn.load(source)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="bgr is True or False, not 'no'"):
        bnn.Classifier("lfc-w1a1", bgr="no")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match=r"no runtime is called \['cpu'\]"):
        bnn.Classifier("lfc-w1a1", ["cpu"])  # type: ignore[arg-type]


def _sure(temperature: float = 2.0) -> Model:
    return replace(_grey(), calibration=Calibration(temperature))


def test_probabilities_follow_from_the_scores(runtime: str) -> None:
    clf = bnn.Classifier(_sure(), runtime)
    batch = np.array([[[[1], [2]], [[9], [4]]]], np.uint8)
    powers = np.exp(np.array([1, 2, 9, 4]) / 2)
    assert clf.probabilities(batch)[0] == pytest.approx(powers / powers.sum())
    assert clf.scores(batch).tolist() == bnn.Classifier(_grey(), runtime).scores(batch).tolist()


def test_rejected_images_are_unknown() -> None:
    batch = np.array([[[[1], [2]], [[9], [4]]], [[[5], [5]], [[5], [0]]]], np.uint8)
    clf = bnn.Classifier(_sure(), reject=0.5)
    assert clf.classes == ("a", "b", "c", "d", "unknown")
    assert [clf.classes[one] for one in clf.classify(batch)] == ["c", "unknown"]
    assert clf.run(batch)[1].tolist() == [2, 4]
    exactly = float(clf.probabilities(batch)[1].max())
    at = bnn.Classifier(_sure(), reject=exactly)
    assert at.classify(batch).tolist() == [2, 0]
    assert bnn.Classifier(_sure(), reject=0).classify(batch).tolist() == [2, 0]
    assert clf != bnn.Classifier(_sure())
    assert clf == copy.copy(clf)
    assert repr(clf) == "Classifier('model', runtime='cpu', reject=0.5)"


def test_a_model_may_have_a_class_that_is_called_unknown() -> None:
    model = replace(_sure(), classes=("unknown", "b", "c", "d"))
    assert bnn.Classifier(model, reject=0.5).classes[-1] == "unknown (rejected)"


@pytest.mark.parametrize("reject", [-0.1, 1.1, float("nan"), True, "0.5"])
def test_what_is_no_probability(reject: Any) -> None:
    with pytest.raises(InputError, match="reject is a probability"):
        bnn.Classifier(_sure(), reject=reject)


def test_without_a_calibration_there_are_no_probabilities() -> None:
    with pytest.raises(InputError, match="model has no calibration"):
        bnn.Classifier(_grey(), reject=0.5)
    with pytest.raises(InputError, match="model has no calibration"):
        bnn.Classifier(_grey()).probabilities(np.zeros((1, 2, 2, 1), np.uint8))
    with pytest.raises(InputError, match=r"probabilities: its file was made without one$"):
        bnn.Classifier(replace(_grey(), provenance={NO_CALIBRATION: 5}), reject=0.5)
    told = replace(_grey(), provenance={NO_CALIBRATION: "there were few pictures"})
    with pytest.raises(InputError, match=r"no probabilities: there were few pictures$"):
        bnn.Classifier(told, reject=0.5)


def test_tiles_of_a_frame_are_classified() -> None:
    frame = np.zeros((4, 6), np.uint8)
    frame[0, 3] = 200  # the upper right pixel of the tile at 2
    found = bnn.Classifier(_sure(), reject=0.5).classify_tiles(frame, 2, 2)
    assert [one.box for one in found][:3] == [(0, 0, 2, 2), (2, 0, 4, 2), (4, 0, 6, 2)]
    assert [one.class_name for one in found] == ["unknown", "b", *["unknown"] * 4]
    assert [one.class_index for one in found] == [4, 1, 4, 4, 4, 4]
    assert found[1].probability == pytest.approx(1)
    assert found[0].probability == pytest.approx(0.25)
    assert bnn.Classifier(_grey()).classify_tiles(frame, 2, 2)[1].probability is None


def test_tiles_without_a_digit_are_left_out() -> None:
    page = np.full((56, 112, 3), 255, np.uint8)
    page[14:42, 76:80] = 0  # one stroke, in the right half
    found = bnn.Classifier("lfc-w1a1").classify_tiles(page, 56, 56)
    assert [one.box for one in found] == [(56, 0, 112, 56)]
    assert found[0].class_name == "1"
    assert bnn.Classifier("lfc-w1a1").classify_tiles(page[:, :56], 56, 56) == []


@pytest.mark.parametrize("given", [(2, 1024), (2, 1, 1024), (1024, 2, 1)])
def test_inputs_with_their_axes_in_another_order_are_told_so(given: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"the model takes \(N, 1, 1024, 2\); bring its axes"):
        check_batch(np.zeros((3, *given)), (1, 1024, 2))
    with pytest.raises(InputError, match=r"the model takes \(N, 1, 1024, 2\)$"):
        check_batch(np.zeros((3, *given[:-1], 5)), (1, 1024, 2))

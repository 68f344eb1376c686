# SPDX-License-Identifier: BSD-3-Clause
"""Digits of the input's own size, and enlarged or padded ones: light on dark, or dark on light."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

import bnn
from bnn.commands.main import app
from bnn.data import idx
from bnn.data.pictures.pillow import Resampling
from bnn.data.pictures.polarity import all_settled, changed, settled
from bnn.data.pictures.preprocess import Digit
from bnn.data.pictures.rules import in_box, mnist_array
from bnn.data.sets import DataSet, load_test
from bnn.errors import BnnWarning, DataError
from bnn.scale.sources import Block
from bnn.scale.work import decoded

Levels = NDArray[np.uint8]
SAMPLES = sorted((Path(bnn.__file__).parent / "samples" / "mnist").glob("*.png"))
SHAPE = (28, 28, 1)


def digits() -> Levels:
    """The bundled digits, (10, 28, 28), in order."""
    made = []
    for path in SAMPLES:
        with Image.open(path) as image:
            made.append(np.asarray(image.convert("L")))
    assert len(made) == 10
    return np.stack(made)


def drawn(ground: int, stroke: int) -> Levels:
    """The bundled digits with other levels of ground and stroke."""
    return (ground + (stroke - ground) * (digits() / 255.0)).round().astype(np.uint8)


#: Ground and stroke of drawings that are not like MNIST's.
OTHERS = [(255, 0), (250, 30), (220, 150), (140, 230), (0, 90), (200, 170)]


def test_digits_like_mnists_are_as_they_are() -> None:
    batch = digits()[..., None]
    assert Digit().ready(batch) is batch
    for path, levels in zip(SAMPLES, digits(), strict=True):
        np.testing.assert_array_equal(Digit().to_array(path, SHAPE)[..., 0], levels)
    for ground, stroke in ((0, 128), (64, 255), (30, 200)):
        batch = drawn(ground, stroke)[..., None]
        assert Digit().ready(batch) is batch


def test_all_of_mnist_is_as_it_is() -> None:
    if not os.environ.get("BNN_DATA"):
        pytest.skip("BNN_DATA is not set")
    data = load_test("mnist")
    assert isinstance(data, DataSet)
    assert not changed(data.images[..., 0]).any()
    assert Digit().ready(data.images) is data.images
    classifier = bnn.Classifier("lfc-w1a1")
    classes = classifier.classify(data.images)
    assert (classes == data.labels).sum() == 9913
    assert (classifier.classify(255 - data.images) == classes).sum() >= 9998


@pytest.mark.parametrize(("ground", "stroke"), OTHERS)
def test_others_become_light_on_black_wherever_they_come_in(
    ground: int, stroke: int, tmp_path: Path
) -> None:
    given = drawn(ground, stroke)
    batch = given[..., None]
    kept = batch.copy()
    ready = Digit().ready(batch)
    np.testing.assert_array_equal(batch, kept)
    # Levels between ground and stroke are as many as there were.
    assert np.abs(ready[..., 0].astype(int) - digits()).max() <= 255 // abs(stroke - ground) + 2
    assert (ready.reshape(10, -1).min(axis=1) == 0).all()
    assert (ready.reshape(10, -1).max(axis=1) == 255).all()
    assert Digit().ready(ready) is ready
    classifier = bnn.Classifier("lfc-w1a1", "reference")
    expected = classifier.classify(digits()).tolist()
    assert expected == list(range(10))
    paths = []
    for index, levels in enumerate(given):
        paths.append(tmp_path / f"{index}.png")
        Image.fromarray(levels).save(paths[-1])
    for images in (given, batch, list(given), paths, [Image.open(path) for path in paths]):
        assert classifier.classify(images).tolist() == expected
    model = classifier.model
    inputs, errors = decoded(model, Block([path.name for path in paths], given))
    np.testing.assert_array_equal(inputs, model.program.input.check(ready))
    files = [path.read_bytes() for path in paths]
    inputs, errors = decoded(model, Block([path.name for path in paths], files))
    assert errors == [None] * 10
    np.testing.assert_array_equal(inputs, model.program.input.check(ready))
    colours = np.repeat(batch, 3, axis=3)
    assert classifier.classify(colours).tolist() == expected


@given(seed=st.integers(0, 2**32 - 1), levels=st.sampled_from([2, 3, 20, 256]))
def test_noise_is_taken_as_it_is(seed: int, levels: int) -> None:
    random = np.random.default_rng(seed)
    spread = random.integers(0, levels, (3, *SHAPE)) * (255 // (levels - 1))
    batch = spread.astype(np.uint8)
    assert Digit().ready(batch) is batch


@given(
    st.integers(0, 255), st.integers(0, 255), st.integers(0, 60), st.floats(0, 0.6),
    st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 30),
)  # fmt: skip
def test_many_at_once_are_as_each_alone(
    ground: int, stroke: int, noise: int, share: float, seed: int, height: int, width: int
) -> None:
    random = np.random.default_rng(seed)
    levels = np.where(random.random((4, height, width)) < share, stroke, ground)
    levels = levels + random.integers(-noise, noise + 1, levels.shape)
    batch = levels.clip(0, 255).astype(np.uint8)
    made = all_settled(batch[..., None])[..., 0]
    for given_one, one, differs in zip(batch, made, changed(batch), strict=True):
        alone = settled(given_one)
        np.testing.assert_array_equal(one, given_one if alone is None else alone)
        assert differs == (one != given_one).any()


def test_a_picture_of_the_inputs_size_without_a_digit_is_refused() -> None:
    noise = np.random.default_rng(1).integers(0, 256, SHAPE[:2], np.uint8)
    for levels in (np.zeros_like(noise), np.full_like(noise, 255), np.full_like(noise, 90), noise):
        with pytest.raises(DataError, match="no stroke found"):
            Digit().to_array(Image.fromarray(levels), SHAPE)
        # Without the search for strokes nothing is refused.
        assert Digit(adaptive=False).to_array(Image.fromarray(levels), SHAPE).shape == SHAPE


def test_a_model_file_from_before_says_that_it_takes_them_as_they_are() -> None:
    old = replace(bnn.load("lfc-w1a1"), preprocess=Digit(like_mnist=False))
    classifier = bnn.Classifier(old, "reference")
    assert classifier.classify(digits()).tolist() == list(range(10))
    for images in (255 - digits(), [255 - digits()[3]], [Image.fromarray(255 - digits()[3])]):
        with pytest.warns(BnnWarning, match="dark on light or pale, and taken as is"):
            classifier.classify(images)


@pytest.mark.parametrize("arrays", [False, True])
def test_evaluate_says_so(tmp_path: Path, arrays: bool) -> None:
    given = drawn(255, 0)
    if arrays:
        idx.write_images(tmp_path / "t10k-images-idx3-ubyte", given)
        idx.write_labels(tmp_path / "t10k-labels-idx1-ubyte", np.arange(10, dtype=np.uint8))
    else:
        for label, levels in enumerate(given):
            (tmp_path / str(label)).mkdir()
            Image.fromarray(levels).save(tmp_path / str(label) / "a.png")
    done = CliRunner().invoke(app, ["evaluate", "lfc-w1a1", "--data", str(tmp_path), "--json"])
    assert done.exit_code == 0, done.output
    values = json.loads(done.stdout.splitlines()[-1])
    assert values["accuracy"] == 1
    (turned,) = [one for one in values["data_report"]["findings"] if one["kind"] == "turned"]
    assert turned["count"] == 10


def test_the_server_prepares_arrays_alike() -> None:
    pytest.importorskip("starlette", reason="needs the extra serve")
    from bnn.serve.outputs import batch_of, inputs_of, ready
    from bnn.serve.wire import Tensor

    model = bnn.load("lfc-w1a1")
    given = drawn(255, 0)[..., None]
    tensor = Tensor("input", "UINT8", given.shape, given)
    made = ready(model, batch_of(model, inputs_of(model), tensor, 10**6))
    np.testing.assert_array_equal(made, model.program.input.check(digits()[..., None]))


# --- larger pictures -----------------------------------------------------------------


def _times(levels: Levels, factor: int, how: Resampling) -> Levels:
    height, width = levels.shape
    return np.asarray(Image.fromarray(levels).resize((width * factor, height * factor), how))


NEAREST, CUBIC = Resampling.NEAREST, Resampling.BICUBIC
LARGER: dict[str, Callable[[Levels], Levels]] = {
    "twice": lambda one: _times(one, 2, NEAREST),
    "three times": lambda one: _times(one, 3, CUBIC),
    "ten times": lambda one: _times(one, 10, NEAREST),
    "inverted, twice": lambda one: 255 - _times(one, 2, NEAREST),
    "inverted, ten times": lambda one: 255 - _times(one, 10, CUBIC),
    "black around": lambda one: np.pad(one, 6),
    "more black around": lambda one: np.pad(_times(one, 3, CUBIC), ((90, 10), (5, 60))),
    "inverted, white around": lambda one: np.pad(255 - one, 20, constant_values=255),
}


@pytest.mark.parametrize("name", LARGER)
def test_larger_digits_keep_their_class(name: str) -> None:
    classifier = bnn.Classifier("lfc-w1a1", "reference")
    for number, levels in enumerate(digits()):
        assert classifier.classify([LARGER[name](levels)]).tolist() == [number]


def test_a_dark_panel_on_white_is_read_or_refused() -> None:
    classifier = bnn.Classifier("lfc-w1a1", "reference")
    read = 0
    for number, levels in enumerate(digits()):
        try:
            found = classifier.classify([np.pad(levels, 12, constant_values=255)])
        except DataError:
            continue
        assert found.tolist() == [number]
        read += 1
    assert read >= 3


def test_a_stroke_is_placed_as_in_mnist() -> None:
    sheet = np.full((300, 200), 255, np.uint8)
    sheet[50:250, 90:110] = 0  # a bar of 200x20
    made = Digit().to_array(Image.fromarray(sheet), SHAPE)[..., 0]
    rows, columns = np.nonzero(made)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (4, 23, 13, 14)
    assert (made[4:24, 13:15] == 255).all()
    # The centre of mass is in the middle, not that of the rectangle.
    sheet[230:250, 20:110] = 0
    made = Digit().to_array(Image.fromarray(sheet), SHAPE)[..., 0].astype(float)
    mass = made / made.sum()
    assert abs((mass.sum(axis=1) * (np.arange(28) + 0.5)).sum() - 14) <= 0.5
    assert abs((mass.sum(axis=0) * (np.arange(28) + 0.5)).sum() - 14) <= 0.5
    assert mnist_array(Image.new("L", (9, 9), 255), (28, 28)).max() == 0


@pytest.mark.parametrize(
    ("shape", "box"),
    [((28, 28), (20, 20)), ((8, 16), (6, 11)), ((1, 1), (1, 1)), ((56, 2), (40, 1))],
)
def test_the_box_of_other_inputs(shape: Any, box: Any) -> None:
    assert in_box(shape) == box
    ink = Image.fromarray(np.zeros((7, 3), np.uint8))
    assert mnist_array(ink, shape).shape == shape


def test_bytes_of_a_file_are_as_the_file(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.fromarray(255 - digits()[5]).save(file, "PNG")
    (tmp_path / "a.png").write_bytes(file.getvalue())
    np.testing.assert_array_equal(
        Digit().to_array(tmp_path / "a.png", SHAPE)[..., 0], settled(255 - digits()[5])
    )

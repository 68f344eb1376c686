# SPDX-License-Identifier: BSD-3-Clause
"""The description of a model's pictures: strict JSON, and arrays of the shape asked for."""

import inspect
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bnn.data.pictures.preprocess import Digit, Preprocess, Stretch, Thumbnail
from bnn.data.pictures.rules import digit_array, image_to_cifar_array
from bnn.errors import DataError, InputError, ModelFileError

LEVELS = st.integers(0, 255)
FACTORS = st.floats(0, 100) | st.integers(0, 100)
DESCRIPTIONS = st.one_of(
    st.builds(Thumbnail, background=st.tuples(LEVELS, LEVELS, LEVELS)),
    st.builds(
        Digit,
        contrast=FACTORS,
        brightness=FACTORS,
        cut=st.none() | LEVELS,
        border=st.integers(0, 100),
        adaptive=st.booleans(),
        like_mnist=st.booleans(),
    ),
    st.builds(Stretch, gap=st.none() | st.integers(1, 16)),
)


@given(DESCRIPTIONS)
def test_json_round_trip(description: Preprocess) -> None:
    back = Preprocess.from_json(json.loads(json.dumps(description.to_json())))
    assert back == description
    assert type(back) is type(description)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "must be an object"),
        ([], "must be an object"),
        ("thumbnail", "must be an object"),
        ({}, "unknown kind None"),
        ({"kind": "crop"}, "unknown kind 'crop'; known: thumbnail, digit, stretch"),
        ({"kind": ["stretch"]}, "unknown kind"),
        ({"kind": "stretch", "filter": "lanczos"}, "stretch: missing or unknown filter"),
        ({"kind": "thumbnail"}, "thumbnail: missing or unknown background"),
        ({"kind": "thumbnail", "background": 0}, "three levels"),
        ({"kind": "thumbnail", "background": [0, 0]}, "three levels"),
        ({"kind": "thumbnail", "background": [0, 0, 256]}, "integer from 0 to 255, not 256"),
        ({"kind": "thumbnail", "background": [0, 0, 1.0]}, "integer from 0 to 255"),
        ({"kind": "thumbnail", "background": [0, 0, True]}, "integer from 0 to 255"),
        ({"kind": "thumbnail", "background": [0, [0], 0]}, "integer from 0 to 255"),
    ],
)
def test_strange_json(value: object, reason: str) -> None:
    with pytest.raises(ModelFileError, match=reason):
        Preprocess.from_json(value)


def test_files_from_before_the_rule_adapted() -> None:
    old = {"kind": "digit", "contrast": 5.0, "brightness": 2.0, "cut": 180, "border": 80}
    assert Preprocess.from_json(old) == Digit(5.0, 2.0, 180, 80, adaptive=True, like_mnist=False)
    assert Preprocess.from_json({**old, "adaptive": False}) == Digit(
        5.0, 2.0, 180, 80, adaptive=False, like_mnist=False
    )
    for value in (None, 0, 1, "yes", [True]):
        with pytest.raises(ModelFileError, match="like_mnist must be true or false"):
            Preprocess.from_json({**old, "like_mnist": value})
    for value in (None, 0, 1, "yes", [True]):
        with pytest.raises(ModelFileError, match="adaptive must be true or false"):
            Preprocess.from_json({**old, "adaptive": value})
    with pytest.raises(ModelFileError, match="stretch: missing or unknown adaptive"):
        Preprocess.from_json({"kind": "stretch", "adaptive": True})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("contrast", "3"),
        ("contrast", True),
        ("contrast", -1),
        ("brightness", float("nan")),
        ("brightness", 10**400),
        ("cut", 300),
        ("cut", [1]),
        ("border", 2.5),
        ("border", 10**9),
    ],
)
def test_strange_digit_options(key: str, value: Any) -> None:
    with pytest.raises(ModelFileError, match=f"preprocess: {key} must be"):
        Preprocess.from_json({**Digit().to_json(), key: value})
    with pytest.raises(InputError):
        Digit(**{key: value})


@given(
    DESCRIPTIONS,
    st.tuples(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3])),
    st.sampled_from(["1", "L", "LA", "RGB", "RGBA", "P"]),
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
)
def test_any_picture_fills_any_shape(
    description: Preprocess, shape: tuple[int, int, int], mode: str, size: tuple[int, int]
) -> None:
    picture = Image.new("RGB", size, (200, 30, 90)).convert(mode)
    searched = isinstance(description, Digit) and description.adaptive
    if searched and (shape[:2] != size[::-1] or description.to_json()["like_mnist"]):
        if mode not in ("1", "P"):  # which are dotted
            with pytest.raises(DataError, match="<picture>: no stroke found"):
                description.to_array(picture, shape)
        return
    array = description.to_array(picture, shape)
    assert array.shape == shape
    assert array.dtype == np.uint8
    assert array.flags.c_contiguous
    assert picture.size == size
    assert picture.mode == mode


@pytest.mark.parametrize("description", [Thumbnail(), Digit(like_mnist=False), Stretch()])
@given(seed=st.integers(0, 1000), side=st.integers(1, 40))
def test_grey_of_the_right_size_is_taken_as_is(
    description: Preprocess, seed: int, side: int
) -> None:
    levels = np.random.default_rng(seed).integers(0, 256, (side, 28, 1), np.uint8)
    array = description.to_array(Image.fromarray(levels[:, :, 0]), (side, 28, 1))
    np.testing.assert_array_equal(array, levels)


@pytest.mark.parametrize("description", [Thumbnail(), Stretch()])
def test_colour_of_the_right_size_is_taken_as_is(description: Preprocess) -> None:
    levels = np.random.default_rng(0).integers(0, 256, (30, 20, 4), np.uint8)
    array = description.to_array(Image.fromarray(levels[:, :, :3]), (30, 20, 3))
    np.testing.assert_array_equal(array, levels[:, :, :3])
    levels[:, :, 3] = 255
    array = description.to_array(Image.fromarray(levels), (30, 20, 3))
    np.testing.assert_array_equal(array, levels[:, :, :3])


@pytest.fixture
def jpeg(tmp_path: Path) -> Path:
    y, x, c = np.mgrid[:200, :256, :3]
    path = tmp_path / "picture.jpg"
    Image.fromarray(((x * x + 3 * y * x + 70 * c) % 256).astype(np.uint8)).save(path)
    return path


def test_the_original_rules_are_the_defaults(jpeg: Path) -> None:
    with Image.open(jpeg) as image:
        np.testing.assert_array_equal(
            Digit(adaptive=False, like_mnist=False).to_array(jpeg, (28, 28, 1))[:, :, 0],
            digit_array(image),
        )
    with Image.open(jpeg) as image:
        np.testing.assert_array_equal(
            Thumbnail().to_array(jpeg, (32, 32, 3)), image_to_cifar_array(image)
        )


def test_defaults_are_those_of_the_originals_notebooks() -> None:
    """Webcam notebooks: contrast 3, brightness 4, a border of 80 pixels; white paper."""
    assert Digit() == Digit(3.0, 4.0, None, 80, True, True)
    assert Thumbnail() == Thumbnail((255, 255, 255))
    told = inspect.signature(digit_array).parameters
    for name in ("contrast", "brightness", "cut", "border"):
        assert told[name].default == getattr(Digit(), name)


def test_a_file_and_an_undecoded_picture_give_the_same(jpeg: Path) -> None:
    expected = Thumbnail().to_array(jpeg, (32, 32, 3))
    with Image.open(jpeg) as image, Image.open(BytesIO(jpeg.read_bytes())) as in_memory:
        for _ in range(2):  # the first does not change them
            np.testing.assert_array_equal(Thumbnail().to_array(image, (32, 32, 3)), expected)
            np.testing.assert_array_equal(Thumbnail().to_array(in_memory, (32, 32, 3)), expected)
        image.load()
        assert (Thumbnail().to_array(image, (32, 32, 3)) != expected).any()


@pytest.mark.parametrize("shape", [(32, 32), (32, 32, 4), (0, 32, 3), (32, 32, 3, 1)])
def test_shapes_that_are_no_picture(jpeg: Path, shape: Any) -> None:
    with pytest.raises(InputError, match="cannot fill an input of shape"):
        Stretch().to_array(jpeg, shape)


def test_errors_name_the_file(jpeg: Path) -> None:
    jpeg.write_bytes(jpeg.read_bytes()[:3000])
    with pytest.raises(DataError, match=f"^{jpeg}: cannot be read as a picture: "):
        Thumbnail().to_array(jpeg, (32, 32, 3))
    with (
        Image.open(jpeg) as image,
        pytest.raises(DataError, match=f"^{jpeg}: cannot be read as a picture: "),
    ):
        Thumbnail().to_array(image, (32, 32, 3))


def test_a_closed_picture_is_an_error(jpeg: Path) -> None:
    with Image.open(jpeg) as image:
        pass
    with pytest.raises(DataError, match=f"^{jpeg}: cannot be read as a picture: "):
        Thumbnail().to_array(image, (32, 32, 3))

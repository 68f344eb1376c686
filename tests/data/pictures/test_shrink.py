# SPDX-License-Identifier: BSD-3-Clause
"""The gap of a preparation: Pillow's own ``reducing_gap``, of pictures and of arrays alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

import bnn
from bnn.data.pictures.pillow import Resampling
from bnn.data.pictures.preprocess import (
    GAP,
    MAX_GAP,
    OnBlack,
    Preprocess,
    Stretch,
    Thumbnail,
    for_training,
)
from bnn.data.pictures.rules import MAX_SIDE, fitted
from bnn.data.pictures.shrink import averages, boxes, resized, resized_array
from bnn.errors import DataError, ModelFileError

FILTERS = st.sampled_from([Resampling.LANCZOS, Resampling.BILINEAR, Resampling.BICUBIC])


def _pixels(seed: int, height: int, width: int, channels: int | None = 3) -> NDArray[np.uint8]:
    shape = (height, width) if channels is None else (height, width, channels)
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, shape, np.uint8)
    # Whole areas of the extremes: the largest sums, and what a filter overshoots.
    pixels[: height // 3] = 255
    pixels[:, : width // 4] = random.choice(np.array([0, 255], np.uint8))
    return pixels


@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from([None, 1, 3]),
    st.integers(0, 99),
)
def test_averages_are_those_of_pillow(
    height: int, width: int, across: int, down: int, channels: int | None, seed: int
) -> None:
    pixels = _pixels(seed, height, width, channels)
    flat = pixels[..., 0] if channels == 1 else pixels
    wanted = np.asarray(Image.fromarray(flat).reduce((across, down)))
    assert (averages(pixels, (across, down)).reshape(wanted.shape) == wanted).all()


@pytest.mark.parametrize("level", [0, 1, 127, 254, 255])
@pytest.mark.parametrize("box", [(1, 300), (300, 1), (257, 258), (256, 257), (700, 300), (3, 3)])
def test_large_boxes_are_exact(box: tuple[int, int], level: int) -> None:
    pixels = np.full((300, 700), level, np.uint8)
    pixels[::7, ::3] = 255 - level
    wanted = np.asarray(Image.fromarray(pixels).reduce(box))
    assert (averages(pixels, box) == wanted).all()


@settings(deadline=None)
@given(
    st.integers(1, 200),
    st.integers(1, 200),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.integers(1, 4),
    FILTERS,
    st.booleans(),
)
def test_arrays_and_pictures_are_equal(
    height: int, width: int, size: tuple[int, int], gap: int, filter_: Resampling, grey: bool
) -> None:
    pixels = _pixels(height, height, width, None if grey else 3)
    one = resized(Image.fromarray(pixels), size, filter_, gap)
    other = resized_array(pixels, size, filter_, gap)
    assert one.size == other.size == size
    assert (np.asarray(one) == np.asarray(other)).all()


@given(st.integers(1, 60), st.integers(1, 90), st.integers(1, 3), FILTERS)
def test_a_row_and_a_column_are_pillows_reducing_gap(
    length: int, target: int, gap: int, filter_: Resampling
) -> None:
    """In one direction Pillow's order does not matter, so its own option gives the same bytes."""
    line = _pixels(length, 1, length * 5)
    for pixels, size in ((line, (target, 1)), (line.transpose(1, 0, 2).copy(), (1, target))):
        image = Image.fromarray(pixels)
        wanted = image.resize(size, filter_, reducing_gap=float(gap))
        assert (np.asarray(resized(image, size, filter_, gap)) == np.asarray(wanted)).all()


def test_boxes_leave_the_gap() -> None:
    assert boxes((640, 480), (32, 24), 2) == (10, 10)
    assert boxes((640, 480), (32, 24), None) == (1, 1)
    assert boxes((63, 64), (32, 32), 1) == (1, 2)
    assert boxes((10, 1000), (32, 32), 1) == (1, 31)
    assert boxes((65_535, 65_535), (1, 1), 1) == (2048, 2048)


def test_the_largest_box_is_exact() -> None:
    pixels = np.full((2048, 4096), 255, np.uint8)
    pixels[:, ::5] = 254
    wanted = np.asarray(Image.fromarray(pixels).reduce(2048))
    assert (averages(pixels, (2048, 2048)) == wanted).all()
    assert int(wanted.max()) in (254, 255)


@given(st.integers(1, 500), st.integers(1, 500), st.integers(1, MAX_GAP))
def test_at_least_the_gap_remains(width: int, height: int, gap: int) -> None:
    target = fitted((width, height), (32, 32))
    box = boxes((width, height), target, gap)
    for side, one, wanted in zip((width, height), box, target, strict=True):
        assert one == 1 or side // one >= gap * wanted
        assert side // (one + 1) < gap * wanted


@pytest.mark.parametrize("gap", [None, 1, 2, 3])
@pytest.mark.parametrize("rule", [Thumbnail((9, 80, 200)), Stretch(), OnBlack()])
@pytest.mark.parametrize("channels", [1, 3])
def test_each_kind_of_picture_gives_the_same_bytes(
    rule: Preprocess, gap: int | None, channels: int
) -> None:
    """An array, one in OpenCV's order, a view, and the picture of the array."""
    rule = replace(rule, gap=gap)  # type: ignore[call-arg]
    for seed, (height, width) in enumerate([(48, 64), (97, 131), (131, 40), (20, 20), (32, 32)]):
        frame = _pixels(seed, height, width)
        shape = (32, 32, channels)
        wanted = rule.to_array(Image.fromarray(frame), shape)
        back = frame[..., ::-1]
        found = [
            rule.of_array(frame, shape, "x"),
            rule.of_array(np.ascontiguousarray(back), shape, "x", bgr=True),
            rule.of_array(back, shape, "x", bgr=True),
            rule.of_array(np.repeat(frame, 2, axis=1)[:, ::2], shape, "x"),
            rule.of_array(np.asfortranarray(frame), shape, "x"),
        ]
        for one in found:
            assert one.shape == shape
            assert one.dtype == np.uint8
            assert (one == wanted).all()


@pytest.mark.parametrize("gap", [None, 2])
def test_alpha_in_opencvs_order(gap: int | None) -> None:
    frame = _pixels(3, 70, 90, 4)
    frame[30:, :, 3] = 255
    rule = Thumbnail((9, 80, 200), gap=gap)
    wanted = rule.to_array(Image.fromarray(frame), (32, 32, 3))
    other = frame[..., [2, 1, 0, 3]]
    assert (rule.of_array(other, (32, 32, 3), "x", bgr=True) == wanted).all()
    assert (rule.of_array(frame, (32, 32, 3), "x") == wanted).all()


def test_a_gap_changes_large_pictures_only() -> None:
    plain, gapped = Thumbnail(), Thumbnail(gap=2)
    small = Image.fromarray(_pixels(1, 60, 60))
    large = Image.fromarray(_pixels(1, 480, 640))
    shape = (32, 32, 3)
    assert (plain.to_array(small, shape) == gapped.to_array(small, shape)).all()
    assert not (plain.to_array(large, shape) == gapped.to_array(large, shape)).all()


def test_files_without_a_gap_are_as_they_were() -> None:
    assert Thumbnail().to_json() == {"kind": "thumbnail", "background": (255, 255, 255)}
    assert Stretch().to_json() == {"kind": "stretch"}
    assert Stretch(gap=3).to_json() == {"kind": "stretch", "gap": 3}
    assert Preprocess.from_json({"kind": "stretch"}) == Stretch(gap=None)
    assert Preprocess.from_json({"kind": "on-black", "gap": 2}) == OnBlack(gap=2)
    assert Preprocess.from_json({"kind": "on-black", "gap": None}) == OnBlack()


@pytest.mark.parametrize("gap", [0, -1, MAX_GAP + 1, 2.0, True, "2", [2]])
@pytest.mark.parametrize("kind", ["thumbnail", "stretch", "on-black"])
def test_other_gaps_are_refused_by_name(kind: str, gap: object) -> None:
    value = {"kind": kind, "gap": gap}
    if kind == "thumbnail":
        value["background"] = [0, 0, 0]
    with pytest.raises(ModelFileError, match="gap must be an integer from 1 to 16"):
        Preprocess.from_json(value)


def test_digits_have_no_gap() -> None:
    described = {**for_training("digit").to_json(), "gap": 2}
    with pytest.raises(ModelFileError, match="digit: missing or unknown gap"):
        Preprocess.from_json(described)


def test_new_models_have_the_gap_and_bundled_ones_do_not() -> None:
    assert for_training("thumbnail") == Thumbnail(gap=GAP)
    assert for_training("stretch", None) == Stretch()
    assert bnn.load("cnv-w1a1").preprocess == Thumbnail()


def test_long_sides_are_refused_before_anything_is_done() -> None:
    frame = np.broadcast_to(np.uint8(7), (1, MAX_SIDE + 1, 3))
    for gap in (None, 2):
        with pytest.raises(DataError, match=f"picture 4: has {MAX_SIDE + 1} x 1 pixels"):
            Thumbnail(gap=gap).of_array(frame, (32, 32, 3), "picture 4")

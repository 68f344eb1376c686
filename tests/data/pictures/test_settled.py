# SPDX-License-Identifier: BSD-3-Clause
"""Digits that become light on black many at a time, held to the rule for one, as it is defined."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bnn.data.pictures.polarity import all_settled, changed, settled, settled_each
from bnn.data.sets import DataSet, load_test, load_train

Levels = NDArray[np.uint8]


def defined(levels: Levels) -> Levels | None:
    """The rule for one picture, by sorting its levels, in whole numbers of 32 bits."""
    ordered = np.sort(levels, axis=None)
    ground, least, most = int(ordered[(ordered.size - 1) // 2]), int(ordered[0]), int(ordered[-1])
    if ground <= 64 and most >= 128:
        return levels
    darker, lighter = ground - least, most - ground
    apart = max(darker, lighter)
    if apart < 16 or 2 * min(darker, lighter) > apart:
        return None
    away = np.abs(levels.astype(np.int32) - ground)
    if 10 * int(((away <= 32) & (4 * away <= apart)).sum()) < 6 * levels.size:
        return None
    sign = -1 if darker > lighter else 1
    scaled = (sign * (levels.astype(np.int32) - ground) * 255 + apart // 2) // apart
    return np.clip(scaled, 0, 255).astype(np.uint8)


def hold(pictures: Levels) -> int:
    """Hold every way of the package to `defined`; return how many pictures were recognised."""
    kept = pictures.copy()
    made, unknown = settled_each(pictures)
    all_made, differ = all_settled(pictures[..., None])[..., 0], changed(pictures)
    wanted = [defined(levels) for levels in pictures]
    assert unknown.tolist() == [levels is None for levels in wanted]
    ready = [
        one if levels is None else levels for one, levels in zip(pictures, wanted, strict=True)
    ]
    expected = np.stack(ready) if ready else pictures
    np.testing.assert_array_equal(made, expected)
    np.testing.assert_array_equal(all_made, expected)
    assert differ.tolist() == (expected != pictures).any(axis=(1, 2)).tolist()
    np.testing.assert_array_equal(pictures, kept)
    return len(pictures) - int(unknown.sum())


@given(
    st.integers(0, 255), st.integers(0, 255), st.integers(0, 60), st.floats(0, 0.6),
    st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 30),
)  # fmt: skip
def test_drawn_pictures(
    ground: int, stroke: int, noise: int, share: float, seed: int, height: int, width: int
) -> None:
    random = np.random.default_rng(seed)
    levels = np.where(random.random((4, height, width)) < share, stroke, ground)
    levels = levels + random.integers(-noise, noise + 1, levels.shape)
    pictures = levels.clip(0, 255).astype(np.uint8)
    hold(pictures)
    for levels in pictures:
        alone, wanted = settled(levels), defined(levels)
        assert (alone is levels) == (wanted is levels)
        assert (alone is None) == (wanted is None)
        if alone is not None and wanted is not None:
            np.testing.assert_array_equal(alone, wanted)


def test_every_ground_and_stroke() -> None:
    # Nine pixels of ten are ground, one is a stroke, one is between: all limits and roundings.
    grounds, strokes = np.meshgrid(np.arange(256), np.arange(256), indexing="ij")
    between = (grounds + 2 * strokes) // 3
    pictures = np.repeat(grounds.reshape(-1, 1, 1), 20, axis=1).repeat(1, axis=2)
    pictures[:, 3, 0], pictures[:, 9, 0] = strokes.ravel(), between.ravel()
    assert hold(pictures.astype(np.uint8)) > 50_000


@pytest.mark.parametrize("step", [1, 3, 7, 40])
def test_every_number_of_pixels_of_ground(step: int) -> None:
    # Beside the ground there are levels at one end or both: up to the limit of the ground's share.
    made = []
    for count in range(101):
        picture = np.full(100, 200, np.uint8)
        picture[:count] = 200 - step * (np.arange(count) % 5)
        picture[count // 2] = 10
        made.append(picture.reshape(10, 10))
    hold(np.stack(made))
    hold(255 - np.stack(made))


def test_no_picture_and_parts_of_many() -> None:
    assert hold(np.zeros((0, 28, 28), np.uint8)) == 0
    many = np.full((1500, 6, 5), 240, np.uint8)
    many[::2, 2:4, 1:4] = np.arange(750, dtype=np.uint16).astype(np.uint8)[:, None, None]
    many[1::3] = 255 - many[1::3]
    assert hold(many) > 500
    assert hold(many[::-1, ::2, ::-1]) > 100  # a view that is not contiguous


@pytest.mark.parametrize("part", ["test", "train"])
def test_all_of_mnist(part: str) -> None:
    if not os.environ.get("BNN_DATA"):
        pytest.skip("BNN_DATA is not set")
    data = load_test("mnist") if part == "test" else load_train("mnist")
    assert isinstance(data, DataSet)
    images = data.images[..., 0]
    assert hold(images) == len(images)
    # One digit of the training part is so thick that its paper covers under 60 % of it.
    assert hold(255 - images) == len(images) - (part == "train")

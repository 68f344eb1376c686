# SPDX-License-Identifier: BSD-3-Clause
"""Squares of a frame: where they lie, that every pixel is in one, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import bnn
from bnn.errors import InputError


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 12), st.integers(1, 12))
def test_every_pixel_is_in_a_tile(height: int, width: int, size: int, stride: int) -> None:
    frame = np.arange(height * width, dtype=np.uint8).reshape(height, width)
    if min(height, width) < size:
        with pytest.raises(InputError, match="has no tile of"):
            bnn.tiles(frame, size, stride)
        return
    pictures, boxes = bnn.tiles(frame, size, stride)
    covered = np.zeros((height, width), bool)
    for picture, (left, top, right, bottom) in zip(pictures, boxes.tolist(), strict=True):
        assert (right - left, bottom - top) == (size, size)
        assert np.array_equal(picture, frame[top:bottom, left:right])
        covered[top:bottom, left:right] = True
    assert len(set(map(tuple, boxes.tolist()))) == len(boxes)
    assert covered.all() or stride > size
    assert covered[0, 0]
    assert covered[-1, -1]


def test_boxes_are_in_rows_from_the_top_left() -> None:
    pictures, boxes = bnn.tiles(np.zeros((5, 7, 3), np.uint8), 4, 2)
    assert pictures.shape == (6, 4, 4, 3)
    assert boxes.dtype == np.int32
    assert boxes.tolist()[:4] == [[0, 0, 4, 4], [2, 0, 6, 4], [3, 0, 7, 4], [0, 1, 4, 5]]


def test_pictures_and_files_as_arrays(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (9, 8, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    image.save(tmp_path / "f.png")
    expected = bnn.tiles(pixels, 4, 4)
    for frame in (image, tmp_path / "f.png", str(tmp_path / "f.png")):
        found = bnn.tiles(frame, 4, 4)
        assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize(
    ("frame", "size", "stride", "reason"),
    [
        (np.zeros((4, 4), np.uint8), 0, 1, "size is a whole number"),
        (np.zeros((4, 4), np.uint8), 2, 0, "stride is a whole number"),
        (np.zeros((4, 4), np.uint8), True, 1, "size is a whole number"),
        (np.zeros((4, 4), np.uint8), 2, 1.5, "stride is a whole number"),
        (np.zeros((4, 4), float), 2, 1, "uint8"),
        (np.zeros((4, 4, 2), np.uint8), 2, 1, "uint8"),
        (np.zeros((2, 4, 4, 3), np.uint8), 2, 1, "uint8"),
        ([1, 2], 2, 1, "not a list"),
        (np.zeros((2000, 2000), np.uint8), 100, 1, "too much memory"),
    ],
)
def test_what_is_refused(frame: Any, size: Any, stride: Any, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        bnn.tiles(frame, size, stride)

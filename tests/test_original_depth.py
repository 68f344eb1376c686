# SPDX-License-Identifier: BSD-3-Clause
"""The original's Pillow cut deep pictures down to 255; ours takes those that fit 8 bits."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from bnn import original
from bnn.errors import DataError


@pytest.mark.parametrize("mode", ["I", "F"])
@pytest.mark.parametrize(
    ("value", "fits"), [(0, True), (128, True), (255, True), (256, False), (-1, False)]
)
def test_values_at_the_ends_of_8_bits(mode: str, value: int, fits: bool) -> None:
    levels = np.full((4, 5), 7, np.int32 if mode == "I" else np.float32)
    levels[2, 3] = value
    picture = Image.fromarray(levels)
    assert picture.mode == mode
    if fits:
        original._check_depth(picture)
        return
    with pytest.raises(DataError, match=f"of mode {mode} with values that do not fit 8 bits"):
        original._check_depth(picture)


def test_fractions() -> None:
    with pytest.raises(DataError, match="do not fit 8 bits"):
        original._check_depth(Image.fromarray(np.full((2, 2), 7.5, np.float32)))
    original._check_depth(Image.fromarray(np.full((2, 2), 250, np.uint8)))

# SPDX-License-Identifier: BSD-3-Clause
"""A light stroke is a digit of its own only if little else in the picture is light."""

from __future__ import annotations

import numpy as np
import pytest

from bnn.data.pictures.parts import is_all_light


@pytest.mark.parametrize("times", [1, 2, 3, 5])
@pytest.mark.parametrize("others", [0, 1, 40])
def test_the_share_of_what_is_light(times: int, others: int) -> None:
    """``found`` may be of a smaller picture than the one that is asked about."""
    found = np.zeros((24, 20), np.bool_)
    found[4:18, 8:12] = True
    levels = np.full(found.shape, 20, np.uint8)
    levels[found] = 230
    levels[20, :others] = 230  # a row of the sheet's edge, at most as long as it is wide
    if others > found.shape[1]:
        levels[:3] = 230
    grey = np.kron(levels, np.ones((times, times), np.uint8))
    assert is_all_light(grey, found) == (others < 20)

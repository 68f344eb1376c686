# SPDX-License-Identifier: BSD-3-Clause
"""The noise that a model should refuse."""

from __future__ import annotations

import numpy as np

from bnn.measure.calibration import NOISE, noise


def test_every_level_is_as_likely_and_it_is_the_same_each_time() -> None:
    found = noise((8, 8, 3))
    assert found.shape == (NOISE, 8, 8, 3)
    assert NOISE == 1000
    counts = np.bincount(found.ravel(), minlength=256)
    assert counts.min() > 0.8 * counts.mean()
    assert counts.max() < 1.2 * counts.mean()
    assert (noise((8, 8, 3)) == found).all()

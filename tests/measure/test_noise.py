# SPDX-License-Identifier: BSD-3-Clause
"""The noise that a model should refuse."""

from __future__ import annotations

import numpy as np
import pytest

from bnn.measure import calibration
from bnn.measure.calibration import NOISE, noise


def test_every_level_is_as_likely_and_it_is_the_same_each_time() -> None:
    found = noise((8, 8, 3))
    assert found.shape == (NOISE, 8, 8, 3)
    assert NOISE == 1000
    counts = np.bincount(found.ravel(), minlength=256)
    assert counts.min() > 0.8 * counts.mean()
    assert counts.max() < 1.2 * counts.mean()
    assert (noise((8, 8, 3)) == found).all()


def test_the_noise_of_all_figures_so_far() -> None:
    """Cards and pages have figures of this very noise."""
    assert (
        noise((4,))[:2].tolist()
        == np.random.default_rng(20).integers(0, 256, (1000, 4), dtype=np.uint8)[:2].tolist()
    )


def test_a_temperature_alone_may_leave_just_the_largest_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    random = np.random.default_rng(6)
    logits = random.normal(0, 3, (400, 3))
    labels = (logits + random.gumbel(0, 1, logits.shape)).argmax(axis=1)
    logits = np.sign(logits) * np.abs(logits) ** 1.7  # a temperature alone does not mend this
    plain = calibration._best_temperature(logits, labels, 1.0)
    assert plain is not None
    left = calibration.error_of(plain, logits, labels)
    monkeypatch.setattr(calibration, "MAX_ERROR", left)
    assert calibration.find_calibration(logits, labels) == plain
    monkeypatch.setattr(calibration, "MAX_ERROR", np.nextafter(left, 0))
    found = calibration.find_calibration(logits, labels)
    assert found is not None
    assert found.exponent != 1

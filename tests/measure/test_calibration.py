# SPDX-License-Identifier: BSD-3-Clause
"""Calibrations are found where they are known, and what they promise is measured."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bnn.measure.calibration import (
    MIN_PICTURES,
    calibration_error,
    error_of,
    find_calibration,
    noise,
    reliability,
    trade,
)
from bnn.model.calibration import Calibration

Drawn = tuple[NDArray[np.float64], NDArray[np.int64]]


def _drawn(true: Calibration, count: int = 20_000, seed: int = 1) -> Drawn:
    """Logits, and labels that are drawn from the probabilities that ``true`` says."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 3, (count, 5))
    shares = true.probabilities(logits)
    labels = (shares.cumsum(axis=1) < random.random((count, 1))).sum(axis=1)
    return logits, np.minimum(labels, 4)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_a_temperature_is_found_where_it_is_known(temperature: float) -> None:
    found = find_calibration(*_drawn(Calibration(temperature)))
    assert found is not None
    assert found.exponent == 1
    assert found.temperature == pytest.approx(temperature, rel=0.05)


def test_an_exponent_is_found_where_a_temperature_does_not_suffice() -> None:
    logits, labels = _drawn(Calibration(2.0, 2.5), 8000)
    found = find_calibration(logits, labels)
    assert found is not None
    assert found.exponent == pytest.approx(2.5, abs=0.3)
    assert error_of(found, logits, labels) < 0.02


@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e4])
def test_the_unit_of_the_logits_does_not_matter(unit: float) -> None:
    logits, labels = _drawn(Calibration(1.5), 5000)
    found = find_calibration(unit * logits, labels)
    base = find_calibration(logits, labels)
    assert found is not None
    assert base is not None
    assert found.temperature == pytest.approx(unit * base.temperature, rel=1e-6)


def test_too_little_to_say_how_sure() -> None:
    logits, labels = _drawn(Calibration(1.0), MIN_PICTURES)
    assert find_calibration(logits, labels) is not None
    assert find_calibration(logits[1:], labels[1:]) is None
    right = logits.argmax(axis=1)
    assert find_calibration(logits, right) is None
    for wrong, known in ((2, False), (3, True)):
        answers = right.copy()
        answers[:wrong] = (right[:wrong] + 1) % 5
        assert (find_calibration(logits, answers) is not None) is known
    assert find_calibration(logits, (right + 1) % 5) is None  # worse than chance
    assert find_calibration(np.zeros((0, 5)), np.zeros(0, np.int64)) is None


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=9),
    st.floats(1e-3, 1e3),
    st.floats(0.25, 4),
)
def test_probabilities_keep_the_order_and_add_up(
    values: list[float], temperature: float, exponent: float
) -> None:
    logits = np.array([values])
    shares = Calibration(temperature, exponent).probabilities(logits)[0]
    assert shares.sum() == pytest.approx(1)
    assert (shares >= 0).all()
    order = np.argsort(logits[0], kind="stable")
    assert (np.diff(shares[order]) >= 0).all()


def test_with_the_exponent_1_it_is_softmax() -> None:
    logits = np.array([[1.0, 2.0, 4.0]])
    powers = np.exp(logits / 0.5)
    expected = powers / powers.sum()
    assert Calibration(0.5).probabilities(logits) == pytest.approx(expected)


def test_the_error_is_the_mean_distance_of_the_bins() -> None:
    sure = np.array([0.95, 0.95, 0.95, 0.95, 0.5, 1.0])
    right = np.array([True, True, True, False, False, True])
    bins = reliability(sure, right)
    assert [one.images for one in bins if one.images] == [1, 5]
    assert bins[-1].probability == pytest.approx((4 * 0.95 + 1) / 5)
    assert bins[-1].accuracy == pytest.approx(0.8)
    assert calibration_error(bins) == pytest.approx((1 * 0.5 + 5 * 0.16) / 6)
    assert calibration_error(()) == 0


def test_what_rejecting_costs_and_gives() -> None:
    sure = np.array([0.9, 0.8, 0.7, 0.6])
    right = np.array([True, False, True, False])
    found = trade(0.8, sure, right, {"noise": np.array([0.79, 0.8])})
    assert (found.right_kept, found.wrong_refused, found.refused) == (0.5, 0.5, {"noise": 0.5})
    assert found.text() == (
        "below 80 %: 50.0 % of the right answers kept; refused: 50.0 % of the wrong answers, "
        "50.0 % of noise"
    )
    all_right = trade(0.5, sure, np.ones(4, bool), {})
    assert (all_right.right_kept, all_right.wrong_refused) == (1, None)
    assert all_right.text() == (
        "below 50 %: 100.0 % of the right answers kept; refused: nothing to refuse"
    )
    none_right = trade(0.5, sure, np.zeros(4, bool), {})
    assert none_right.text() == (
        "below 50 %: no answer is right; refused: 0.0 % of the wrong answers"
    )


def test_noise_is_the_same_each_time() -> None:
    assert noise((2, 3, 1)).shape == (1000, 2, 3, 1)
    assert np.array_equal(noise((2, 2, 3)), noise((2, 2, 3)))

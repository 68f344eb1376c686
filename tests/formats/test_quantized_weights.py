# SPDX-License-Identifier: BSD-3-Clause
"""Real weights that are small integers times a scale, and numbers of C, at their limits."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnn.errors import FormatError
from bnn.formats import weights
from bnn.formats.c.constants import _number
from bnn.formats.qonnx.rules.activations import _at_least
from bnn.formats.weights import from_any, from_real
from bnn.model.figures import _numbers
from bnn.program.precision import BIPOLAR, INT, TERNARY, UINT, Precision

FEW = settings(max_examples=60, deadline=None)


@FEW
@given(
    st.lists(st.lists(st.integers(-127, 127), min_size=2, max_size=4), min_size=1, max_size=3),
    st.sampled_from([1.0, 0.1, 3.7, 1e-6, 1e6]),
)
def test_integers_times_a_scale_are_found(rows: list[list[int]], scale: float) -> None:
    """Times their scales they are the weights; the precision holds them and is no wider."""
    real = np.array([[row[0], 1] for row in rows], np.float32) * np.float32(scale)
    found = from_real(real, "here")
    back = found.integers.astype(np.float64) * found.scale.astype(np.float64).reshape(-1, 1)
    assert np.allclose(back, real, rtol=2e-6, atol=0)
    low, high = int(found.integers.min()), int(found.integers.max())
    assert found.precision.low <= low <= high <= found.precision.high
    if low < 0 and found.precision != BIPOLAR:
        assert found.precision == INT(found.precision.bits, narrow=True)
        assert max(-low, high) > (1 << found.precision.bits - 2) - 1


@pytest.mark.parametrize(
    ("integers", "precision"),
    [
        ([[1, -1], [1, 1]], BIPOLAR),
        ([[-1, -1]], BIPOLAR),
        ([[0, 1]], UINT(1)),
        ([[0, 0]], UINT(1)),
        ([[2, 3]], UINT(2)),
        ([[1, 4]], UINT(3)),
        ([[0, -1]], TERNARY),
        ([[1, 0], [0, -1]], TERNARY),
        ([[3, -3]], INT(3, narrow=True)),
        ([[3, -4]], INT(4, narrow=True)),
        ([[127, -1]], INT(8, narrow=True)),
    ],
)
def test_the_precision_of_integers(integers: list[list[int]], precision: Precision) -> None:
    assert weights._precision(np.array(integers)) == precision
    assert from_real(np.array(integers, np.float32), "here").precision == precision


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ([127.0, 1.0], [127, 1]),
        ([12.7, -0.1], [127, -1]),
        ([0.5, 0.5 * 15 / 16], [16, 15]),
        ([0.0, 0.0], [0, 0]),
        ([0.25, 0.0], [1, 0]),
        ([3.0, 2.0], [3, 2]),  # whole numbers are kept
        ([1.5, 1.0], [3, 2]),
    ],
)
def test_integers_of_one_row(row: list[float], found: list[int]) -> None:
    made = from_real(np.array([row], np.float32), "here")
    assert made.integers.tolist() == [found]
    assert (made.integers * made.scale).tolist() == [pytest.approx(row, rel=1e-6)]


def test_no_integers_but_a_power_of_two() -> None:
    """Fixed point: up to 15 bits and a sign, of one unit for all rows."""
    row = np.array([[1.0, 2**-14, 2**-13 + 2**-14, -0.5]])
    made = from_real(row, "here")
    assert made.scale.tolist() == [2**-14]
    assert made.integers.tolist() == [[1 << 14, 1, 3, -(1 << 13)]]
    assert made.precision == INT(16, narrow=True)
    with pytest.raises(FormatError, match=r"^here: its weights are not quantized"):
        from_real(row + 2**-15, "here")
    for bad in (np.inf, np.nan):
        with pytest.raises(FormatError, match=r"^here: weights are not finite$"):
            from_real(np.array([[1.0, bad]]), "here")
        with pytest.raises(FormatError, match="are not finite"):
            from_any(np.array([[1.0, bad]]), "here")


def test_a_weight_that_rounds_up_to_25_bits_stays_within_24() -> None:
    most = np.nextafter(1.0, 0.0)
    found = from_any(np.array([[most, 0.3], [-most, 0.7], [2.0**-24 * 3.5, most]]), "here")
    assert found.integers[:, 0].tolist() == [2**24 - 1, 1 - 2**24, 4]
    assert found.integers[2, 1] == 2**24 - 1


@FEW
@given(st.integers(0, 99), st.integers(-30, 30))
def test_any_weights_have_24_bits(seed: int, power: int) -> None:
    real = np.random.default_rng(seed).normal(size=(3, 4)) * 2.0**power
    real[1] = 0
    found = from_any(real, "here")
    assert found.precision == INT(25, narrow=True)
    assert found.integers.dtype == np.int32
    back = found.integers * found.scale[:, None].astype(np.float64)
    top = np.abs(real).max(axis=1, keepdims=True)
    assert (np.abs(back - real) <= top * 2.0**-24).all()
    assert (np.abs(found.integers[[0, 2]]).max(axis=1) >= 1 << 23).all()
    assert found.scale[1] == 1
    assert not found.integers[1].any()
    assert np.abs(found.integers).max() < 1 << 24


# --- numbers in C ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [s * (1 << n) + d for n in (0, 7, 15, 31, 32, 62) for s in (1, -1) for d in (-1, 0, 1)]
    + [-(1 << 63), (1 << 63) - 1, 1 - (1 << 63), 0],
)
def test_integers_of_c(value: int) -> None:
    """Each literal is no larger than its type holds, and the value is the same."""
    text = _number(value)
    terms = re.findall(r"(-?) ?(\d+)", text.replace("INT64_C(", "").replace(")", ""))
    assert sum(int(sign + digits) for sign, digits in terms) == value
    for wide, digits in re.findall(r"(INT64_C\()?-?(\d+)", text):
        assert int(digits) < 1 << (63 if wide else 31)
    assert ("INT64_C" in text) == (not -(1 << 31) <= value < 1 << 31)


# --- thresholds of float32 ----------------------------------------------------------------------


@FEW
@given(st.floats(-1e30, 1e30))
def test_the_smallest_float_that_reaches(value: float) -> None:
    found = _at_least(np.array([value]))
    assert found.dtype == np.float32
    assert Fraction(float(found[0])) >= Fraction(value)
    below = np.nextafter(found[0], np.float32(-np.inf))
    assert Fraction(float(below)) < Fraction(value)


# --- numbers of channels in texts -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([0.5], "0.5"),
        ([0.5, 0.5, 0.5, 0.5, 0.5], "0.5"),
        ([-0.0], "0"),
        ([1.0, 2.0], "(1, 2 by channel)"),
        ([1.0, 2.0, 2.0, -0.25], "(1, 2, 2, -0.25 by channel)"),
        ([1.0, 9.0, 2.0, -0.25, 3.0], "(-0.25 .. 9 by channel)"),
        ([1.0, 1.00000001], "1"),
    ],
)
def test_numbers_of_channels(values: list[float], text: str) -> None:
    found: Any = _numbers(np.array(values))
    assert found == text

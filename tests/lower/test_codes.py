# SPDX-License-Identifier: BSD-3-Clause
"""Codes of activations, parts of real weights, and names of operations, from their definitions."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnn.errors import NetworkError
from bnn.lower import codes, limbs
from bnn.lower.codes import Coding, coding, signed_bits, tightest
from bnn.lower.emit import _identifiers
from bnn.program.precision import BIPOLAR, INT, UINT

FEW = settings(max_examples=80, deadline=None)
ends = st.sampled_from(
    [n + d for n in (0, 1, 2, 127, 128, 255, 256, 32767, 32768) for d in (-1, 0, 1)]
)


@FEW
@given(st.lists(ends | ends.map(lambda n: -n), min_size=1, max_size=3), st.booleans())
def test_the_narrowest_precision(values: list[int], two: bool) -> None:
    """Nothing narrower has all; unsigned where nothing is negative."""
    found = tightest(values, two)
    low, high = min(values), max(values)
    if two and {*values} == {-1, 1}:
        assert found == BIPOLAR
        return
    assert found.low <= low <= high <= found.high
    assert (found.low >= 0) == (low >= 0)
    if found.bits > 1 and high >= 0:
        less = UINT(found.bits - 1) if low >= 0 else INT(found.bits - 1)
        assert not less.low <= low <= high <= less.high
    if low < 0:
        narrow = found.bits > 1 and low > -(1 << found.bits - 1)
        assert found == INT(found.bits, narrow=narrow)


@pytest.mark.parametrize(
    ("low", "high", "bits"),
    [
        *((0, 0, 1), (-1, 0, 1), (-1, 1, 2), (-2, 1, 2), (-2, 2, 3), (0, 1, 2), (-3, 0, 3)),
        *((-128, 127, 8), (-129, 0, 9), (0, 128, 9), (-1, 127, 8), (3, 5, 4), (-5, -2, 4)),
    ],
)
def test_bits_in_twos_complement(low: int, high: int, bits: int) -> None:
    assert signed_bits(low, high) == bits


def layer(base: int, step: int, levels: int) -> Any:
    return SimpleNamespace(name="a", base=base, step=step, levels=levels)


@pytest.mark.parametrize(
    ("given_layer", "pads", "found"),
    [
        (layer(-1, 2, 1), [], Coding(BIPOLAR, -1, 2)),
        (layer(-1, 2, 1), [1], Coding(BIPOLAR, -1, 2)),
        (layer(-1, 2, 1), [0], Coding(INT(2, narrow=True), -1, 2)),
        (layer(-1, 1, 2), [], Coding(INT(2, narrow=True), -1, 1)),
        (layer(0, 1, 255), [], Coding(UINT(8), 0, 1)),
        # 9 bits: the numbers of the levels
        (layer(0, 2, 128), [], Coding(UINT(8), 0, 1, 2, 0)),
        (layer(-300, 100, 6), [0], Coding(UINT(3), 0, 1, 100, -300)),
        (layer(-300, 100, 6), [400], Coding(UINT(3), 0, 1, 100, -300)),
        (layer(-300, 100, 6), [-400], Coding(INT(4, narrow=True), 0, 1, 100, -300)),
        # a pad value between two levels: the whole numbers in 16 bits
        (layer(-300, 100, 6), [50], Coding(INT(10, narrow=True), -300, 100)),
        (layer(0, 1, 256), [], Coding(UINT(9), 0, 1)),
        (layer(0, 1, 65535), [], Coding(UINT(16), 0, 1)),
        (layer(0, 2, 65535), [], Coding(UINT(16), 0, 1, 2, 0)),
        (layer(0, 70000, 3), [140000], Coding(UINT(2), 0, 1, 70000, 0)),
    ],
)
def test_which_integers_stand_for_the_values(
    given_layer: Any, pads: list[int], found: Coding
) -> None:
    assert coding(given_layer, pads) == found


@pytest.mark.parametrize(
    ("given_layer", "pads", "reason"),
    [
        (layer(0, 70000, 3), [1], "a: the next convolution's pad value must be one of its values"),
        (layer(0, 2, 65536), [], "a: its values need more than 16 bits"),
        (layer(0, 2, 3), [1 << 17], "a: its values need more than 16 bits"),
    ],
)
def test_values_without_integers(given_layer: Any, pads: list[int], reason: str) -> None:
    with pytest.raises(NetworkError, match=f"^{reason}$"):
        coding(given_layer, pads)


def test_numbers_of_levels() -> None:
    assert codes._levels(layer(3, 5, 2), [13, 18, -2]) == Coding(INT(3, narrow=True), 0, 1, 5, 3)
    assert codes._levels(layer(3, 5, 2), [14]) is None
    assert isinstance(codes._levels(layer(3, 5, 1), []), Coding)


# --- parts of real weights ---------------------------------------------------------------


@FEW
@given(
    st.integers(1, 3), st.integers(1, 40), st.sampled_from([1, 2, 127, 128, 255, 32767]),
    st.integers(0, 9),
)  # fmt: skip
def test_parts_sum_to_the_weights(rows: int, taps: int, largest: int, seed: int) -> None:
    """Up to half a unit of 23 bits; no sum of a part needs more than the bits that there are."""
    real = np.random.default_rng(seed).normal(size=(rows, taps)) * 10.0**seed
    found = limbs.parts(real, largest)
    assert found is not None
    whole = sum(one.factor[:, None] * one.integers for one in found)
    unit = np.abs(real).max(axis=1, keepdims=True) / 2.0**limbs.WEIGHT_BITS
    assert (np.abs(whole - real) <= unit / 2 * 1.0001).all()
    assert all((a.factor > b.factor).all() for a, b in pairwise(found))
    for one in found:
        sums = np.abs(one.integers.astype(np.int64)).sum(axis=1) * largest
        assert sums.max() <= 1 << limbs.SUM_BITS
        assert np.abs(one.integers).max() <= 1 << limbs.PART_BITS - 1


def test_weights_of_which_there_would_be_too_many_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limbs, "SUM_BITS", 9)
    taps = 1 << (9 + 1 - limbs.MIN_PART_BITS)
    assert limbs.parts(np.ones((1, taps)), 1) is not None
    assert limbs.parts(np.ones((1, taps + 1)), 1) is None
    assert limbs.parts(np.ones((1, taps)), 2) is None
    zeros = np.concatenate([np.ones((1, taps)), np.zeros((1, 9))], axis=1)
    assert limbs.parts(zeros, 1) is not None  # what is 0 is not added


def test_weights_of_nothing() -> None:
    found = limbs.parts(np.array([[0.0, 0.0], [1.0, -0.5]]), 1)
    assert found is not None
    whole: Any = sum(one.factor[:, None] * one.integers for one in found)
    assert whole.tolist() == [[0, 0], [1, -0.5]]


@pytest.mark.parametrize(
    ("least", "most", "bits"),
    [
        *((0, 32767, 0), (-32767, 0, 0), (0, 32768, 8), (-32768, 5, 8), (0, 65535, 8)),
        *((0, 65536, 9), (-131072, 0, 9), (0, (1 << 24) - 1, 12), (0, 1 << 24, 13)),
    ],
)
def test_halves_of_wide_integers(least: int, most: int, bits: int) -> None:
    assert limbs.halves(least, most) == bits


def test_weights_times_the_scale_of_their_row() -> None:
    found = limbs.whole_weights(np.array([[1, 2], [3, 4]], np.int16), [0.5, 10])
    assert found.tolist() == [[0.5, 1.0], [30.0, 40.0]]
    assert (
        limbs.whole_weights(np.ones((2, 1, 1, 3)), 2.0).tolist()
        == (2 * np.ones((2, 1, 1, 3))).tolist()
    )


# --- names -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["a", "b"], ["a", "b"]),
        (["a.b", "a_b", "a-b", "a/b"], ["a_b", "a_b_2", "a_b_3", "a_b_4"]),
        (["input", "0", "é"], ["input_2", "_0", "_"]),
        (["a_2", "a", "a ", "a_"], ["a_2", "a", "a_", "a__2"]),
        (["a", "a_2", "a.2", "a 2"], ["a", "a_2", "a_2_2", "a_2_3"]),
        (["a.b_2", "a.b", "a-b"], ["a_b_2", "a_b", "a_b_3"]),
    ],
)
def test_operations_have_names_of_their_own(names: list[str], found: list[str]) -> None:
    network: Any = SimpleNamespace(layers=[SimpleNamespace(name=name) for name in names])
    assert list(_identifiers(network).values()) == found

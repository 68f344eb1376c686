# SPDX-License-Identifier: BSD-3-Clause
"""HGQ's fixed point from its definition, and bits that are refused."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

from bnn.errors import FormatError
from bnn.formats.keras.fixed_point import FixedPoint, activation_of, composed, fixed_point

X = np.float32(np.concatenate([np.arange(-40, 41) / 8, [1e-3, -1e-3]]))
ROUNDINGS = ("TRN", "RND", "RND_CONV", "TRN_ZERO")


def one(
    signed: int, bits: int, whole: int, rounding: str = "TRN", wraps: bool = False
) -> FixedPoint:
    return FixedPoint(*(np.float32([n]) for n in (signed, bits, whole)), rounding, wraps)


def value(x: float, signed: int, bits: int, whole: int, rounding: str) -> float:
    """A number of so many bits, ``whole`` of them before the point with the sign."""
    if not bits:
        return 0.0
    unit = 2.0 ** (whole - bits)
    scaled = x / unit
    rounded = {
        "TRN": math.floor(scaled),
        "RND": math.floor(scaled + 0.5),
        "RND_CONV": round(scaled),
        "TRN_ZERO": math.trunc(scaled),
    }[rounding]
    low = -(2 ** (bits - 1)) if signed else 0
    return min(max(rounded, low), 2 ** (bits - signed) - 1) * unit


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_values(rounding: str) -> None:
    for signed, bits, whole in itertools.product((0, 1), (0, 1, 2, 4), (-1, 0, 1, 3)):
        if signed and not bits:
            continue
        expected = [value(float(x), signed, bits, whole, rounding) for x in X]
        found = one(signed, bits, whole, rounding)(X[:, None])[:, 0]
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_as_an_activation(rounding: str) -> None:
    for signed, bits, whole in itertools.product((0, 1), (2, 4), (0, 1, 3)):
        given = one(signed, bits, whole, rounding)
        span = (np.float64([-5]), np.float64([5]))
        made = activation_of("here", "a", [given], 1, span, "x")
        levels = made.level(X[:, None])[:, 0]
        expected = [value(float(x), signed, bits, whole, rounding) for x in X]
        found = made.scale * (made.base + made.step * levels)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("bits", [(2, 4), (4, 3), (0, 3)])
def test_bits_by_channel(rounding: str, bits: tuple[int, int]) -> None:
    given = FixedPoint(np.float32([1, 1]), np.float32(bits), np.float32([1, 2]), rounding, False)
    if 0 in bits:
        given = FixedPoint(
            np.float32([0, 1]), np.float32(bits), np.float32([0, 2]), rounding, False
        )
    both = np.stack([X, X[::-1]], axis=1)
    expected = given(both)
    made = activation_of("here", "a", [given], 2, (np.float64([-5]), np.float64([5])), "x")
    found = made.scale * (made.base + made.step * made.level(both))
    np.testing.assert_array_equal(found, expected)


def test_functions_one_after_the_other() -> None:
    chain = [one(1, 4, 3), lambda x: np.maximum(x, 0), one(0, 2, 1)]
    expected = chain[2](np.maximum(chain[0](X[:, None]), 0))
    np.testing.assert_array_equal(composed(chain)(X[:, None]), expected)
    np.testing.assert_array_equal(composed([])(X), X)
    made = activation_of("here", "a", chain, 1, (np.float64([-5]), np.float64([5])), "x")
    found = made.scale * (made.base + made.step * made.level(X[:, None]))
    np.testing.assert_array_equal(found, expected)


def arrays(**given: Any) -> list[Any]:
    plain = {"signed": [1], "bits": [4], "whole": [2]}
    return [np.asarray(each, np.float32) for each in {**plain, **given}.values()]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, ""),
        ({"signed": [0]}, ""),
        ({"signed": [2]}, "keep_negative must be 0 or 1"),
        ({"signed": [-1]}, "keep_negative must be 0 or 1"),
        ({"signed": [0.5]}, "keep_negative must be 0 or 1"),
        ({"bits": [0]}, ""),
        ({"bits": [32]}, ""),
        ({"bits": [33]}, "its bits 0 to 32"),
        ({"bits": [-1]}, "its bits 0 to 32"),
        ({"bits": [np.nan]}, "has bits that differ|its bits 0 to 32"),
        ({"bits": [3.5]}, "must be whole numbers"),
        ({"whole": [1.5]}, "must be whole numbers"),
        ({"whole": [32]}, ""),
        ({"whole": [-32]}, ""),
        ({"whole": [33]}, "more than 32 bits before its point"),
        ({"whole": [-33]}, "more than 32 bits before its point"),
        ({"bits": [4, 5, 6]}, ""),
        ({"bits": [4, 5]}, r"its bits have shape \(2,\), not \(3\)"),
        ({"bits": [4, 5, 6, 7]}, "its bits have shape"),
        ({"bits": 4}, "its bits have shape"),
        ({"bits": []}, "its bits have shape"),
        ({"bits": [[4, 5, 6]]}, ""),
        ({"bits": [[4, 5, 6], [4, 5, 6]]}, ""),
        ({"bits": [[4, 5, 6], [4, 5, 7]]}, "differ from position to position"),
    ],
)
def test_arrays_of_a_layer(given: dict[str, Any], words: str) -> None:
    if words:
        with pytest.raises(FormatError, match=words):
            fixed_point("here", arrays(**given), "TRN", "SAT", 3)
        return
    made = fixed_point("here", arrays(**given), "TRN", "SAT", 3)
    assert made.bits.size == (3 if np.size(given.get("bits", 0)) > 1 else 1)
    assert not made.wraps
    assert fixed_point("here", arrays(**given), "RND", "WRAP", 3).wraps


def test_what_cannot_be_held() -> None:
    given = one(1, 12, 4)
    span = (np.float64([-5]), np.float64([5]))
    chain = [one(1, 2, 2), lambda x: x * x, one(0, 3, 3)]
    with pytest.raises(FormatError, match=r"here: .*(fall|neither)"):
        activation_of("here", "a", chain, 1, (np.float64([-2]), np.float64([1])), "x")
    falling = [one(1, 3, 3), lambda x: -x]
    with pytest.raises(FormatError, match="its values fall as its input rises"):
        activation_of("here", "a", falling, 1, span, "x")
    uneven = [one(1, 3, 3), lambda x: np.where(x > 2, 300 * x, x)]
    with pytest.raises(FormatError, match="at most 255 can be held"):
        activation_of("here", "a", uneven, 1, span, "x")
    assert given.precision() is not None

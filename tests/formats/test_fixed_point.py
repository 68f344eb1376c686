# SPDX-License-Identifier: BSD-3-Clause
"""HGQ's fixed-point quantizers of values beyond their bits, which wrap around: every value of a
grid between the bounds, against plain arithmetic of whole numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bnn.formats.keras import fixed_point
from bnn.formats.keras.fixed_point import FixedPoint
from bnn.network.arithmetic import real_layer
from bnn.network.layers import Clip

Array = NDArray[Any]
RELU = Clip("relu", 0.0, np.inf)


def relu(x: Array) -> Array:
    return real_layer(RELU, x)


def values_of(layer: Any, x: Array) -> Array:
    return layer.scale * (layer.base + layer.step * layer.level(x).astype(np.float64))


def wanted(x: Array, q: FixedPoint, rounding: str) -> Array:
    """Whole numbers modulo 2^bits, as hardware drops the upper bits."""
    steps = x.astype(np.float64) / q.unit
    whole = np.floor(steps) if rounding == "TRN" else np.floor(steps + 0.5)
    low, count = q.low.astype(np.float64), 2.0**q.bits
    return np.where(q.bits == 0, 0.0, ((whole - low) % count + low) * q.unit)


quantizers = st.tuples(
    st.integers(0, 1),
    st.lists(st.integers(0, 5), min_size=3, max_size=3).filter(any),
    st.lists(st.integers(-1, 3), min_size=3, max_size=3),
    st.sampled_from(["TRN", "RND"]),
    st.booleans(),
)


@settings(max_examples=150, deadline=None)
@given(quantizers)
def test_what_wraps_around(drawn: Any) -> None:
    sign, bits, whole, rounding, after_relu = drawn
    signed = np.full(3, sign, np.float32) * (np.array(bits) > 0)
    q = FixedPoint(signed.astype(np.float32), np.float32(bits), np.float32(whole), rounding, True)
    grid = np.arange(-16 * 64, 16 * 64 + 1, dtype=np.float32)[:, None] / 64
    x = np.broadcast_to(grid, (len(grid), 3))
    span = np.full(1, float(grid.min())), np.full(1, float(grid.max()))
    before = relu if after_relu else fixed_point.composed(())
    right = wanted(before(x), q, rounding)
    if not fixed_point.may_wrap(q, before, span, 3):
        np.testing.assert_array_equal(q(before(x)), right)
        return
    made = fixed_point.wrapped(("a", "b", "c"), before, q, 3, span, "x")
    assert made is not None
    rounded, wraps, total = made
    assert (total.other, total.source, total.factors) == ("b", "a", (1.0, -1.0))
    np.testing.assert_array_equal(values_of(rounded, x) - values_of(wraps, x), right)


def test_what_cannot_wrap_is_plain() -> None:
    """Bounds at the very ends of the bits do not wrap; one unit more does."""
    q = FixedPoint(np.ones(1, np.float32), np.full(1, 4, np.float32), np.full(1, 4, np.float32),
                   "TRN", True)  # fmt: skip
    plain = fixed_point.composed(())
    for low, high, wraps in ((-8.0, 7.99, False), (-8.01, 7.0, True), (-8.0, 8.0, True)):
        span = np.full(1, low), np.full(1, high)
        assert fixed_point.may_wrap(q, plain, span, 1) is wraps
        saturating = FixedPoint(q.signed, q.bits, q.whole, "TRN", False)
        assert not fixed_point.may_wrap(saturating, plain, span, 1)


@pytest.mark.parametrize("halves", [False, True])
def test_the_common_one_holds_all(halves: bool) -> None:
    """Bits 4 with 2 before the point, 3 with 3, and none at all: 5 bits with 3 before the point."""
    arrays = [np.float32(row) for row in ([1, 1, 0], [4, 3, 0], [2, 3, 0])]
    common = FixedPoint(*arrays, "TRN", True).common(halves=halves)
    assert common is not None
    assert (common.signed.tolist(), common.whole.tolist()) == ([1], [3])
    assert common.bits.tolist() == [5 + halves]
    nothing = FixedPoint(*(np.zeros(2, np.float32) for _ in range(3)), "TRN", True)
    assert nothing.common() is None

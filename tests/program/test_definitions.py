# SPDX-License-Identifier: BSD-3-Clause
"""Bounds, roundings and counts against their definitions, computed with Python's own integers."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from math import floor
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnn.program import check, cut, semantics
from bnn.program.inputs import IntegerInput, PictureInput, RealInput, identity_table, random_batch
from bnn.program.operations import Dot, Pool, Threshold, Window
from bnn.program.precision import BIPOLAR, INT, TERNARY, UINT, Precision

FEW = settings(max_examples=60, deadline=None)
small = st.integers(-4, 4)


def rounded(value: Fraction, how: str) -> int:
    down = floor(value)
    rest = value - down
    if how == "floor" or rest < Fraction(1, 2):
        return down
    if rest > Fraction(1, 2) or how == "up":
        return down + 1
    return down + (down % 2 if how == "even" else down < 0)


HOW = st.sampled_from(["floor", "up", "even", "zero"])


@FEW
@given(st.lists(st.integers(-300, 300), min_size=1, max_size=8), st.integers(0, 6), HOW)
def test_roundings(values: list[int], shift: int, how: Any) -> None:
    found = semantics.shifted(np.array(values), shift, how)
    assert found.tolist() == [rounded(Fraction(value, 1 << shift), how) for value in values]


@st.composite
def dots(draw: Any) -> tuple[list[list[int]], list[int] | None, int, int]:
    columns = draw(st.integers(1, 3))
    row = st.lists(small, min_size=columns, max_size=columns)
    rows = draw(st.lists(row, min_size=1, max_size=3))
    bias = draw(st.none() | st.lists(small, min_size=len(rows), max_size=len(rows)))
    low = draw(st.integers(-2, 2))
    return rows, bias, low, draw(st.integers(low, 2))


def extremes(rows: list[list[int]], bias: list[int] | None, low: int, high: int, one: Any) -> Any:
    """The least and the largest of all partial sums of each row, in any order; 0 is one of them."""
    for index, row in enumerate(rows):
        terms = [{one(weight * value) for value in range(low, high + 1)} | {0} for weight in row]
        terms.append({0, 0 if bias is None else bias[index]})
        sums = [sum(chosen) for chosen in product(*terms)]
        yield min(sums), max(sums)


@FEW
@given(dots())
def test_bounds_of_sums(made: Any) -> None:
    rows, bias, low, high = made
    given_bias = None if bias is None else np.array(bias, np.int32)
    least, most = check.dot_bounds(np.array(rows), given_bias, low, high)
    assert list(zip(least.tolist(), most.tolist(), strict=True)) == list(
        extremes(rows, bias, low, high, lambda value: value)
    )


@FEW
@given(dots(), st.integers(1, 3), HOW)
def test_bounds_of_rounded_sums(made: Any, shift: int, how: Any) -> None:
    rows, bias, low, high = made
    op = Dot(
        "d", "input", np.array(rows), INT(4), bias=bias,
        product_shift=shift, product_rounding=how,
    )  # fmt: skip
    least, most = check._rounded_bounds(op, low, high)
    wanted = list(extremes(rows, bias, low, high, lambda v: rounded(Fraction(v, 1 << shift), how)))
    if low <= 0 <= high:
        assert list(zip(least.tolist(), most.tolist(), strict=True)) == wanted
    else:  # 0 is a partial sum, so the bounds may be wider
        assert (least <= [one for one, _ in wanted]).all()
        assert (most >= [one for _, one in wanted]).all()


@pytest.mark.parametrize(
    ("largest", "columns"), [(1, 32767), (127, 258), (128, 256), (127, 259), (1, 32768), (99, 9)]
)
@pytest.mark.parametrize("sign", [1, -1])
def test_sums_of_rows_do_not_wrap(largest: int, columns: int, sign: int) -> None:
    """At the end of each type in which they are added."""
    row = np.full((1, columns), sign * largest, np.int8 if largest < 128 else np.int16)
    assert check._row_sums(row).tolist() == [sign * largest * columns]
    assert check._row_sums(row).dtype == np.int64


def test_sums_of_rows_of_32_bits() -> None:
    for value, columns in ((1 << 15, 65535), (1 << 15, 65536), (-(1 << 15), 65536)):
        assert check._row_sums(np.full((1, columns), value, np.int32)).tolist() == [value * columns]


def test_bounds_of_many_rows_are_computed_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(1)
    weights, bias = random.integers(-9, 9, (7, 5)), random.integers(-9, 9, 7).astype(np.int32)
    whole = check.dot_bounds(weights, bias, -3, 5)
    for piece in (1, 5, 9, 10, 11, 1000):
        monkeypatch.setattr(check, "_PIECE", piece)
        for one, other in zip(whole, check.dot_bounds(weights, bias, -3, 5), strict=True):
            assert one.tolist() == other.tolist()
    random_op = Dot("d", "input", weights, INT(5), bias=bias, product_shift=2)
    maps = random.integers(-9, 9, (2, 1, 3, 5))
    sums = semantics.dot(maps, random_op, 9)
    for piece in (1, 29, 30, 31, 61):
        monkeypatch.setattr(semantics, "_PIECE", piece)
        assert np.array_equal(semantics.dot(maps, random_op, 9), sums)


@pytest.mark.parametrize(("low", "high"), [*product(range(-9, 1), range(10)), (3, 5), (-5, -2)])
def test_bits_with_a_sign(low: int, high: int) -> None:
    bits = cut._signed_bits(low, high)
    assert -(1 << bits - 1) <= min(low, 0)
    assert max(high, 0) < 1 << bits - 1
    least = next(n for n in range(1, 9) if -(1 << n - 1) <= low and high < 1 << n - 1)
    assert bits == least


@FEW
@given(
    st.integers(1, 4).flatmap(
        lambda levels: st.tuples(
            st.lists(
                st.lists(small, min_size=levels, max_size=levels).map(sorted),
                min_size=2, max_size=2,
            ),
            st.none() | st.lists(st.sampled_from([1, -1]), min_size=2, max_size=2),
        )
    ),
    st.integers(-3, 3), st.sampled_from([-2, -1, 1, 3]),
)  # fmt: skip
def test_thresholds_are_counted(made: Any, base: int, step: int) -> None:
    """In each of the three ways: all at once, level by level, by their positions."""
    levels, signs = made
    op = Threshold("t", "input", np.array(levels), INT(8), base, step, signs)
    maps = np.array([[[[a, b]]] for a in range(-5, 6) for b in range(-5, 6)])
    wanted = [
        base + step * sum(level <= sign * value for level in table)
        for row in maps[:, 0, 0].tolist()
        for table, sign, value in zip(levels, signs or (1, 1), row, strict=True)
    ]
    with pytest.MonkeyPatch.context() as patch:
        for piece, counted in ((1 << 20, 9), (0, 9), (0, 0)):
            patch.setattr(semantics, "_PIECE", piece)
            patch.setattr(semantics, "MAX_COUNTED_LEVELS", counted)
            assert semantics.threshold(maps, op).ravel().tolist() == wanted


pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@FEW
@given(pairs, pairs, st.tuples(*4 * [st.integers(0, 2)]), st.integers(-3, 3))
def test_windows_and_pools(kernel: Any, stride: Any, padding: Any, pad: int) -> None:
    maps = np.random.default_rng(3).integers(-9, 9, (2, 4, 5, 2))
    top, left, bottom, right = padding
    height = (4 + top + bottom - kernel[0]) // stride[0] + 1
    width = (5 + left + right - kernel[1]) // stride[1] + 1

    def at(n: int, y: int, x: int, c: int) -> int | None:
        return int(maps[n, y, x, c]) if 0 <= y < 4 and 0 <= x < 5 else None

    seen = [
        [
            at(n, y * stride[0] + i - top, x * stride[1] + j - left, c)
            for i in range(kernel[0]) for j in range(kernel[1]) for c in range(2)
        ]
        for n in range(2) for y in range(height) for x in range(width)
    ]  # fmt: skip
    found = semantics.window(maps, Window("w", "input", kernel, stride, padding, pad))
    assert found.shape == (2, height, width, kernel[0] * kernel[1] * 2)
    assert found.reshape(len(seen), -1).tolist() == [
        [pad if value is None else value for value in row] for row in seen
    ]
    within = max(top, bottom) < kernel[0] and max(left, right) < kernel[1]
    if within:
        largest = semantics.pool(maps, Pool("p", "input", kernel, stride, padding))
        wanted = [
            [max([v for v in row[c::2] if v is not None], default=None) for c in (0, 1)]
            for row in seen
        ]
        got = largest.reshape(-1, 2).tolist()
        lowest = int(np.iinfo(np.int64).min)
        assert got == [[lowest if v is None else v for v in row] for row in wanted]


@FEW
@given(
    st.lists(st.integers(-99, 99), min_size=1, max_size=9), small, st.none() | small,
    st.integers(0, 4), HOW, st.sampled_from(["saturate", "wrap"]),
)  # fmt: skip
def test_rescales(
    values: list[int], factor: int, offset: int | None, shift: int, how: Any, overflow: Any
) -> None:
    maps = np.array(values).reshape(-1, 1, 1, 1)
    op: Any = SimpleNamespace(
        multipliers=np.array([factor]), offsets=None if offset is None else np.array([offset]),
        shift=shift, rounding=how, low=-5, high=6, overflow=overflow,
    )  # fmt: skip
    wanted = [
        rounded(Fraction(value * factor + (offset or 0), 1 << shift), how) for value in values
    ]
    ended = [
        min(max(one, -5), 6) if overflow == "saturate" else (one + 5) % 12 - 5 for one in wanted
    ]
    assert semantics.rescale(maps, op).ravel().tolist() == ended


@pytest.mark.parametrize("precision", [UINT(1), UINT(8), INT(2), INT(8), INT(16), TERNARY, BIPOLAR])
def test_random_inputs_have_every_value(precision: Precision) -> None:
    """Of few values all come; they are the same each time, and the input takes them."""
    for made in (IntegerInput((3, 1, 2), precision), RealInput((4,), precision, [1.0], [0.0])):  # type: ignore[arg-type]
        batch = random_batch(made, 500)
        assert batch.shape == (500, *made.shape)
        assert batch.dtype == np.int16
        assert precision.allows(batch)
        assert np.array_equal(batch, random_batch(made, 500))
        if precision.bits <= 2:
            every = {-1, 1} if precision == BIPOLAR else {*range(precision.low, precision.high + 1)}
            assert {*batch.ravel().tolist()} == every
        else:
            assert batch.max() > 0.98 * precision.high
            assert batch.min() <= 0.98 * precision.low


def test_random_pictures() -> None:
    batch = random_batch(PictureInput((4, 5, 3), UINT(8), identity_table()), 40)
    assert batch.shape == (40, 4, 5, 3)
    assert batch.dtype == np.uint8
    assert (batch.min(), batch.max()) == (0, 255)

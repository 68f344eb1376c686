# SPDX-License-Identifier: BSD-3-Clause
"""The definition of every operation, against loops that say the same in other words."""

from __future__ import annotations

import itertools
from fractions import Fraction
from math import floor
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bnn.program.inputs import IntegerInput, RealInput
from bnn.program.operations import INPUT, Dot, Pool, Threshold, Window, sources
from bnn.program.precision import BIPOLAR, INT, UINT, Precision
from bnn.program.program import Program
from bnn.program.semantics import arg_max, dot, evaluate, last_readers, pool, threshold, window
from bnn.run.reference import ReferenceRuntime
from support import programs

MAPS = hnp.arrays(
    np.int64,
    st.tuples(st.integers(1, 2), st.integers(3, 5), st.integers(3, 5), st.integers(1, 3)),
    elements=st.integers(-8, 7),
)
PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 3))
BORDERS = st.tuples(*[st.integers(0, 2)] * 4)


def _at(maps: Any, n: int, y: int, x: int, c: int, outside: int | None) -> int | None:
    inside = 0 <= y < maps.shape[1] and 0 <= x < maps.shape[2]
    return int(maps[n, y, x, c]) if inside else outside


def _positions(maps: Any, op: Any) -> Any:
    """(n, out y, out x, top, left) of every patch."""
    top, left, bottom, right = op.padding
    rows = range(-top, maps.shape[1] + bottom - op.kernel[0] + 1, op.stride[0])
    columns = range(-left, maps.shape[2] + right - op.kernel[1] + 1, op.stride[1])
    grid = itertools.product(range(len(maps)), enumerate(rows), enumerate(columns))
    return ((n, i, j, y, x) for n, (i, y), (j, x) in grid)


@given(maps=MAPS, kernel=PAIRS, stride=PAIRS, padding=BORDERS, fill=st.integers(-8, 7))
def test_window(maps: Any, kernel: Any, stride: Any, padding: Any, fill: int) -> None:
    op = Window("w", "input", kernel, stride, padding, fill)
    patches = window(maps, op)
    taken = 0
    for n, i, j, top, left in _positions(maps, op):
        expected = [
            _at(maps, n, top + ky, left + kx, c, fill)
            for ky, kx, c in itertools.product(
                range(kernel[0]), range(kernel[1]), range(maps.shape[3])
            )
        ]
        assert patches[n, i, j].tolist() == expected
        taken += len(expected)
    assert taken == patches.size


@given(maps=MAPS, kernel=PAIRS, stride=PAIRS, data=st.data())
def test_pool(maps: Any, kernel: Any, stride: Any, data: Any) -> None:
    padding = tuple(data.draw(st.integers(0, kernel[side % 2] - 1)) for side in range(4))
    op = Pool("p", "input", kernel, stride, padding)
    pooled = pool(maps, op)
    for n, i, j, top, left in _positions(maps, op):
        for c in range(maps.shape[3]):
            patch = [
                _at(maps, n, top + ky, left + kx, c, None)
                for ky, kx in itertools.product(range(kernel[0]), range(kernel[1]))
            ]
            assert pooled[n, i, j, c] == max(v for v in patch if v is not None)


@given(
    values=st.lists(st.integers(-9, 9), min_size=1, max_size=5),
    levels=st.lists(st.integers(-9, 9), min_size=1, max_size=4).map(sorted),
    sign=st.sampled_from([-1, 1]),
)
def test_threshold_counts_what_is_reached(values: Any, levels: Any, sign: int) -> None:
    channels = len(values)
    op = Threshold("t", "d", [levels] * channels, INT(8), base=3, step=-2, signs=[sign] * channels)
    reached = threshold(np.array(values).reshape(1, 1, 1, -1), op)
    expected = [3 - 2 * sum(level <= sign * value for level in levels) for value in values]
    assert reached.ravel().tolist() == expected


def test_threshold_at_the_ends_of_32_bits() -> None:
    ends = [[-(1 << 31), (1 << 31) - 1]]
    op = Threshold("t", "d", ends, UINT(2), signs=[-1])
    values = np.array([-(1 << 31), 1 - (1 << 31), 0, (1 << 31) - 1], np.int64)
    assert threshold(values.reshape(1, 4, 1, 1), op).ravel().tolist() == [2, 2, 1, 1]


@pytest.mark.parametrize("scale", [1, 100])
def test_dot_is_exact_beyond_single_precision(scale: int) -> None:
    """255 * 255 * 4000 exceeds 2^24: single precision would round it."""
    random = np.random.default_rng(scale)
    weights = random.integers(0, 256, (3, 40 * scale))
    maps = random.integers(0, 256, (2, 1, 1, 40 * scale))
    maps[0], weights[0] = 255, 255
    op = Dot("d", "input", weights, UINT(8), bias=[1, -1, 0])
    expected = np.einsum("nyxi,oi->nyxo", maps, weights) + np.array([1, -1, 0])
    assert (dot(maps, op, 255) == expected).all()


@given(programs.networks())
def test_an_edge_is_dropped_once_nothing_reads_it(program: Program) -> None:
    """And no sooner: what is left at the end is the answer alone."""
    done = last_readers(program)
    dropped = [edge for edges in done.values() for edge in edges]
    kept = {program.scores, program.decision} - {None}
    assert sorted(dropped) == sorted({INPUT, *(op.name for op in program.ops)} - kept)
    place = {op.name: at for at, op in enumerate(program.ops)}
    for reader, edges in done.items():
        later = [name for op in program.ops[place[reader] + 1 :] for name in sources(op)]
        assert not set(edges) & set(later)
    batch = program.input.check(programs.batches(program, 2, 1))
    whole, left = evaluate(program, batch), evaluate(program, batch, done)
    assert set(left) == kept
    assert all((left[name] == whole[name]).all() for name in kept)


def test_arg_max_rules() -> None:
    values = np.array([[1, 3, 3], [-2, -1, -1], [0, 0, 0], [0, 1, 0]])
    assert arg_max(values, "first").tolist() == [1, 1, 0, 1]
    assert arg_max(values, "first-positive").tolist() == [1, 0, 0, 1]
    assert arg_max(values, "highest-positive").tolist() == [2, 0, 0, 1]


def test_chunks_do_not_show() -> None:
    dots = Dot("d", "input", np.eye(3), INT(2))
    runtime = ReferenceRuntime(Program(IntegerInput((3,), INT(8)), (dots,), "d"))
    runtime._chunk = 2
    batch = np.arange(15, dtype=np.int16).reshape(5, 3)
    assert (runtime.run(batch).scores == batch).all()
    assert runtime.run(batch[:0]).scores.shape == (0, 3)


def test_real_input_rounds_and_clips_as_told() -> None:
    def quantize(values: list[float], **more: Any) -> list[int]:
        given = RealInput((1,), more.pop("precision", INT(4)), np.float32([0.5]), [0], **more)
        return given.check(np.float32(values).reshape(-1, 1)).ravel().tolist()

    values = [-100, -0.75, -0.25, 0.25, 0.75, 3.5, 3.7, np.inf]
    assert quantize(values) == [-8, -2, 0, 0, 2, 7, 7, 7]
    assert quantize(values, rounding="up") == [-8, -1, 0, 1, 2, 7, 7, 7]
    assert quantize([-0.1, 0.0, 0.1], precision=BIPOLAR) == [-1, 1, 1]


@pytest.mark.parametrize("precision", [BIPOLAR, INT(3), UINT(2), INT(8)])
@pytest.mark.parametrize("multiplied", [False, True])
@pytest.mark.parametrize("rounding", ["even", "up"])
def test_real_inputs_are_as_documented(
    precision: Precision, multiplied: bool, rounding: Literal["even", "up"]
) -> None:
    """By fractions; scales, zero points and inputs are such that float32 is exact."""
    for scale, zero in ((0.5, 0.5), (2.0, -1.25), (0.25, 3.0)):
        given = RealInput(
            (1,), precision, np.float32([scale]), np.float32([zero]), rounding, multiplied
        )
        values = np.arange(-64, 65) / 8
        found = given.check(np.float32(values).reshape(-1, 1)).ravel().tolist()
        factor = Fraction(scale) if multiplied else 1 / Fraction(scale)
        real = [Fraction(value) * factor + Fraction(zero) for value in values.tolist()]
        if precision == BIPOLAR:
            assert found == [1 if x >= 0 else -1 for x in real]
            continue
        clipped = [min(max(x, precision.low), precision.high) for x in real]
        nearest = round if rounding == "even" else lambda x: floor(x + Fraction(1, 2))
        assert found == [min(nearest(x), precision.high) for x in clipped]

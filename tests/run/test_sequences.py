# SPDX-License-Identifier: BSD-3-Clause
"""Programs with a scan: cpu equals the reference, a batch is one sequence, bounds hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnn.errors import InputError, RuntimeUnavailableError
from bnn.program.inputs import IntegerInput
from bnn.program.operations import (
    INPUT,
    MAX_COLUMNS,
    ROUNDINGS,
    Add,
    Carried,
    Dot,
    Multiply,
    Rescale,
    Scan,
)
from bnn.program.precision import INT
from bnn.program.program import Program
from bnn.program.semantics import evaluate, shifted
from bnn.run import RUNTIMES, cpu, prepare, prepare_sequence, reference
from support.kernels import KERNELS, assert_equal
from support.programs import batches
from support.sequences import sequences


@settings(max_examples=600)
@given(sequences(), st.sampled_from([0, 1, 2, 3, 9, 20]), st.integers(1, 3))
def test_random_recurrent_programs(program: Program, columns: int, threads: int) -> None:
    assert_equal(program, columns, threads)


@settings(max_examples=100)
@given(sequences(), st.integers(0, 99))
def test_proved_bounds_hold_in_every_column(program: Program, seed: int) -> None:
    edges = evaluate(program, batches(program, 12, seed))
    for op in program.ops:
        known, values = program.edges[op.name], edges[op.name]
        assert values.shape[1:] == known.shape
        assert known.low <= values.min()
        assert values.max() <= known.high
        assert known.precision.allows(values)


def total(reverse: bool = False, **more: Any) -> Program:
    """Adds up its inputs in a state of 16 bits."""
    body = (
        Add("next_exact", INPUT, "sum"),
        Rescale("next", "next_exact", np.ones(2), 0, INT(16), -32768, 32767, **more),
    )
    kept = (Carried("sum", 2, INT(16), "next", 5),)
    scan = Scan("total", INPUT, body, kept, "next", reverse)
    scores = Rescale("scores", "total", np.ones(2), 0, INT(16), -32768, 32767)
    return Program(IntegerInput((2,), INT(16)), (scan, scores), "scores")


def runs(program: Program, columns: list[list[int]]) -> list[list[list[int]]]:
    batch = np.array(columns, np.int16)
    runtimes = [reference.prepare(program)]
    runtimes += [cpu.prepare(program, kernel=kernel) for kernel in KERNELS]  # type: ignore[misc]
    return [runtime.run(batch).scores.tolist() for runtime in runtimes]


def test_state_goes_from_column_to_column_and_saturates_there() -> None:
    columns = [[1, -1], [30000, -30000], [30000, -30000], [-1, 1]]
    for scores in runs(total(), columns):
        assert scores == [[6, 4], [30006, -29996], [32767, -32768], [32766, -32767]]


def test_state_that_wraps() -> None:
    for scores in runs(total(overflow="wrap"), [[32767, 0], [1, -32768], [0, -6]]):
        assert scores == [[-32764, 5], [-32763, -32763], [-32763, 32767]]


def test_the_last_column_comes_first_in_reverse() -> None:
    for scores in runs(total(reverse=True), [[1, 10], [2, 20], [3, 30]]):
        assert scores == [[11, 65], [10, 55], [8, 35]]


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_each_product_is_rounded_before_it_is_added(rounding: Any) -> None:
    """Products 3/2 and -5/2: their sum is -1 whatever its own rounding, theirs is not."""
    dot = Dot("d", INPUT, [[3, -5], [3, 5]], INT(8), None, 32, 1, rounding)
    multiplied = Multiply("scores", "d", "d")
    program = Program(IntegerInput((2,), INT(4)), (dot, multiplied), "scores")
    one, two = {"even": (2, -2), "up": (2, -2), "zero": (1, -2), "floor": (1, -3)}[rounding]
    three = {"even": 2, "up": 3, "zero": 2, "floor": 2}[rounding]
    for scores in runs(program, [[1, 1]]):
        assert scores == [[(one + two) ** 2, (one + three) ** 2]]


@given(st.integers(-(2**40), 2**40), st.integers(1, 20), st.sampled_from(ROUNDINGS))
def test_rounding_is_that_of_its_name(exact: int, shift: int, rounding: Any) -> None:
    made = int(shifted(np.array([exact]), shift, rounding)[0])
    unit, twice = 1 << shift, 2 * exact
    if rounding == "floor":
        assert made * unit <= exact < (made + 1) * unit
        return
    assert abs(2 * made * unit - twice) <= unit
    if abs(2 * made * unit - twice) == unit:  # halfway
        wanted = {"even": made % 2 == 0, "up": 2 * made * unit > twice}
        assert wanted.get(rounding, abs(made) * unit < abs(exact))


def test_a_batch_is_never_divided() -> None:
    program = total()
    batch = np.ones((700, 2), np.int16)
    wanted = np.arange(6, 706)
    for runtime in (reference.prepare(program), cpu.prepare(program, threads=3)):
        assert (runtime.run(batch).scores[:, 0] == wanted).all()


def test_who_does_not_know_of_sequences_is_refused() -> None:
    for name in RUNTIMES:
        with pytest.raises(RuntimeUnavailableError, match=r"reads sequences.*bnn ocr"):
            prepare(name, total())


def test_runtimes_without_sequences_say_so() -> None:
    name = "board"
    with pytest.raises(RuntimeUnavailableError, match=f"{name} runtime cannot run sequences"):
        prepare_sequence(name, total())


def test_a_sequence_has_a_limit() -> None:
    runtime = prepare_sequence("cpu", total())
    with pytest.raises(InputError, match="at most 131072"):
        runtime.run(np.zeros((MAX_COLUMNS + 1, 2), np.int16))
    assert len(runtime.run(np.zeros((MAX_COLUMNS, 2), np.int16)).scores) == MAX_COLUMNS
    assert runtime.run(np.zeros((0, 2), np.int16)).scores.shape == (0, 2)

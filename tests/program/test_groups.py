# SPDX-License-Identifier: BSD-3-Clause
"""Dots with groups: what they mean, what is legal, and the equal dots without groups."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnn.errors import ProgramError
from bnn.model import figures
from bnn.model.file import load, save
from bnn.model.model import Model
from bnn.program.grouping import found_groups, grouped_weights, ungrouped, without_groups
from bnn.program.inputs import IntegerInput
from bnn.program.operations import INPUT, ROUNDINGS, Dot, Window
from bnn.program.precision import BIPOLAR, INT, TERNARY, UINT
from bnn.program.program import Program
from bnn.program.semantics import evaluate
from support.programs import FULL, batches, networks


def _program(groups: int, rows: int, each: int, /, **changes: Any) -> Program:
    """A window of 2x2 on a map of 3x3, and a dot in groups, whose sums are the scores."""
    random = np.random.default_rng(groups * 100 + rows * 10 + each)
    weights = random.integers(-4, 4, (rows, 4 * each))
    dot = Dot("d", "w", weights, INT(3), random.integers(-9, 9, rows), groups=groups, positions=4)
    ends = Window("all", "d", (2, 2))
    return Program(
        IntegerInput((3, 3, groups * each), UINT(4)),
        (Window("w", INPUT, (2, 2)), replace(dot, **changes), ends),
        "all",
    )


def _by_hand(program: Program, maps: Any) -> Any:
    """The sums of the dot, as the definition of a convolution in groups says."""
    dot: Any = program.ops[1]
    rows, each = len(dot.weights), dot.weights.shape[1] // 4
    kernels = dot.weights.reshape(rows, 2, 2, each).astype(int)
    made = np.empty((len(maps), 2, 2, rows), int)
    for row in range(rows):
        first = row // (rows // dot.groups) * each
        for y, x in np.ndindex(2, 2):
            patch = maps[:, y : y + 2, x : x + 2, first : first + each].astype(int)
            made[:, y, x, row] = (patch * kernels[row]).sum(axis=(1, 2, 3)) + dot.bias[row]
    return made


@pytest.mark.parametrize(("groups", "rows", "each"), [(3, 3, 1), (3, 6, 1), (2, 4, 3), (4, 4, 2)])
def test_row_reads_the_channels_of_its_group(groups: int, rows: int, each: int) -> None:
    program = _program(groups, rows, each)
    maps = batches(program, 5, 1)
    assert np.array_equal(evaluate(program, maps)["d"], _by_hand(program, maps))


@given(networks(FULL), st.integers(0, 99))
def test_zeros_give_equal_edges(program: Program, seed: int) -> None:
    plain = without_groups(program)
    assert plain.edges.keys() == program.edges.keys()
    for name, edge in program.edges.items():
        assert plain.edges[name] == edge
    inputs = batches(program, 3, seed)
    one, two = evaluate(program, inputs), evaluate(plain, inputs)
    for name, values in one.items():
        assert np.array_equal(values, two[name]), name
    assert not any(isinstance(op, Dot) and op.groups > 1 for op in plain.ops)


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_products_are_rounded_in_each_group(rounding: Any) -> None:
    program = _program(3, 6, 2, product_shift=2, product_rounding=rounding)
    plain = without_groups(program)
    inputs = batches(program, 4, 2)
    assert plain.edges == program.edges
    assert np.array_equal(evaluate(program, inputs)["d"], evaluate(plain, inputs)["d"])


def test_signs_become_ternary_with_zeros() -> None:
    dot = Dot("d", INPUT, [[1], [-1]], BIPOLAR, groups=2)
    plain = ungrouped(dot)
    assert plain.precision == TERNARY
    assert plain.weights.tolist() == [[1, 0], [0, -1]]
    assert ungrouped(plain) is plain


@given(st.integers(1, 6), st.integers(1, 3), st.integers(1, 3), st.integers(1, 4))
def test_groups_are_found_again(groups: int, rows: int, each: int, positions: int) -> None:
    random = np.random.default_rng(groups + 7 * rows)
    weights = random.integers(1, 9, (groups * rows, positions * each))
    dot = Dot("d", INPUT, weights, INT(5), groups=groups, positions=positions if groups > 1 else 1)
    full = ungrouped(dot).weights.reshape(groups * rows, positions, groups * each)
    assert found_groups(full) == groups
    assert np.array_equal(grouped_weights(full, groups), weights)


def test_no_weights_no_groups() -> None:
    assert found_groups(np.zeros((4, 3, 4), int)) == 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"groups": 0}, "groups must be a whole number from 1: 0"),
        ({"groups": True}, "groups must be a whole number from 1: True"),
        ({"groups": 3.0}, "groups must be a whole number from 1: 3.0"),
        ({"positions": -4}, "positions must be a whole number from 1: -4"),
        ({"groups": 1}, "positions are 1 without groups, not 4"),
        ({"groups": 1, "positions": 1}, r"weights are \(6, 8\), 'w' has 24 channels"),
        ({"groups": 6}, r"weights are \(6, 8\) in 6 groups, 'w' has 24 channels"),
        ({"groups": 4}, "4 groups at 4 positions do not divide 6 rows and 24 channels"),
        ({"positions": 5}, "3 groups at 5 positions do not divide 6 rows and 24 channels"),
        ({"groups": 2}, r"weights are \(6, 8\) in 2 groups, 'w' has 24 channels"),
    ],
)
def test_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ProgramError, match=reason):
        _program(3, 6, 2, **changes)


def test_widths_are_proved_of_the_columns_that_exist() -> None:
    weights = np.ones((4, 9), int)
    window = Window("w", INPUT, (3, 3))
    dot = Dot("d", "w", weights, UINT(1), accumulator_bits=5, groups=4, positions=9)
    program = Program(IntegerInput((3, 3, 4), UINT(1)), (window, dot), "d")
    assert (program.edges["d"].low, program.edges["d"].high) == (0, 9)
    with pytest.raises(ProgramError, match="sums from 0 to 9 do not fit a 4-bit accumulator"):
        Program(program.input, (window, replace(dot, accumulator_bits=4)), "d")


def test_figures_count_the_weights_that_exist() -> None:
    row = next(row for row in figures.rows(_program(3, 6, 2)) if row.name == "d")
    assert row.operations == 2 * 4 * 6 * 8
    plain = next(row for row in figures.rows(without_groups(_program(3, 6, 2))) if row.name == "d")
    assert plain.operations == 3 * row.operations


def test_file_has_groups_and_not_the_zeros(tmp_path: Path) -> None:
    program = _program(3, 6, 2)
    model = Model(program, tuple(map(str, range(program.classes))))
    save(model, tmp_path / "m.bnn")
    again = load(tmp_path / "m.bnn").program
    assert again == program
    dot = again.op("d")
    assert isinstance(dot, Dot)
    assert (dot.groups, dot.positions, dot.weights.shape) == (3, 4, (6, 8))
    assert again.digest() != without_groups(program).digest()

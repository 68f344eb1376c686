# SPDX-License-Identifier: BSD-3-Clause
"""Parts of a program, one after the other, equal the whole, wherever one edge crosses the cut."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import bnn
from bnn.errors import ProgramError
from bnn.program.cut import cut_edge, layers, part
from bnn.program.inputs import IntegerInput
from bnn.program.operations import (
    INPUT,
    Add,
    Affine,
    ArgMax,
    Dot,
    Pool,
    Threshold,
    Window,
    sources,
)
from bnn.program.precision import BIPOLAR, INT, TERNARY, UINT
from bnn.program.program import Program
from bnn.run import Outputs, cpu, reference
from bnn.run import prepare as prepare_named
from support.kernels import KERNELS
from support.programs import FULL, SMALL, batches, networks, numbers, residuals

RANDOM = np.random.default_rng(3)


def chained(parts: list[Program], inputs: NDArray[Any], runtime: str, **options: Any) -> Outputs:
    """Run the parts one after the other, each on what the one before gave."""
    for number, each in enumerate(parts):
        outputs = prepare_named(runtime, each, **options).run(inputs)
        if number + 1 < len(parts):
            following = parts[number + 1].input
            inputs = following.check(outputs.scores.reshape(-1, *following.shape))
    return outputs


def assert_same(program: Program, parts: list[Program], size: int = 3) -> None:
    inputs = batches(program, size, seed=size)
    wanted = reference.prepare(program).run(inputs)
    runs = [("reference", chained(parts, inputs, "reference"))]
    runs += [(kernel, chained(parts, inputs, "cpu", kernel=kernel)) for kernel in KERNELS]
    for name, got in runs:
        np.testing.assert_array_equal(got.scores, wanted.scores, err_msg=name)
        if wanted.decisions is None:
            assert got.decisions is None
        else:
            np.testing.assert_array_equal(got.decisions, wanted.decisions, err_msg=name)


def crossing(program: Program, count: int) -> set[str]:
    """The edges that cross a cut after ``count`` operations, found another way than by the cut."""
    made = {INPUT, *(op.name for op in program.ops[:count])}
    read = {name for op in program.ops[count:] for name in sources(op)}
    return made & (read | {program.scores, program.decision})


def legal_part(program: Program, edge: str) -> Program | None:
    """The part after ``edge``; None if the bounds of its input do not fit a declared width."""
    with suppress(ProgramError):
        return part(program, edge)
    with pytest.raises(ProgramError, match=f"cannot cut at '{edge}': .*(do not fit|cannot hold)"):
        part(program, edge)
    return None


def check_every_cut(program: Program, size: int) -> int:
    """Compare every possible cut; each impossible one must be refused with its edges."""
    done = 0
    for count in range(1, len(program.ops)):
        edges = crossing(program, count)
        if len(edges) > 1:
            with pytest.raises(ProgramError, match="edges cross there") as refused:
                cut_edge(program, count)
            assert all(repr(edge) in str(refused.value) for edge in edges)
            continue
        (edge,) = edges
        assert cut_edge(program, count) == edge
        found = program.edges[edge]
        if edge in (INPUT, program.scores, program.decision):
            continue
        if found.low < np.iinfo(np.int16).min or found.high > np.iinfo(np.int16).max:
            with pytest.raises(ProgramError, match="need more than the 16 bits of an input"):
                part(program, edge)
            continue
        after = legal_part(program, edge)
        if after is None:
            continue
        assert_same(program, [part(program, end=edge), after], size)
        done += 1
    return done


@settings(max_examples=300, deadline=None)
@given(networks(SMALL), st.integers(0, 3))
def test_random_programs(program: Program, size: int) -> None:
    check_every_cut(program, size)


@settings(max_examples=150, deadline=None)
@given(networks(FULL), st.integers(1, 3))
def test_everything_that_a_program_can_say(program: Program, size: int) -> None:
    check_every_cut(program, size)


@settings(max_examples=100, deadline=None)
@given(residuals(), st.integers(1, 3))
def test_residual_programs(program: Program, size: int) -> None:
    check_every_cut(program, size)


@pytest.mark.parametrize("name", ["cnv-w1a1", "cnv-w2a2", "lfc-w1a2"])
def test_bundled_models_cut_after_every_operation(name: str) -> None:
    program = bnn.load(name).program
    assert check_every_cut(program, 2) == len(program.ops) - 1


@pytest.mark.parametrize("name", ["cnv-w1a2", "lfc-w1a1"])
def test_bundled_models_cut_everywhere_at_once(name: str) -> None:
    program = bnn.load(name).program
    ends = [layer.ops[-1] for layer in layers(program)]
    starts = [INPUT, *ends[:-1]]
    assert_same(
        program, [part(program, a, b) for a, b in zip(starts, [*ends[:-1], None], strict=True)]
    )


def residual() -> Program:
    shape = (4, 4, 3)
    return Program(
        IntegerInput(shape, UINT(2)),
        (
            Dot("first", INPUT, numbers(RANDOM, TERNARY, (3, 3)), TERNARY, None, 8),
            Threshold("kept", "first", RANDOM.integers(-2, 3, (3, 1)), UINT(1)),
            Window("patches", "kept", (3, 3), padding=(1, 1, 1, 1)),
            Dot("inner", "patches", numbers(RANDOM, TERNARY, (3, 27)), TERNARY, None, 8),
            Add("joined", "inner", "kept", 9),
            Pool("pooled", "joined", (4, 4), (4, 4)),
            Dot("last", "pooled", numbers(RANDOM, INT(3), (5, 3)), INT(3)),
        ),
        "last",
    )


def test_a_cut_through_a_residual_branch_names_both_edges() -> None:
    program = residual()
    with pytest.raises(ProgramError, match=r"2 edges cross there, 'inner' .* 'kept' .*residual"):
        cut_edge(program, 4)
    for count, before, told in (
        (3, "patches", "'patches' (read by inner) and 'kept' (read by joined)"),
        (4, "inner", "'inner' (read by joined) and 'kept' (read by joined)"),
    ):
        with pytest.raises(ProgramError) as refused:
            cut_edge(program, count)
        assert str(refused.value) == (
            f"cannot cut after {before}: 2 edges cross there, {told}, as in a residual branch; "
            "put the whole branch on one side"
        )
    with pytest.raises(ProgramError, match=r"cannot cut at 'inner': joined .* 'kept'.*residual"):
        part(program, "inner")
    with pytest.raises(ProgramError, match="residual"):
        part(program, "patches", "joined")


def test_a_residual_branch_as_a_whole_is_a_part() -> None:
    program = residual()
    parts = [
        part(program, end="kept"),
        part(program, "kept", "joined"),
        part(program, "joined"),
    ]
    assert [each.input.shape for each in parts[1:]] == [(4, 4, 3), (4, 4, 3)]
    assert_same(program, parts, 5)


def test_a_branch_from_the_input_itself() -> None:
    program = Program(
        IntegerInput((4,), INT(4)),
        (
            Dot("a", INPUT, numbers(RANDOM, TERNARY, (4, 4)), TERNARY),
            Add("b", "a", INPUT),
            Dot("c", "b", numbers(RANDOM, TERNARY, (2, 4)), TERNARY),
        ),
        "c",
    )
    with pytest.raises(ProgramError, match="cannot cut at 'a': b after it also needs 'input'"):
        part(program, "a")
    assert_same(program, [part(program, end="b"), part(program, "b")])


def test_parts_keep_names_and_flatten_maps() -> None:
    program = bnn.load("cnv-w1a1").program
    first = part(program, end="layer4")
    assert first.ops[-1] == first.op("layer4_flat") or first.scores == "layer4_flat"
    assert first.score_count == 14 * 14 * 64
    assert first.affine is None
    assert first.input is program.input
    after = part(program, "layer4", "layer9")
    assert after.input.shape == (14, 14, 64)
    assert after.input.precision == BIPOLAR
    last = part(program, "layer27")
    assert (last.affine is None) == (program.affine is None)
    assert last.input.shape == (512,)


def test_a_name_for_flattening_that_is_taken() -> None:
    program = Program(
        IntegerInput((2, 2, 1), UINT(1)),
        (
            Threshold("t", INPUT, [[1]], UINT(1)),
            Window("t_flat", "t", (2, 2)),
            Dot("d", "t_flat", numbers(RANDOM, TERNARY, (2, 4)), TERNARY),
        ),
        "d",
    )
    assert part(program, end="t").scores == "t_flat_"
    assert_same(program, [part(program, end="t"), part(program, "t")])


def test_accumulators_are_widened_where_the_input_allows_more() -> None:
    """The threshold gives 0 to 2, whose two bits also allow 3: sums of 8 bits become too few."""
    program = Program(
        IntegerInput((64,), INT(4)),
        (
            Dot("a", INPUT, numbers(RANDOM, TERNARY, (62, 64)), TERNARY),
            Threshold("b", "a", np.sort(RANDOM.integers(-9, 9, (62, 2)), axis=1), UINT(2)),
            Dot("c", "b", np.ones((3, 62), np.int8), TERNARY, None, 8),
        ),
        "c",
    )
    after = part(program, "b")
    made = after.op("c")
    assert isinstance(made, Dot)
    assert made.accumulator_bits == 9
    assert_same(program, [part(program, end="b"), after])


def test_decision_and_affine_stay_with_the_end() -> None:
    weights = numbers(RANDOM, TERNARY, (3, 4))
    ops = (
        Threshold("t", INPUT, [[1]] * 4, UINT(1)),
        Dot("d", "t", weights, TERNARY),
    )
    decided = Program(IntegerInput((4,), INT(3)), (*ops, ArgMax("m", "d")), "d", "m")
    assert part(decided, "t").decision == "m"
    assert part(decided, end="d").decision is None
    assert_same(decided, [part(decided, end="t"), part(decided, "t")], 5)
    assert [layer.ops for layer in layers(decided)] == [("t",), ("d", "m")]
    affine = Affine(np.array([1.0, 2, 3]), np.zeros(3))
    scaled = Program(IntegerInput((4,), INT(3)), ops, "d", affine=affine)
    assert part(scaled, "t").affine is affine
    assert part(scaled, end="d").affine is None


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        ("nothing", None, "start: no edge is called 'nothing'"),
        (INPUT, "nothing", "end: no edge is called 'nothing'"),
        ("layer3", "layer3", "has no operation"),
        ("layer7", "layer3", "nothing in it reads|without it"),
        (INPUT, INPUT, "has no operation"),
        ("layer13", None, "it is a result of the program itself"),
    ],
)
def test_parts_that_are_none(start: str, end: str | None, message: str) -> None:
    with pytest.raises(ProgramError, match=message):
        part(bnn.load("lfc-w1a1").program, start, end)


@pytest.mark.parametrize("count", [0, 8, -1, 100])
def test_cuts_that_are_none(count: int) -> None:
    with pytest.raises(ProgramError, match="a cut is after 1 to 7 operations"):
        cut_edge(bnn.load("lfc-w1a1").program, count)


def test_sums_of_more_than_16_bits_are_refused() -> None:
    program = Program(
        IntegerInput((64,), INT(16)),
        (
            Dot("a", INPUT, numbers(RANDOM, TERNARY, (2, 64)), TERNARY),
            Threshold("b", "a", [[1], [2]], UINT(1)),
            Dot("c", "b", [[1, 1]], TERNARY),
        ),
        "c",
    )
    with pytest.raises(ProgramError, match=r"'a': its values from .* need more than the 16 bits"):
        part(program, "a")


@pytest.mark.parametrize("kernel", KERNELS)
def test_layers_have_every_operation_once(kernel: str) -> None:
    program = bnn.load("cnv-w1a1").program
    found = layers(program)
    assert [name for layer in found for name in layer.ops] == [op.name for op in program.ops]
    assert [layer.name for layer in found][:4] == ["layer0", "layer3", "layer4", "layer7"]
    assert found[0].ops == ("layer0_window", "layer0", "layer2")
    cpu.prepare(part(program, "layer4", "layer9"), kernel=kernel)

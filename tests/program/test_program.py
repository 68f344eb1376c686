# SPDX-License-Identifier: BSD-3-Clause
"""Which programs can exist, and that what is proved of them is true."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnn.errors import ProgramError
from bnn.program.check import dot_bounds, work
from bnn.program.inputs import IntegerInput, PictureInput, RealInput, identity_table
from bnn.program.operations import Add, Affine, ArgMax, Dot, Pool, Threshold, Window
from bnn.program.precision import BIPOLAR, INT, TERNARY, UINT
from bnn.program.program import Program
from bnn.program.semantics import evaluate
from support import programs

INPUT = IntegerInput((4, 5, 2), INT(4))
VECTOR = IntegerInput((6,), INT(4))


def _dot(rows: int = 3, columns: int = 6, **more: Any) -> Dot:
    given = {
        "name": "d",
        "source": "input",
        "weights": np.ones((rows, columns)),
        "precision": INT(2),
    }
    return Dot(**{**given, **more})


def _program(*ops: Any, **more: Any) -> Program:
    return Program(**{"input": VECTOR, "ops": ops, "scores": ops[-1].name, **more})


def _error(*ops: Any, **more: Any) -> str:
    with pytest.raises(ProgramError) as caught:
        _program(*ops, **more)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_shapes_of_a_convolution() -> None:
    window = Window("w", "input", (3, 2), stride=(2, 1), padding=(1, 0, 1, 3), pad_value=-8)
    edges = Program(
        INPUT,
        (
            window,
            _dot(7, 12, source="w"),
            Pool("p", "d", (2, 7), (1, 1)),
            Add("a", "p", "p"),
        ),
        "a",
    ).edges
    assert edges["w"].shape == (2, 7, 12)
    assert edges["d"].shape == (2, 7, 7)
    assert edges["a"].shape == (1, 1, 7)


def test_bounds_are_exact_for_a_dot() -> None:
    weights = np.array([[1, -2, 0, 1, 1, 1], [-2, -2, -2, -2, -2, -2]])
    edge = _program(_dot(weights=weights, bias=np.array([5, 0]))).edges["d"]
    assert (edge.low, edge.high) == (-12 * 7, 12 * 8)


@given(
    st.lists(st.lists(st.integers(-(1 << 15), (1 << 15) - 1), min_size=3, max_size=3), min_size=1),
    st.integers(-256, 256),
    st.integers(0, 512),
)
def test_bounds_are_the_extremes_of_partial_sums(
    rows: list[list[int]], low: int, width: int
) -> None:
    high = low + width
    least, most = dot_bounds(np.array(rows, np.int16), None, low, high)
    assert least.tolist() == [sum(min(w * low, w * high, 0) for w in row) for row in rows]
    assert most.tolist() == [sum(max(w * low, w * high, 0) for w in row) for row in rows]


def test_accumulator_width_is_proved() -> None:
    # 6 columns of weight 1 on values -8..7: sums from -48 to 42 need 7 bits.
    assert _program(_dot(accumulator_bits=7)).edges["d"].precision == INT(7)
    assert "6-bit accumulator" in _error(_dot(accumulator_bits=6))


def test_bias_counts_in_the_accumulator() -> None:
    assert "7-bit" in _error(_dot(accumulator_bits=7, bias=np.array([0, 0, 22])))


@pytest.mark.parametrize(
    ("op", "reason"),
    [
        (_dot(columns=5), "channels"),
        (_dot(weights=np.full((3, 6), 2)), "weights are outside int2"),
        (_dot(source="nowhere"), "nowhere"),
        (_dot(name="input"), "two operations"),
        (_dot(name="no name"), "identifier"),
        (_dot(bias=np.zeros(2)), "bias"),
        (_dot(accumulator_bits=33), "1 to 32"),
        (_dot(precision=INT(9)), "8 bits"),
        (Window("w", "input", (2, 1)), "larger than the padded map"),
        (Window("w", "input", (0, 1)), "whole numbers"),
        (Window("w", "input", (1, 1), padding=(0, 0, 1, 0), pad_value=9), "pad value"),
        (Pool("p", "input", (1, 1), (1, 1), padding=(1, 0, 0, 0)), "pool padding"),
        (Threshold("t", "input", np.zeros((5, 1)), UINT(1)), "channels"),
        (Threshold("t", "input", np.zeros((6, 2)), UINT(1)), "outputs 0..2"),
        (Threshold("t", "input", np.tile([1, 0], (6, 1)), UINT(2)), "ascend"),
        (Threshold("t", "input", np.zeros((6, 1)), UINT(1), signs=np.zeros(6)), "signs"),
        (Threshold("t", "input", np.zeros((6, 1)), UINT(1), step=0), "step"),
        (Threshold("t", "input", np.zeros((6, 2)), BIPOLAR, base=-1, step=1), "do not fit bipolar"),
        (Add("a", "input", "b"), "b"),
        (ArgMax("a", "input", rule="last"), "arg max"),  # type: ignore[arg-type]
    ],
)
def test_illegal_operations_say_what_is_wrong(op: Any, reason: str) -> None:
    assert reason in _error(op)


def test_arrays_must_be_whole_and_fit() -> None:
    with pytest.raises(ProgramError, match="whole numbers"):
        _dot(weights=np.full((3, 6), 0.5))
    with pytest.raises(ProgramError, match="int32"):
        Threshold("t", "input", np.full((6, 1), 1 << 31), UINT(1))


def test_accumulators_must_be_thresholded_before_the_next_dot() -> None:
    assert "accumulators" in _error(_dot(), _dot(name="e", source="d", columns=3))


def test_padding_a_bipolar_map_needs_ternary() -> None:
    given = PictureInput((2, 2, 1), BIPOLAR, np.where(np.arange(256) > 9, 1, -1))
    window = Window("w", "input", (3, 3), padding=(1, 1, 0, 0))
    with pytest.raises(ProgramError, match="pad value"):
        Program(given, (window,), "w")
    wide = Threshold("t", "input", np.zeros((1, 1)), TERNARY, base=-1, step=2)
    Program(given, (wide, Window("w", "t", (3, 3), padding=(1, 1, 0, 0))), "w")


def test_ends() -> None:
    affine = Affine(np.ones(3), np.zeros(3))
    decision = ArgMax("class", "d")
    assert "not by both" in _error(_dot(), decision, scores="d", decision="class", affine=affine)
    assert "not an arg max" in _error(_dot(), decision="d")
    assert "affine is for 3" in _error(_dot(rows=2), affine=affine)
    assert "made by an operation" in _error(_dot(), scores="input")
    with pytest.raises(ProgramError, match="vector"):
        Program(INPUT, (Pool("p", "input", (1, 1), (1, 1)),), "p")


def test_huge_edges_are_refused() -> None:
    given = PictureInput((8192, 8192, 1), UINT(8), identity_table())
    with pytest.raises(ProgramError, match="too large"):
        Program(given, (Window("w", "input", (3, 3)),), "w")


def test_a_program_is_frozen() -> None:
    program = _program(_dot())
    with pytest.raises(ValueError, match="read-only"):
        program.ops[0].weights[0, 0] = 0  # type: ignore[union-attr]
    with pytest.raises(TypeError):
        program.edges["x"] = program.edges["d"]  # type: ignore[index]


def test_digest_tells_programs_apart() -> None:
    other = np.ones((3, 6))
    other[2, 5] = -1
    digests = {
        _program(_dot()).digest(),
        _program(_dot(weights=other)).digest(),
        _program(_dot(accumulator_bits=16)).digest(),
        _program(_dot(), affine=Affine(np.ones(3), np.ones(3))).digest(),
    }
    assert len(digests) == 4
    assert _program(_dot()).digest() == _program(_dot()).digest()


@settings(max_examples=150)
@given(program=programs.networks(), seed=st.integers(0, 99))
def test_every_value_of_every_edge_keeps_what_was_proved(program: Program, seed: int) -> None:
    inputs = program.input.check(programs.batches(program, 3, seed))
    for name, values in evaluate(program, inputs).items():
        edge = program.edges[name]
        assert values.shape[1:] == edge.shape
        assert edge.low <= values.min()
        assert values.max() <= edge.high
        assert edge.precision.allows(values)


@settings(max_examples=20)
@given(programs.networks())
def test_a_copied_program_is_the_same_and_still_frozen(program: Program) -> None:
    again = copy.deepcopy(program)
    assert again.digest() == program.digest()
    assert dict(again.edges) == dict(program.edges)
    for op in again.ops:
        if isinstance(op, Dot | Threshold):
            table = op.weights if isinstance(op, Dot) else op.thresholds
            with pytest.raises(ValueError, match="read-only"):
                table[...] = 0


def test_a_window_moves_by_one_and_has_no_border_unless_it_says_so() -> None:
    window = Window("w", "input", (2, 3))
    assert (window.stride, window.padding, window.pad_value) == ((1, 1), (0, 0, 0, 0), 0)
    flat = Window("flat", "w", (4, 5))
    program = Program(IntegerInput((5, 7, 2), UINT(2)), (window, flat), "flat")
    assert program.edges["w"].shape == (4, 5, 12)


@pytest.mark.parametrize("kind", [Window, Pool])
@pytest.mark.parametrize("stride", [(0, 1), (1, 0)])
def test_strides_begin_at_one(kind: Any, stride: tuple[int, int]) -> None:
    ops = (kind("w", "input", (2, 2), stride), Window("flat", "w", (1, 1)))
    with pytest.raises(ProgramError, match="w: stride"):
        Program(IntegerInput((2, 2, 1), UINT(2)), ops, "flat")


def test_accumulators_have_32_bits_unless_they_say_so() -> None:
    assert Dot("d", "input", [[1]], BIPOLAR).accumulator_bits == 32


def test_precisions_and_inputs_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        BIPOLAR.bits = 2  # type: ignore[misc]
    with pytest.raises(AttributeError):
        IntegerInput((1,), BIPOLAR).shape = (2,)  # type: ignore[misc]
    assert hash(BIPOLAR) == hash(copy.copy(BIPOLAR))


@pytest.mark.parametrize(
    ("scale", "offset"),
    [
        ([np.nan, 1], [0, 0]),
        ([1, 1], [np.inf, 0]),
        ([[1, 1]], [[0, 0]]),
        ([1, 1], [0]),
    ],
)
def test_an_affine_is_one_finite_number_a_class(scale: Any, offset: Any) -> None:
    with pytest.raises(ProgramError, match="affine"):
        Affine(np.array(scale), np.array(offset))


def test_an_affine_keeps_its_numbers() -> None:
    scale = np.ones(2)
    affine = Affine(scale, np.zeros(2))
    scale[0] = 3
    assert affine.scale.tolist() == [1, 1]
    with pytest.raises(ValueError, match="read-only"):
        affine.offset[0] = 1


@pytest.mark.parametrize(("columns", "fits"), [(40_000, True), (70_000, False)])
def test_sums_of_32_bits_fit_by_default(columns: int, fits: bool) -> None:
    """127 x 255 x 40 000 needs 32 bits with its sign, 127 x 255 x 70 000 needs 33."""
    dot = Dot("scores", "input", np.full((2, columns), 127, np.int16), INT(8))
    given = IntegerInput((columns,), UINT(8))
    if fits:
        assert Program(given, (dot,), "scores").edges["scores"].high == 127 * 255 * columns
    else:
        with pytest.raises(ProgramError, match="scores"):
            Program(given, (dot,), "scores")


@pytest.mark.parametrize(("columns", "fits"), [(20_000, True), (35_000, False)])
def test_additions_of_32_bits_fit_by_default(columns: int, fits: bool) -> None:
    """Each sum alone fits: twice 127 x 255 x 20 000 needs 32 bits, of 35 000 columns 33."""
    weights = np.full((2, columns), 127, np.int16)
    dots = (Dot("a", "input", weights, INT(8)), Dot("b", "input", weights, INT(8)))
    given, ops = IntegerInput((columns,), UINT(8)), (*dots, Add("scores", "a", "b"))
    if fits:
        assert Program(given, ops, "scores").edges["scores"].high == 2 * 127 * 255 * columns
    else:
        with pytest.raises(ProgramError, match="scores"):
            Program(given, ops, "scores")


def test_steps_are_counted_as_documented() -> None:
    """A multiplication is one; a comparison, and a value that is moved, count as 64."""
    ops = (
        Window("w", "input", (3, 2), stride=(2, 1), padding=(1, 0, 1, 3), pad_value=-8),
        _dot(7, 12, source="w"),
        Pool("p", "d", (2, 5), (1, 1)),
        Add("a", "p", "p"),
        Threshold("t", "a", np.arange(3)[None, :].repeat(7, 0), UINT(2)),
        Window("v", "t", (1, 3)),
        _dot(4, 21, name="s", source="v"),
        ArgMax("c", "s"),
    )
    edges = Program(INPUT, ops, "s", "c").edges
    assert {op.name: work(op, edges) for op in ops} == {
        "w": 64 * 2 * 7 * 12,
        "d": 2 * 7 * 7 * 12,
        "p": 64 * 1 * 3 * 7 * 2 * 5,
        "a": 64 * 1 * 3 * 7,
        "t": 64 * 1 * 3 * 7 * 3,
        "v": 64 * 1 * 1 * 21,
        "s": 4 * 21,
        "c": 64 * 4,
    }


@pytest.mark.parametrize("scale", [0.0, -0.0, -0.5, -1.0, -(2.0**-126), np.nan, np.inf, [1.0, 0.0]])
def test_scales_of_an_input_are_positive_numbers(scale: Any) -> None:
    with pytest.raises(ProgramError, match="input scale must be"):
        RealInput((2,), UINT(8), np.array(scale, np.float32), np.zeros(1, np.float32))
    RealInput((2,), UINT(8), np.array([2.0**-126, 1.0], np.float32), np.zeros(1, np.float32))

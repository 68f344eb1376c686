# SPDX-License-Identifier: BSD-3-Clause
"""Which programs can exist, and that what is proved of them is true."""

from __future__ import annotations

import copy
import hashlib
import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnn.errors import ProgramError
from bnn.program import semantics
from bnn.program.check import dot_bounds, work
from bnn.program.inputs import IntegerInput, PictureInput, RealInput, identity_table
from bnn.program.operations import (
    ROUNDINGS,
    Add,
    Affine,
    ArgMax,
    Concat,
    Dot,
    Pool,
    Rescale,
    Threshold,
    Window,
)
from bnn.program.precision import BIPOLAR, INT, TERNARY, UINT, Precision
from bnn.program.program import Program, _hash_fields
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


def _rescale(**more: Any) -> Rescale:
    given = {
        "name": "r",
        "source": "input",
        "multipliers": [1] * 6,
        "shift": 0,
        "precision": INT(4),
        "low": -8,
        "high": 7,
    }
    return Rescale(**{**given, **more})


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
        (_dot(precision=INT(17)), "16 bits"),
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
        (Concat("c", "input", "d", INT(4)), "d"),
        (Concat("c", "input", "input", UINT(4)), "cannot hold 'input'"),
        (Concat("c", "input", "input", BIPOLAR), "cannot hold"),
        (_rescale(multipliers=[1] * 5), "5 multipliers"),
        (_rescale(offsets=[0] * 5), "offsets"),
        (_rescale(offsets=[1 << 62] * 6), "2**62"),
        (_rescale(shift=63), "shift"),
        (_rescale(shift=-1), "shift"),
        (_rescale(rounding="down"), "rounding"),
        (_rescale(low=1, high=0), "saturate"),
        (_rescale(low=-9), "do not fit int4"),
        (_rescale(precision=UINT(32), low=0), "32 bits"),
        (_rescale(precision=BIPOLAR, low=1, high=1), "do not fit bipolar"),
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


def test_a_dot_reads_sums_that_fit_its_accumulator() -> None:
    ops = (_dot(), _dot(name="e", source="d", columns=3))
    assert _program(*ops, scores="e").edges["e"].low == -8 * 6 * 3
    wide = _dot(name="e", source="d", weights=np.full((1, 3), 32767), precision=INT(16))
    assert "do not fit a 8-bit" in _error(_dot(), replace(wide, accumulator_bits=8))


def test_inputs_fit_int16() -> None:
    with pytest.raises(ProgramError, match="32767"):
        Program(IntegerInput((6,), UINT(16)), (_dot(),), "d")
    with pytest.raises(ProgramError, match="16 bits"):
        Program(IntegerInput((6,), INT(17)), (_dot(),), "d")
    assert Program(IntegerInput((6,), INT(16)), (_dot(),), "d").edges["input"].low == -(1 << 15)


_WHOLE = st.one_of(st.integers(-9, 9), st.integers(-(1 << 31), (1 << 31) - 1))


@settings(max_examples=400)
@given(
    _WHOLE,
    _WHOLE,
    st.one_of(st.integers(-9, 9), st.integers(1 - (1 << 62), (1 << 62) - 1)),
    st.one_of(st.integers(0, 4), st.integers(0, 62)),
    st.sampled_from(ROUNDINGS),
)
def test_a_rescale_is_the_rounded_fraction(
    multiplier: int, value: int, offset: int, shift: int, rounding: str
) -> None:
    low, high = -(1 << 31), (1 << 31) - 1
    ends = {"shift": shift, "precision": INT(32), "low": low, "high": high}
    op = _rescale(multipliers=[multiplier], offsets=[offset], rounding=rounding, **ends)
    exact = Fraction(multiplier * value + offset, 1 << shift)
    below = math.floor(exact)
    half = Fraction(1, 2)
    wanted = {
        "floor": below,
        "up": math.floor(exact + half),
        "even": round(exact),
        "zero": below + (exact - below > half or (exact - below == half and exact < 0)),
    }[rounding]
    assert semantics.rescale(np.array([[value]]), op).item() == min(max(wanted, low), high)


def test_a_rescale_saturates_and_its_bounds_are_proved() -> None:
    # -8..7 times 3, plus 1, halved: -11.5..11, saturated at -4 and 9.
    op = _rescale(multipliers=[3] * 6, offsets=[1] * 6, shift=1, precision=INT(5), low=-4, high=9)
    edge = _program(op, scores="r").edges["r"]
    assert (edge.low, edge.high) == (-4, 9)
    falling = replace(op, multipliers=[-1] * 6, low=-9)
    edge = _program(falling, scores="r").edges["r"]
    assert (edge.low, edge.high) == (-3, 4)  # (-7 + 1) / 2, and (8 + 1) / 2 to even


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


@settings(max_examples=300)
@given(program=programs.networks() | programs.networks(programs.FULL), seed=st.integers(0, 99))
def test_every_value_of_every_edge_keeps_what_was_proved(program: Program, seed: int) -> None:
    inputs = program.input.check(programs.batches(program, 3, seed))
    for name, values in evaluate(program, inputs).items():
        edge = program.edges[name]
        assert values.dtype == np.int64  # also where NumPy's own integers have 32 bits
        assert values.shape[1:] == edge.shape
        assert edge.low <= values.min()
        assert values.max() <= edge.high
        assert edge.precision.allows(values)


@settings(max_examples=20)
@given(programs.networks(programs.FULL))
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


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [
        (BIPOLAR, np.int8),
        (INT(8), np.int8),
        (UINT(7), np.int8),
        (UINT(8), np.int16),
        (INT(9), np.int16),
    ],
)
def test_weights_are_kept_in_the_type_that_they_need(
    precision: Precision, dtype: type[np.signedinteger[Any]]
) -> None:
    values = np.array([[precision.low, precision.high]])
    made = [
        Dot("scores", "input", values.astype(given), precision) for given in (np.int16, np.int64)
    ]
    for dot in made:
        assert dot.weights.dtype == dtype
        assert np.array_equal(dot.weights, values)
    programs = [Program(IntegerInput((1, 1, 2), BIPOLAR), (dot,), "scores") for dot in made]
    assert programs[0].digest() == programs[1].digest()


def test_the_digest_of_weights_is_that_of_16_bits() -> None:
    weights = np.array([[1, -1], [-1, -1], [1, 1]], np.int8)
    dot = Dot("scores", "input", weights, BIPOLAR)
    hasher = hashlib.sha256()
    _hash_fields(hasher, dot)
    told = hashlib.sha256(b"Dotname='scores';source='input';weights:<i2(3, 2)")
    told.update(weights.astype("<i2").tobytes())
    told.update(f"precision={BIPOLAR!r};bias=None;accumulator_bits=32;".encode())
    assert hasher.hexdigest() == told.hexdigest()


@pytest.mark.parametrize("value", [200, -129, 40_000])
def test_weights_that_no_byte_holds_are_refused_by_the_precision(value: int) -> None:
    def refused() -> Program:
        dot = Dot("scores", "input", np.array([[1, value]]), INT(8))
        return Program(IntegerInput((1, 1, 2), BIPOLAR), (dot,), "scores")

    with pytest.raises(ProgramError, match=r"outside int8|fit int16"):
        refused()

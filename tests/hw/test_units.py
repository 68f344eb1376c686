# SPDX-License-Identifier: BSD-3-Clause
"""What the circuit's Python computes, without any simulator: packing, widths, foldings, loads."""

from __future__ import annotations

import itertools
import re
from importlib import resources

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnn.errors import BuildError
from bnn.hw import folding as folds
from bnn.hw.blocks.matrix import accumulator_bits
from bnn.hw.blocks.thresholds import least_signed_bits, threshold_bounds
from bnn.hw.design import build
from bnn.hw.folding import Folding, LayerFolding, balanced, cycles, dots
from bnn.hw.memory_layout import InputLayout, OutputLayout
from bnn.plan import memory_bus
from bnn.plan.memory import Mapped, Memory, mapped
from bnn.program.inputs import IntegerInput
from bnn.program.operations import Dot, Threshold, Window
from bnn.program.precision import BIPOLAR, INT, TERNARY, UINT, Precision
from bnn.program.program import Program
from hw.examples import dense, signs
from support.programs import PRECISIONS, numbers

# ---- memory ---------------------------------------------------------------------------------


def _assert_packed(layout: InputLayout) -> None:
    """Every value's code is where the circuit looks for it, and all other bits are 0."""
    values = numbers(np.random.default_rng(layout.values), layout.precision, (3, layout.values))
    bits = layout.precision.bits
    codes = layout.precision.encode(values).astype(int).tolist()
    packed = layout.pack(values)
    assert packed.shape == (3, layout.memory_words)
    for image, words in zip(codes, packed, strict=True):
        wanted = 0
        for at, code in enumerate(image):
            word, lane = divmod(at, layout.lanes)
            wanted |= code << (word * layout.slot_bits + lane * bits)
        assert int.from_bytes(words.astype("<u8").tobytes(), "little") == wanted
    assert layout.slot_bits >= layout.word_bits
    # Slots and memory words meet: the gearbox takes whole ones only.
    assert layout.memory_words * 64 % layout.slot_bits == 0
    assert layout.memory_words * 64 >= layout.stream_words * layout.slot_bits
    assert layout.gear_bits <= max(576, layout.word_bits) or layout.slot_bits % 64 == 0


@settings(max_examples=300)
@given(st.integers(1, 300), st.integers(1, 120), st.sampled_from(PRECISIONS))
def test_images_are_packed_as_the_circuit_reads_them(
    values: int, lanes: int, precision: Precision
) -> None:
    _assert_packed(InputLayout(values, lanes, precision))


@pytest.mark.parametrize(
    ("values", "lanes", "precision"),
    [
        (784, 98, UINT(8)),
        (784, 49, INT(8)),
        (27, 27, UINT(8)),
        (784, 112, INT(5)),
        (65, 65, BIPOLAR),
    ],
)
def test_images_whose_slots_are_wider_than_their_words(
    values: int, lanes: int, precision: Precision
) -> None:
    layout = InputLayout(values, lanes, precision)
    assert layout.slot_bits > layout.word_bits
    _assert_packed(layout)


@settings(max_examples=200)
@given(st.integers(1, 40), st.integers(0, 5), st.integers(1, 32), st.booleans())
def test_results_are_read_as_the_circuit_writes_them(
    values: int, padding: int, bits: int, signed: bool
) -> None:
    precision = INT(bits) if signed else UINT(bits) if bits < 32 else INT(bits)
    if bits == 1 and signed:
        precision = BIPOLAR
    layout = OutputLayout(values, values + padding, bits, precision)
    draw = np.random.default_rng(values)
    wanted = draw.integers(
        max(precision.low, -(2**31)), min(precision.high, 2**31 - 1) + 1, (2, values)
    )
    if precision == BIPOLAR:
        wanted = 2 * (wanted > 0) - 1
    size = next(size for size in (1, 2, 4, 8, 16, 32) if size >= bits)
    words = []
    for image in wanted.tolist():
        codes = [(v + 1) // 2 if precision == BIPOLAR else v for v in image]
        garbage = draw.integers(0, 1 << min(bits, 31), padding).tolist()
        whole = sum((c & (1 << bits) - 1) << (size * i) for i, c in enumerate([*codes, *garbage]))
        count = -(-size * (values + padding) // 64)
        words.append([whole >> (64 * i) & (1 << 64) - 1 for i in range(count)])
    assert len(words[0]) == layout.memory_words
    np.testing.assert_array_equal(layout.unpack(np.array(words, np.uint64)), wanted)
    assert layout.unpack(np.zeros((0, layout.memory_words), np.uint64)).shape == (0, values)


# ---- widths ---------------------------------------------------------------------------------


@pytest.mark.parametrize("weight", [BIPOLAR, TERNARY, UINT(1), INT(2), INT(3), UINT(4), INT(8)])
@pytest.mark.parametrize("source", [BIPOLAR, TERNARY, UINT(1), UINT(2), INT(2), INT(4), UINT(8)])
@pytest.mark.parametrize("levels", [0, 1, 3])
def test_accumulators_hold_every_sum_and_one_more(
    weight: Precision, source: Precision, levels: int
) -> None:
    """``high + 1`` too: the threshold that is never reached. And no bit is too many."""
    for columns in [*range(1, 90), 341, 500, 1365]:
        bits, low, high = accumulator_bits(columns, weight, source, levels)
        assert -(1 << bits - 1) <= low <= high < high + 1 <= (1 << bits - 1) - 1
        assert bits == 2 or low < -(1 << bits - 2) or high + 1 > (1 << bits - 2) - 1
        assert (low, high) == _reached(columns, weight, source, levels)


def _reached(columns: int, weight: Precision, source: Precision, levels: int) -> tuple[int, int]:
    """Least and most of A, by what the circuit adds for one column (see bnn.hw.blocks.matrix)."""

    def codes(precision: Precision) -> list[int]:  # every pattern of bits, legal or not
        half = 1 << precision.bits - 1
        if precision.kind in ("signed", "narrow", "ternary"):
            return list(range(-half, half))
        return list(range(2 * half))

    if weight == source == TERNARY:
        terms = [(w * x != 0) + 2 * (w * x >= 0) for w in (-1, 0, 1) for x in (-1, 0, 1)]
        return columns * min(terms), columns * max(terms)
    halves = 2 if weight == TERNARY and source.bits > 2 and levels else 1
    if weight == BIPOLAR or halves == 2:
        planes = -1 if source.kind in ("signed", "narrow", "ternary") else (1 << source.bits) - 1
        if source == BIPOLAR:
            planes = 1
        terms = [x if w else planes - x for w in (0, 1) for x in codes(source)]
        pairs = halves * columns // 2 if source.bits > 2 else 0
        return halves * columns * min(terms), halves * columns * max(terms) + pairs
    terms = [w * x for w in codes(weight) for x in codes(source)]
    return columns * min(0, *terms), columns * max(0, *terms)


@pytest.mark.parametrize("low", [-1000, -129, -128, -127, -2, -1, 0])
@pytest.mark.parametrize("high", [0, 1, 2, 126, 127, 128, 999])
def test_least_signed_bits(low: int, high: int) -> None:
    bits = least_signed_bits(low, high)
    holds = [n for n in range(2, 40) if -(2 ** (n - 1)) <= low and high <= 2 ** (n - 1) - 1]
    assert bits == holds[0]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_thresholds_of_a_stream_hold_every_code_and_one_more(precision: Precision) -> None:
    bits, low, high = threshold_bounds(precision)
    codes = (
        precision.encode(np.arange(precision.low, precision.high + 1))
        if precision != BIPOLAR
        else [0, 1]
    )
    assert bits > precision.bits
    assert high + 1 <= (1 << bits - 1) - 1
    assert -(1 << bits - 1) <= low
    if precision.kind in ("unsigned", "bipolar"):
        assert (low, high) == (0, max(codes))
    else:
        assert low <= precision.low <= precision.high <= high


# ---- foldings -------------------------------------------------------------------------------


def _rows_and_columns() -> Program:
    random = np.random.default_rng(0)
    return Program(
        IntegerInput((5, 6, 4), BIPOLAR),
        (
            Window("w", "input", (2, 2)),
            Dot("d", "w", signs(random, 6, 16), BIPOLAR),
            Threshold("t", "d", random.integers(-3, 4, (6, 1)), BIPOLAR, -1, 2),
            Window("f", "t", (4, 5)),
            Dot("e", "f", signs(random, 3, 120), BIPOLAR),
        ),
        "e",
    )


def test_cycles_are_those_of_the_block() -> None:
    program = _rows_and_columns()
    for pe, simd, pixels in itertools.product((1, 2, 3, 6), (1, 2, 4, 8, 16), (1, 2, 3, 5)):
        folding = Folding({"d": LayerFolding(pe, simd, pixels), "e": LayerFolding(2, 6, rows=5)})
        design = build(program, folding)
        for dot in dots(program):
            block = design.instance(dot.name).block
            assert cycles(program, dot, folding.of(dot.name)) == block.cycles
        groups = -(-20 // pixels)
        assert design.instance("d").block.cycles == groups * (6 // pe) * (16 // simd)
        assert design.instance("e").block.cycles == 3 * 20  # five rows, padded to six


@pytest.mark.parametrize("target", [1, 2, 20, 40, 80, 500, 10_000])
def test_a_balanced_folding_is_the_smallest_that_is_fast_enough(target: int) -> None:
    program = _rows_and_columns()
    found = balanced(program, target)
    assert found.loadable is False
    assert balanced(program, target, loadable=True).loadable is True
    for dot in dots(program):
        rows, columns = dot.weights.shape
        chosen = found.of(dot.name)
        every = [
            LayerFolding(pe, simd)
            for pe in range(1, rows + 1)
            for simd in range(1, min(columns, 256) + 1)
            if rows % pe == 0 and columns % simd == 0
        ]
        fast = [each for each in every if cycles(program, dot, each) <= target]
        if fast:
            best = min(fast, key=lambda each: (each.pe * each.simd, each.pe))
            assert chosen == best
        else:  # all the rows and columns it has
            assert (chosen.pe, chosen.simd) == (rows, columns)


def test_a_folding_is_constants_unless_it_says_loadable(tmp_path) -> None:
    path = tmp_path / "folding.json"
    path.write_text('{"hidden": {"PE": 4, "SIMD": 4}, "out": {"PE": 1, "SIMD": 2}}')
    assert folds.read(path, dense()) == Folding(
        {"hidden": LayerFolding(4, 4), "out": LayerFolding(1, 2)}
    )
    assert folds.read(path, dense()).loadable is False
    path.write_text(
        '{"loadable": true, "hidden": {"PE": 4, "SIMD": 4}, "out": {"PE": 1, "SIMD": 2}}'
    )
    assert folds.read(path, dense()).loadable is True


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (LayerFolding(4, 3), r"hidden: SIMD 3 does not divide"),
        (LayerFolding(3, 4), r"hidden: PE 3 does not divide its 8 rows"),
        (LayerFolding(0, 4), r"hidden: PE, SIMD and pixels must be at least 1, not 0"),
        (LayerFolding(4, 4, 2), r"hidden: 2 pixels at once, but a row has 1"),
    ],
)
def test_foldings_that_do_not_fit_are_refused(layer: LayerFolding, message: str) -> None:
    program = _hidden_map()
    with pytest.raises(BuildError, match=message):
        build(program, Folding({"hidden": layer, "out": LayerFolding(1, 8)}))


def _hidden_map() -> Program:
    """As ``dense``, of a map of one column: its columns are not padded."""
    random = np.random.default_rng(0)
    return Program(
        IntegerInput((2, 1, 20), BIPOLAR),
        (
            Dot("hidden", "input", signs(random, 8, 20), BIPOLAR),
            Threshold("act", "hidden", random.integers(-4, 4, (8, 1)), BIPOLAR, -1, 2),
            Window("flat", "act", (2, 1)),
            Dot("out", "flat", signs(random, 5, 16), BIPOLAR),
        ),
        "out",
    )


# ---- costs ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("memory", "wanted"),
    [
        # Constants of at most 64 words: a LUT per bit, at most one per different column.
        (Memory(8, 16, constant=True), Mapped(logic=8)),
        (Memory(8, 2, constant=True), Mapped(logic=2)),
        (Memory(8, 3, constant=True), Mapped(logic=6)),
        (Memory(1, 4, constant=True), Mapped(logic=1)),
        (Memory(8, 1, constant=True), Mapped(logic=0)),
        (Memory(8, 64, 3, constant=True), Mapped(logic=24)),
        # Of at most 256 that are asked for in LUTs; beyond, or by Yosys' own choice.
        (Memory(5, 65, constant=True, style="distributed"), Mapped(tables=10)),
        (Memory(5, 129, 2, constant=True, style="distributed"), Mapped(tables=40)),
        (Memory(5, 257, constant=True, style="distributed"), Mapped(deep=25)),
        (Memory(5, 129, constant=True), Mapped(deep=15)),
        # A block that is asked for, but for a single word; an array without a register is none.
        (Memory(8, 16, constant=True, style="block"), Mapped(bram36=0.5)),
        (Memory(8, 1, constant=True, style="block"), Mapped(logic=0)),
        (Memory(8, 16, constant=True, style="block", registered=False), Mapped(logic=8)),
        (Memory(36, 512, 2, style="block"), Mapped(bram36=1.0)),
        (Memory(36, 512, registered=False), Mapped(quads=96, multiplexed=252)),
        (Memory(6, 32, 2, style="distributed"), Mapped(quads=2)),
        (Memory(6, 64, style="distributed"), Mapped(quads=2)),
        (Memory(7, 64, style="distributed"), Mapped(quads=3)),
        (Memory(6, 96, style="distributed"), Mapped(quads=3, multiplexed=12)),
    ],
)
def test_what_an_array_becomes(memory: Memory, wanted: Mapped) -> None:
    assert mapped(memory) == wanted


def test_the_memory_buses_of_the_model_are_those_of_the_rtl() -> None:
    """FIFOs, bursts and pages, as the sources of ``bnn_reader`` and ``bnn_writer`` state them."""
    rtl = resources.files("bnn.hw") / "rtl"
    for name, depth in (("reader", memory_bus._READ_DEPTH), ("writer", memory_bus._WRITE_DEPTH)):
        text = (rtl / f"bnn_{name}.sv").read_text(encoding="utf-8")
        assert re.findall(r"parameter int DEPTH = (\d+)", text) == [str(depth)]
        assert f"10'd{memory_bus._PAGE} - " in text
    burst = re.findall(r"CW'\(DEPTH - (\d+)\)", (rtl / "bnn_reader.sv").read_text(encoding="utf-8"))
    assert burst == [str(memory_bus._BURST)]

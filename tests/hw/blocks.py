# SPDX-License-Identifier: BSD-3-Clause
"""Every block that has streams, with the words of an image and what must come out.

``test_blocks.py`` simulates them all within seconds; ``test_benches.py`` longer, in cocotb.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.hw.blocks.adder import Adder
from bnn.hw.blocks.joins import Joiner, Multiplier
from bnn.hw.blocks.matrix import Matrix, accumulator_bits
from bnn.hw.blocks.patches import Patches
from bnn.hw.blocks.plumbing import Fifo, Fork, Narrow, Pad, Resize, Serialize, Trim, Widen
from bnn.hw.blocks.rescales import RescaleUnit, scaling
from bnn.hw.blocks.tables import TableUnit, table_range
from bnn.hw.blocks.thresholds import (
    Thresholds,
    ThresholdUnit,
    is_shared,
    of_threshold,
    threshold_bounds,
)
from bnn.hw.blocks.unpack import Unpack
from bnn.hw.blocks.window import Maximum, SlidingWindow
from bnn.hw.loading import chunked
from bnn.hw.render import image
from bnn.program.operations import Borders, Dot, Pair, Rescale, Rounding, Threshold
from bnn.program.precision import BIPOLAR, INT, TERNARY, UINT, Precision
from hw.examples import signs
from support.programs import numbers

Load = tuple[int, int, int, int]
"""A write on the parameter bus: whether it is a level, item, index, data."""


@dataclass
class Bench:
    """A block, the words of one image, and what must come out for an image.

    Attributes:
        bits: of a word of each stream in; words: of an image on each of them.
        counts: words of an image on each stream, where they differ.
        golden: the streams' words of an image to the words out.
        files: memory images.
        mask: of the bits that are defined in every output word of an image, or None for all.
        loads: what the parameter bus writes before the first word.
    """

    block: Any
    bits: tuple[int, ...]
    words: int
    golden: Callable[..., list[int]]
    files: dict[str, str]
    mask: list[int] | None = None
    loads: list[Load] = field(default_factory=list)
    counts: tuple[int, ...] = ()

    @property
    def beats(self) -> int:
        """Of an image on its busiest stream."""
        return max(*self.each, self.block.output_words)

    @property
    def each(self) -> tuple[int, ...]:
        """Words of an image on each stream in."""
        return self.counts or (self.words,) * len(self.bits)

    def drawn(self, luck: random.Random, images: int) -> list[list[list[int]]]:
        """Random words [image][stream][word]."""
        return [
            [
                [word(luck, self, bits) for _ in range(count)]
                for bits, count in zip(self.bits, self.each, strict=True)
            ]
            for _ in range(images)
        ]


def _plain(block: Any, bits: int | tuple[int, ...], words: int) -> Bench:
    return Bench(block, (bits,) if isinstance(bits, int) else bits, words, block.golden, {})


def _window(
    padding: Borders = (1, 1, 1, 0), stride: Pair = (2, 1), pixels: int = 4, side: int = 7
) -> Bench:
    block = SlidingWindow((side, 6, 4), 2, 2, (3, 2), stride, padding, 3, pixels=pixels)
    height, width = block.out_shape
    tail = height * width - (block.groups - 1) * block.pixels
    full, rest = (1 << block.output_bits) - 1, (1 << tail * 4) - 1
    steps = block.output_steps
    mask = [full] * (block.output_words - steps) + [rest] * steps
    return Bench(block, (4,), block.input_words, block.golden, {}, mask)


def _patches(padding: Borders, take: int, stride: Pair = (2, 1)) -> Bench:
    block = Patches((7, 7, 4), 2, 1, (3, 2), stride, padding, 3, pixels=2, take=take)
    return _plain(block, 2 * take, block.input_words)


@dataclass(frozen=True)
class Shape:
    """Of a matrix: ``folds`` column folds of ``simd`` columns, six rows, two at once.

    Attributes:
        levels: thresholds; 0: a bias instead.
        unreachable: whether the first row's are above all sums, and the second's below.
    """

    simd: int = 4
    folds: int = 3
    pixels: int = 1
    levels: int = 1
    positions: int = 8
    unreachable: bool = False
    loadable: bool = False
    pe: int = 2
    style: str = "auto"


def _matrix(weight: Precision, source: Precision, shape: Shape) -> Bench:
    draw = np.random.default_rng(1)
    columns, rows = shape.folds * shape.simd, 6
    weights = numbers(draw, weight, (rows, columns))
    acc, low, high = accumulator_bits(columns, weight, source, shape.levels)
    threshold, bias = None, None
    if shape.levels:
        threshold = _thresholds(draw, weights, source, shape)
        made = of_threshold(threshold, acc, low, high, falling=True)
    else:
        bias = draw.integers(-40, 40, rows)
        shift = int(source == BIPOLAR)
        made = Thresholds(acc, low, high, 0, False, 0, 1, shift, 20, None)
    dot = Dot("d", "input", weights, weight, bias)
    block = Matrix(
        *(rows, columns, shape.positions, shape.pe, shape.simd, shape.pixels, weight, source, made),
        loadable=shape.loadable,
        style=shape.style,
        name="dut",
    )
    contents = block.contents(dot, threshold)
    memories = [(contents.weights, block.weight_word_bits), (contents.thresholds, made.word_bits)]
    words = block.groups * block.column_folds
    bits = shape.pixels * shape.simd * source.bits
    bench = Bench(block, (bits,), words, lambda w: block.golden(w, dot, threshold), {})
    return _with_memories(bench, memories)


def _thresholds(
    draw: np.random.Generator, weights: NDArray[Any], source: Precision, shape: Shape
) -> Threshold:
    """Thresholds where the sums are, of which about half are reached."""
    rows, columns = weights.shape
    sums = numbers(draw, source, (400, columns)).astype(np.int64) @ weights.T.astype(np.int64)
    signs = numbers(draw, BIPOLAR, rows)
    values = np.sort(
        np.stack([draw.permuted(sums * signs, axis=0)[n] for n in range(shape.levels)]), 0
    ).T
    if shape.unreachable:
        values[0], values[1] = np.iinfo(np.int32).max, np.iinfo(np.int32).min
    if shape.levels == 1:
        return Threshold("t", "d", values, BIPOLAR, -1, 2, signs)
    return Threshold("t", "d", values, UINT(2), 0, 1, signs)


def _with_memories(bench: Bench, memories: list[tuple[list[list[int]], int]]) -> Bench:
    """Its parameters as files, or as the writes that load them."""
    if not bench.block.loadable:
        kinds = ("weights", "thresholds")[-len(memories) :]
        texts = {
            f"dut_{kind}.mem": image(words, bits)
            for kind, (words, bits) in zip(kinds, memories, strict=True)
        }
        return replace(bench, files=texts)
    loads: list[Load] = []
    for kind, (words, bits) in enumerate(memories, 2 - len(memories)):
        for item, data in enumerate(chunked(words, bits).reshape(-1, len(words))):
            loads += [(kind, item, index, int(value)) for index, value in enumerate(data)]
    return replace(bench, loads=loads)


def _threshold(source: Precision, loadable: bool = False) -> Bench:
    draw = np.random.default_rng(2)
    thresholds = np.sort(draw.integers(source.low, source.high + 2, (6, 3)), axis=1)
    threshold = Threshold("t", "input", thresholds, UINT(2), signs=signs(draw, 6))
    acc, low, high = threshold_bounds(source)
    made = of_threshold(threshold, acc, low, high)
    block = ThresholdUnit(6, 4, 2, source, made, name="dut", loadable=loadable)
    bench = Bench(
        *(block, (2 * source.bits,), block.output_words, lambda w: block.golden(w, threshold), {})
    )
    return _with_memories(bench, [(block.contents(threshold), made.word_bits)])


def _shared(source: Precision, levels: int, reach: int, sign: int = 1) -> Bench:
    """Thresholds that all six channels share: in a table, if they are many."""
    draw = np.random.default_rng(levels)
    thresholds = np.tile(np.sort(draw.integers(-reach, reach, levels)), (6, 1))
    threshold = Threshold("t", "input", thresholds, UINT(8), signs=np.full(6, sign))
    entries = table_range(threshold, source)
    if entries is not None:
        table = TableUnit(6, 4, 2, source, threshold.precision, *entries, "dut")
        image_of = {"dut_thresholds.mem": image(table.contents(threshold), 8)}
        golden = lambda w: table.golden(w, threshold)  # noqa: E731
        return Bench(table, (2 * source.bits,), table.output_words, golden, image_of)
    acc, low, high = threshold_bounds(source)
    made = of_threshold(threshold, acc, low, high)
    block = ThresholdUnit(6, 4, 2, source, made, name="dut", shared=is_shared(threshold))
    bench = Bench(
        *(block, (2 * source.bits,), block.output_words, lambda w: block.golden(w, threshold), {})
    )
    return _with_memories(bench, [(block.contents(threshold), made.word_bits)])


def _rescale(
    source: Precision,
    made: Precision,
    shift: int,
    rounding: Rounding,
    *,
    reach: tuple[int, int] = (100, 100),
    bounds: tuple[int, int] | None = None,
    wrap: bool = False,
    loadable: bool = False,
) -> Bench:
    """Six channels, two a word.

    ``reach``: of multipliers and of offsets; 0 for offsets: none, and a negative one of multipliers
    for one of them all.
    """
    draw = np.random.default_rng(4)
    most, off = reach
    multipliers = draw.integers(-most, most, 6, endpoint=True) if most > 0 else np.full(6, -most)
    offsets = draw.integers(-off, off, 6, endpoint=True) if off else None
    low, high = bounds or (made.low, made.high)
    op = Rescale(
        *("r", "input", multipliers, shift, made, low, high, offsets, rounding),
        overflow="wrap" if wrap else "saturate",
    )
    block = RescaleUnit(
        *(6, 4, 2, scaling(op, source, source.low, source.high)), loadable=loadable, name="dut"
    )
    bench = Bench(
        *(block, (2 * source.bits,), block.output_words, lambda w: block.golden(w, op), {})
    )
    memories = [(block.contents(op), block.word_bits)]
    return _with_memories(bench, memories) if block.word_bits else bench


def _multiply(first: Precision, second: Precision, bits: int) -> Bench:
    block = Multiplier(first, second, (first.bits, second.bits), 2, bits, 10)
    return _plain(block, (2 * first.bits, 2 * second.bits), 10)


def _concat(first: Precision, second: Precision, made: Precision, parts: tuple[int, int]) -> Bench:
    block = Joiner(first, second, made, 2, parts, 4)
    bench = _plain(block, (2 * first.bits, 2 * second.bits), 0)
    return replace(bench, counts=(4 * parts[0], 4 * parts[1]))


def _unpack(values: int, lanes: int, bits: int) -> Bench:
    """As many images as fill whole words, each byte with a random code."""
    draw = np.random.default_rng(values)
    block = Unpack(values, lanes, bits, tuple(draw.integers(0, 1 << bits, 256).tolist()))
    images = 8 // math.gcd(8, values)
    full = (1 << block.output_bits) - 1
    mask = [full] * (images * block.output_words)
    return Bench(block, (64,), images * values // 8, block.golden, {}, mask)


#: Small blocks, which Icarus simulates too.
SMALL: dict[str, Callable[[], Bench]] = {
    "fifo": lambda: _plain(Fifo(9, 5, 10), 9, 10),
    "fifo-of-one": lambda: _plain(Fifo(9, 1, 10), 9, 10),
    "widen": lambda: _plain(Widen(3, 4, 12, 2), 6, 12),
    "narrow": lambda: _plain(Narrow(3, 4, 5, 2), 24, 5),
    "trim": lambda: _plain(Trim(5, 3, 7), 5, 7),
    "pad": lambda: _plain(Pad(5, 3, 7), 5, 3),
    "resize-cut": lambda: _plain(Resize(8, 5, 10), 8, 10),
    "resize-extend": lambda: _plain(Resize(5, 8, 10), 5, 10),
    "resize-signed": lambda: _plain(Resize(5, 8, 10, signed=True), 5, 10),
    "serialize": lambda: _plain(Serialize(3, 4, 2, 10), 12, 6),
    "max": lambda: _plain(Maximum(3, 4, True, 2, 6, 36), 12, 36),
    "fork": lambda: _plain(Fork(7, 3, 10), 7, 10),
    "fifo-of-two": lambda: _plain(Fifo(70, 2, 10), 70, 10),
    "widen-one": lambda: _plain(Widen(5, 2, 12), 5, 12),
    "narrow-one": lambda: _plain(Narrow(5, 2, 7), 10, 7),
    "trim-one": lambda: _plain(Trim(5, 1, 2), 5, 2),
    "pad-one": lambda: _plain(Pad(5, 1, 2), 5, 1),
    "serialize-full": lambda: _plain(Serialize(3, 2, 3, 8), 6, 12),
    "serialize-one": lambda: _plain(Serialize(3, 3, 1, 7), 9, 3),
    "max-unsigned": lambda: _plain(Maximum(2, 3, False, 1, 2, 14), 6, 14),
    "max-one": lambda: _plain(Maximum(2, 3, True, 3, 1, 12), 6, 12),
    "unpack": lambda: _unpack(24, 3, 8),
    "unpack-narrow": lambda: _unpack(24, 4, 8),
    "unpack-bits": lambda: _unpack(24, 8, 1),
    "unpack-tail": lambda: _unpack(16, 3, 2),
    "unpack-split": lambda: _unpack(27, 3, 8),
    "unpack-split-tail": lambda: _unpack(13, 5, 1),
    "unpack-split-one": lambda: _unpack(9, 1, 8),
    "unpack-split-units": lambda: _unpack(12, 4, 5),
    "unpack-split-eight": lambda: _unpack(11, 8, 6),
    "unpack-split-halves": lambda: _unpack(18, 6, 7),
    "add": lambda: _plain(Adder(INT(4), UINT(3), 3, 6, 10), (12, 9), 10),
    "add-bipolar": lambda: _plain(Adder(BIPOLAR, INT(5), 2, 7, 10), (2, 10), 10),
    "multiply": lambda: _multiply(INT(5), UINT(4), 9),
    "multiply-wide": lambda: _multiply(INT(16), INT(16), 32),
    "multiply-bipolar": lambda: _multiply(UINT(8), BIPOLAR, 9),
    "multiply-signs": lambda: _multiply(BIPOLAR, BIPOLAR, 2),
    "multiply-unsigned": lambda: _multiply(UINT(8), UINT(1), 12),
    "concat": lambda: _concat(INT(4), UINT(3), INT(5), (2, 3)),
    "concat-one": lambda: _concat(UINT(3), BIPOLAR, INT(4), (1, 1)),
    "concat-signs": lambda: _concat(BIPOLAR, BIPOLAR, BIPOLAR, (3, 1)),
    "concat-cut": lambda: _concat(INT(9), INT(4), INT(4), (1, 4)),
}

LARGE: dict[str, Callable[[], Bench]] = {
    "window": _window,
    "window-bare": lambda: _window((0, 0, 0, 0), (1, 1), 1, 5),
    "window-strides": lambda: _window((0, 0, 0, 0), (4, 3), 1, 9),
    "window-rows": lambda: _window((0, 0, 0, 0), (1, 1), 5, 5),  # a whole row at once
    "window-crossing": lambda: _window((2, 0, 1, 1), (1, 2), 2),
    "patches": lambda: _patches((1, 1, 1, 1), 2),
    "patches-bare": lambda: _patches((0, 0, 0, 0), 1),
    "patches-dense": lambda: _patches((2, 1, 1, 1), 4, (1, 1)),
    "matrix-bipolar": lambda: _matrix(BIPOLAR, BIPOLAR, Shape()),
    "matrix-agree": lambda: _matrix(BIPOLAR, BIPOLAR, Shape(10, levels=3, unreachable=True)),
    "matrix-agree-all": lambda: _matrix(BIPOLAR, BIPOLAR, Shape(21, 1, unreachable=True)),
    "matrix-agree-deep": lambda: _matrix(BIPOLAR, BIPOLAR, Shape(20, 3, 2, levels=0)),
    "matrix-agree-tables": lambda: _matrix(BIPOLAR, BIPOLAR, Shape(9, 24, style="distributed")),
    "matrix-agree-four-tables": lambda: _matrix(
        BIPOLAR, BIPOLAR, Shape(7, 50, levels=3, style="distributed")
    ),
    "matrix-agree-deepest": lambda: _matrix(BIPOLAR, BIPOLAR, Shape(160, 1, levels=0, pe=1)),
    "matrix-loaded": lambda: _matrix(BIPOLAR, UINT(2), Shape(34, 2, levels=3, loadable=True)),
    "matrix-pixels": lambda: _matrix(BIPOLAR, TERNARY, Shape(pixels=4, levels=3)),
    "matrix-sums": lambda: _matrix(BIPOLAR, UINT(8), Shape(9, 2, levels=0)),
    "matrix-sums-signed": lambda: _matrix(BIPOLAR, INT(4), Shape(6, 2, unreachable=True)),
    "matrix-sums-one": lambda: _matrix(BIPOLAR, INT(3), Shape(1, 5, levels=3, loadable=True)),
    "matrix-planes": lambda: _matrix(INT(3), INT(4), Shape(pixels=2, levels=3)),
    "matrix-planes-wide": lambda: _matrix(INT(3), TERNARY, Shape(20)),
    "matrix-planes-deepest": lambda: _matrix(UINT(2), BIPOLAR, Shape(150, 1, levels=0, pe=1)),
    "matrix-ternary": lambda: _matrix(TERNARY, TERNARY, Shape(pixels=2, levels=3)),
    "matrix-ternary-five": lambda: _matrix(
        TERNARY, TERNARY, Shape(5, 1, levels=3, unreachable=True)
    ),
    "matrix-ternary-wide": lambda: _matrix(TERNARY, TERNARY, Shape(20, levels=2)),
    "matrix-ternary-widest": lambda: _matrix(TERNARY, TERNARY, Shape(50, 2, levels=0)),
    "matrix-halves": lambda: _matrix(TERNARY, INT(4), Shape(pixels=2, levels=3)),
    "matrix-halves-one": lambda: _matrix(TERNARY, UINT(8), Shape()),
    "matrix-halves-wide": lambda: _matrix(TERNARY, INT(8), Shape(9)),
    "threshold": lambda: _threshold(INT(5)),
    "threshold-loaded": lambda: _threshold(UINT(4), loadable=True),
    "threshold-bipolar": lambda: _threshold(BIPOLAR),
    "threshold-shared": lambda: _shared(INT(9), 5, 300),
    "threshold-table": lambda: _shared(INT(12), 40, 500),
    "threshold-table-falls": lambda: _shared(INT(10), 20, 200, sign=-1),
    "threshold-table-beyond": lambda: _shared(INT(8), 30, 1000),
    "threshold-table-unsigned": lambda: _shared(UINT(11), 255, 3000),
    "rescale": lambda: _rescale(INT(8), INT(8), 5, "even"),
    "rescale-up": lambda: _rescale(INT(8), INT(6), 4, "up", bounds=(-9, 25)),
    "rescale-zero": lambda: _rescale(INT(9), INT(12), 3, "zero", reach=(5, 40)),
    "rescale-down": lambda: _rescale(UINT(7), UINT(5), 6, "floor", reach=(90, 2000)),
    "rescale-halves": lambda: _rescale(INT(8), INT(7), 1, "even", reach=(-1, 0)),
    "rescale-halves-zero": lambda: _rescale(INT(8), INT(8), 2, "zero", reach=(-2, 0)),
    "rescale-bound": lambda: _rescale(UINT(8), UINT(5), 0, "even", reach=(-1, 0), bounds=(3, 17)),
    "rescale-one": lambda: _rescale(UINT(4), UINT(8), 0, "up", reach=(-12, 0)),
    "rescale-bipolar": lambda: _rescale(BIPOLAR, INT(8), 2, "up", reach=(50, 50), loadable=True),
    "rescale-loaded": lambda: _rescale(INT(12), INT(8), 9, "even", loadable=True),
    "rescale-wraps": lambda: _rescale(INT(10), INT(8), 3, "zero", bounds=(-13, 50), wrap=True),
    "rescale-wraps-whole": lambda: _rescale(
        INT(16), INT(16), 0, "even", reach=(-4, 900), wrap=True
    ),
    "rescale-wraps-one": lambda: _rescale(INT(6), INT(4), 1, "up", bounds=(5, 5), wrap=True),
    "rescale-widest": lambda: _rescale(
        *(INT(32), INT(32), 31, "even"), reach=((1 << 31) - 1, (1 << 62) - 1), loadable=True
    ),
    "rescale-far": lambda: _rescale(
        *(INT(32), INT(16), 62, "zero"), reach=((1 << 31) - 1, (1 << 62) - 1)
    ),
}


def word(luck: random.Random, bench: Bench, bits: int) -> int:
    """A random word; for a matrix with ternary inputs, of legal codes only."""
    if getattr(bench.block, "source", None) != TERNARY:
        return luck.getrandbits(bits)
    codes = [luck.choice((0, 1, 3)) for _ in range(bits // 2)]
    return sum(code << (2 * place) for place, code in enumerate(codes))

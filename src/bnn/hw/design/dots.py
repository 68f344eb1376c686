# SPDX-License-Identifier: BSD-3-Clause
"""The blocks for a dot: a matrix unit and the converters around it.

The matrix unit also computes a threshold that is the only reader of the dot.
"""

from __future__ import annotations

import math
from dataclasses import replace

from bnn._typing import assert_never
from bnn.errors import BuildError
from bnn.hw.blocks.matrix import Matrix, accumulator_bits
from bnn.hw.blocks.plumbing import Fifo, Serialize
from bnn.hw.blocks.thresholds import Thresholds, of_threshold
from bnn.hw.design.parts import Port
from bnn.hw.design.windows import gather
from bnn.hw.design.wiring import Wiring
from bnn.hw.folding import LayerFolding
from bnn.program.operations import (
    Add,
    ArgMax,
    Concat,
    Dot,
    Multiply,
    Pool,
    Rescale,
    Scan,
    Threshold,
    Window,
)

#: Most words of a parameter memory that the parameter bus can address.
MAX_INDEX = 1 << 20
MAX_ITEMS = 1 << 16


def dot(wiring: Wiring, op: Dot) -> None:
    """Add the blocks for ``op`` to ``wiring``: converters, matrix unit, serializer."""
    fold = wiring.folding.of(op.name)
    after = wiring.needs.threshold_of(op)
    made = after or op
    port, rows = _input(wiring, op, fold)
    positions = math.prod(wiring.program.edges[op.name].shape[:2])
    block = Matrix(
        rows=rows,
        columns=port.channels,
        positions=positions,
        pe=fold.pe,
        simd=fold.simd,
        pixels=fold.pixels,
        weight=op.precision,
        source=port.precision,
        thresholds=_thresholds(wiring, op, after, port.channels),
        depth=_vector_words(wiring, made.name, fold, rows),
        loadable=wiring.folding.loadable,
        style=fold.style,
        name=op.name,
        taps=wiring.taps.get(op.source, 1),
    )
    _check_memory(op.name, block)
    stream = wiring.place_unit(op.name, block, lambda: block.contents(op, after), port.stream)
    assert block.thresholds.output is not None
    pace = max(port.pace, block.cycles)
    result = Port(stream, fold.pe, rows, positions, block.thresholds.output, pace)
    if fold.pixels > 1:
        serial = Serialize(result.bits, fold.pixels, block.row_folds, positions)
        stream = wiring.place(f"{op.name}_serial", op.name, serial, stream)
        result = replace(result, stream=stream, lanes=rows)
    wiring.offer(made.name, result)


def _input(wiring: Wiring, op: Dot, fold: LayerFolding) -> tuple[Port, int]:
    """Return the input stream of a matrix, and the number of its rows, padding included.

    A word of the stream has one field of SIMD values for each position of a group.
    """
    port = wiring.take(op.source)
    # Otherwise a window has already gathered the pixels of a group.
    if fold.pixels > 1 and op.source not in wiring.grouped:
        port = gather(wiring, op, fold, port)
    rows = _padded_rows(wiring, op, fold, port)
    narrow = port.lanes < fold.simd
    # From here on a word carries a whole group of positions.
    port = replace(port, positions=-(-port.positions // fold.pixels))
    port = wiring.lanes(port, fold.simd, op.name, fold.pixels)
    if narrow and rows > fold.pe:
        # The matrix reads all column folds at once, then nothing until its last row fold; the
        # next vector, which comes slower than it is taken, is put together meanwhile.
        fifo = Fifo(port.bits * fold.pixels, max(2, port.channels // fold.simd), port.words)
        stream = wiring.place(f"{port.stream}_fifo", op.name, fifo, port.stream)
        port = replace(port, stream=stream)
    return port, rows


def _padded_rows(wiring: Wiring, op: Dot, fold: LayerFolding, port: Port) -> int:
    """Return the number of rows, padding included.

    Raises:
        BuildError: PE does not divide the rows (the last dot's rows are padded for that), or SIMD
            does not divide the columns.
    """
    rows, columns = op.weights.shape
    made = wiring.needs.threshold_of(op) or op
    padded: int = rows
    if made.name == wiring.needs.target:
        padded = -(-max(rows, fold.rows) // fold.pe) * fold.pe
    if padded % fold.pe or fold.pe > padded:
        raise BuildError(f"{op.name}: PE {fold.pe} does not divide its {rows} rows")
    if port.channels % fold.simd:
        raise BuildError(f"{op.name}: SIMD {fold.simd} does not divide its {columns} columns")
    return padded


def _thresholds(wiring: Wiring, op: Dot, after: Threshold | None, columns: int) -> Thresholds:
    source = wiring.program.edges[op.source].precision
    thresholds = 0 if after is None else after.thresholds.shape[1]
    acc, low, high = accumulator_bits(columns, op.precision, source, thresholds)
    if after is not None:
        return of_threshold(after, acc, low, high)
    made = wiring.program.edges[op.name].precision
    return Thresholds(
        acc=acc,
        low=low,
        high=high,
        count=0,
        falling=False,
        base=0,
        step=1,
        shift=int(source.kind == "bipolar"),
        bits=made.bits,
        output=made,
    )


def _vector_words(wiring: Wiring, edge: str, fold: LayerFolding, rows: int) -> int:
    """Return how many words the output FIFO must hold so that the next matrix does not stall.

    The matrix of a dense layer reads its whole input vector during its first row fold; until then,
    the FIFO collects the vector. The result is 0 if the next operation is not a dense layer, or if
    its input words are wider: :func:`_input` then adds a FIFO.
    """
    shape = wiring.program.edges[edge].shape
    reader = wiring.needs.only_reader(edge)
    match reader:
        case Window():
            flat = wiring.needs.flattens(reader)
            return shape[0] * shape[1] * rows // fold.pe if flat else 0
        case Dot():
            return rows // fold.pe if wiring.folding.of(reader.name).simd <= fold.pe else 0
        case Threshold() | Pool() | Add() | Concat() | Rescale() | ArgMax() | None:
            return 0
        case Multiply() | Scan():
            return 0
    assert_never(reader)


def _check_memory(name: str, block: Matrix) -> None:
    depth = block.row_folds * block.column_folds
    chunks = block.pe * max(-(-block.weight_word_bits // 32), -(-block.thresholds.word_bits // 32))
    if block.loadable and (depth > MAX_INDEX or chunks > MAX_ITEMS):
        raise BuildError(
            f"{name}: its parameters exceed what one unit can load "
            f"({depth} words of {chunks} chunks); raise PE or SIMD, or make them constants "
            "(--constants)"
        )

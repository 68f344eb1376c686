# SPDX-License-Identifier: BSD-3-Clause
"""Blocks for sliding windows: of a convolution, before its matrix unit, and of a max pool."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bnn.errors import BuildError
from bnn.hw.blocks.block import divisors
from bnn.hw.blocks.patches import Patches
from bnn.hw.blocks.window import Maximum, SlidingWindow
from bnn.hw.design.parts import Port
from bnn.hw.design.wiring import Wiring
from bnn.hw.folding import LayerFolding, cycles
from bnn.program.operations import Dot, Pool, Window

#: Widest word of a pool, in bits.
POOL_BITS = 256


def window_lanes(wiring: Wiring, op: Window) -> int:
    """Return how many values an input word of the block for ``op`` has."""
    return _block(wiring, op).input_lanes


def _block(wiring: Wiring, op: Window) -> SlidingWindow:
    """Return the block for ``op``.

    If the channels allow it, a field of its output words has SIMD values, as the next matrix needs;
    else it has all channels, and a converter must follow.
    """
    edge = wiring.program.edges[op.source]
    channels = edge.shape[2]
    pad = int(edge.precision.encode(np.array(op.pad_value))) if any(op.padding) else 0
    natural = SlidingWindow(
        edge.shape, edge.precision.bits, channels, op.kernel, op.stride, op.padding, pad
    )
    dot = wiring.needs.reading_dot(op)
    if dot is None:
        return natural
    fold = wiring.folding.of(dot.name)
    natural = replace(natural, pixels=fold.pixels)
    if channels % fold.simd == 0:
        return replace(natural, lanes=fold.simd)
    lanes, rest = divmod(fold.simd, op.kernel[0] * op.kernel[1])
    width = natural.out_shape[1]
    if rest or channels % lanes or width % fold.pixels or op.stride[1] > op.kernel[1]:
        return natural
    patches = Patches(**{**vars(natural), "lanes": lanes})
    enough = max(cycles(wiring.program, dot, fold), edge.shape[0] * edge.shape[1])
    takes = (replace(patches, take=take) for take in divisors(patches.folds))
    return next(block for block in takes if block.input_words <= enough)


def window(wiring: Wiring, op: Window) -> None:
    """Add to ``wiring`` the block that makes the patches of a map.

    No block is added if the only patch is the whole map and one position is computed at a time.
    """
    port = wiring.take(op.source)
    dot = wiring.needs.reading_dot(op)
    pixels = 1 if dot is None else wiring.folding.of(dot.name).pixels
    if wiring.needs.flattens(op) and pixels == 1:
        wiring.offer(op.name, replace(port, channels=port.channels * port.positions, positions=1))
        return
    block = _block(wiring, op)
    if pixels > block.out_shape[1]:
        raise BuildError(_too_many(op.name, pixels, block.out_shape[1]))
    port = wiring.lanes(port, block.input_lanes, op.name)
    block = replace(block, rows=_rows(wiring, block, port, dot))
    stream = wiring.place(op.name, op.name, block, port.stream)
    height, width, columns = wiring.program.edges[op.name].shape
    if pixels > 1:
        wiring.grouped.add(op.name)
    wiring.taps[op.name] = block.taps
    lanes = block.output_lanes
    wiring.offer(op.name, Port(stream, lanes, columns, height * width, port.precision, port.pace))


def _too_many(name: str, pixels: int, row: int) -> str:
    return f"{name}: {pixels} pixels at once, but a row has {row}; use at most {row}"


def _rows(wiring: Wiring, block: SlidingWindow, port: Port, dot: Dot | None) -> int:
    """Return how many map rows the buffer needs so that a new image does not slow the design.

    The first patch of an image needs all rows of the kernel. Usually the buffer has room for one
    stride of rows of the next image; its first patch then waits until the block before has made the
    missing rows. If the matrix is so slow that it must not wait, the buffer has room for all rows
    of the kernel.
    """
    usual = block.buffer_rows
    if dot is None:
        return usual
    taken = {
        each.name: cycles(wiring.program, each, wiring.folding.of(each.name))
        for each in wiring.needs.dots
    }
    slack = max(taken.values()) - taken[dot.name]
    wait = (block.kernel[0] - block.stride[0]) * port.pace // block.shape[0]
    return max(usual, block.least_rows + block.kernel[0]) if wait > slack else usual


def gather(wiring: Wiring, op: Dot, fold: LayerFolding, port: Port) -> Port:
    """Add a 1 x 1 window whose words have a group of positions; return its output stream."""
    shape = wiring.program.edges[op.source].shape
    if fold.pixels > shape[1]:
        raise BuildError(_too_many(op.name, fold.pixels, shape[1]))
    lanes = fold.simd if shape[2] % fold.simd == 0 else shape[2]
    port = wiring.lanes(port, lanes, op.name)
    one = (1, 1)
    block = SlidingWindow(shape, port.precision.bits, lanes, one, one, (0, 0, 0, 0), 0, fold.pixels)
    return replace(port, stream=wiring.place(f"{op.name}_gather", op.name, block, port.stream))


def pool(wiring: Wiring, op: Pool) -> None:
    """Add to ``wiring`` the two blocks of a max pool: a sliding window, then a maximum."""
    port = wiring.take(op.source)
    shape = wiring.program.edges[op.source].shape
    port = wiring.lanes(port, _pool_lanes(port), op.name)
    bits, signed = port.precision.bits, port.precision.kind in ("signed", "narrow")
    # Padding never wins: the least code of the precision.
    pad = 1 << (bits - 1) if signed else 0
    block = SlidingWindow(shape, bits, port.lanes, op.kernel, op.stride, op.padding, pad)
    stream = wiring.place(f"{op.name}_window", op.name, block, port.stream)
    height, width = block.out_shape
    size = op.kernel[0] * op.kernel[1]
    largest = Maximum(port.lanes, bits, signed, block.folds, size, block.output_words)
    stream = wiring.place(op.name, op.name, largest, stream)
    wiring.offer(op.name, replace(port, stream=stream, positions=height * width))


def _pool_lanes(port: Port) -> int:
    """Return how many channels a word of a max pool has: as many as fit in `POOL_BITS` bits."""
    fit = [n for n in divisors(port.channels) if n * port.precision.bits <= POOL_BITS]
    return max(fit, default=1)

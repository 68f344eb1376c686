# SPDX-License-Identifier: BSD-3-Clause
"""Blocks of element-wise operations, and the block that joins the channels of two edges."""

from __future__ import annotations

import math
from dataclasses import replace

from bnn.hw.blocks.adder import Adder
from bnn.hw.blocks.block import divisors
from bnn.hw.blocks.joins import Joiner, Multiplier
from bnn.hw.blocks.matrix import Contents
from bnn.hw.blocks.plumbing import Fifo
from bnn.hw.blocks.rescales import RescaleUnit, scaling, used_bits
from bnn.hw.blocks.tables import TableUnit, table_range
from bnn.hw.blocks.thresholds import ThresholdUnit, is_shared, of_threshold, threshold_bounds
from bnn.hw.design.parts import Port
from bnn.hw.design.wiring import Wiring
from bnn.program.operations import Add, Concat, Dot, Multiply, Rescale, Threshold


def threshold(wiring: Wiring, op: Threshold) -> None:
    """Add to ``wiring`` a block for a threshold that no matrix unit computes."""
    port = wiring.take(op.source)
    entries = None if wiring.folding.loadable else table_range(op, port.precision)
    if entries is not None:
        sizes = (port.channels, port.positions, port.lanes, port.precision, op.precision)
        table = TableUnit(*sizes, *entries, op.name)
        wiring.contents[op.name] = lambda: Contents([], table.contents(op))
        stream = wiring.place(op.name, op.name, table, port.stream)
        wiring.offer(op.name, replace(port, stream=stream, precision=op.precision))
        return
    block = ThresholdUnit(
        channels=port.channels,
        positions=port.positions,
        lanes=port.lanes,
        source=port.precision,
        thresholds=of_threshold(op, *threshold_bounds(port.precision)),
        loadable=wiring.folding.loadable,
        name=op.name,
        shared=not wiring.folding.loadable and is_shared(op),
    )
    stream = wiring.place_unit(
        op.name, block, lambda: Contents([], block.contents(op)), port.stream
    )
    wiring.offer(op.name, replace(port, stream=stream, precision=op.precision))


def add(wiring: Wiring, op: Add) -> None:
    """Add to ``wiring`` a block that adds two edges."""
    first, second = wiring.take(op.source), wiring.take(op.other)
    lanes = math.gcd(first.lanes, second.lanes)
    first = wiring.lanes(first, lanes, op.name)
    second = wiring.lanes(second, lanes, op.name)
    made = wiring.program.edges[op.name].precision
    block = Adder(first.precision, second.precision, lanes, made.bits, first.words)
    stream = wiring.place(op.name, op.name, block, first.stream, second.stream)
    wiring.offer(op.name, replace(first, stream=stream, precision=made))


def rescale(wiring: Wiring, op: Rescale) -> None:
    """Add to ``wiring`` a block for a rescale, with as few multipliers as keep the pace."""
    port = wiring.take(op.source)
    port = wiring.lanes(port, _least_lanes(port.lanes, port.channels, port), op.name)
    edge = wiring.program.edges[op.source]
    block = RescaleUnit(
        channels=port.channels,
        positions=port.positions,
        lanes=port.lanes,
        scaling=scaling(op, port.precision, edge.low, edge.high),
        loadable=wiring.folding.loadable,
        name=op.name,
    )
    if block.word_bits:
        stream = wiring.place_unit(
            op.name, block, lambda: Contents([], block.contents(op)), port.stream
        )
    else:  # it has no parameters that differ between channels
        block = replace(block, loadable=False)
        stream = wiring.place(op.name, op.name, block, port.stream)
    wiring.offer(op.name, replace(port, stream=stream, precision=op.precision))


def multiply(wiring: Wiring, op: Multiply) -> None:
    """Add to ``wiring`` a block that multiplies two edges, with few multipliers as above."""
    first, second = wiring.take(op.source), wiring.take(op.other)
    common = math.gcd(first.lanes, second.lanes)
    lanes = _least_lanes(common, first.channels, first, second)
    first = wiring.lanes(first, lanes, op.name)
    second = wiring.lanes(second, lanes, op.name)
    edges = wiring.program.edges
    used = [
        used_bits(port.precision, edges[name].low, edges[name].high)
        for port, name in ((first, op.source), (second, op.other))
    ]
    made = edges[op.name].precision
    block = Multiplier(
        first.precision, second.precision, (used[0], used[1]), lanes, made.bits, first.words
    )
    stream = wiring.place(op.name, op.name, block, first.stream, second.stream)
    pace = max(first.pace, second.pace, block.cycles)
    wiring.offer(op.name, replace(first, stream=stream, precision=made, pace=pace))


def concat(wiring: Wiring, op: Concat) -> None:
    """Add to ``wiring`` a block that joins the channels of two edges, position by position."""
    first, second = wiring.take(op.source), wiring.take(op.other)
    channels = first.channels + second.channels
    lanes = _least_lanes(math.gcd(first.channels, second.channels), channels, first, second)
    first = _ahead(wiring, wiring.lanes(first, lanes, op.name), op)
    second = _ahead(wiring, wiring.lanes(second, lanes, op.name), op)
    parts = first.channels // lanes, second.channels // lanes
    block = Joiner(first.precision, second.precision, op.precision, lanes, parts, first.positions)
    stream = wiring.place(op.name, op.name, block, first.stream, second.stream)
    pace = max(first.pace, second.pace, block.cycles)
    port = Port(stream, lanes, channels, first.positions, op.precision, pace)
    widths = {
        wiring.folding.of(each.name).simd if isinstance(each, Dot) else 0
        for each in wiring.needs.readers[op.name]
    }
    width = max(widths, default=0)
    if wiring.needs.copies(op.name) > 1 and widths == {width} and width and channels % width == 0:
        # Several dots read words of the same width: one converter, before the fork.
        port = wiring.lanes(port, width, op.name)
    wiring.offer(op.name, port)


def _ahead(wiring: Wiring, port: Port, op: Concat) -> Port:
    """Add a FIFO for a position's words that come slowly, while it is the other edge's turn."""
    words = port.channels // port.lanes
    if words == 1 or port.pace <= port.words:
        return port
    fifo = Fifo(port.bits, words, port.words)
    stream = wiring.place(f"{port.stream}_{op.name}", op.name, fifo, port.stream)
    return replace(port, stream=stream)


def _least_lanes(most: int, channels: int, *ports: Port) -> int:
    """Return the fewest lanes, a divisor of ``most``, that are as fast as the blocks before.

    ``channels``: channels per position of the result, a multiple of ``most``. ``ports``: the
    streams that the block reads.
    """
    pace = max(port.pace for port in ports)
    values = ports[0].positions * channels
    return next((n for n in divisors(most) if values <= n * pace), most)

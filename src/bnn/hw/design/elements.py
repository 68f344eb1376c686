# SPDX-License-Identifier: BSD-3-Clause
"""Blocks of element-wise operations, and the block that joins the channels of two edges."""

from __future__ import annotations

import math
from dataclasses import replace

from bnn.hw.blocks.adder import Adder
from bnn.hw.blocks.block import divisors
from bnn.hw.blocks.joins import Joiner, Multiplier
from bnn.hw.blocks.matrix import Contents
from bnn.hw.blocks.rescales import RescaleUnit, scaling, used_bits
from bnn.hw.blocks.thresholds import ThresholdUnit, of_threshold, threshold_bounds
from bnn.hw.design.parts import Port
from bnn.hw.design.wiring import Wiring
from bnn.program.operations import Add, Concat, Multiply, Rescale, Threshold


def threshold(wiring: Wiring, op: Threshold) -> None:
    """Add to ``wiring`` a block for a threshold that no matrix unit computes."""
    port = wiring.take(op.source)
    block = ThresholdUnit(
        channels=port.channels,
        positions=port.positions,
        lanes=port.lanes,
        source=port.precision,
        thresholds=of_threshold(op, *threshold_bounds(port.precision)),
        loadable=wiring.folding.loadable,
        name=op.name,
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
    first = wiring.lanes(first, lanes, op.name)
    second = wiring.lanes(second, lanes, op.name)
    parts = first.channels // lanes, second.channels // lanes
    block = Joiner(first.precision, second.precision, op.precision, lanes, parts, first.positions)
    stream = wiring.place(op.name, op.name, block, first.stream, second.stream)
    pace = max(first.pace, second.pace, block.cycles)
    wiring.offer(op.name, Port(stream, lanes, channels, first.positions, op.precision, pace))


def _least_lanes(most: int, channels: int, *ports: Port) -> int:
    """Return the fewest lanes, a divisor of ``most``, that are as fast as the blocks before.

    ``channels``: channels per position of the result, a multiple of ``most``. ``ports``: the
    streams that the block reads.
    """
    pace = max(port.pace for port in ports)
    values = ports[0].positions * channels
    return next((n for n in divisors(most) if values <= n * pace), most)

# SPDX-License-Identifier: BSD-3-Clause
"""Blocks of element-wise operations: thresholds outside a matrix unit, sums of two edges."""

from __future__ import annotations

import math
from dataclasses import replace

from bnn.hw.blocks.adder import Adder
from bnn.hw.blocks.matrix import Contents
from bnn.hw.blocks.thresholds import ThresholdUnit, of_threshold, threshold_bounds
from bnn.hw.design.wiring import Wiring
from bnn.program.operations import Add, Threshold


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

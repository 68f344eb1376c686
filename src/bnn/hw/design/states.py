# SPDX-License-Identifier: BSD-3-Clause
"""Blocks for vectors that a scan carries: the loop from one column of a sequence to the next."""

from __future__ import annotations

import numpy as np

from bnn.hw.blocks.block import divisors
from bnn.hw.blocks.states import StateUnit
from bnn.hw.design.parts import Port
from bnn.hw.design.wiring import Wiring
from bnn.hw.flat import State
from bnn.program.operations import Concat, Dot

#: Widest word of a state, in bits.
STATE_BITS = 1024


def open_state(wiring: Wiring, state: State) -> Port:
    """Give the readers of a state its stream, whose block :func:`close_state` adds; return it."""
    edge = wiring.program.edges[state.name]
    channels, bits = edge.shape[2], edge.precision.bits
    lanes = _lanes(wiring, state, channels, bits)
    wiring.stream(state.name, lanes * bits)
    port = Port(state.name, lanes, channels, 1, edge.precision, 0)
    wiring.offer(state.name, port)
    return port


def _lanes(wiring: Wiring, state: State, channels: int, bits: int) -> int:
    """Return the values per word of a state.

    They are all values if a dot reads them, whose first row needs them all; else as many as the
    rows that the matrices of this length compute at once.
    """
    readers = wiring.needs.readers[state.name]
    if any(isinstance(op, Concat | Dot) for op in readers):
        most = STATE_BITS // bits
    else:
        same = [d for d in wiring.needs.dots if len(d.weights) == channels]
        most = max((wiring.folding.of(dot.name).pe for dot in same), default=1)
    return max(n for n in divisors(channels) if n <= max(1, most))


def close_state(wiring: Wiring, state: State, port: Port) -> None:
    """Add the block of a state: it reads the edge that becomes the vector of the next column."""
    given = wiring.lanes(wiring.take(state.next), port.lanes, state.name)
    start = int(port.precision.encode(np.array(state.start)))
    block = StateUnit(given.precision, port.precision, port.lanes, port.words, start)
    wiring.loop(state.name, block, given.stream)

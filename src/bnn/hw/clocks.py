# SPDX-License-Identifier: BSD-3-Clause
"""The highest clock of each kind of block, from place and route of single blocks.

``pytest -m hw tests/hw/test_timing.py`` routes every kind of block out of context, for the slowest
speed grade of xc7z020, and prints these clocks. docs/hardware.md has the parameters of the blocks
that were routed. A whole design is at most as fast as its slowest kind of block; it may be slower.
"""

from __future__ import annotations

from dataclasses import dataclass

from bnn.hw.design import Design
from bnn.hw.memory_layout import WORD_BYTES
from bnn.hw.parts import Part

#: The part on which blocks were routed.
_PART = "xc7z020"
#: A reader of images that begin within words: it has other parameters, and was routed apart.
_ODD_READER = "bnn_reader, odd"
#: Module -> MHz. A resize consists of wires only.
_ROUTED_MHZ = {
    "bnn_matrix": 156.5,
    "bnn_window": 173.9,
    "bnn_patches": 140.2,
    "bnn_writer": 146.3,
    "bnn_reader": 145.4,
    _ODD_READER: 140.0,
    "bnn_control": 234.6,
    "bnn_threshold": 289.0,
    "bnn_max": 286.7,
    "bnn_serialize": 282.8,
    "bnn_add": 363.2,
    "bnn_fifo": 259.1,
    "bnn_widen": 437.6,
    "bnn_narrow": 328.3,
    "bnn_trim": 483.1,
    "bnn_pad": 358.4,
    "bnn_unpack": 197.1,
    "bnn_fork": 738.6,
    "bnn_resize": float("inf"),
    "bnn_probe": 205.6,
}
_AROUND = ("bnn_control", "bnn_reader", "bnn_writer")
#: Blocks that only designs with probes have; ``bnn_probe_select`` was not routed yet.
_PROBES = ("bnn_probe", "bnn_probe_select")


@dataclass(frozen=True)
class RoutedClock:
    """The slowest kind of block in a design, and its highest clock in MHz out of context."""

    mhz: float
    module: str


def routed(design: Design, part: Part) -> RoutedClock | None:
    """Return the slowest kind of block in ``design``; its clock is an upper bound of the design's.

    Return None if a kind of block in ``design`` was not routed on ``part``.
    """
    modules = {*(instance.block.module for instance in design.instances), *_AROUND}
    modules.update(_PROBES if design.probes else ())
    modules.update((_ODD_READER,) if design.source.image_bytes % WORD_BYTES else ())
    if part.name != _PART or not modules <= _ROUTED_MHZ.keys():
        return None
    return RoutedClock(*min((_ROUTED_MHZ[module], module) for module in modules))


def clock_is(design: Design, part: Part, mhz: float) -> str:
    """Return how well the clock ``mhz`` was tried for a design: "estimated" or "hoped for".

    "estimated": every kind of block in the design was routed out of context on this part and
    reached the clock. "hoped for": at least one kind did not reach the clock, or was not routed on
    this part. Only ``bnn build --pnr``, which routes the whole design, proves a clock.
    """
    known = routed(design, part)
    return "estimated" if known is not None and mhz <= known.mhz else "hoped for"

# SPDX-License-Identifier: BSD-3-Clause
"""How fast each kind of block may be clocked where place and route has said it.

``pytest -m hw tests/hw/test_timing.py`` routes every kind of block alone, on the part below in its
slowest grade, and prints these; docs/hardware.md says which parameters each had. A whole design
is no faster than its slowest block, and may well be slower.
"""

from __future__ import annotations

from dataclasses import dataclass

from bnn.hw.design import Design
from bnn.hw.parts import Part

#: The part on which blocks were routed.
_PART = "xc7z020"
#: Module -> MHz. A resize is wires alone.
_ALONE = {
    "bnn_matrix": 156.5,
    "bnn_window": 173.9,
    "bnn_patches": 140.2,
    "bnn_writer": 146.3,
    "bnn_reader": 162.8,
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
    "bnn_fork": 738.6,
    "bnn_resize": float("inf"),
}
_AROUND = ("bnn_control", "bnn_reader", "bnn_writer")


@dataclass(frozen=True)
class RoutedClock:
    """The clock of a design's slowest kind of block, routed alone."""

    mhz: float
    module: str


def routed(design: Design, part: Part) -> RoutedClock | None:
    """The clock that ``design`` may hope for on ``part``; None where nothing was routed."""
    modules = {instance.block.module for instance in design.instances} | set(_AROUND)
    if part.name != _PART or not modules <= _ALONE.keys():
        return None
    return RoutedClock(*min((_ALONE[module], module) for module in modules))

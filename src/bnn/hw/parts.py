# SPDX-License-Identifier: BSD-3-Clause
"""Parts that a plan may be for, and what of them it may use."""

from __future__ import annotations

from dataclasses import dataclass

from bnn.errors import PlanError


@dataclass(frozen=True)
class Part:
    """A chip.

    Attributes:
        luts, ffs, bram36, dsps: what it has (Xilinx DS190, DS891).
        clock_mhz: that the original's accelerators run at on it.
        names: boards and long part names that mean it.
    """

    name: str
    luts: int
    ffs: int
    bram36: float
    dsps: int
    clock_mhz: float
    names: tuple[str, ...]


PARTS = (
    Part(
        *("xc7z020", 53_200, 106_400, 140, 220, 100.0),
        names=("pynq-z1", "pynq-z2", "xc7z020clg400-1"),
    ),
    Part(
        *("xczu3eg", 70_560, 141_120, 216, 360, 300.0),
        names=("ultra96", "xczu3eg-sbva484-1-i"),
    ),
)


def part(name: str) -> Part:
    """The part, or the part of the board, called ``name``."""
    wanted = name.lower()
    for each in PARTS:
        if wanted == each.name or wanted in each.names:
            return each
    known = ", ".join(f"{each.name} ({each.names[0]})" for each in PARTS)
    raise PlanError(f"no part is called {name!r}; there are: {known}")

# SPDX-License-Identifier: BSD-3-Clause
"""Boards: part, clock, addresses, and the top that joins the accelerator to their processor."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

from bnn.errors import BuildError

#: The original's clock, which every design here is made for (and simulated at).
CLOCK_MHZ = 100.0


@dataclass(frozen=True)
class Board:
    """A board that ``bnn build`` can target.

    Attributes:
        part: the vendor's name of the chip.
        luts, ffs, bram36, dsps: what the chip has.
        clock_mhz: that the accelerator runs at.
        top: module around ``bnn_top``, in the file of that name here.
        base: address of the registers for the processor; ``span`` bytes long.
    """

    name: str
    part: str
    luts: int
    ffs: int
    bram36: int
    dsps: int
    clock_mhz: float
    top: str
    base: int
    span: int = 0x1_0000

    def top_source(self) -> str:
        """Text of the top's file."""
        return (resources.files(__name__) / f"{self.top}.sv").read_text(encoding="utf-8")

    def constraints(self) -> str:
        """``bnn.xdc``: the clock; no pin is used but the processor's own."""
        period = 1000 / self.clock_mhz
        return (
            f"# {self.name}: the accelerator's clock is the processing system's clock 0.\n"
            f"create_clock -name fclk0 -period {period:.3f} [get_pins ps/FCLKCLK[0]]\n"
        )


def _zynq7020(name: str) -> Board:
    # The original's base address: 0x43C00000, clocked at 100 MHz (specification, section 6).
    return Board(
        name, "xc7z020clg400-1", 53200, 106400, 140, 220, CLOCK_MHZ, "bnn_zynq7", 0x43C0_0000
    )


BOARDS = {name: _zynq7020(name) for name in ("pynq-z1", "pynq-z2")}


def board(name: str) -> Board:
    """The board called ``name``; :class:`BuildError` lists the known ones."""
    if name not in BOARDS:
        raise BuildError(f"no board is called {name!r}; there are: {', '.join(BOARDS)}")
    return BOARDS[name]

# SPDX-License-Identifier: BSD-3-Clause
"""Parts: the chips that a design may be planned for, one TOML file each in this folder."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from bnn.hw import tables
from bnn.hw.tables import Table

#: Most cells of one kind that a chip may have; a file with more is wrong.
_MAX_CELLS = 1 << 24


@dataclass(frozen=True)
class Part:
    """An FPGA chip: its cells and its clock.

    Attributes:
        name: name of its file without the ending, such as ``xc7z020``.
        luts, ffs, bram36, dsps: number of its cells; a block RAM has 36 kbit.
        clock_mhz: clock in MHz of the original's accelerators on it.
        yosys: its family, for Yosys' ``synth_xilinx -family``.
        prjxray: the folder of its family in Project X-Ray's database; "": place and route
            need the vendor's tools.
    """

    name: str
    luts: int
    ffs: int
    bram36: float
    dsps: int
    clock_mhz: float
    yosys: str = "xc7"
    prjxray: str = ""


def parse(name: str, table: Table) -> Part:
    """Return the part that a TOML table describes; :class:`BuildError` names file and field."""
    return Part(
        name,
        table.whole("lut", 1, _MAX_CELLS),
        table.whole("ff", 1, _MAX_CELLS),
        table.number("bram36", 0, _MAX_CELLS),
        table.whole("dsp", 0, _MAX_CELLS),
        table.number("clock_mhz", 1, 1000),
        table.text("yosys"),
        table.text("prjxray", default=""),
    )


@cache
def parts() -> dict[str, Part]:
    """Return all parts by name."""
    return tables.read(__name__, parse)

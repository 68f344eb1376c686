# SPDX-License-Identifier: BSD-3-Clause
"""Parts: the chips that designs can be planned for; this folder has a TOML file for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from bnn.errors import BuildError, PlanError
from bnn.hw import tables
from bnn.hw.tables import Table

#: Most cells of one kind that a chip may have; a file with more is wrong.
_MAX_CELLS = 1 << 24
#: Families that a part may have: name for Yosys -> how its devices begin. Designs were made for
#: their carry chains, block RAMs and LUTs of six inputs.
DEVICES = {
    "xc7": ("xc7", "xa7", "xq7"),
    "xcu": ("xcku", "xcvu", "xqku", "xqvu"),
    "xcup": ("xczu", "xck", "xcku", "xcvu", "xcau", "xazu", "xqzu", "xcu", "xqku", "xqvu"),
}
#: Folders of Project X-Ray's database.
PRJXRAY = ("artix7", "kintex7", "spartan7", "zynq7")


@dataclass(frozen=True)
class Part:
    """An FPGA chip: its cells and its clock.

    Attributes:
        name: name of the part's file without the ending, such as ``xc7z020``.
        luts, ffs, bram36, dsps: number of the chip's cells; a block RAM (bram36) has 36 kbit.
        clock_mhz: clock in MHz for which designs are planned, if no board or option gives another.
        yosys: the chip's family, as Yosys' ``synth_xilinx -family`` calls it.
        prjxray: folder of the chip's family in Project X-Ray's database; "" if only the vendor's
            tools can place and route for this chip.
    """

    name: str
    luts: int
    ffs: int
    bram36: float
    dsps: int
    clock_mhz: float
    yosys: str = "xc7"
    prjxray: str = ""

    @property
    def cells(self) -> dict[str, float]:
        """Kind of cell -> how many the chip has."""
        return {"LUT": self.luts, "FF": self.ffs, "BRAM36": self.bram36, "DSP": self.dsps}


def parse(name: str, table: Table) -> Part:
    """Return the part that a TOML table describes.

    Raises:
        BuildError: a field is missing or wrong; the message names file and field.
    """
    made = Part(
        name,
        table.whole("lut", 1, _MAX_CELLS),
        table.whole("ff", 1, _MAX_CELLS),
        table.number("bram36", 0, _MAX_CELLS),
        table.whole("dsp", 0, _MAX_CELLS),
        table.number("clock_mhz", 1, 1000),
        table.text("yosys"),
        table.text("prjxray", default=""),
    )
    for field, value, allowed in (
        ("yosys", made.yosys, tuple(DEVICES)),
        ("prjxray", made.prjxray, ("", *PRJXRAY)),
    ):
        if value not in allowed:
            known = ", ".join(each for each in allowed if each)
            raise table.error(field, f"is {value!r}; there are: {known}")
    return made


#: What :func:`described` reads -> the field of a part's table; all but the clock must be given.
_DESCRIBED = {"luts": "lut", "ffs": "ff", "bram36": "bram36", "dsp": "dsp", "clock": "clock_mhz"}
_EXAMPLE = "luts=17600,ffs=35200,bram36=60,dsp=80,clock=100"


def described(text: str) -> Part:
    """Return the part that a text describes, such as ``luts=17600,ffs=35200,bram36=60,dsp=80``.

    ``clock=MHz`` may follow; without ``clock`` it is 100 MHz. The part is planned like a chip of
    Xilinx' 7 series.

    Raises:
        PlanError: a name is unknown, given twice or missing, or a number is outside its range.
    """
    values: dict[str, float] = {}
    for item in text.split(","):
        name, _, number = (one.strip() for one in item.partition("="))
        if name not in _DESCRIBED:
            raise PlanError(f"--part {text}: {name!r} is not one of {', '.join(_DESCRIBED)}")
        if name in values:
            raise PlanError(f"--part {text}: {name} is given twice")
        try:
            values[name] = float(number)
        except ValueError:
            raise PlanError(f"--part {text}: {name} must be a number, not {number!r}") from None
    missing = [name for name in _DESCRIBED if name not in values and name != "clock"]
    if missing:
        raise PlanError(f"--part {text}: {missing[0]} is missing; example: {_EXAMPLE}")
    return _from_values(text, {"clock": 100.0, **values})


def _from_values(text: str, values: Mapping[str, float]) -> Part:
    fields: dict[str, object] = {_DESCRIBED[name]: value for name, value in values.items()}
    try:
        return parse("custom", Table(f"--part {text}", {**fields, "yosys": "xc7"}))
    except BuildError as reason:
        raise PlanError(str(reason)) from None


@cache
def parts() -> dict[str, Part]:
    """Return all bundled parts, by name."""
    return tables.read(__name__, parse)

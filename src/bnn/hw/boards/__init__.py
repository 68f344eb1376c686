# SPDX-License-Identifier: BSD-3-Clause
"""Boards: a part, a clock, and what connects the accelerator to the board's processor.

This folder has one TOML file per board, and the SystemVerilog top modules that they name.
docs/hardware.md says how to add a board.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cache
from importlib import resources
from pathlib import Path

from bnn.errors import BuildError, PlanError
from bnn.hw import parts as chips
from bnn.hw import tables
from bnn.hw.parts import Part, parts
from bnn.hw.tables import Table

#: The original's clock in MHz; simulations compute seconds from cycles with it.
CLOCK_MHZ = 100.0
_MIN_MHZ, _MAX_MHZ = 1, 1000
#: Number of addresses on a 32-bit processor's bus; smallest register window in bytes.
_MAX_ADDRESS, _MIN_SPAN = 1 << 32, 1 << 8
#: What can be tried with designs for a board, the cheapest first.
VERIFIED = ("simulated", "synthesized", "routed", "board")
#: Ports of the wrapper around a single block: :mod:`bnn.hw.toolchain.out_of_context`.
_PINS = ("clk", "rst", "into", "out")


@dataclass(frozen=True)
class Connection:
    """How the accelerator is joined to a board's processor.

    Attributes:
        top: name of the top module, which contains ``bnn_top``; its file is ``TOP.sv`` in this
            folder.
        base: address of the first register on the processor's bus.
        span: size of the register window in bytes.
    """

    top: str
    base: int
    span: int


@dataclass(frozen=True)
class Board:
    """A board for ``bnn plan`` and, if it has a connection, for ``bnn build``.

    Attributes:
        name: name of the board's file without the ending, such as ``pynq-z1``.
        part: the board's chip.
        device: the vendor's name of the chip: part, package, speed grade.
        clock_mhz: the accelerator's clock in MHz.
        connection: how the accelerator is joined to the processor; None: ``bnn plan`` only.
        pins: port of the wrapper around a single block (:mod:`bnn.hw.toolchain.out_of_context`) ->
            pin of the chip; empty if the board's file has no pins.
        verified: what was done with designs for this board, out of :data:`VERIFIED`; "synthesized"
            means by Yosys, "routed" by nextpnr.
    """

    name: str
    part: Part
    device: str
    clock_mhz: float
    connection: Connection | None = None
    pins: Mapping[str, str] = field(default_factory=dict)
    verified: tuple[str, ...] = ()

    @property
    def built(self) -> Connection:
        """The connection to the processor; :class:`BuildError` if the board has none."""
        if self.connection is None:
            raise BuildError(f"{self.name}: {planned_only(self.part, self)}")
        return self.connection

    def at(self, clock_mhz: float) -> Board:
        """Return this board with the clock ``clock_mhz``; BuildError if outside 1 to 1000 MHz."""
        if wrong := clock_error(clock_mhz):
            raise BuildError(wrong)
        return replace(self, clock_mhz=float(clock_mhz))

    def top_source(self) -> str:
        """Return the SystemVerilog text of the connection's top module."""
        return (resources.files(__name__) / f"{self.built.top}.sv").read_text(encoding="utf-8")

    def constraints(self) -> str:
        """Return the text of ``bnn.xdc``, which only has the clock: the design uses no pins."""
        period = 1000 / self.clock_mhz
        return (
            f"# {self.name}: the accelerator's clock is the processing system's clock 0.\n"
            f"create_clock -name fclk0 -period {period:.3f} [get_pins ps/FCLKCLK[0]]\n"
        )


def parse(name: str, table: Table) -> Board:
    """Return the board that a TOML table describes.

    Raises:
        BuildError: a field is missing or wrong; the message names file and field.
    """
    part = _part(name, table)
    build, pins = table.table("build"), table.table("pins")
    device = table.text("device")
    if reason := _mismatch(part, device):
        raise table.error("device", f"is {device!r}; {reason}")
    return Board(
        name,
        part,
        device,
        table.number("clock_mhz", _MIN_MHZ, _MAX_MHZ, default=part.clock_mhz),
        None if build is None else _connection(build),
        {} if pins is None else _pins(pins),
        table.texts("verified", VERIFIED),
    )


def _part(board: str, table: Table) -> Part:
    """Return the part that the board's file names, or describes in its table ``[part]``."""
    if table.is_table("part") and (own := table.table("part")) is not None:
        part = chips.parse(f"{board}'s part", own)
        own.end()
        return part
    known = table.text("part")
    if known not in parts():
        raise table.error("part", f"is {known!r}; there are: {', '.join(parts())}")
    return parts()[known]


def _mismatch(part: Part, device: str) -> str:
    """Return why ``device`` cannot be a device of ``part``; "" if it can."""
    small = device.lower()
    known = next((each for name, each in parts().items() if small.startswith(name)), None)
    if part.name in parts():
        if known is not part:
            return f"a device of part {part.name} begins with {part.name}"
        return ""
    begin = chips.DEVICES[part.yosys]
    if not small.startswith(begin):
        return f"devices of yosys = {part.yosys!r} begin with {' or '.join(begin)}"
    cells = ("luts", "ffs", "bram36", "dsps", "yosys")
    if known is not None and any(getattr(known, each) != getattr(part, each) for each in cells):
        return f'it has other cells than the table [part]; write part = "{known.name}" instead'
    return ""


def tops() -> tuple[str, ...]:
    """Return the names of the top modules: all SystemVerilog files of this folder, sorted."""
    files = (each.name for each in resources.files(__name__).iterdir())
    return tuple(sorted(name[:-3] for name in files if name.endswith(".sv")))


def _connection(table: Table) -> Connection:
    top = table.text("top")
    if top not in tops():
        known = ", ".join(tops())
        raise table.error(
            "top", f"is {top!r}; there are: {known} (a top of your own is added to the package)"
        )
    found = Connection(
        top,
        table.whole("base", 0, _MAX_ADDRESS - _MIN_SPAN),
        table.whole("span", _MIN_SPAN, _MAX_ADDRESS),
    )
    table.end()
    if found.base % found.span or found.base + found.span > _MAX_ADDRESS:
        raise table.error("base", f"must be a multiple of span ({found.span:#x}) below 2^32")
    return found


def _pins(table: Table) -> dict[str, str]:
    found = {port: table.text(port) for port in _PINS}
    table.end()
    return found


@cache
def boards() -> dict[str, Board]:
    """Return all bundled boards by name, also boards that only ``bnn plan`` can use."""
    return tables.read(__name__, parse)


def buildable() -> dict[str, Board]:
    """Return the bundled boards that ``bnn build`` can use, by name."""
    return {name: each for name, each in boards().items() if each.connection is not None}


def board(name: str) -> Board:
    """Return the board called ``name``, for ``bnn build``.

    Args:
        name: name of a board, or path of a TOML file that describes one.

    Raises:
        BuildError: no board has this name, only ``bnn plan`` can use it, or its file has a mistake.
    """
    found = _own(name) or boards().get(name.lower())
    known = ", ".join(buildable())
    if found is None:
        raise BuildError(f"no board is called {name!r}{_similar(name)}; there are: {known}")
    if found.connection is None:
        raise BuildError(f"{name}: {planned_only(found.part, found)}; bnn build knows: {known}")
    return found


def _own(name: str) -> Board | None:
    """Return the board of a user's own file; None if ``name`` does not end in ``.toml``."""
    if not name.lower().endswith(".toml"):
        return None
    return tables.read_own(Path(name), parse)


def _similar(name: str) -> str:
    wanted = name.lower()
    if not wanted.endswith(".toml"):
        if Path(f"{name}.toml").is_file():
            return f" (did you mean the file {name}.toml?)"
        if Path(name).is_file():
            return f" (a file of a board of your own ends in .toml: rename it to {name}.toml)"
    begin_so = [each for each in boards() if each.startswith(wanted)]
    similar = begin_so or get_close_matches(wanted, boards(), 3, 0.7)
    return f" (did you mean {' or '.join(similar)}?)" if similar else ""


def find(name: str) -> tuple[Part, Board | None]:
    """Return the part that a plan is for, and the board; None if ``name`` is not a board.

    Args:
        name: name of a part or a board, or the device of a bundled board, such as
            ``xc7z020clg400-1`` (upper or lower case); path of a TOML file that describes a board;
            or numbers of cells, such as ``luts=17600,ffs=35200,bram36=60,dsp=80,clock=100``.

    Raises:
        PlanError: nothing has this name (the message lists the parts), or the numbers of cells
            have a mistake.
        BuildError: the TOML file has a mistake.
    """
    if (own := _own(name)) is not None:
        return own.part, own
    if "=" in name:
        return chips.described(name), None
    wanted = name.lower()
    for each in boards().values():
        if wanted == each.name:
            return each.part, each
    for part in parts().values():
        devices = {each.device.lower() for each in boards().values() if each.part is part}
        if wanted == part.name or wanted in devices:
            return part, None
    known = ", ".join(_with_boards(part) for part in parts().values())
    raise PlanError(f"no part or board is called {name!r}{_similar(name)}; there are: {known}")


def part(name: str) -> Part:
    """Return the part called ``name``, or the part of the board or device called ``name``.

    :func:`find` says which names there are, and which errors are raised.
    """
    return find(name)[0]


def place_digest(name: str, base: int, span: int, mhz: float) -> str:
    """Return a digest (16 hexadecimal digits) of a board's name, register addresses and clock.

    ``driver.json`` contains this digest, so the board runtime notices if somebody changed one of
    these values.
    """
    text = f"{name} {base:d} {span:d} {float(mhz)!r}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def clock_error(mhz: float) -> str:
    """Return what is wrong with a clock in MHz; "" if it is within the range."""
    if _MIN_MHZ <= mhz <= _MAX_MHZ:
        return ""
    return f"clock is {mhz:g} MHz; it must be from {_MIN_MHZ} to {_MAX_MHZ}"


def planned_only(part: Part, board: Board | None = None) -> str:
    """Return why ``bnn build`` cannot build what was planned; "" if it can.

    Args:
        part: the part of the plan.
        board: the board of the plan; None if the plan is for a part.
    """
    if board is not None:
        if board.connection is not None:
            return ""
        return (
            f"planned only: no top module joins the accelerator to this board's {part.name} (a "
            "table [build] in its file names one, see docs/hardware.md)"
        )
    if any(each.part == part for each in buildable().values()):
        return ""
    return f"planned only: bnn build knows no board with {part.name}"


def _with_boards(part: Part) -> str:
    names = [each.name for each in boards().values() if each.part is part]
    return f"{part.name} ({', '.join(names)})" if names else part.name

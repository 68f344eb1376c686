# SPDX-License-Identifier: BSD-3-Clause
"""Boards: a part, a clock, and what joins the accelerator to their processor.

One TOML file each in this folder, and the SystemVerilog tops that they name.
docs/hardware.md says how to add one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources

from bnn.errors import BuildError, PlanError
from bnn.hw import tables
from bnn.hw.parts import Part, parts
from bnn.hw.tables import Table

#: The original's clock, which every design here is made for, and by which simulations tell time.
CLOCK_MHZ = 100.0
#: Number of addresses of a 32-bit processor's bus; smallest window of the registers, in bytes.
_MAX_ADDRESS, _MIN_SPAN = 1 << 32, 1 << 8
#: Ports of the wrapper around a single block: :mod:`bnn.hw.toolchain.out_of_context`.
_PINS = ("clk", "rst", "into", "out")


@dataclass(frozen=True)
class Connection:
    """How the accelerator is joined to a board's processor.

    Attributes:
        top: module around ``bnn_top``, in the file of that name in this folder.
        base: address of the registers as the processor sees it.
        span: bytes of the registers' window.
    """

    top: str
    base: int
    span: int


@dataclass(frozen=True)
class Board:
    """A board that ``bnn plan`` and, where it has a connection, ``bnn build`` can target.

    Attributes:
        name: name of its file without the ending, such as ``pynq-z1``.
        part: its chip.
        device: the vendor's name of the chip: part, package, speed grade.
        clock_mhz: the accelerator's clock in MHz.
        connection: None for a board that designs can only be planned for.
        pins: port of the wrapper around a single block -> pin; empty if the file has none.
    """

    name: str
    part: Part
    device: str
    clock_mhz: float
    connection: Connection | None = None
    pins: Mapping[str, str] = field(default_factory=dict)

    @property
    def built(self) -> Connection:
        """The connection; :class:`BuildError` for a board that has none."""
        if self.connection is None:
            raise BuildError(f"{self.name}: {planned_only(self.part, self)}")
        return self.connection

    def top_source(self) -> str:
        """Return the text of the top's file."""
        return (resources.files(__name__) / f"{self.built.top}.sv").read_text(encoding="utf-8")

    def constraints(self) -> str:
        """Return ``bnn.xdc``: the clock; no pin is used except the processor's own."""
        period = 1000 / self.clock_mhz
        return (
            f"# {self.name}: the accelerator's clock is the processing system's clock 0.\n"
            f"create_clock -name fclk0 -period {period:.3f} [get_pins ps/FCLKCLK[0]]\n"
        )


def parse(name: str, table: Table) -> Board:
    """Return the board that a TOML table describes; :class:`BuildError` names file and field."""
    known = table.text("part")
    if known not in parts():
        raise table.error("part", f"is {known!r}; there are: {', '.join(parts())}")
    part = parts()[known]
    build, pins = table.table("build"), table.table("pins")
    return Board(
        name,
        part,
        table.text("device"),
        table.number("clock_mhz", 1, 1000, default=part.clock_mhz),
        None if build is None else _connection(build),
        {} if pins is None else _pins(pins),
    )


def _connection(table: Table) -> Connection:
    top = table.text("top")
    if not (resources.files(__name__) / f"{top}.sv").is_file():
        raise table.error("top", f"is {top!r}, but there is no file {top}.sv in its folder")
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
    """Return all boards by name, also those that designs can only be planned for."""
    return tables.read(__name__, parse)


def buildable() -> dict[str, Board]:
    """Return the boards that ``bnn build`` can target, by name."""
    return {name: each for name, each in boards().items() if each.connection is not None}


def board(name: str) -> Board:
    """Return the board called ``name``, for ``bnn build``.

    Raises:
        BuildError: there is no such board, or designs can only be planned for it.
    """
    found = boards().get(name)
    known = ", ".join(buildable())
    if found is None:
        raise BuildError(f"no board is called {name!r}; there are: {known}")
    if found.connection is None:
        raise BuildError(f"{name}: {planned_only(found.part, found)}; there are: {known}")
    return found


def find(name: str) -> tuple[Part, Board | None]:
    """Return what a plan is for: a part, or a board and its part.

    Args:
        name: name of a part or of a board, or a device such as ``xc7z020clg400-1``, in any case.

    Raises:
        PlanError: nothing has this name; the message lists the parts.
    """
    wanted = name.lower()
    for each in boards().values():
        if wanted == each.name:
            return each.part, each
    for part in parts().values():
        devices = {each.device for each in boards().values() if each.part is part}
        if wanted == part.name or wanted in devices:
            return part, None
    known = ", ".join(_with_boards(part) for part in parts().values())
    raise PlanError(f"no part is called {name!r}; there are: {known}")


def part(name: str) -> Part:
    """Return the part, or the part of the board or device, called ``name``; see :func:`find`."""
    return find(name)[0]


def planned_only(part: Part, board: Board | None = None) -> str:
    """Return why ``bnn build`` cannot build a plan for ``part`` or ``board``; "" if it can."""
    if board is not None:
        if board.connection is not None:
            return ""
        return f"planned only: no top module joins the accelerator to this board's {part.name}"
    if any(each.part == part for each in buildable().values()):
        return ""
    return f"planned only: bnn build knows no board with {part.name}"


def _with_boards(part: Part) -> str:
    names = [each.name for each in boards().values() if each.part is part]
    return f"{part.name} ({', '.join(names)})" if names else part.name

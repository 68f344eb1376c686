# SPDX-License-Identifier: BSD-3-Clause
"""``bnn plan --board all``: one model on every board."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bnn.errors import PlanError
from bnn.hw.boards import Board, boards
from bnn.hw.parts import Part
from bnn.plan.planner import Plan, plan
from bnn.program.program import Program
from bnn.system.progress import progress
from bnn.system.terminal import harmless


@dataclass(frozen=True)
class BoardPlan:
    """The plan for a board, or the reason why there is no plan.

    Attributes:
        board: the board.
        plan: the plan; None if no plan fits the board.
        reason: why no plan fits the board; "" if there is a plan.
    """

    board: Board
    plan: Plan | None
    reason: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the plan as plain JSON values, without the layers of the plan."""
        about = {
            "board": self.board.name,
            "part": self.board.part.name,
            "can_be_built": self.board.connection is not None,
            "verified": list(self.board.verified),
        }
        if self.plan is None:
            return {**about, "fits": False, "reason": self.reason}
        wanted = ("clock_mhz", "clock_is", "cycles", "fps", "used", "available")
        values = self.plan.as_json()
        return {**about, "fits": True, **{name: values[name] for name in wanted}}


def of_boards(
    program: Program,
    *,
    fps: float | None = None,
    clock_mhz: float | None = None,
    loadable: bool = False,
    probes: str = "none",
    fill: float,
) -> tuple[BoardPlan, ...]:
    """Return a plan for each board; the smallest part is first.

    The arguments are those of :func:`bnn.plan.plan`.

    Boards with the same part and clock share a plan, which takes seconds.

    Raises:
        BuildError: the program cannot become hardware at all.
    """
    made: dict[tuple[Part, float], Plan | str] = {}
    rows = []
    every = sorted(boards().values(), key=lambda each: (each.part.luts, each.name))
    with progress("planning") as advance:
        for done, board in enumerate(every, 1):
            key = board.part, board.clock_mhz if clock_mhz is None else clock_mhz
            if key not in made:
                try:
                    made[key] = plan(
                        program,
                        fps=fps,
                        on=key[0],
                        clock_mhz=key[1],
                        loadable=loadable,
                        probes=probes,
                        fill=fill,
                    )
                except PlanError as reason:
                    made[key] = str(reason)
            found = made[key]
            rows.append(
                BoardPlan(board, None, found) if isinstance(found, str) else BoardPlan(board, found)
            )
            advance(done, len(every))
    return tuple(rows)


def boards_table(rows: tuple[BoardPlan, ...], title: str) -> RenderableType:
    """Return a table with a row for each board, and the reasons why some boards have no plan."""
    table = Table(title=harmless(title), title_justify="left", title_style="bold", box=None)
    for name in ("board", "part"):
        table.add_column(name)
    for name in ("images/s", "MHz", "LUT", "BRAM36"):
        table.add_column(name, justify="right")
    for name in ("clock is", "bnn build", "verified"):
        table.add_column(name)
    for row in rows:
        table.add_row(row.board.name, row.board.part.name, *_figures(row), *_about(row.board))
    reasons = {row.board.part.name: row.reason for row in rows if row.plan is None}
    notes = [Text(harmless(reason)) for reason in reasons.values()]
    return Group(table, Text(), *notes, Text(_LEGEND))


_LEGEND = (
    "Clock: estimated: each kind of block reached it when it was routed alone on that part; hoped "
    "for: not tried. Verified: how far designs for that board were tried: simulated, synthesized, "
    "routed; none has run on a board yet. Cells are estimated as on Xilinx' 7 series. "
    "The plan of one: bnn plan MODEL --board NAME."
)


def _figures(row: BoardPlan) -> tuple[str, str, str, str, str]:
    if row.plan is None:
        return "does not fit", "", "", "", ""
    lut, bram = (row.plan.used[kind] for kind in ("LUT", "BRAM36"))
    return (
        f"{row.plan.fps:,.0f}",
        f"{row.plan.clock_mhz:g}",
        f"{100 * lut[0] / lut[1]:.0f} %",
        f"{100 * bram[0] / bram[1]:.0f} %",
        row.plan.clock_is,
    )


def _about(board: Board) -> tuple[str, str]:
    is_built = "no" if board.connection is None else "yes"
    return is_built, board.verified[-1] if board.verified else "nothing"

# SPDX-License-Identifier: BSD-3-Clause
"""A plan for a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bnn.plan import cost
from bnn.plan.planner import Plan
from bnn.system.terminal import harmless

_BAR = 24


def plan_table(plan: Plan, title: str) -> RenderableType:
    """Return tables of a plan: foldings, cycles and costs of the layers; use of the part; speed."""
    said: list[RenderableType] = [_layers(plan, title), Text(), _parts(plan), Text(), _speed(plan)]
    if plan.planned_only:
        where = plan.part.name if plan.board is None else plan.board.name
        said.append(Text(f"{where}: {plan.planned_only}", style="bold"))
    return Group(*said)


def _layers(plan: Plan, title: str) -> Table:
    table = Table(title=harmless(title), title_justify="left", title_style="bold", box=None)
    table.add_column("layer")
    for name in ("matrix", "PE", "SIMD", "pixels", "style", "cycles", "LUT", "BRAM36"):
        table.add_column(name, justify="right")
    marked = _marked(plan)
    for layer in plan.layers:
        slowest = layer.name in marked
        table.add_row(
            harmless(layer.name) + (" *" if slowest else ""),
            f"{layer.rows}x{layer.columns}",
            str(layer.fold.pe),
            str(layer.fold.simd),
            str(layer.fold.pixels),
            layer.fold.style,
            f"{layer.cycles:,}",
            f"{layer.cost.lut:,.0f}",
            f"{layer.cost.bram36:g}",
            style="bold" if slowest else None,
        )
    return table


def _parts(plan: Plan) -> Table:
    table = Table(box=None, show_header=False)
    errors = cost.errors()
    for kind, (use, have) in plan.used.items():
        share = use / have
        margin = f"+-{errors[kind]:.0f} %" if kind in errors else "computed"
        table.add_row(
            kind,
            ProgressBar(total=1.0, completed=min(share, 1.0), width=_BAR),
            f"{use:,.0f}" if kind != "BRAM36" else f"{use:,.1f}",
            margin,
            f"of {have:,.0f}",
            f"{100 * share:.0f} %",
        )
    return table


def _speed(plan: Plan) -> Text:
    where = "written at run time" if plan.folding.loadable else "constants"
    first = ""
    if plan.timing is not None:
        first = f"first result after {plan.timing.latency:,} cycles; "
    family = "" if plan.part.yosys == "xc7" else " Cells are estimated as on Xilinx' 7 series."
    return Text(
        f"{plan.fps:,.0f} images/s at {plan.clock_mhz:g} MHz on {plan.part.name}: "
        f"{plan.cycles:,} cycles per image; {_slowest(plan)}; {first}"
        f"parameters: {where}; probes: {plan.folding.probes}.\n{_clock(plan)}\n"
        f"Errors (+-): the largest on {cost.measured()}.{family}"
    )


def _marked(plan: Plan) -> list[str]:
    """Return the names of the layers that take as many cycles as the whole design."""
    return [layer.name for layer in plan.layers if layer.cycles == plan.design.cycles]


def _slowest(plan: Plan) -> str:
    """Return the names of all that takes as long as the whole: layers, marked *, or the input."""
    marked = _marked(plan)
    names = marked if plan.bottleneck in marked else [*marked, plan.bottleneck]
    return f"slowest{' (*)' if marked else ''}: {harmless(', '.join(names))}"


def _clock(plan: Plan) -> str:
    """Return a text that says how the plan's clock was tested.

    It also says which clock the slowest block reached when it was routed alone, if this is known.
    """
    clock = f"The clock of {plan.clock_mhz:g} MHz is {plan.clock_is}"
    if plan.routed is None:
        which = "no block" if plan.folding.probes == "none" else "not every kind of its blocks"
        return f"{clock}: {which} was routed on {plan.part.name}."
    mhz = plan.routed.mhz
    return (
        f"{clock}: {plan.routed.module}, its slowest kind of block, reached {mhz:g} MHz when it "
        f"was routed alone, which would be {mhz * 1e6 / plan.cycles:,.0f} images/s. "
        "bnn build --pnr routes the whole design."
    )

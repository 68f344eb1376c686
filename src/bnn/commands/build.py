# SPDX-License-Identifier: BSD-3-Clause
"""The command ``bnn build``: a function whose arguments are the command's options."""

from __future__ import annotations

import dataclasses
import json as json_text
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bnn.commands.plan import Fps, Most, check_choice
from bnn.errors import BuildError

if TYPE_CHECKING:
    from bnn.hw.boards import Board
    from bnn.hw.design import Design


def build(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Bundled name, .bnn file, or original folder.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write.")],
    board: Annotated[
        str,
        typer.Option(
            "--board", help="Such as pynq-z1, or a TOML file of your own; a wrong name lists all."
        ),
    ] = "pynq-z2",
    clock: Annotated[
        float | None, typer.Option("--clock", help="MHz; else the clock of the board.")
    ] = None,
    folding: Annotated[
        str | None,
        typer.Option("--folding", help="original, a bundled name or a FINN-style JSON file."),
    ] = None,
    fps: Fps = None,
    most: Most = False,
    loadable: Annotated[
        bool | None,
        typer.Option(
            "--loadable/--constants",
            help="Parameters written at run time, or constants of the circuit.",
            show_default="as the folding says; constants with --fps or --max",
        ),
    ] = None,
    probes: Annotated[
        str | None,
        typer.Option(
            "--probes",
            help="Streams with a counter of words and waits: none, ends (to and from memory), all.",
            show_default="those of the folding, or none",
        ),
    ] = None,
    stored: Annotated[
        str | None,
        typer.Option(
            "--input",
            help="Images in memory: bytes as NumPy has them, or packed by the host.",
            show_default="bytes for pictures, else packed",
        ),
    ] = None,
    results: Annotated[
        str | None,
        typer.Option(
            "--scores",
            help="Scores in memory: int32 as NumPy has them, or packed.",
            show_default="int32 for pictures, if that is not slower; else packed",
        ),
    ] = None,
    synth: Annotated[
        bool, typer.Option("--synth", help="Count LUTs, FFs, BRAMs and DSPs with Yosys.")
    ] = False,
    pnr: Annotated[
        bool,
        typer.Option("--pnr", help="Place and route with nextpnr, to Fmax and bnn.bit (minutes)."),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Make FPGA hardware of a model: sources, constraints, a Vivado script, driver data, a report.

    Example: [bold]bnn build lfc-w1a1 --board pynq-z2 --folding original -o accelerator[/bold]
    """
    import bnn
    from bnn.hw import export, report, used
    from bnn.hw import folding as folds
    from bnn.hw.boards import board as find_board
    from bnn.hw.design import build as make
    from bnn.hw.render import sources

    target = find_board(board)
    if clock is not None:
        target = target.at(clock)
    program = bnn.load(model).program
    if fps is not None or most:
        check_choice(fps, most, folding)
        from bnn.plan import plan

        chosen = plan(
            program, fps=fps, on=target, loadable=bool(loadable), probes=probes or "none"
        ).folding
    else:
        chosen = folds.choose(program, folding)
    if loadable is not None:
        chosen = dataclasses.replace(chosen, loadable=loadable)
    if probes is not None:
        chosen = dataclasses.replace(chosen, probes=folds.check_probes(probes, "--probes"))
    if stored is not None:
        chosen = dataclasses.replace(chosen, input=folds.check_input(stored, "--input"))
    if results is not None:
        chosen = dataclasses.replace(chosen, output=folds.check_output(results, "--scores"))
    design = make(program, chosen)
    _check_fits(design, target, model)
    cells = routed = None
    if synth:
        from bnn.hw.toolchain import synth as synthesis

        modules = {instance.name: instance.block.module for instance in design.instances}
        cells = synthesis.cells(sources(design), modules, target.part.yosys)
    with used.replaced(output) as fresh:
        if pnr:
            from bnn.hw.toolchain.implement import implement

            routed = implement(sources(design), target, fresh)
        values = export.write_into(design, target, fresh, cells, routed, _interval(design))
    typer.echo(json_text.dumps(values) if json else report.as_text(values), nl=json)


def _interval(design: Design) -> int | None:
    """Return the cycles from one column to the next if the design has a loop; else None."""
    if not design.sides:
        return None
    from bnn.plan.fifos import pace

    timing = pace(design)
    return None if timing is None else timing.interval


def _check_fits(design: Design, target: Board, model: str) -> None:
    """Refuse a design that the board's FPGA cannot contain (`BuildError`)."""
    from bnn.plan.fit import too_many

    excess = too_many(design, target.part)
    if excess:
        raise BuildError(
            f"{target.name}: {target.part.name} is too small for this folding: it takes {excess}; "
            f"bnn plan {shlex.quote(model)} --board {shlex.quote(target.name)} --max looks for one "
            "that fits"
        )

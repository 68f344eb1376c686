# SPDX-License-Identifier: BSD-3-Clause
"""``bnn plan``, as a function of typed arguments for the command line."""

from __future__ import annotations

import json as json_text
from pathlib import Path
from typing import Annotated

import typer

from bnn.commands.hints import next_step

Fps = Annotated[float | None, typer.Option("--fps", help="Required images per second.")]
Most = Annotated[bool, typer.Option("--max", help="The fastest that fits the part.")]
Probes = Annotated[
    str,
    typer.Option(
        "--probes",
        help="Streams with a counter of words and waits: none, ends (to and from memory), all.",
    ),
]
Fill = Annotated[float, typer.Option("--fill", help="Per cent of the LUTs that may be used.")]


def plan(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="Bundled name, .bnn file, original folder, or a .toml topology file "
            "(not trained yet: random weights).",
        ),
    ],
    fps: Fps = None,
    most: Most = False,
    part: Annotated[
        str | None,
        typer.Option(
            "--part",
            help="Part or board; a wrong name lists all. Or cells: "
            "luts=17600,ffs=35200,bram36=60,dsp=80,clock=100.",
            show_default="xc7z020",
        ),
    ] = None,
    board: Annotated[
        str | None,
        typer.Option("--board", help="Board, a TOML file of your own, or all: a table of boards."),
    ] = None,
    clock: Annotated[
        float | None, typer.Option("--clock", help="MHz; else the original's on that part.")
    ] = None,
    loadable: Annotated[
        bool,
        typer.Option(
            "--loadable/--constants",
            help="Parameters written at run time, or baked into the circuit.",
        ),
    ] = False,
    probes: Probes = "none",
    fill: Fill = 85.0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the folding (JSON) here.")
    ] = None,
    pareto: Annotated[
        Path | None,
        typer.Option("--pareto", help="Draw speed against size, .html or .png, instead of a plan."),
    ] = None,
    beside: Annotated[
        list[str] | None, typer.Option("--with", help="Another model in the picture.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Will it fit, and how fast: choose the parallelism of every layer, in seconds.

    Example: [bold]bnn plan cnv-w1a1 --fps 12000 -o folding.json[/bold]

    On which board: [bold]bnn plan lfc-w1a1 --board all[/bold]

    Before training: [bold]bnn plan mine.toml --board pynq-z2[/bold]
    """
    from bnn.plan.planner import plan as make

    check_choice(fps, most)
    if board == "all":
        _check_all({"--part": part, "--output": output, "--pareto": pareto, "--with": beside})
        print_boards(model, fps, clock, loadable, probes, fill / 100, json)
        return
    part = _target(part, board)
    if output is not None:
        check_replaced(output)
    of_a_plan: dict[str, object] = {"--fps": fps, "--max": most, "--output": output}
    _check_picture(pareto, beside, {**of_a_plan, "--probes": probes != "none"})
    if pareto is not None:
        draw_pareto(pareto, [model, *(beside or [])], part, clock, loadable, fill / 100, json)
        return
    found = make(
        model,
        fps=fps,
        on=part,
        clock_mhz=clock,
        loadable=loadable,
        probes=probes,
        fill=fill / 100,
    )
    if output is not None:
        write_folding(output, found.as_json()["folding"])
    if json:
        typer.echo(json_text.dumps(found.as_json()))
        return
    from bnn.commands.plan_table import plan_table
    from bnn.system.terminal import print_whole

    goal = "as fast as fits" if fps is None else f"at least {fps:,.0f} images/s"
    print_whole(plan_table(found, f"{_named(model)}, {goal}"))
    next_step("plan", model, "--pareto", "plans.html", why="speed against size, as a page")


def _named(model: str) -> str:
    from bnn.plan.untrained import is_topology

    return f"{model} (not trained: random weights)" if is_topology(model) else model


def _target(part: str | None, board: str | None) -> str:
    from bnn.errors import PlanError

    if part is not None and board is not None:
        raise PlanError("use either --part or --board")
    for name, value in (("--part", part), ("--board", board)):
        if value is not None and not value.strip():
            raise PlanError(f"{name} is empty; remove it to plan for xc7z020, or name one")
    return part or board or "xc7z020"


def _check_all(others: dict[str, object]) -> None:
    from bnn.errors import PlanError

    if given := [name for name, value in others.items() if value]:
        raise PlanError(f"--board all prints a table of all boards; {given[0]} is for one of them")


def print_boards(
    model: str,
    fps: float | None,
    clock: float | None,
    loadable: bool,
    probes: str,
    fill: float,
    json: bool,
) -> None:
    """Print a plan for every board, one row each, or JSON."""
    from bnn.commands.plan_boards import boards_table, of_boards
    from bnn.plan.untrained import program_of
    from bnn.system.terminal import print_whole

    program = program_of(model)
    rows = of_boards(program, fps=fps, clock_mhz=clock, loadable=loadable, probes=probes, fill=fill)
    if json:
        typer.echo(json_text.dumps([each.as_json() for each in rows]))
        return
    goal = "as fast as fits" if fps is None else f"at least {fps:,.0f} images/s"
    print_whole(boards_table(rows, f"{_named(model)}, {goal}"))


def draw_pareto(
    path: Path,
    models: list[str],
    part: str,
    clock: float | None,
    loadable: bool,
    fill: float,
    json: bool,
) -> None:
    """Write the Pareto picture of ``models`` to ``path``; print a summary, or JSON."""
    from dataclasses import asdict

    from bnn.hw.boards import find, planned_only
    from bnn.plan.pareto import curve
    from bnn.plan.picture import write
    from bnn.plan.untrained import program_of

    target, board = find(part)
    standard = target.clock_mhz if board is None else board.clock_mhz
    mhz = standard if clock is None else clock
    curves = [
        curve(name, program_of(name), target, mhz, loadable=loadable, fill=fill) for name in models
    ]
    write(path, curves, target, mhz)
    if json:
        typer.echo(json_text.dumps([asdict(each) for each in curves]))
        return
    for each in curves:
        best = each.best
        speed = "none fits" if best is None else f"up to {best.fps:,.0f} images/s fit"
        typer.echo(f"{path}: {each.name}: {len(each.points)} plans, {speed}")
    if note := planned_only(target, board):
        typer.echo(f"{part}: {note}")


def _check_picture(
    pareto: Path | None, beside: list[str] | None, of_a_plan: dict[str, object]
) -> None:
    """Check that options fit ``--pareto``, which draws a picture instead of making one plan.

    Options of a single plan are refused with ``--pareto``; ``--with`` is refused without it.
    """
    from bnn.errors import PlanError

    if pareto is None and beside:
        raise PlanError("--with is for the picture that --pareto draws")
    given = [name for name, value in of_a_plan.items() if value]
    if pareto is not None and given:
        raise PlanError(f"{given[0]} is for a plan; --pareto draws all of them")


def check_choice(fps: float | None, most: bool, folding: str | None = None) -> None:
    """Refuse more than one of ``--fps``, ``--max`` and ``--folding``."""
    from bnn.errors import PlanError

    if fps is not None and most:
        raise PlanError("use either --fps or --max")
    if folding is not None:
        raise PlanError("use either --folding, or --fps or --max, which choose a folding")


def check_replaced(path: Path) -> None:
    """Refuse an output that does not end in .json, or that would replace another file."""
    from bnn.errors import PlanError
    from bnn.hw.folding import MAX_FILE_BYTES
    from bnn.system.files import parse_json, read_file

    if path.suffix != ".json":
        raise PlanError(f"{path}: a folding is a JSON file: its name must end in .json")
    if not path.exists():
        return
    try:
        there = parse_json(read_file(path, MAX_FILE_BYTES, PlanError))
    except ValueError:
        there = None
    if not isinstance(there, dict) or not {"loadable", "Defaults"} & set(there):
        raise PlanError(f"{path}: exists, and is not a folding; choose another name")


def write_folding(path: Path, folding: object) -> None:
    """Write a folding file, as ``bnn build --folding`` reads it."""
    from bnn.errors import PlanError
    from bnn.system.files import write_whole

    write_whole(path, (json_text.dumps(folding, indent=1) + "\n").encode(), PlanError)

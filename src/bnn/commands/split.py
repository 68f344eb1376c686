# SPDX-License-Identifier: BSD-3-Clause
"""``bnn split``: what it costs to run a layer of a model in software."""

from __future__ import annotations

import json as json_text
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bnn.commands.hints import next_step
from bnn.system.terminal import harmless

if TYPE_CHECKING:
    from bnn.model.model import Model
    from bnn.plan.split import Assumed, Cut, Whole
    from bnn.program.cut import Layer

#: Batches whose times ``--layer`` shows.
BATCHES = (1, 10, 100, 1000, 10_000)


def split(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Bundled name, .bnn file, or original folder.")
    ],
    layer: Annotated[
        str | None, typer.Option("--layer", "-l", help="This layer only, in detail.")
    ] = None,
    folding: Annotated[
        str | None, typer.Option("--folding", help="original, a name, or a JSON file.")
    ] = None,
    clock: Annotated[float, typer.Option("--clock", help="MHz of the accelerator.")] = 100.0,
    batch: Annotated[int, typer.Option("--batch", help="Images of a batch.")] = 1000,
    chunk: Annotated[
        int, typer.Option("--chunk", help="Images at a time, if host and chip work at once.")
    ] = 32,
    arm_mhz: Annotated[float, typer.Option("--arm-mhz", help="MHz of the Cortex-A9.")] = 650.0,
    neon_cycles: Annotated[
        float, typer.Option("--neon-cycles", help="Its cycles per NEON instruction.")
    ] = 2.0,
    copy_mbytes: Annotated[
        float, typer.Option("--copy-mbytes", help="Million bytes per second that it copies.")
    ] = 400.0,
    call_us: Annotated[
        float, typer.Option("--call-us", help="Microseconds to start the accelerator once.")
    ] = 100.0,
    swap_ms: Annotated[
        float, typer.Option("--swap-ms", help="Milliseconds to load another bitstream.")
    ] = 28.0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="PAGE", help="Draw it as HTML.")
    ] = None,
    parts: Annotated[
        Path | None,
        typer.Option(
            "--parts", metavar="FOLDER", help="With --layer: write a .bnn file of each part."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """What does it cost to run one layer in software, and the others on the accelerator?

    Times of the accelerator are from its cycle model, those of a board's processor from counted
    instructions, those of copies from bytes; this machine's are measured.

    Example: [bold]bnn split lfc-w1a1[/bold]

    Example: [bold]bnn split cnv-w1a1 --layer layer4 --parts parts/[/bold]
    """
    import bnn
    from bnn.errors import PlanError
    from bnn.hw import folding as folds
    from bnn.plan import split as model_of
    from bnn.program.cut import layers
    from bnn.system.files import check_page
    from bnn.system.progress import progress

    if parts is not None and layer is None:
        raise PlanError("--parts is for one layer: give --layer too")
    if output is not None:
        check_page(output)
    assumed = model_of.Assumed(
        clock, arm_mhz, neon_cycles, copy_mbytes, call_us, swap_ms, batch, chunk
    )
    loaded = bnn.load(model)
    program = loaded.program
    if program.is_sequence:
        raise PlanError(
            f"{model}: reads sequences; the accelerator has no block for a scan, so there are no "
            "times to compare. bnn ocr runs it on the cpu runtime"
        )
    chosen = [named(layers(program), layer)] if layer is not None else list(layers(program))
    fold = folds.choose(program, folding)
    with progress("planning") as advance:
        advance(0, len(chosen) + 1)
        whole = model_of.whole(program, fold)
        found = []
        for number, cut in enumerate(model_of.cuts(program, fold, [one.name for one in chosen]), 1):
            found.append(cut)
            advance(number + 1, len(chosen) + 1)
    if parts is not None:
        write_parts(loaded, chosen[0], parts)
    if output is not None:
        write_page(output, model, whole, found, assumed)
    if json:
        values = model_of.whole_json(whole, assumed)
        told = [model_of.as_json(cut, whole, assumed) for cut in found]
        typer.echo(json_text.dumps({"model": model, **values, "layers": told}))
        return
    show(model, whole, found, assumed, detailed=layer is not None)
    if output is not None:
        typer.echo(harmless(f"{output}: the same as a picture"))
    elif layer is None:
        next_step("split", model, "--layer", chosen[0].name, why="one layer in detail")


def named(known: tuple[Layer, ...], name: str) -> Layer:
    """Return the layer that has an operation called ``name``."""
    from bnn.errors import UnknownNameError
    from bnn.program.cut import by_operation

    layer = by_operation(known).get(name)
    if layer is not None:
        return layer
    names = ", ".join(layer.name for layer in known)
    raise UnknownNameError(f"no layer is called {name!r}; there are: {names}")


def show(model: str, whole: Whole, found: list[Cut], assumed: Assumed, *, detailed: bool) -> None:
    """Print the table; of one layer also where its time goes, and other batches."""
    from rich.text import Text

    from bnn.commands import split_table as tables
    from bnn.system.terminal import print_whole

    print_whole(tables.overview(model, whole, found, assumed))
    if detailed and found[0].software is not None:
        print_whole(tables.parts(found[0]))
        print_whole(tables.batches(whole, found[0], assumed, BATCHES))
    for line in tables.notes(found, assumed):
        print_whole(Text(harmless(line)))


def write_page(path: Path, model: str, whole: Whole, found: list[Cut], assumed: Assumed) -> None:
    """Write the picture and the table as a page."""
    from bnn.errors import PlanError
    from bnn.plan.split_page import page
    from bnn.system.files import write_whole

    write_whole(path, page(model, whole, found, assumed).encode(), PlanError)


def write_parts(model: Model, layer: Layer, folder: Path) -> None:
    """Write a model file of each part in ``folder``: ``part1.bnn`` is the first."""
    import bnn
    from bnn.errors import ModelFileError
    from bnn.model.model import Model
    from bnn.run.stages import stages

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as reason:
        raise ModelFileError(f"{folder}: cannot be made: {reason.strerror}") from None
    for number, stage in enumerate(stages(model.program, {layer.name: None}), 1):
        classes = (
            model.classes
            if stage.is_last
            else tuple(f"value{place}" for place in range(stage.program.classes))
        )
        where = "host" if stage.is_host else "accelerator"
        about = {"part": number, "of": model.name, "layers": list(stage.layers), "where": where}
        first = number == 1
        made = Model(
            stage.program,
            classes,
            model.preprocess if first else None,
            about,
            f"{model.name}-part{number}",
        )
        path = folder / f"part{number}.bnn"
        bnn.save(made, path)
        typer.echo(harmless(f"{path}: {stage}, {where}"), err=True)

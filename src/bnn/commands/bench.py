# SPDX-License-Identifier: BSD-3-Clause
"""``bnn bench`` and ``bnn info --cpu``: parse, call, print."""

from __future__ import annotations

import dataclasses
import json as json_text
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bnn.errors import DataError, InputError
from bnn.system.terminal import harmless

if TYPE_CHECKING:
    from bnn.measure.layers import Layer
    from bnn.measure.speed import Timing


def bench(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Bundled name, .bnn file, or original folder.")
    ],
    batch: Annotated[str, typer.Option("--batch", help="Images a call, as in 1,64,1000.")] = (
        "1,64,1000"
    ),
    threads: Annotated[str, typer.Option("--threads", "-t", help="As in 1,2.")] = "1",
    runtime: Annotated[str, typer.Option("--runtime", "-r", help="cpu or reference.")] = "cpu",
    report: Annotated[
        Path | None, typer.Option("--report", metavar="PAGE", help="Write the figures as HTML.")
    ] = None,
    layers: Annotated[
        bool, typer.Option("--layers", help="Time of each step, its share of the limit, its bound.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Measure how fast a model runs here: warmed up, repeated, by wall and by CPU time.

    Example: [bold]bnn bench lfc-w1a1 --batch 1,1000 --threads 1,2[/bold]

    Example: [bold]bnn bench cnv-w1a1 --layers --batch 64[/bold]
    """
    import bnn
    from bnn.measure.speed import bench as measure
    from bnn.measure.speed import machine
    from bnn.system.files import check_page, write_whole

    if runtime == "sim":
        raise InputError(
            "bench measures this machine; for the accelerator's speed use bnn plan, or "
            "bnn classify --runtime sim"
        )
    if runtime != "cpu" and threads != "1":
        raise InputError(f"--threads is for the runtime cpu, not for {runtime}")
    batches, counts = numbers("batch", batch), numbers("threads", threads)
    if layers:
        if runtime != "cpu" or counts != [1] or report is not None:
            raise InputError("--layers is for the runtime cpu and one thread, without --report")
        _show_layers(model, batches, json)
        return
    if report is not None:
        check_page(report)
    timings = measure(bnn.load(model).program, batches, counts, runtime=runtime)
    if report is not None:
        from bnn.measure.speed_page import speed_page

        text = speed_page(Path(model).name, machine(), timings)
        write_whole(report, text.encode(), DataError)
    if json:
        for timing in timings:
            typer.echo(json_text.dumps({"model": model, "machine": machine(), **timing.as_dict()}))
        return
    typer.echo(f"{model} on {machine()}: random inputs, {len(timings[0].wall)} rounds")
    _print_timings(timings)
    if report is not None:
        typer.echo(harmless(f"{report}: the figures as a page"))


def _show_layers(model: str, batches: list[int], json: bool) -> None:
    import bnn
    from bnn.measure.layers import layers, limits
    from bnn.measure.speed import machine

    program, most = bnn.load(model).program, limits()
    if not json:
        typer.echo(f"{model} on {machine()}: one thread, random inputs, the best of 30 rounds")
        for name, rate in most.multiply_adds.items():
            typer.echo(f"limit {name:7} {rate / 1e12:6.2f} T multiply-adds/s")
        typer.echo(f"limit memory  {most.memory / 1e9:6.1f} GB/s")
    for batch in batches:
        found = layers(program, batch, most)
        if json:
            for each in found:
                typer.echo(json_text.dumps({"model": model, "batch": batch, **each.as_dict()}))
        else:
            _print_layers(found, batch)


def _print_layers(found: list[Layer], batch: int) -> None:
    from rich.table import Table

    from bnn.system.terminal import print_whole

    total = sum(each.seconds for each in found)
    table = Table("operation", "step", box=None, title=f"batch {batch}", title_justify="left")
    for heading in ("us/image", "time", "M mult-adds", "T/s", "limit", "of limit"):
        table.add_column(heading, justify="right")
    table.add_column("bound")
    for each in found:
        rate = f"{each.multiply_adds / each.seconds / 1e12:.3f}" if each.multiply_adds else ""
        table.add_row(
            harmless(each.operation),
            each.step,
            f"{each.seconds * 1e6:.3f}",
            f"{each.share:.0%}",
            f"{each.multiply_adds / 1e6:.3f}" if each.multiply_adds else "",
            rate,
            each.instructions,
            "" if each.of_limit is None else f"{each.of_limit:.0%}",
            each.bound,
        )
    print_whole(table)
    typer.echo(f"all steps: {total * 1e6:,.1f} us/image, {1 / total:,.0f} images/s")


def numbers(what: str, text: str) -> list[int]:
    """Return the numbers in a text such as ``1,64,1000``, each from 1 to a million."""
    try:
        values = [int(part) for part in text.split(",")]
    except ValueError:
        values = []
    if not values or not all(1 <= value <= 1_000_000 for value in values):
        raise InputError(
            f"--{what} takes whole numbers of at least 1, separated by commas, not {text!r}"
        )
    return values


def show_cpu(json: bool) -> None:
    """Print which kernel the cpu runtime uses on this machine, and why."""
    from bnn.run.cpu import describe

    found = describe()
    if json:
        typer.echo(json_text.dumps(dataclasses.asdict(found)))
        return
    typer.echo(f"kernel    {found.kernel}: {found.reason}")
    for kernel in found.kernels:
        place = "available" if kernel.available else "not on this CPU"
        typer.echo(f"          {kernel.name:10} {place:16} {kernel.uses}")
    typer.echo(f"training  {found.training}: small integers, by table look-up")
    typer.echo(f"features  {' '.join(found.features)}")
    typer.echo(f"threads   {found.threads}")


def _print_timings(timings: list[Timing]) -> None:
    from rich.table import Table

    from bnn.system.terminal import print_whole

    table = Table("runtime", "batch", "threads", "images/s", "us/image", "slow/fast", box=None)
    table.add_column("images/CPU s")
    table.add_column("GOP/s")
    for timing in timings:
        table.add_row(timing.label, str(timing.batch), str(timing.threads), *timing.texts)
    print_whole(table)

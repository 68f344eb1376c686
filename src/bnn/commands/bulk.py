# SPDX-License-Identifier: BSD-3-Clause
"""``bnn bulk``: many pictures into Parquet files."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bnn.errors import BulkError, RuntimeUnavailableError
from bnn.system import install
from bnn.system.progress import INTERVAL_S
from bnn.system.terminal import harmless, notice

if TYPE_CHECKING:
    from bnn.scale.running import Engine, Progress


def bulk(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Name, .bnn file, or folder.")],
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="Folders, pictures, .tar, .parquet, .arrow, .npy, IDX, CIFAR; also s3://, gs://",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the results.")],
    engine: Annotated[str, typer.Option("--engine", help="local, or ray: on a cluster.")] = "local",
    workers: Annotated[
        int | None, typer.Option("--workers", "-w", min=1, help="Processes; else one a processor.")
    ] = None,
    column: Annotated[
        str | None, typer.Option("--column", help="Of tables, that has the pictures.")
    ] = None,
    runtime: Annotated[str, typer.Option("--runtime", "-r", help="cpu or reference.")] = "cpu",
) -> None:
    """Classify many pictures into Parquet files, on all processors or on a cluster.

    A picture that cannot be read is a row with an error; if none can be read, the exit status is 1.
    A run that was interrupted goes on where
    it stopped: give the same command again. Needs the extra bulk: bnn doctor shows how to get it.

    Example: [bold]bnn bulk cnv-w1a1 photos/ shards/*.tar -o results[/bold]
    """
    import bnn

    try:
        import pyarrow as pa  # noqa: F401  # one line now, not an error in each process
    except ImportError as reason:
        raise RuntimeUnavailableError(
            f"bnn bulk needs the extra bulk ({reason}): {install.command('bulk')}"
        ) from None
    from bnn.scale.running import bulk as run

    if runtime not in ("cpu", "reference"):
        raise BulkError(f"--runtime {runtime}: bulk runs on cpu or reference")
    chosen = _engine(engine, workers)
    said = time.monotonic()

    last: Progress | None = None

    def advance(progress: Progress) -> None:
        nonlocal said, last
        last = progress
        if time.monotonic() - said >= INTERVAL_S:
            said = time.monotonic()
            notice(progress.line())

    try:
        done = run(bnn.load(model), sources, out, chosen, runtime=runtime, column=column,
                   advance=advance)  # fmt: skip
    except KeyboardInterrupt:
        far = "nothing is done yet" if last is None else last.line()
        notice(f"{out}: stopped: {far}; give the same command again to go on")
        raise typer.Exit(130) from None
    kept = f", {done.kept} rows kept" if done.kept else ""
    typer.echo(harmless(f"{out}: {done.line()}{kept}"))
    if not done.errors:
        return
    if done.errors < done.rows + done.kept:
        notice(f"{out}: the column error says of each what is wrong")
    else:
        notice(f"{out}: none of the {done.errors} could be read; the column error says why")
        raise typer.Exit(1)


def _engine(name: str, workers: int | None) -> Engine:
    if name == "local":
        from bnn.scale.local import local

        usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
        return local(workers or usable or os.cpu_count() or 1)
    if name == "ray":
        from bnn.scale.on_ray import on_ray

        return on_ray(workers)
    raise BulkError(f"--engine {name}: is not one of local, ray")

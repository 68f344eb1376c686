# SPDX-License-Identifier: BSD-3-Clause
"""``bnn ocr``: read pictures of text lines with a recurrent model."""

from __future__ import annotations

import json as json_text
from pathlib import Path
from typing import Annotated, Any

import typer

from bnn.system.terminal import harmless, notice


def ocr(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="plain-w4a4 ..., .bnn file, parameter file.")
    ],
    images: Annotated[
        list[Path],
        typer.Argument(metavar="LINE...", help="Pictures of one line of text each, or folders."),
    ],
    runtime: Annotated[str, typer.Option("--runtime", "-r", help="cpu, reference or sim.")] = "cpu",
    prepared: Annotated[
        bool, typer.Option("--prepared", help="Files are text: prepared pixels, by column.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Read lines of text, one picture each, and print what they say.

    A folder stands for the pictures in it and in its subfolders. Files that cannot be read are
    listed (with --json also as objects with an error), the others are read, and the exit status
    is 1.

    Example: [bold]bnn ocr plain-w2a2 line.png --json[/bold]
    """
    from bnn.commands.images import end_with, failed, list_files
    from bnn.errors import BnnError
    from bnn.reader import LineReader
    from bnn.system.progress import building, progress, progress_later

    if runtime == "sim":
        with building() as built:
            reader = LineReader(model, runtime, progress=built)
    else:
        reader = LineReader(model, runtime)
    files, unreadable = (images, []) if prepared else list_files(images)
    total = len(files) + len(unreadable)
    with (progress_later if runtime == "cpu" else progress)("reading") as advance:
        for done, path in enumerate(files):
            advance(done, len(files))
            try:
                told = _read(reader, path, prepared)
            except BnnError as reason:
                unreadable.append(failed(path, reason))
            else:
                _print(told, total, json)
    end_with(unreadable, total, json=json)


def _read(reader: Any, path: Path, prepared: bool) -> dict[str, Any]:
    scores = reader.scores_of(reader.columns_of_file(path)) if prepared else reader.scores(path)
    run = reader.last_run
    return {
        "image": str(path),
        "text": reader.text(scores),
        "columns": run.columns,
        "us": 1e6 * run.seconds,
        "prepare_us": 1e6 * run.prepare_seconds,
    }


def _print(told: dict[str, Any], count: int, json: bool) -> None:
    if not told["text"]:
        notice(f"{told['image']}: no character was read")
    if json:
        typer.echo(json_text.dumps(told))
    elif count == 1:
        typer.echo(harmless(told["text"]))
    else:
        typer.echo(harmless(f"{told['image']}: {told['text']}"))

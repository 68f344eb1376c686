# SPDX-License-Identifier: BSD-3-Clause
"""``bnn inspect``: every edge of a program for one picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bnn.commands.hints import next_step
from bnn.system.terminal import harmless, print_whole

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rich.table import Table
    from rich.text import Text

    from bnn.model.model import Model


def inspect(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Bundled name, .bnn file, or original folder.")
    ],
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="A picture.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="PAGE", help="Write all maps as one HTML file (PAGE.html)."
        ),
    ] = None,
    runtime: Annotated[
        str,
        typer.Option("--runtime", "-r", help="sim: compare every edge with the circuit's own."),
    ] = "reference",
) -> None:
    """Show what each layer makes of a picture: every edge, on the reference runtime.

    With --runtime sim the simulated circuit's streams are compared with it, step by step; the first
    difference is named, and the exit status is 1. Other runtimes show no edges; their scores are
    compared.

    Example: [bold]bnn inspect cnv-w1a1 photo.jpg -o page.html[/bold]
    """
    import bnn
    from bnn.commands.images import read_images
    from bnn.errors import DataError
    from bnn.run.edges import reference_edges
    from bnn.system.files import check_page, write_whole
    from bnn.system.terminal import fits
    from bnn.web.inspected import page

    if output is not None:
        check_page(output)
    loaded = bnn.load(model)
    names, batch = read_images(loaded, [image])
    checked = loaded.program.input.check(batch[:1])
    edges = reference_edges(loaded.program, checked)
    told, equal = _compared(loaded, checked, edges, runtime)
    classes = bnn.Classifier(loaded, "reference").classify(batch[:1])
    answer = loaded.classes[int(classes[0])]
    table = edges_table(loaded, edges, f"{names[0]}: {answer}")
    print_whole(table if fits(table) else edges_text(loaded, edges, f"{names[0]}: {answer}"), 1)
    if told:
        typer.echo(harmless(told))
    if output is not None:
        text = page(loaded, edges, Path(names[0]).name, answer, told)
        write_whole(output, text.encode(), DataError)
        typer.echo(harmless(f"{output}: every map of the picture"))
    else:
        next_step("inspect", model, image, "-o", "page.html", why="the maps as a page")
    if not equal:
        raise typer.Exit(1)


def edges_table(model: Model, edges: dict[str, NDArray[np.int32]], title: str) -> Table:
    """Return a table, a row per edge: kind, shape, precision, lowest, mean and highest value."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(harmless(title)), title_justify="left", box=None, pad_edge=False)
    for name in ("edge", "kind", "shape", "precision"):
        table.add_column(name)
    for name in ("lowest", "mean", "highest"):
        table.add_column(name, justify="right")
    for name, *cells in _rows(model, edges):
        table.add_row(Text(name), *cells)
    return table


def edges_text(model: Model, edges: dict[str, NDArray[np.int32]], title: str) -> Text:
    """Return the contents of :func:`edges_table` as lines of text, for narrow terminals."""
    from rich.text import Text

    lines = [harmless(title)]
    for name, kind, shape, precision, low, mean, high in _rows(model, edges):
        lines.append(f"{name}: {kind} {shape} {precision}, {low} to {high}, mean {mean}")
    return Text("\n".join(lines), overflow="fold")


def _rows(model: Model, edges: dict[str, NDArray[np.int32]]) -> Iterator[tuple[str, ...]]:
    kinds = {op.name: type(op).__name__.lower() for op in model.program.ops}
    for name, values in edges.items():
        edge = model.program.edges[name]
        yield (
            harmless(name),
            kinds.get(name, "input"),
            "x".join(map(str, edge.shape)),
            edge.precision.name,
            str(int(values.min())),
            f"{float(values.mean()):.2f}",
            str(int(values.max())),
        )


def _compared(
    model: Model, batch: NDArray[np.generic], edges: dict[str, NDArray[np.int32]], runtime: str
) -> tuple[str, bool]:
    """Compare ``edges`` with the edges of ``runtime``; if it cannot show them, compare the scores.

    Return the result as text, and whether all values are equal.
    """
    import numpy as np

    from bnn.run import prepare
    from bnn.run.edges import Showing, first_difference
    from bnn.system.progress import building

    if runtime == "reference":
        return "", True
    if runtime == "sim":
        with building() as progress:
            ready = prepare(runtime, model.program, watched=True, progress=progress)
    else:
        ready = prepare(runtime, model.program)
    if isinstance(ready, Showing):
        found = ready.edges(batch)
        difference = first_difference(edges, found)
        if difference is not None:
            return f"{runtime} and reference differ at {difference}", False
        return f"{len(found)} edges of {runtime} are equal: {', '.join(found)}", True
    scores = ready.run(batch).scores
    equal = bool(np.array_equal(scores, edges[model.program.scores][:, 0, 0, :]))
    return f"the scores of {runtime} are {'equal' if equal else 'NOT equal'}", equal

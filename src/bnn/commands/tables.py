# SPDX-License-Identifier: BSD-3-Clause
"""Tables, score bars and progress bars for a terminal."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bnn.classifier import Run, logits
from bnn.model.figures import input_text, rows
from bnn.model.model import Model
from bnn.program.operations import INPUT
from bnn.system.terminal import harmless

#: Classes with a score bar for each picture; widths of a bar and of a name where there is room.
MAX_BARS = 3
BAR_WIDTH = 20
NAME_WIDTH = 16
#: Of a name; if there is only room for this, bars are left out.
MIN_NAME_WIDTH = 8
#: Columns of a terminal for the picture's name and class, in addition to the bars.
OTHER_WIDTH = 45
#: Columns that a table of scores needs; names fold.
MIN_WIDTH = 40


def simulated_text(run: Run) -> str:
    """Return a text with the time of a simulated run, and the time of the simulation itself."""
    cycles, mhz = run.details["cycles"], run.details["mhz"]
    return (
        f"{cycles:,} cycles at {mhz:g} MHz = {1e6 * run.seconds:,.2f} us (simulated; "
        f"the simulation itself took {run.details['simulation_seconds']:.2f} s)"
    )


def timing_text(run: Run, reading: float = 0.0) -> str:
    """Return the times of a run per image as text: the time of preparing and of computing.

    ``reading``: seconds spent on reading files; they are added to the time of preparing.
    """
    images = max(run.images, 1)
    prepared = 1e6 * (run.prepare_seconds + reading) / images
    text = f"preparing {prepared:,.1f} us/image, computing {run.us_per_image:,.2f} us/image"
    return f"{text}: {simulated_text(run)}" if run.details.get("simulated") else text


def width() -> int:
    """Return how many columns text on standard output may have, 40 to 100.

    It is the width of the terminal, or 80 if standard output is not a terminal.
    """
    columns = shutil.get_terminal_size((80, 24)).columns if sys.stdout.isatty() else 80
    return min(max(columns, 40), 100)


def scores_table(
    model: Model,
    names: Sequence[str],
    scores: NDArray[np.int32],
    classes: NDArray[np.int64],
    us: dict[str, float],
    names_of: Sequence[str] | None = None,
    top: int = MAX_BARS,
    truth: Sequence[str] | None = None,
) -> Table:
    """Return a table with the class and the score bars of each picture.

    Args:
        model: the model that classified.
        names: names of the pictures.
        scores: int32 (N, scores), the scores that the runtime computed.
        classes: (N,), the index of the class of each picture.
        us: runtime name -> microseconds per image, for the title.
        names_of: names of the classes, by index; by default those of the model. It is needed if
            "unknown" can be a class.
        top: number of classes for which a bar is shown.
        truth: the true class of each picture, if known: wrong answers are then marked.
    """
    answers = model.classes if names_of is None else names_of
    timing = ", ".join(f"{runtime} {time:,.1f} us/image" for runtime, time in us.items())
    table = _table(f"{model.name}: {timing}")
    # As Text: rich looks for markup in a str, for which it imports 3 600 names of emoji.
    table.add_column(Text("picture"), overflow="fold")
    table.add_column(Text("class"), overflow="fold")
    table.add_column(Text("scores"), no_wrap=True)
    # On a narrow terminal the bars are left out, not the answer.
    room = min(max((Console().width - OTHER_WIDTH) / (BAR_WIDTH + NAME_WIDTH + 8), 0.0), 1.0)
    widths = int(room * BAR_WIDTH), int(room * NAME_WIDTH)
    if widths[1] < MIN_NAME_WIDTH:
        widths = 0, MIN_NAME_WIDTH
    known: Sequence[str | None] = truth or [None] * len(names)
    for name, row, index, told in zip(names, scores, classes, known, strict=True):
        best = Text(harmless(answers[index]), "bold")
        if told is not None and told != answers[index]:
            best.append(f" wrong: it is {harmless(told)}", "red")
        table.add_row(Text(harmless(name)), best, bars(model, row, *widths, top))
    return table


def _table(title: str) -> Table:
    # As Text: brackets in a name are not markup.
    return Table(title=Text(harmless(title)), title_justify="left", box=None, pad_edge=False)


def bars(
    model: Model,
    scores: NDArray[np.int32],
    width: int = BAR_WIDTH,
    name_width: int = NAME_WIDTH,
    top: int = MAX_BARS,
) -> Text:
    """Return a line for each of the ``top`` best classes: score, bar, probability (if any), name.

    The bar shows the probability. If the model has no calibration, it shows the score: it is empty
    for the lowest score of this picture, and full for the highest.
    """
    values = logits(model.program, scores[None])[0]
    best = np.argsort(-values, kind="stable")[:top]
    sure = None
    if model.calibration is not None:
        sure = model.calibration.probabilities(values[None])[0]
    low, span = values.min(), max(float(np.ptp(values)), 1e-9)
    lines = []
    for index in best:
        share = float(values[index] - low) / span if sure is None else float(sure[index])
        length = min(max(1, round(width * share)), width)
        style = "green" if index == best[0] else "dim"
        bar = Text("█" * length + " " * (width - length), style)
        name = Text(harmless(model.classes[index]))
        name.truncate(name_width, overflow="ellipsis", pad=True)
        # Of a network whose last layer the host computes, scores are not those of classes.
        told = f"{scores[index]:>6}" if len(scores) == len(values) else f"{values[index]:>9.4g}"
        percent = "" if sure is None else f" {percent_text(float(sure[index])):>8}"
        parts = [bar, f"{percent} "] if width else [f"{percent} ".lstrip()]
        lines.append(Text.assemble(f"{told} ", *parts, name))
    return Text("\n").join(lines)


def percent_text(share: float) -> str:
    """Return a share as text in percent with one decimal.

    Shares near 0 and 1 are ``< 0.1 %`` and ``> 99.9 %``.
    """
    if 0 < share < 0.001:
        return "< 0.1 %"
    if 0.999 < share < 1:
        return "> 99.9 %"
    return f"{100 * share:.1f} %"


def info_notes(model: Model) -> list[str]:
    """Return notes on what the table of layers does not show.

    They are: the values of the input if the user gave them, how scores become probabilities,
    the last layer if the host computes it, and what is approximate.
    """
    affine = model.program.affine
    notes = ["probabilities: none, the file has no calibration"]
    if model.calibration is not None:
        found = model.calibration
        notes = [
            f"probabilities: temperature {found.temperature:.4g}, exponent {found.exponent:.4g}"
        ]
    if isinstance(given := model.provenance.get("input"), str):
        notes.append(harmless(f"input: {given}"))
    if affine is not None and affine.dense is not None:
        classes, scores = affine.dense.matrix.shape
        notes.append(f"the host computes a last layer of {classes}x{scores} real weights")
    told = model.provenance.get("approximate", ())
    lines = told if isinstance(told, list | tuple) else ()
    return [*notes, *(f"approximate: {harmless(str(line))}" for line in lines)]


def info_table(model: Model) -> Table:
    """Return a table of layers with precisions, operations and bytes."""
    table = _table(f"{model.name}: {input_text(model.program.input, model.program.edges[INPUT])}")
    table.show_footer = True
    layers = rows(model.program)
    operations = sum(row.operations for row in layers)
    size = (sum(row.parameter_bits for row in layers) + 7) // 8
    table.add_column("layer", f"{len(model.classes)} classes")
    table.add_column("kind")
    table.add_column("output")
    table.add_column("precision")
    table.add_column("weights")
    table.add_column("operations", f"{operations:,}", justify="right")
    table.add_column("bytes", f"{size:,}", justify="right")
    for row in layers:
        shape = "x".join(map(str, row.shape))
        cells: list[Any] = [Text(harmless(row.name)), row.kind, shape, row.precision, row.weights]
        table.add_row(*cells, f"{row.operations:,}", f"{(row.parameter_bits + 7) // 8:,}")
    return table

# SPDX-License-Identifier: BSD-3-Clause
"""``bnn watch``: classify the frames of a camera, a video, an animation or a folder."""

from __future__ import annotations

import json as json_text
import sys
import time
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bnn.system.terminal import harmless

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bnn.classifier import Classifier

#: Weight of a frame in the mean time that the rate is told from.
_WEIGHT = 0.1
#: Seconds between two lines where standard output is not a terminal.
_LINE_S = 1.0


def watch(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Bundled name, .bnn file, or original folder.")
    ],
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="A camera's number, a video, an animation, or a folder."
        ),
    ] = "0",
    runtime: Annotated[
        str, typer.Option("--runtime", "-r", help="cpu, reference, sim or board.")
    ] = "cpu",
    reject: Annotated[
        float | None,
        typer.Option(
            "--reject", min=0, max=1, metavar="P", help="Below this probability: unknown."
        ),
    ] = None,
    frames: Annotated[
        int | None, typer.Option("--frames", min=1, metavar="N", help="End after N frames.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object a frame.")] = False,
) -> None:
    """Classify every frame of a camera or a video: class, probability, frames a second.

    Frames of cameras and videos are cut to the square in the middle, as on the page of bnn web.
    Cameras and videos need OpenCV (the extra camera); folders and animations (GIF, WebP, PNG) do
    not. Ctrl-C ends it.

    Examples: [bold]bnn watch cnv-w1a1 0 --reject 0.8[/bold],
    [bold]bnn watch lfc-w1a1 digits/ --json[/bold]
    """
    import bnn
    from bnn.commands.frames import frames_of
    from bnn.system.progress import building

    options: dict[str, Any] = {}
    with building() if runtime == "sim" else nullcontext() as progress:
        if runtime == "sim":
            options["progress"] = progress
        classifier = bnn.Classifier(model, runtime, reject=reject, **options)
    lines = _Lines(json=json)
    with suppress(KeyboardInterrupt):
        for number, (name, frame) in enumerate(frames_of(source)):
            if frames is not None and number >= frames:
                break
            lines.show(name, number, *_classified(classifier, frame))
    lines.end()


def _classified(
    classifier: Classifier, frame: NDArray[np.uint8] | Path
) -> tuple[str, float | None]:
    """Return class and probability of a frame; if no digit is found, the reason and None."""
    from bnn.classifier import probabilities
    from bnn.errors import DataError

    try:
        scores, classes = classifier.run([frame])
    except DataError as reason:
        return f"({reason})", None
    model = classifier.model
    sure = None if model.calibration is None else float(probabilities(model, scores)[0].max())
    return classifier.classes[int(classes[0])], sure


class _Lines:
    """Prints answers: on a terminal the last one in one line; else a line per second, or JSON."""

    def __init__(self, *, json: bool) -> None:
        self.json = json
        self.live = sys.stdout.isatty() and not json
        self.last: float | None = None
        self.mean: float | None = None
        self.told = -_LINE_S
        self.pending = ""

    def show(self, name: str, number: int, answer: str, probability: float | None) -> None:
        """Print the answer for a frame."""
        from bnn.commands.tables import percent_text, width

        rate = self._rate()
        if self.json:
            values = {"frame": number, "source": name, "class_name": answer, "rate": rate}
            if probability is not None:
                values["probability"] = probability
            typer.echo(json_text.dumps(values))
            return
        sure = "" if probability is None else f"  {percent_text(probability)}"
        speed = "" if rate is None else f"  {rate:.1f} frames/s"
        line = harmless(f"{name}: {answer}{sure}{speed}")
        now = time.monotonic()
        if self.live:
            room = width() - 1
            sys.stdout.write(f"\r{line[:room].ljust(room)}")
            sys.stdout.flush()
        elif now - self.told >= _LINE_S:
            typer.echo(line)
            sys.stdout.flush()
            self.told, self.pending = now, ""
        else:
            self.pending = line

    def end(self) -> None:
        """Move the cursor to a new line, and print the last answer if it was not printed yet."""
        if self.live and self.last is not None:
            typer.echo()
        if self.pending:
            typer.echo(self.pending)

    def _rate(self) -> float | None:
        """Return frames per second, a mean over about ten frames; None for the first frame."""
        now, before = time.monotonic(), self.last
        self.last = now
        if before is None:
            return None
        took = max(now - before, 1e-6)
        self.mean = took if self.mean is None else (1 - _WEIGHT) * self.mean + _WEIGHT * took
        return 1 / self.mean

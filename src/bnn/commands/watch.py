# SPDX-License-Identifier: BSD-3-Clause
"""``bnn watch``: classify the frames of a camera, a video, an animation or a folder."""

from __future__ import annotations

import json as json_text
import sys
import time
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bnn.errors import DataError
from bnn.system.terminal import harmless

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bnn.classifier import Classifier

#: Weight of a frame in the mean time that the rate is told from.
_WEIGHT = 0.1
#: Seconds between two lines about a camera where standard output is not a terminal.
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
    not. Ctrl-C ends it. In a file or a pipe each frame has a line; a camera has one a second. The
    exit status is 1 if a file cannot be read.

    Examples: [bold]bnn watch cnv-w1a1 0 --reject 0.8[/bold],
    [bold]bnn watch lfc-w1a1 digits/ --json[/bold]
    """
    import bnn
    from bnn.commands.frames import frames_of, is_camera
    from bnn.commands.images import check_takes_pictures
    from bnn.system.progress import building

    loaded = bnn.load(model)
    check_takes_pictures(loaded)

    options: dict[str, Any] = {}
    with building() if runtime == "sim" else nullcontext() as progress:
        if runtime == "sim":
            options["progress"] = progress
        classifier = bnn.Classifier(loaded, runtime, reject=reject, **options)
    lines = _Lines(json=json, every=not is_camera(source))
    failed = False
    with suppress(KeyboardInterrupt):
        for number, (name, frame) in enumerate(frames_of(source)):
            if frames is not None and number >= frames:
                break
            answer = _classified(classifier, frame)
            lines.show(name, number, answer)
            # A camera often shows no digit; a file is there to be read.
            failed = failed or (answer.error is not None and isinstance(frame, Path | DataError))
    lines.end()
    if failed:
        raise typer.Exit(1)


@dataclass(frozen=True)
class _Answer:
    """Class and probability of a frame, or the reason why the frame has no class."""

    class_name: str | None
    probability: float | None = None
    error: str | None = None


def _classified(classifier: Classifier, frame: NDArray[np.uint8] | Path | DataError) -> _Answer:
    from bnn.classifier import probabilities

    if isinstance(frame, DataError):
        return _Answer(None, error=str(frame))
    about = f"{frame}: " if isinstance(frame, Path) else "<picture>: "
    try:
        scores, classes = classifier.run([frame])
    except DataError as reason:
        return _Answer(None, error=str(reason).removeprefix(about))
    model = classifier.model
    sure = None if model.calibration is None else float(probabilities(model, scores)[0].max())
    return _Answer(classifier.classes[int(classes[0])], sure)


class _Lines:
    """Prints answers.

    On a terminal, one line always shows the last answer. Elsewhere, and with ``json``, answers are
    printed in lines of their own.

    ``every``: whether each frame has a line. If not, a line is printed once a second (with
    ``json`` each frame has one).
    """

    def __init__(self, *, json: bool, every: bool) -> None:
        self.json, self.every = json, every
        self.live = sys.stdout.isatty() and not json
        self.last: float | None = None
        self.mean: float | None = None
        self.told = -_LINE_S
        self.pending = ""

    def show(self, name: str, number: int, answer: _Answer) -> None:
        """Print the answer for a frame."""
        from bnn.commands.tables import percent_text, width

        rate = self._rate()
        if self.json:
            values = {"frame": number, "source": name, "class_name": answer.class_name}
            if answer.probability is not None:
                values["probability"] = answer.probability
            if answer.error is not None:
                values["error"] = answer.error
            typer.echo(json_text.dumps({**values, "rate": rate}))
            return
        sure = "" if answer.probability is None else f"  {percent_text(answer.probability)}"
        speed = "" if rate is None else f"  {rate:.1f} frames/s"
        told = f"({answer.error})" if answer.class_name is None else answer.class_name
        line = harmless(f"{name}: {told}{sure}{speed}")
        now = time.monotonic()
        if self.live:
            room = width() - 1
            shown = line if len(line) <= room else harmless(f"{told}{sure}  {name}")
            shown = shown if len(shown) <= room else f"{shown[: room - 1]}…"
            sys.stdout.write(f"\r{shown.ljust(room)}")
            sys.stdout.flush()
        elif self.every or now - self.told >= _LINE_S:
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

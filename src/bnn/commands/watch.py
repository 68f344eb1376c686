# SPDX-License-Identifier: BSD-3-Clause
"""``bnn watch``: classify the frames of a camera, a video, an animation or a folder."""

from __future__ import annotations

import json as json_text
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bnn.errors import DataError, InputError
from bnn.system.terminal import harmless

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bnn.classifier import Classifier
    from bnn.web.live import LiveServer

    Pixels = NDArray[np.uint8]

#: Weight of a frame in the mean time that the rate is told from.
_WEIGHT = 0.1
#: Seconds between two lines about a camera where standard output is not a terminal.
_LINE_S = 1.0
#: Seconds for which a page shows a picture of a folder, and a frame of a video.
_PICTURE_S, _FRAME_S = 1.0, 1 / 30
#: Pixels of the longer side that a page shows of a picture.
_SHOWN = 480


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
    on_page: Annotated[
        bool, typer.Option("--page", help="Show frames and answers in a browser too.")
    ] = False,
    port: Annotated[
        int | None,
        typer.Option("--port", min=0, max=65535, help="Of --page; by default any free one."),
    ] = None,
) -> None:
    """Classify every frame of a camera or a video: class, probability, frames a second.

    Frames of cameras and videos are cut to the square in the middle, as on the page of bnn web.
    Cameras and videos need OpenCV (the extra camera); folders and animations (GIF, WebP, PNG) do
    not. Ctrl-C ends it. In a file or a pipe each frame has a line; a camera has one a second. The
    exit status is 1 if a file cannot be read.

    With --page, frames and answers are also shown on a page, which a server on this machine's
    loopback address gives to the browser: a video at 30 frames a second, a folder at one picture
    a second. The page stays until Ctrl-C.

    Examples: [bold]bnn watch cnv-w1a1 0 --reject 0.8[/bold],
    [bold]bnn watch lfc-w1a1 digits/ --json[/bold],
    [bold]bnn watch cnv-w1a1 0 --page[/bold]
    """
    import bnn
    from bnn.commands.frames import frames_of, is_camera
    from bnn.commands.images import check_takes_pictures
    from bnn.system.progress import building

    if port is not None and not on_page:
        raise InputError("--port is for --page")
    loaded = bnn.load(model)
    check_takes_pictures(loaded)

    options: dict[str, Any] = {}
    with building() if runtime == "sim" else nullcontext() as progress:
        if runtime == "sim":
            options["progress"] = progress
        classifier = bnn.Classifier(loaded, runtime, reject=reject, **options)
    lines, rate = _Lines(json=json, every=not is_camera(source)), _Rate()
    failed = False
    page = _page(loaded.name, port) if on_page else nullcontext()
    with page as live, suppress(KeyboardInterrupt):
        for number, (name, frame) in enumerate(islice(frames_of(source), frames)):
            answer = _answer(classifier, frame)
            answer = {"frame": number, "source": name, **answer, "rate": rate.next()}
            lines.show(answer)
            # A camera often shows no digit; a file is there to be read.
            failed = failed or ("error" in answer and isinstance(frame, Path | DataError))
            if live is not None:
                live.show(_pixels(frame), answer)
                time.sleep(0 if is_camera(source) else _pause(frame))
        if live is not None:
            typer.echo("no more frames; the page stays until Ctrl-C", err=True)
            threading.Event().wait()
    lines.end()
    if failed:
        raise typer.Exit(1)


def _answer(classifier: Classifier, frame: Pixels | Path | DataError) -> dict[str, Any]:
    """Return class and probability of a frame, or the reason why the frame has no class."""
    from bnn.classifier import probabilities

    if isinstance(frame, DataError):
        return {"class_name": None, "error": str(frame)}
    about = f"{frame}: " if isinstance(frame, Path) else "<picture>: "
    try:
        scores, classes = classifier.run([frame])
    except DataError as reason:
        return {"class_name": None, "error": str(reason).removeprefix(about)}
    answer: dict[str, Any] = {"class_name": classifier.classes[int(classes[0])]}
    if classifier.model.calibration is not None:
        answer["probability"] = float(probabilities(classifier.model, scores)[0].max())
    return answer


@contextmanager
def _page(model: str, port: int | None) -> Iterator[LiveServer]:
    """Serve a page of the frames, and open it where a person looks at the terminal."""
    from bnn.web.live import LiveServer

    with LiveServer(model, port or 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        typer.echo(f"the page is at {server.url} (Ctrl-C ends it)", err=True)
        if sys.stdout.isatty():
            import webbrowser

            webbrowser.open(server.url)
        try:
            yield server
        finally:
            server.shutdown()


def _pixels(frame: Pixels | Path | DataError) -> Pixels | None:
    """Return a frame as RGB uint8 (height, width, 3); None if it cannot be read."""
    if isinstance(frame, Path):
        import numpy as np

        from bnn.data.pictures.seen import open_one, seen

        try:
            with open_one(frame) as image:
                return np.asarray(seen(image, within=(_SHOWN, _SHOWN)).image.convert("RGB"))
        except DataError:
            return None
    return None if isinstance(frame, DataError) else frame


def _pause(frame: Pixels | Path | DataError) -> float:
    """Return the seconds for which the page shows a frame that is not a camera's."""
    return _PICTURE_S if isinstance(frame, Path | DataError) else _FRAME_S


class _Rate:
    """Frames per second, a mean over about ten frames."""

    def __init__(self) -> None:
        self.last: float | None = None
        self.mean: float | None = None

    def next(self) -> float | None:
        """Return the rate now that one more frame is done; None for the first frame."""
        now, before = time.monotonic(), self.last
        self.last = now
        if before is None:
            return None
        took = max(now - before, 1e-6)
        self.mean = took if self.mean is None else (1 - _WEIGHT) * self.mean + _WEIGHT * took
        return 1 / self.mean


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
        self.shown = False
        self.told = -_LINE_S
        self.pending = ""

    def show(self, answer: dict[str, Any]) -> None:
        """Print the answer for a frame."""
        from bnn.commands.tables import percent_text, width

        if self.json:
            typer.echo(json_text.dumps(answer))
            return
        name, rate, sure = answer["source"], answer["rate"], answer.get("probability")
        sure = "" if sure is None else f"  {percent_text(sure)}"
        speed = "" if rate is None else f"  {rate:.1f} frames/s"
        told = answer["class_name"] or f"({answer['error']})"
        line = harmless(f"{name}: {told}{sure}{speed}")
        now = time.monotonic()
        if self.live:
            room = width() - 1
            shown = line if len(line) <= room else harmless(f"{told}{sure}  {name}")
            shown = shown if len(shown) <= room else f"{shown[: room - 1]}…"
            sys.stdout.write(f"\r{shown.ljust(room)}")
            sys.stdout.flush()
            self.shown = True
        elif self.every or now - self.told >= _LINE_S:
            typer.echo(line)
            sys.stdout.flush()
            self.told, self.pending = now, ""
        else:
            self.pending = line

    def end(self) -> None:
        """Move the cursor to a new line, and print the last answer if it was not printed yet."""
        if self.shown:
            typer.echo()
        if self.pending:
            typer.echo(self.pending)

# SPDX-License-Identifier: BSD-3-Clause
"""``make demo``: the main job on a bundled model and bundled pictures."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bnn.classifier import Classifier
from bnn.commands.images import read_images
from bnn.commands.tables import scores_table
from bnn.errors import RuntimeUnavailableError
from bnn.library import load
from bnn.system.progress import progress

SAMPLES = Path(__file__).parents[1] / "samples"
#: Model -> folder of samples that it is shown on.
SHOWN = {"lfc-w1a1": "mnist", "cnv-w1a1": "cifar10"}
#: Model for the simulated accelerator: its circuit is built in a minute, CNV's in several.
ACCELERATED = "lfc-w1a1"
RUNTIMES = ("cpu", "reference")
REPEATS = 50
#: The boards' clock, and how many pictures show the accelerator's steady rate.
CLOCK_MHZ = 100.0
STREAM = 20


def show() -> Iterator[Any]:
    """Yield the parts of the demo's output; the caller prints each when it comes."""
    for name, folder in SHOWN.items():
        yield from _show(name, SAMPLES / folder)
    yield from _show_accelerator(ACCELERATED, SAMPLES / SHOWN[ACCELERATED])
    yield f"draw a digit, hold something before the camera, see the bits: {_command()} web\n"


def _command() -> str:
    """Return how the user can call this program: ``bnn``, or its path if ``bnn`` is not found."""
    called = Path(sys.argv[0])
    return "bnn" if shutil.which("bnn") or called.name != "bnn" else str(called)


def _show(name: str, folder: Path) -> Iterator[Any]:
    model = load(name)
    paths = sorted(folder.glob("*.png"))
    _, batch = read_images(model, paths)
    us: dict[str, float] = {}
    results = []
    for runtime in RUNTIMES:
        classifier = Classifier(model, runtime)
        results.append(classifier.run(batch))
        # The first run warms caches up; the best of the others is the machine's.
        repeats = REPEATS if runtime == "cpu" else 3
        us[runtime] = min(_timed(classifier, batch) for _ in range(repeats))
    (scores, classes), (expected, _) = results
    names, truth = [path.name for path in paths], [path.stem for path in paths]
    yield scores_table(model, names, scores, classes, us, truth=truth)
    same = "equal" if np.array_equal(scores, expected) else "NOT EQUAL"
    yield f"\nscores of cpu and reference: {same}\n"


def _show_accelerator(name: str, folder: Path) -> Iterator[Any]:
    """Yield the parts of the output that compare the cpu with a simulated accelerator."""
    model = load(name)
    paths = sorted(folder.glob("*.png"))[:1]
    _, batch = read_images(model, paths)
    yield f"building {name}'s accelerator in its original folding (once; then it is kept)"
    try:
        with progress("building the simulator") as advance:
            chip = Classifier(
                model, "sim", progress=lambda _, part: advance(round(100 * part), 100)
            )
    except RuntimeUnavailableError as reason:
        yield f"skipped: {reason}\n"
        return
    cpu = Classifier(model, "cpu")
    scores, classes = chip.run(batch)
    latency = chip.last_run.details["starts"][0]["latency"]
    many = np.repeat(batch, STREAM, axis=0)
    chip.scores(many)
    interval = chip.last_run.details["starts"][0]["interval"]
    latency_us, interval_us = latency / CLOCK_MHZ, interval / CLOCK_MHZ
    one_us = min(_timed(cpu, batch) for _ in range(REPEATS))
    many_us = min(_timed(cpu, np.repeat(many, 50, axis=0)) for _ in range(3))
    names = [path.name for path in paths]
    yield scores_table(model, names, scores, classes, {"accelerator at 100 MHz": latency_us})
    same = "equal" if np.array_equal(scores, cpu.run(batch)[0]) else "NOT EQUAL"
    yield f"\nscores of cpu and simulated accelerator: {same}"
    yield (
        f"one picture: {latency_us:.1f} us on the accelerator ({latency} cycles), "
        f"{one_us:.1f} us on this CPU"
    )
    yield (
        f"a stream of pictures: {interval_us:.2f} us each on the accelerator ({interval:.0f} "
        f"cycles; the original's slowest layer: 512), {many_us:.2f} us on this CPU\n"
    )


def _timed(classifier: Classifier, batch: Any) -> float:
    classifier.scores(batch)
    return classifier.last_run.us_per_image

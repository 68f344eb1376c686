# SPDX-License-Identifier: BSD-3-Clause
"""``make demo``: the main job on a bundled model and bundled pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bnn.classifier import Classifier
from bnn.imagefiles import read_images
from bnn.library import load
from bnn.show import scores_table

SAMPLES = Path(__file__).parent / "samples"
#: Model -> folder of samples that it is shown on.
SHOWN = {"lfc-w1a1": "mnist"}
RUNTIMES = ("cpu", "reference")
REPEATS = 50


def show() -> Iterator[Any]:
    """What the demo prints, part by part."""
    for name, folder in SHOWN.items():
        yield from _show(name, SAMPLES / folder)


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
    yield scores_table(model, [path.name for path in paths], scores, classes, us)
    same = "equal" if np.array_equal(scores, expected) else "NOT EQUAL"
    yield f"\nscores of cpu and reference: {same}\n"


def _timed(classifier: Classifier, batch: Any) -> float:
    classifier.scores(batch)
    return classifier.last_run.us_per_image

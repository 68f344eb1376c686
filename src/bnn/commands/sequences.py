# SPDX-License-Identifier: BSD-3-Clause
"""``bnn train``, ``classify`` and ``evaluate`` for recurrent networks that classify sequences."""

from __future__ import annotations

import json as json_text
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from bnn.errors import BnnError, InputError, TrainError
from bnn.system.terminal import harmless

if TYPE_CHECKING:
    from bnn.model.model import Model

#: Options of ``bnn train`` that recurrent networks have.
TRAINED = ("network", "data", "epochs", "batch", "rate", "seed")


def model_of(name: str) -> Model | None:
    """Return the model in the file ``name`` if it classifies sequences, else None."""
    if not name.endswith(".bnn") or not Path(name).exists():
        return None
    from bnn.library import load

    model = load(name)
    return model if model.program.is_sequence and model.lines is None else None


def refuse(options: Mapping[str, Any], what: str) -> None:
    """Raise an error that names the first of ``options`` that was given."""
    for name, value in options.items():
        if value:
            option = name.replace("_", "-")
            raise InputError(f"--{option} is not possible for {what}; leave it out")


def train(output: Path, given: Mapping[str, Any], *, resume: bool, json: bool) -> None:
    """Train a recurrent network in the folder ``output``; ``given``: the options of the command."""
    refuse(
        {name: value for name, value in given.items() if name not in TRAINED},
        "a recurrent network",
    )
    from bnn.train.sequences import Settings, read_settings
    from bnn.train.sequences import train as start

    changes = {name: given[name] for name in TRAINED if given[name] is not None}
    if resume:
        if changes:
            raise TrainError(
                f"{output}: a recurrent network goes on with its own settings; leave out "
                f"--{next(iter(changes))}"
            )
        settings = read_settings(output)
    else:
        data = changes["data"]
        changes["data"] = str(Path(data).resolve()) if Path(data).is_dir() else data
        settings = Settings(**changes)
    report = start(settings, output, lambda line: typer.echo(line, err=json), resume=resume)
    if json:
        typer.echo(json_text.dumps(report))
        return
    tested = report["tested"]
    typer.echo(
        f"{report['network']} on {report['data']}: {100 * report['accuracy']:.2f} % of "
        f"{tested['cpu']} test sequences right; scores equal on PyTorch and cpu, and of "
        f"{tested['reference']} on reference; see {harmless(str(output / 'report.json'))}"
    )


def classify(
    model: Model, files: list[Path], runtime: str, threads: int | None, json: bool
) -> None:
    """Classify the sequence in each .csv or .npz file, and print a line or an object for each.

    Files that cannot be read are listed, the others are classified, and the exit status is 1.
    """
    from bnn.commands.images import end_with, failed
    from bnn.data.sequences import read_sequence

    classifier = _classifier(model, runtime, threads)
    unreadable = []
    for path in files:
        try:
            scores = classifier.scores([read_sequence(path)])
        except BnnError as reason:
            unreadable.append(failed(path, reason))
            continue
        found = int(classifier.decided(scores)[0])
        told = {"file": str(path), "class": found, "name": model.classes[found]}
        if json:
            typer.echo(json_text.dumps({**told, "scores": scores[0].tolist()}))
        else:
            typer.echo(harmless(f"{path}: {model.classes[found]}"))
    end_with(unreadable, len(files), json=json)


def evaluate(model: Model, data: str, runtime: str, threads: int | None, json: bool) -> None:
    """Measure the accuracy on the test part of a known set, or on all sequences of a folder."""
    from bnn.data.sequences import ROWS_OF, Part, sequences_of, test_rows
    from bnn.system.progress import progress

    classifier = _classifier(model, runtime, threads)
    if data in ROWS_OF:
        part, classes = test_rows(data)
    else:
        whole = sequences_of(data, 0)
        part, classes = Part(whole.values, whole.labels), whole.classes
    if classes != model.classes:
        raise InputError(f"{data}: has other classes than {model.name}, or in another order")
    began, right = time.perf_counter(), 0
    with progress("evaluating") as advance:
        for done, (sequence, label) in enumerate(zip(part.values, part.labels, strict=True)):
            right += int(classifier.classify([sequence])[0] == label)
            advance(done + 1, len(part.values))
    count = len(part.values)
    us = 1e6 * (time.perf_counter() - began) / count
    if json:
        told = {"accuracy": right / count, "sequences": count, "us_per_sequence": us}
        typer.echo(json_text.dumps({"data": data, "runtime": runtime, **told}))
        return
    typer.echo(
        harmless(
            f"{model.name} on {data}: {100 * right / count:.2f} % of {count} sequences right, "
            f"{us:.1f} us per sequence ({runtime})"
        )
    )


def _classifier(model: Model, runtime: str, threads: int | None) -> Any:
    from bnn.reader import SequenceClassifier

    options = {} if threads is None else {"threads": threads}
    return SequenceClassifier(model, runtime, **options)

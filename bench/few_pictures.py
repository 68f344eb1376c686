# SPDX-License-Identifier: BSD-3-Clause
"""Measure what 200 pictures in all are enough for: accuracy and time of ``bnn train``.

    python bench/few_pictures.py [--count 200] [--write docs/results/few-pictures.json]

Needs CIFAR-10 and MNIST (``BNN_DATA``). Two tasks, each from the bundled CNV W1A1, as the tutorial
advises, and from random weights:

- four kinds of animals, 50 pictures each, from CIFAR-10's *test* set, which that model did not see
  (but it has seen other pictures of these kinds);
- ten handwritten digits, 20 pictures each, from MNIST: pictures of another kind.

The test part is 1,000 other pictures of the same files: 20 would say little. The random starts are
left out with ``--bundled-only``. No GPU is used; seconds are the processor's, of all threads.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from results_file import write

from bnn.data import cifar, idx

TESTED = 1000
#: What docs/tutorial.md advises, and random weights.
STARTS: dict[str, list[str]] = {"advised": ["--init", "cnv-w1a1"], "random": []}
ANIMALS = {"bird": 2, "cat": 3, "deer": 4, "dog": 5}
DIGITS = {str(digit): digit for digit in range(10)}


@dataclass(frozen=True)
class Task:
    """Pictures (count, height, width[, 3]) with labels, and the labels that are classes."""

    name: str
    pictures: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    classes: dict[str, int]


def tasks() -> Iterator[Task]:
    data = Path(os.environ["BNN_DATA"])
    pictures, labels = cifar.read_records(data / "cifar10" / "test_batch.bin.xz")
    yield Task("4 kinds of animals (CIFAR-10)", pictures, labels, ANIMALS)
    pictures = idx.read_images(data / "mnist" / "train-images-idx3-ubyte.gz")
    labels = idx.read_labels(data / "mnist" / "train-labels-idx1-ubyte.gz")
    yield Task("10 digits (MNIST)", pictures, labels, DIGITS)


def write_folders(task: Task, count: int, folder: Path) -> None:
    """``count`` pictures in all in folder/train, TESTED others in folder/test, by class."""
    for name, label in task.classes.items():
        there = np.flatnonzero(task.labels == label)
        share, tested = count // len(task.classes), TESTED // len(task.classes)
        for part, chosen in (("train", there[:share]), ("test", there[share : share + tested])):
            (folder / part / name).mkdir(parents=True)
            for at in chosen:
                Image.fromarray(task.pictures[at].squeeze()).save(
                    folder / part / name / f"{at}.png"
                )


def train(data: Path, run: Path, options: list[str]) -> dict[str, Any]:
    """The report of ``bnn train``, and the processor's and the clock's seconds."""
    command = [sys.executable, "-m", "bnn", "train", "cnv-w1a1", "--data", str(data)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command += ["-o", str(run), *options]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    subprocess.run(command, check=True, stdout=sys.stderr, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    return {**report, "cpu_s": after.ru_utime - before.ru_utime}


def measured(task: Task, count: int, folder: Path, bundled_only: bool) -> dict[str, Any]:
    data = folder / task.name
    write_folders(task, count, data)
    row: dict[str, Any] = {"task": task.name}
    for start, options in STARTS.items():
        if start == "random" and bundled_only:
            continue
        report = train(data, folder / f"{task.name} {start}", options)
        row[start] = {
            "accuracy": report["accuracy"]["cpu"],
            "epochs": len(report["history"]),
            "cpu_s": round(report["cpu_s"]),
        }
        row["machine"] = report["machine"]
        print(row, file=sys.stderr, flush=True)
    return row


def main() -> None:
    options = argparse.ArgumentParser(description="Accuracy and time with few pictures.")
    options.add_argument("--count", type=int, default=200, help="pictures in all to train on")
    options.add_argument("--bundled-only", action="store_true", help="no random starts")
    options.add_argument("--write", type=Path, help="put the figures into this JSON file, too")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        rows = [measured(task, given.count, Path(name), given.bundled_only) for task in tasks()]
    command = f"python bench/few_pictures.py --count {given.count}"
    found = {
        "pictures": given.count,
        "tested": TESTED,
        "rows": [{key: value for key, value in row.items() if key != "machine"} for row in rows],
    }
    print(json.dumps(found, indent=1))
    if given.write:
        write(given.write, command + " --bundled-only" * given.bundled_only, found)


if __name__ == "__main__":
    main()

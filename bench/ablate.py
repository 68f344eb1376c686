# SPDX-License-Identifier: BSD-3-Clause
"""Measure what each part of a recipe brings: the same training without it, or changed.

    python bench/ablate.py NETWORK --data mnist [--epochs 10] [--seeds 3] [--rows NAME,NAME]
                           [--teacher MODEL] [--folder runs/ablate]

Printed for each row: accuracy on the validation part after the last epoch, mean and standard
deviation over the seeds, and its difference from the recipe with the same seeds. The test part is
not used. A training that is in the folder already is not done again, so an interrupted
table is continued.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from bnn.train.certificate import machine
from bnn.train.early import LAST
from bnn.train.loop import FitOptions, restore
from bnn.train.memory import keep_memory
from bnn.train.run import Settings, learn, topology_of
from bnn.train.stack import Stack


@dataclass(frozen=True)
class Row:
    """A variant: changes of the recipe, of the other settings, and of the arithmetic."""

    recipe: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    precision: str | None = None


def rows_for(base: Settings, teacher: str | None) -> dict[str, Row]:
    """Return every row that makes sense for ``base``, by name; the recipe comes first."""
    recipe = base.recipe
    rows = {
        "recipe": Row(),
        "float32": Row(precision="32-true"),
        "bi-real": Row({"estimator": "approx"}),
        "rate-third": Row({"rate": recipe.rate / 3}),
        "rate-triple": Row({"rate": recipe.rate * 3}),
        "no-smoothing": Row({"smoothing": 0.0}),
        "smoothing": Row({"smoothing": 0.1}),
        "as-they-are": Row({"augment": "none"}),
        "cut": Row({"augment": "flip-shift-cut"}),
        "mix": Row({"mix": 0.2}),
        "half-batch": Row({"batch": recipe.batch // 2}),
    }
    if teacher is not None:
        rows["taught"] = Row(settings={"teachers": (teacher,)})
    useless = [name for name, row in rows.items() if row != Row() and _same(recipe, row)]
    return {name: row for name, row in rows.items() if name not in useless}


def _same(recipe: Any, row: Row) -> bool:
    plain = not row.settings and row.precision is None
    return plain and replace(recipe, **row.recipe) == recipe


def accuracy(base: Settings, row: Row, seed: int, folder: Path) -> float:
    """Return the validation accuracy after the last epoch, in per cent."""
    changed = replace(base, seed=seed, **row.settings, recipe=replace(base.recipe, **row.recipe))
    there = (folder / LAST).exists()
    options = FitOptions(precision=row.precision, progress=False)
    learn(changed, folder, options, resume=there)
    topology = topology_of(changed.network, 10)
    history = restore(Stack(topology, changed.recipe.estimator), folder / LAST)
    return 100 * history[-1]["validation_accuracy"]


def main() -> None:
    """Train every row, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network")
    parser.add_argument("--data", required=True)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--teacher")
    parser.add_argument("--rows", help="names, with commas; all by default")
    parser.add_argument("--folder", type=Path, default=Path("runs/ablate"))
    options = parser.parse_args()
    keep_memory()
    torch.set_num_threads(1)
    base = Settings.make(options.network, options.data, epochs=options.epochs)
    rows = rows_for(base, options.teacher)
    wanted = options.rows.split(",") if options.rows else list(rows)
    print(
        f"{options.network} on {options.data}, {options.epochs} epochs, one thread of {machine()}"
    )
    print("\n| row | validation | deviation | against the recipe |\n|---|---|---|---|")
    first: list[float] = []
    for name in dict.fromkeys(["recipe", *wanted]):
        folder = options.folder / f"{Path(options.network).stem}-{options.epochs}" / name
        found = [
            accuracy(base, rows[name], seed, folder / str(seed))
            for seed in range(1, options.seeds + 1)
        ]
        first = first or found
        gain = statistics.mean(a - b for a, b in zip(found, first, strict=True))
        spread = statistics.stdev(found) if len(found) > 1 else 0.0
        print(f"| {name} | {statistics.mean(found):.2f} | {spread:.2f} | {gain:+.2f} |", flush=True)


if __name__ == "__main__":
    main()

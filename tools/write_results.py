# SPDX-License-Identifier: BSD-3-Clause
"""Measures what the pages of docs/ say about accuracy: ``python tools/write_results.py``.

Reads the test sets under ``BNN_DATA`` and writes ``docs/results/accuracy.json``, with the command
and the commit. The site reads that file; no figure is typed by hand. A second or two per model.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import bnn

ROOT = Path(__file__).parents[1]
PATH = ROOT / "docs" / "results" / "accuracy.json"
#: Test set of each bundled model whose name does not begin with one of these.
SETS = {"lfc-fashion": "fashion-mnist", "lfc": "mnist", "cnv": "cifar10"}


def main() -> None:
    """Write the file."""
    models = []
    for name in bnn.bundled():
        data = next(data for begin, data in SETS.items() if name.startswith(begin))
        models.append({"model": name, "data": data, **_measured(name, data)})
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    values = {"command": "python tools/write_results.py", "commit": commit, "models": models}
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_text(json.dumps(values, indent=1) + "\n")


def _measured(name: str, data: str) -> dict[str, int | None]:
    """Pictures and right answers; None for both where the data set is not under ``BNN_DATA``."""
    bnn_command = str(Path(sys.executable).with_name("bnn"))
    done = subprocess.run(
        [bnn_command, "evaluate", name, "--data", data, "--json"], capture_output=True, text=True
    )
    if done.returncode:
        sys.stderr.write(f"{name}: not measured: {done.stderr}")
        return {"images": None, "correct": None}
    found = json.loads(done.stdout)
    return {"images": found["images"], "correct": found["correct"]}


if __name__ == "__main__":
    main()

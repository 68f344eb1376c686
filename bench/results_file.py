# SPDX-License-Identifier: BSD-3-Clause
"""The figures of a benchmark as a file of ``docs/results``, from which the pages show them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from bnn.measure.speed import machine


def write(path: Path, command: str, values: dict[str, Any]) -> None:
    """Write figures with the command that measured them, the commit and the machine."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    found = {"command": command, "commit": commit, "machine": machine(), **values}
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

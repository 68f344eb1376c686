# SPDX-License-Identifier: BSD-3-Clause
"""A training in a process of its own, for tests that kill it."""

from __future__ import annotations

import os
import signal
import stat
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from bnn.errors import BnnError
from bnn.train.loop import FitOptions
from bnn.train.run import Settings, read_options, read_settings, train

TOPOLOGIES = {
    "conv": """
name = "tiny"
input = [6, 9, 1]
encoding = "bytes"
activations = "int2n"
layers = [{ conv = 6, kernel = [2, 3] }, { pool = 2 }, "norm", "act", { dense = 3 }]
""",
    "dense": """
name = "small"
input = [6, 9, 1]
encoding = "sign"
layers = [{ dense = 24 }, "norm", "act", { dense = 24 }, "norm", "act", { dense = 3 }, "norm"]
""",
}


def begin(values: dict[str, Any], folder: str, options: dict[str, Any]) -> None:
    """Train into ``folder`` from the beginning."""
    _run(lambda: train(Settings.make(**values), Path(folder), _options(options), resume=False))


#: What a process may be killed in while it writes a file: calls of ``os`` and ``Path``.
CALLS = ("fsync", "link", "replace", "unlink")


def die_in(call: str, number: int) -> None:
    """Let this process be killed in its ``number``-th call of ``call`` from now on.

    A file that is to be synchronized is cut to its half first, as if its writing had come so far.
    """
    holder = Path if call in ("replace", "unlink") else os
    real, left = getattr(holder, call), number

    def counted(*args: Any, **named: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0:
            if call == "fsync" and stat.S_ISREG(os.fstat(args[0]).st_mode):
                os.ftruncate(args[0], os.fstat(args[0]).st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **named)

    setattr(holder, call, counted)


def go_on(folder: str, options: dict[str, Any], death: tuple[str, int] | None = None) -> None:
    """Resume with the run's own settings, or begin where it was killed before it wrote them."""
    if death is not None:
        die_in(*death)
    place = Path(folder)
    if not (place / "settings.json").exists():
        begin(options.pop("values"), folder, options)
        return
    kept = read_options(place)
    _run(lambda: train(read_settings(place), place, replace(kept, progress=False), resume=True))


def _options(options: dict[str, Any]) -> FitOptions:
    chosen = {key: value for key, value in options.items() if key != "values"}
    return FitOptions(progress=False, **chosen)


def _run(work: Any) -> None:
    # One thread: on a machine with other work, two would wait for each other most of the time.
    torch.set_num_threads(int(os.environ.get("FAULTS_THREADS", "1")))
    work()


def told(message: Path, target: Any, *args: Any) -> None:
    """Run ``target``; what the user would be told goes to a file, and the exit code is 1."""
    try:
        target(*args)
    except BnnError as reason:
        message.write_text(str(reason))
        sys.exit(1)

# SPDX-License-Identifier: BSD-3-Clause
"""Progress on standard error: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bnn.system.terminal import notice

#: Between two lines about progress where there is no terminal.
SECONDS = 5.0


@contextmanager
def progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """Progress on standard error; yields ``advance(done, of)``.

    A bar on a terminal, which goes when all is done; elsewhere a line now and then
    (:data:`SECONDS`).
    """
    console = Console(stderr=True)
    columns = (TextColumn(label), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    said = time.monotonic()
    seen = console.is_terminal
    with Progress(*columns, console=console, disable=not seen, transient=True) as bar:
        task = bar.add_task(label, total=None)

        def advance(done: int, of: int) -> None:
            nonlocal said
            bar.update(task, completed=done, total=of)
            if not seen and time.monotonic() - said >= SECONDS:
                said = time.monotonic()
                sys.stderr.write(f"{label}: {done} of {of}\n")
                sys.stderr.flush()

        yield advance


@contextmanager
def building() -> Iterator[Callable[[str, float], None]]:
    """Progress of a simulator's build, as :data:`bnn.hw.toolchain.verilator.Progress`.

    A bar on a terminal; elsewhere (in a notebook, in a log) a line on standard error at the
    beginning, now and then (:data:`SECONDS`), and at the end. Nothing where nothing is built.
    """
    with progress("building the simulator") as advance:
        seen, said = Console(stderr=True).is_terminal, float("-inf")

        def told(what: str, part: float) -> None:
            nonlocal said
            now = time.monotonic()
            if seen:
                advance(round(100 * part), 100)
            elif now - said >= SECONDS or part >= 1:
                notice(f"building the simulator: {what}, {100 * part:.0f} %")
                said = now

        yield told

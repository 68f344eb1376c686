# SPDX-License-Identifier: BSD-3-Clause
"""Progress on standard error: a bar on a terminal, else a line every few seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from bnn.system.terminal import notice

#: Seconds between two lines about progress if there is no terminal.
INTERVAL_S = 5.0
#: Seconds after which a command that may be over at once shows progress.
SILENT_S = 1.0
#: Columns of a terminal from which on progress is a bar, not only numbers.
BAR_COLUMNS = 60

#: Function of (number of things that are done, number of all things) that shows progress.
Advance = Callable[[int, int], None]


@contextmanager
def progress(label: str) -> Iterator[Advance]:
    """In a ``with`` statement, show progress on standard error.

    Yield a function of (number of things that are done, number of all things), to call during the
    work. On a terminal, progress is a bar, which is removed at the end; without a terminal, a line
    every :data:`INTERVAL_S` seconds.
    """
    from rich.console import Console  # slow to import: not for commands that show no progress

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(label)
        return
    # Imported only if a bar is seen: it takes a tenth of a second.
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    columns: list[ProgressColumn] = [TextColumn(label), MofNCompleteColumn()]
    if console.width >= BAR_COLUMNS:  # in a narrower terminal the numbers would be cut
        columns[1:1] = [BarColumn()]
        columns.append(TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)


@contextmanager
def progress_later(label: str) -> Iterator[Advance]:
    """Show progress as :func:`progress` does, from the first call of ``advance`` that comes
    :data:`SILENT_S` seconds or more after the beginning.
    """
    began = time.monotonic()
    with ExitStack() as stack:
        shown: list[Advance] = []

        def advance(done: int, of: int) -> None:
            if not shown and time.monotonic() - began >= SILENT_S:
                shown.append(stack.enter_context(progress(label)))
            for one in shown:
                one(done, of)

        yield advance


def _lines(label: str) -> Callable[[int, int], None]:
    """Return a function of (done, of) that prints a line at most every 5 seconds."""
    said = time.monotonic()

    def advance(done: int, of: int) -> None:
        nonlocal said
        if time.monotonic() - said >= INTERVAL_S:
            said = time.monotonic()
            sys.stderr.write(f"{label}: {done} of {of}\n")
            sys.stderr.flush()

    return advance


@contextmanager
def building() -> Iterator[Callable[[str, float], None]]:
    """In a ``with`` statement, show the progress of a simulator's build.

    Yield a function of (name of the step, share that is done, 0 to 1). On a terminal, progress is a
    bar. Without a terminal (in a notebook, in a log) it is a line on standard error at the
    beginning, every :data:`INTERVAL_S` seconds, and at the end. If the function is not called,
    because nothing is built, nothing is printed.
    """
    from rich.console import Console

    with progress("building the simulator") as advance:
        seen, said = Console(stderr=True).is_terminal, float("-inf")

        def told(what: str, part: float) -> None:
            nonlocal said
            now = time.monotonic()
            if seen:
                advance(round(100 * part), 100)
            elif now - said >= INTERVAL_S or part >= 1:
                notice(f"building the simulator: {what}, {100 * part:.0f} %")
                said = now

        yield told

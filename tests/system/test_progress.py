# SPDX-License-Identifier: BSD-3-Clause
"""What is shown while a user waits, and files without locks: clocks and terminals of ours."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bnn.system import cache, progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    now = SimpleNamespace(at=1000.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now.at))
    return now


@pytest.fixture
def bar(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A terminal of a given width; which columns are shown, and how far the bar is."""
    import rich.console
    import rich.progress

    told: Any = SimpleNamespace(width=80, columns=[], transient=None, tasks=[], updates=[])

    class Bar:
        def __init__(self, *columns: Any, console: Any, transient: bool) -> None:
            told.columns = [type(one).__name__ for one in columns]
            told.transient, told.console = transient, console

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None:
            told.updates.append("end")

        def add_task(self, label: str, total: Any) -> int:
            told.tasks.append((label, total))
            return 9

        def update(self, task: int, completed: int, total: int) -> None:
            told.updates.append((task, completed, total))

    def console(stderr: bool) -> Any:
        assert stderr
        return SimpleNamespace(is_terminal=True, width=told.width)

    monkeypatch.setattr(rich.progress, "Progress", Bar)
    monkeypatch.setattr(rich.console, "Console", console)
    return told


@pytest.mark.parametrize(
    ("width", "columns"),
    [
        (59, ["TextColumn", "MofNCompleteColumn"]),
        (60, ["TextColumn", "BarColumn", "MofNCompleteColumn", "TimeRemainingColumn"]),
        (200, ["TextColumn", "BarColumn", "MofNCompleteColumn", "TimeRemainingColumn"]),
    ],
)
def test_a_bar(bar: Any, width: int, columns: list[str]) -> None:
    bar.width = width
    with progress.progress("reading") as advance:
        advance(3, 7)
        advance(7, 7)
    assert (bar.columns, bar.transient, bar.tasks) == (columns, True, [("reading", None)])
    assert bar.updates == [(9, 3, 7), (9, 7, 7), "end"]


def test_a_bar_of_a_build(bar: Any) -> None:
    with progress.building() as told:
        told("one", 0.0)
        told("two", 0.126)
        told("two", 1.0)
    assert bar.updates == [(9, 0, 100), (9, 13, 100), (9, 100, 100), "end"]
    assert bar.tasks == [("building the simulator", None)]


def test_lines_of_a_build(
    clock: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """At once, then each 5 s, then at the end."""
    said: list[str] = []
    monkeypatch.setattr(progress, "notice", said.append)
    with progress.building() as told:
        for seconds, part in ((0, 0.0), (4.99, 0.3), (5, 0.4), (9.9, 0.5), (9.9, 1.0)):
            clock.at = 1000.0 + seconds
            told("compiling", part)
    assert said == [f"building the simulator: compiling, {part} %" for part in (0, 40, 100)]
    assert capsys.readouterr().err == ""


def test_lines_come_each_five_seconds(clock: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with progress.progress("reading") as advance:
        for seconds in (0, 4.99, 5, 9.99, 10, 16, 20.9, 21):
            clock.at = 1000.0 + seconds
            advance(int(seconds), 30)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"reading: {done} of 30" for done in (5, 10, 16, 21)]


@pytest.mark.parametrize(("seconds", "shown"), [(0.99, False), (1.0, True)])
def test_progress_of_what_is_not_done_at_once(
    bar: Any, clock: Any, seconds: float, shown: bool
) -> None:
    with progress.progress_later("reading") as advance:
        advance(1, 9)
        clock.at += seconds
        advance(2, 9)
        clock.at += 10
        advance(3, 9)
    expected = [(9, 2, 9), (9, 3, 9), "end"] if shown else [(9, 3, 9), "end"]
    assert bar.updates == expected
    assert len(bar.tasks) == 1


def test_nothing_is_shown_of_what_is_done_at_once(bar: Any, clock: Any) -> None:
    with progress.progress_later("reading") as advance:
        advance(1, 9)
    clock.at += 10
    assert bar.tasks == bar.updates == []


# --- the cache -----------------------------------------------------------------------------


def test_what_is_an_hour_old(tmp_path: Path) -> None:
    """Another process may still write what is younger."""
    path = tmp_path / "x"
    assert not cache._old(path)
    path.touch()
    assert not cache._old(path)
    for seconds, old in ((3500, False), (3700, True), (90_000, True)):
        then = time.time() - seconds
        os.utime(path, (then, then))
        assert cache._old(path) is old


def test_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows there is no fcntl: the file is made, and nobody waits."""
    monkeypatch.setitem(sys.modules, "fcntl", None)
    opened = [cache.lock_file(tmp_path / "lock", wait=wait) for wait in (True, False)]
    assert None not in opened
    for each in opened:
        assert each is not None
        os.close(each)
    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600
    again = cache.lock_file(tmp_path / "lock", wait=True)
    assert again is not None
    os.write(again, b"x")  # it was opened for both
    os.close(again)

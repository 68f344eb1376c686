# SPDX-License-Identifier: BSD-3-Clause
"""How commands end, and what they say then: statuses, counts and lines, each kind by itself."""

from __future__ import annotations

import errno
import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import typer

from bnn.commands import bulk, images, inspect, main, watch
from bnn.data.walk import Unreadable
from bnn.errors import BnnError, UnreadableError
from bnn.run.edges import Showing
from bnn.scale.running import Progress
from support.models import small

A, B = Unreadable(Path("a.png"), "is bad"), Unreadable(Path("b.png"), "is gone")


@pytest.mark.parametrize(
    ("unreadable", "err"),
    [
        ([A], ["bnn: a.png: is bad"]),
        ([A, B], ["bnn: a.png: is bad", "bnn: b.png: is gone", "bnn: 2 of 7 cannot be read"]),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_files_that_cannot_be_read(
    unreadable: list[Unreadable], err: list[str], as_json: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as caught:
        images.end_with(unreadable, 7, json=as_json)
    assert caught.value.exit_code == 1
    out, told = capsys.readouterr()
    assert told.splitlines() == err
    rows = [json.loads(line) for line in out.splitlines()]
    assert rows == [{"image": str(u.path), "error": u.reason} for u in unreadable if as_json]


def test_all_files_could_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    images.end_with([], 7, json=True)
    images.end_with([], 7, json=False)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("reason", "lines"),
    [
        (BnnError("one"), ["bnn: one"]),
        (UnreadableError("two", ("x: a", "y: b")), ["bnn: x: a", "bnn: y: b", "bnn: two"]),
        (MemoryError(), ["bnn: not enough memory"]),
        (OSError(errno.ENOSPC, "No space left on device"),
         ["bnn: standard output: No space left on device"]),
        (OSError(errno.ENOENT, "No such file", "f.txt"), ["bnn: f.txt: No such file"]),
        (OSError("only text"), ["bnn: standard output: only text"]),
    ],
)  # fmt: skip
def test_errors_are_one_line(
    reason: Exception,
    lines: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def line(verb: str | None) -> Any:
        assert verb == "models"

        def run() -> None:
            raise reason

        return run

    monkeypatch.setattr(sys, "argv", ["bnn", "models", "x"])
    monkeypatch.setattr(main, "command_line", line)
    with pytest.raises(SystemExit) as caught:
        main.main()
    assert caught.value.code == 1
    assert capsys.readouterr() == ("", "\n".join(lines) + "\n")


def test_a_reader_that_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in `bnn models | head -1`: nothing is said, and the status is not 0."""

    def line(verb: str | None) -> Any:
        assert verb is None

        def run() -> None:
            raise BrokenPipeError

        return run

    err = io.StringIO()
    monkeypatch.setattr(sys, "argv", ["bnn"])
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.setattr(main, "command_line", line)
    with pytest.raises(SystemExit) as caught:
        main.main()
    assert caught.value.code == 1
    assert err.closed


def test_only_the_command_line_is_made_later() -> None:
    with pytest.raises(AttributeError, match=r"^other$"):
        _ = main.other
    assert isinstance(main.app, typer.Typer)


# --- bnn bulk ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "kept", "errors", "status", "said"),
    [
        (5, 0, 0, None, []),
        (5, 0, 1, None, ["o: the column error says of each what is wrong"]),
        (5, 2, 5, None, ["o: the column error says of each what is wrong"]),
        (5, 0, 4, None, ["o: the column error says of each what is wrong"]),
        (5, 0, 5, 1, ["o: none of the 5 could be read; the column error says why"]),
        (3, 2, 5, 1, ["o: none of the 5 could be read; the column error says why"]),
    ],
)
def test_ends_of_bulk(
    rows: int,
    kept: int,
    errors: int,
    status: int | None,
    said: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = Progress(2, began=0.0)
    for name, value in (("rows", rows), ("kept", kept), ("errors", errors)):
        object.__setattr__(made, name, value)
    told: list[str] = []
    monkeypatch.setattr("bnn.scale.running.bulk", lambda *_, **__: made)
    monkeypatch.setattr(bulk, "notice", told.append)
    monkeypatch.setattr("bnn.load", lambda name: name)
    if status is None:
        bulk.bulk("m", ["s"], Path("o"))
    else:
        with pytest.raises(typer.Exit) as caught:
            bulk.bulk("m", ["s"], Path("o"))
        assert caught.value.exit_code == status
    assert told == said
    line = capsys.readouterr().out
    assert line.startswith("o: 0 of 2 shards, ")
    assert line.endswith(f", {kept} rows kept\n") == bool(kept)


@pytest.mark.parametrize("far", [False, True])
def test_bulk_is_stopped(far: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: Any, advance: Any, **__: Any) -> Any:
        if far:
            advance(Progress(2, began=0.0))
        raise KeyboardInterrupt

    told: list[str] = []
    monkeypatch.setattr("bnn.scale.running.bulk", run)
    monkeypatch.setattr(bulk, "notice", told.append)
    monkeypatch.setattr("bnn.load", lambda name: name)
    with pytest.raises(typer.Exit) as caught:
        bulk.bulk("m", ["s"], Path("o"))
    assert caught.value.exit_code == 130
    (line,) = told
    assert line.startswith(
        "o: stopped: 0 of 2 shards, " if far else "o: stopped: nothing is done yet; "
    )
    assert line.endswith("; give the same command again to go on")


# --- bnn watch ------------------------------------------------------------------------------------


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = watch._Lines(json=False, every=False)
    made.live = True
    monkeypatch.setattr("bnn.commands.tables.width", lambda: 21)
    return made


@pytest.mark.parametrize(
    ("name", "answer", "shown"),
    [
        ("a.png", {"class_name": "cat", "probability": 0.5}, "a.png: cat  50.0 %"),
        ("0123456789", {"class_name": "cat", "probability": 0.5}, "cat  50.0 %  012345…"),
        ("a/b/c/d/e/f/g", {"class_name": "cat"}, "a/b/c/d/e/f/g: cat"),
        ("012345678901234", {"class_name": "cat"}, "012345678901234: cat"),
        ("0123456789012345", {"class_name": "dog"}, "dog  01234567890123…"),
        ("x", {"class_name": None, "error": "no"}, "x: (no)"),
    ],
)
def test_one_line_shows_the_last_answer(
    name: str, answer: Any, shown: str, live: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is as wide as the terminal, less one; what is longer begins with the answer."""
    live.show({"source": name, "rate": None, **answer})
    assert capsys.readouterr().out == f"\r{shown:20}"


# --- bnn inspect ------------------------------------------------------------------------


class _Shows:
    """A runtime that shows these edges, or only scores."""

    def __init__(self, edges: Any = None, scores: Any = None) -> None:
        self.given, self.scores = edges, scores
        if edges is not None:
            self.edges = lambda _: edges

    def run(self, batch: Any) -> Any:
        assert batch.shape[0] == 1
        return SimpleNamespace(scores=self.scores)


@pytest.mark.parametrize("other", [None, "edge", "scores"])
@pytest.mark.parametrize("shows", [True, False])
def test_a_runtime_that_differs_is_told(
    other: str | None, shows: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bnn.run.edges import reference_edges

    model = small()
    batch = np.zeros((1, 2, 2, 3), np.uint8)
    edges = reference_edges(model.program, batch)
    found = {name: values.copy() for name, values in edges.items()}
    if other is not None:
        found["t0" if other == "edge" else "d1"][..., 0] += 2
    made: Any = _Shows(found if shows else None, found["d1"][:, 0, 0, :])
    assert isinstance(made, Showing) == shows
    monkeypatch.setattr("bnn.run.prepare", lambda *_: made)
    told, equal = inspect._compared(model, batch, edges, "cpu")
    assert equal == (other is None or (other == "edge" and not shows))
    if shows and other is None:
        assert told == f"{len(found)} edges of cpu are equal: {', '.join(found)}"
    elif shows:
        assert told.startswith("cpu and reference differ at ")
        assert ("t0" if other == "edge" else "d1") in told
    assert inspect._compared(model, batch, edges, "reference") == ("", True)

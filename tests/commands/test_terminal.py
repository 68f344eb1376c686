# SPDX-License-Identifier: BSD-3-Clause
"""Any terminal: without Unicode, narrow, gone, full; and names that would steer it."""

from __future__ import annotations

import dataclasses
import errno
import io
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import bnn
from bnn.commands.main import main
from bnn.system import progress
from bnn.system.terminal import echo_folded, harmless

SAMPLES = Path(bnn.__file__).parent / "samples" / "mnist"
THREE = str(SAMPLES / "3.png")

#: Clearing the screen, markup of rich, line breaks, text from right to left, no name.
HOSTILE = (
    *("\x1b[2J\x07", "\x9b2J", "[/b]", "[red]x", "a\nb", "\r"),
    *("\u202eevil", "", "漢字" * 9, "9"),
)


def _run(monkeypatch: pytest.MonkeyPatch, *args: str, encoding: str = "utf-8") -> str:
    """What ``bnn`` writes to a standard output of ``encoding``."""
    output = io.TextIOWrapper(io.BytesIO(), encoding)
    monkeypatch.setattr("sys.argv", ["bnn", *args])
    monkeypatch.setattr("sys.stdout", output)
    with pytest.raises(SystemExit) as stopped:
        main()
    assert not stopped.value.code
    output.flush()
    assert isinstance(output.buffer, io.BytesIO)
    return output.buffer.getvalue().decode(encoding)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_bars_where_there_is_no_unicode(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    text = _run(monkeypatch, "classify", "lfc-w1a1", THREE, encoding=encoding)
    assert re.search("#{10,20} +[>0-9. ]+% 3", text)


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
def test_a_narrow_terminal_still_shows_the_class(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, columns: int
) -> None:
    names = [f"class-{index}" for index in range(10)]
    model = dataclasses.replace(bnn.load("lfc-w1a1"), classes=tuple(names))
    bnn.save(model, tmp_path / "m.bnn")
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.chdir(SAMPLES)
    text = _run(monkeypatch, "classify", str(tmp_path / "m.bnn"), "3.png")
    assert "3.png" in text
    assert "class-3 " in text
    assert "…" not in text
    assert ("█" in text) == (columns > 60)  # beside numbers and a name
    assert max(map(len, text.splitlines())) <= columns


@pytest.mark.parametrize("command", [("classify", THREE, str(SAMPLES / "0.png")), ("info",)])
def test_names_in_a_file_do_not_steer_the_terminal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: tuple[str, ...]
) -> None:
    path = str(tmp_path / "m.bnn")
    model = dataclasses.replace(bnn.load("lfc-w1a1"), classes=HOSTILE, name="\x1b[31m[/nope]")
    bnn.save(model, path)
    text = _run(monkeypatch, command[0], path, *command[1:])
    assert r"\x1b[31m[/nope]" in text
    assert text == "\n".join(map(harmless, text.split("\n")))


def test_messages_are_harmless(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["bnn", "info", "a\x1b[2J\nb"])
    with pytest.raises(SystemExit):
        main()
    assert r"a\x1b[2J\nb" in capsys.readouterr().err


class _Full(io.StringIO):
    """A file on a full disk."""

    def write(self, _text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("command", [("models",), ("info", "lfc-w1a1")])
def test_a_full_disk_is_one_line(
    capsys: Any, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setattr("sys.argv", ["bnn", *command])
    monkeypatch.setattr("sys.stdout", _Full())
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 1
    assert capsys.readouterr().err == "bnn: standard output: No space left on device\n"


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_are_no_fault(closed: str) -> None:
    """As some daemons and cron jobs start programs: Python's sys.stdout is then None."""
    words = (sys.executable, "-m", "bnn", "classify", "lfc-w1a1", THREE)
    run = f"{shlex.join(words)} {closed}"
    done = subprocess.run(run, shell=True, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert ("3" in done.stdout) == (closed == "2>&-")


def test_harmless_leaves_text_alone() -> None:
    assert harmless("50 km/h, Straße, 漢字 []") == "50 km/h, Straße, 漢字 []"
    assert harmless("a\tb\x00\udcff") == r"a\tb\x00\udcff"


TABLES = (
    ("info", "cnv-w1a1"),
    ("plan", "lfc-w1a1", "--max"),
    ("bench", "lfc-w1a1", "--batch", "1"),
)


@pytest.mark.parametrize("columns", ["0", "-1", "", "x", "10", "40", "80"])
@pytest.mark.parametrize("command", TABLES, ids=lambda command: command[0])
def test_no_terminal_cuts_a_table(
    monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    text = _run(monkeypatch, *command)
    assert text
    assert "…" not in text
    if columns == "80":
        assert max(map(len, text.splitlines())) <= 80
    shown = {"info": "119,128,320", "plan": "1024x1024", "bench": "slow/fast"}
    assert shown[command[0]] in text


@pytest.mark.parametrize(
    "command",
    [
        ("plan", "lfc-w1a1", "--max"),
        ("info", "cnv-w1a1"),
        ("classify", "lfc-w1a1", "3.png"),
        ("classify", "lfc-w1a1", "3.png", "--top", "4"),
    ],
    ids=" ".join,
)
def test_a_narrow_terminal_has_lists_of_whole_words(
    monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.chdir(SAMPLES)
    monkeypatch.setenv("COLUMNS", "200")
    wide = _run(monkeypatch, *command)
    monkeypatch.setenv("COLUMNS", "40")
    narrow = _run(monkeypatch, *command)
    assert max(map(len, narrow.splitlines())) <= 40

    def words(text: str) -> set[str]:  # times differ from run to run
        return set(re.findall(r"[A-Za-z]{4,}|[0-9]+x[0-9x]+", text)) - {"preparing", "computing"}

    assert words(wide) <= words(narrow)


def test_a_line_of_words_is_folded_in_a_narrow_terminal_only(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    line = "ok       core          a kernel and " + "many words " * 9 + "x" * 50
    for columns, folded in (("40", True), ("80", False), ("", False)):
        monkeypatch.setenv("COLUMNS", columns)
        echo_folded(line, 23)
        shown = capsys.readouterr().out
        assert shown.split() == line.split()
        assert (len(shown.splitlines()) > 1) == folded


def test_help_and_answers_without_a_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "0")
    assert "Usage:" in _run(monkeypatch, "--help")
    monkeypatch.setenv("COLUMNS", "0")
    assert re.search(
        "#{10,20} +[>0-9. ]+% 3", _run(monkeypatch, "classify", "lfc-w1a1", THREE, encoding="ascii")
    )


@pytest.mark.parametrize(
    ("seconds", "lines"), [(0.0, ["doing: 1 of 3", "doing: 3 of 3"]), (60, [])]
)
def test_progress_without_a_terminal_is_a_line_now_and_then(
    seconds: float, lines: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(progress, "INTERVAL_S", seconds)
    with progress.progress("doing") as advance:
        advance(1, 3)
        advance(3, 3)
    assert capsys.readouterr().err.splitlines() == lines


def test_progress_that_comes_later_shows_nothing_of_what_is_over_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(progress, "INTERVAL_S", 0.0)
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with progress.progress_later("doing") as advance:
        now[0] = 100.99
        advance(1, 3)
        assert capsys.readouterr().err == ""
        now[0] = 101.0
        advance(2, 3)
        advance(3, 3)
    assert capsys.readouterr().err.splitlines() == ["doing: 2 of 3", "doing: 3 of 3"]


@pytest.mark.parametrize("columns", [20, 40, 59, 60, 80])
def test_progress_is_whole_in_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: Any, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with progress.progress("doing") as advance:
        advance(37, 100)
    shown = capsys.readouterr().err
    assert re.search("37/100", shown)
    assert ("━" in shown) == (columns >= 60)


@pytest.mark.parametrize("columns", [30, 40, 60, 80, 200])
def test_every_edge_in_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    """Lines of text where the table has no room; every number is there."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.chdir(SAMPLES)
    text = _run(monkeypatch, "inspect", "lfc-w1a1", "3.png")
    assert max(map(len, text.splitlines())) <= columns
    words = text.replace(",", " ").replace(":", " ").split()
    for name, edge in bnn.load("lfc-w1a1").program.edges.items():
        assert {name, "x".join(map(str, edge.shape)), edge.precision.name} <= set(words)

# SPDX-License-Identifier: BSD-3-Clause
"""Lines of words on narrow terminals: whole words, and an indent of at most a quarter."""

from __future__ import annotations

import pytest

from bnn.system.terminal import echo_folded

WORDS = "one two three four five six seven eight nine ten eleven twelve"


@pytest.mark.parametrize("columns", [12, 16, 24, 40])
@pytest.mark.parametrize("indent", [0, 2, 6, 20])
def test_lines_are_folded(
    columns: int, indent: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    echo_folded(WORDS, indent)
    lines = capsys.readouterr().out.splitlines()
    assert " ".join(line.strip() for line in lines) == WORDS
    assert max(map(len, lines)) <= columns
    first, *others = lines
    assert not first.startswith(" ")
    spaces = " " * min(indent, columns // 4)
    assert others
    assert all(line.startswith(spaces) and line[len(spaces)] != " " for line in others)


def test_a_wide_terminal_has_the_line_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    echo_folded(WORDS, 4)
    assert capsys.readouterr().out == f"{WORDS}\n"

# SPDX-License-Identifier: BSD-3-Clause
"""What to run next is for people: not in a pipe."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bnn.commands.hints import next_step


def test_only_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    next_step("info", Path("a b.bnn"), why="its layers")
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    next_step("info", Path("a b.bnn"), why="its layers")
    assert capsys.readouterr().out == "next: bnn info 'a b.bnn'  (its layers)\n"

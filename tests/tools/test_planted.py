# SPDX-License-Identifier: BSD-3-Clause
"""``tools/mutate.toml`` names tests for every file of the package, and only what is there."""

from __future__ import annotations

import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    if sys.version_info < (3, 11):
        pytest.skip("tomllib came with Python 3.11")
    import tomllib

    return tomllib.loads((ROOT / "tools" / "mutate.toml").read_text(encoding="utf-8"))


def test_each_file_has_tests_and_each_entry_a_file(settings: dict[str, Any]) -> None:
    package = ROOT / "src" / "bnn"
    files = sorted(p.relative_to(ROOT).as_posix() for p in package.rglob("*.py"))
    files += sorted(p.relative_to(ROOT).as_posix() for p in package.rglob("*.sv"))
    entries = [entry["files"] for entry in settings["tests"]]
    first = {
        file: next((i for i, each in enumerate(entries) if any(fnmatch(file, p) for p in each)), -1)
        for file in files
    }
    assert [file for file, entry in first.items() if entry < 0] == []
    assert [each for i, each in enumerate(entries) if i not in first.values()] == []
    patterns = [pattern for each in entries for pattern in each]
    assert [p for p in patterns if not any(fnmatch(file, p) for file in files)] == []


def test_each_named_test_is_there(settings: dict[str, Any]) -> None:
    named = {run for entry in settings["tests"] for run in entry["run"]}
    named |= {run for entry in settings["planted"] for run in entry["run"] if "/" in run}
    assert [run for run in sorted(named) if not (ROOT / run.partition("::")[0]).exists()] == []


def test_each_planted_mistake_has_its_place(settings: dict[str, Any]) -> None:
    places = [(entry["file"], entry["right"]) for entry in settings["planted"]]
    assert [p for p in places if (ROOT / p[0]).read_text("utf-8").count(p[1]) != 1] == []


def test_each_equivalent_mistake_has_its_line_and_a_reason(settings: dict[str, Any]) -> None:
    for entry in settings.get("equivalent", []):
        lines = (ROOT / entry["file"]).read_text("utf-8").splitlines()
        assert entry["line"] in map(str.strip, lines), entry
        assert entry["right"] in entry["line"], entry
        assert entry["why"], entry

# SPDX-License-Identifier: BSD-3-Clause
"""Planted mistakes in Python: which lines belong together, and which tests are tried first."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from support.scripts_loaded import load

TEXT = '''"""A module."""
LIMIT = (
    3
)


@cache
def within(
    value: int = LIMIT,
) -> bool:
    if (
        value
        < LIMIT
    ):
        return True
    return (
        value == 0
    )


class Kept:
    size: int = 2

    def twice(self) -> int:
        return 2 * self.size
'''


@pytest.fixture(scope="module")
def cover() -> Any:
    pytest.importorskip("coverage", reason="coverage is not installed (extra `mutate`)")
    return load("tools", "mutate_cover.py")


@pytest.mark.parametrize(
    ("line", "lines", "names"),
    [
        (3, [2, 3, 4], {"LIMIT"}),
        (7, [7, 8, 9, 10], {"within"}),
        (9, [7, 8, 9, 10], {"within"}),
        (13, [11, 12, 13, 14], set()),
        (15, [15], set()),
        (17, [16, 17, 18], set()),
        (22, [22], {"size"}),
        (25, [25], set()),
    ],
)
def test_the_statement_around_a_line(
    line: int, lines: list[int], names: set[str], cover: Any
) -> None:
    found = cover.place(TEXT, line)
    assert found[:2] == (lines, names)


def test_the_quickest_test_of_every_function_first(tmp_path: Path, cover: Any) -> None:
    """Three tests run one function, a fourth another; the file was changed since."""
    from coverage import numbits

    package, kept = tmp_path / "src" / "bnn", tmp_path / "kept"
    tests = tmp_path / "tests"
    for folder in (package, kept / "run-0" / "bnn", tests):
        folder.mkdir(parents=True)
    (kept / "run-0" / "bnn" / "m.py").write_text(TEXT)
    (package / "m.py").write_text("# new\n" + TEXT)
    (tests / "test_m.py").write_text("")
    (kept / "run-0" / "folder").write_text("/copy")
    seconds = {"a[1]": 2.0, "a[2]": 1.0, "b": 1.5, "c": 0.1, "broken": 0.1}
    logged = [
        [f"tests/test_m.py::{name}", took, "failed" if name == "broken" else "passed"]
        for name, took in seconds.items()
    ]
    log = "".join(json.dumps(line) + "\n" for line in logged)
    (kept / "run-0" / "tests.jsonl").write_text(log)
    digest = cover._digest(tests / "test_m.py")
    (kept / "index.json").write_text(json.dumps({"tests/test_m.py": [digest, "0"]}))
    ran = {"a[1]": {11, 16}, "a[2]": {11, 15}, "b": {11, 16}, "c": {25}, "broken": {11}}
    with sqlite3.connect(kept / "run-0" / "data") as data:
        data.execute("CREATE TABLE file (id, path)")
        data.execute("CREATE TABLE context (id, context)")
        data.execute("CREATE TABLE line_bits (file_id, context_id, numbits)")
        data.execute("INSERT INTO file VALUES (1, '/copy/src/bnn/m.py')")
        for number, (name, lines) in enumerate(ran.items()):
            bits = numbits.nums_to_numbits(lines)
            data.execute(
                "INSERT INTO context VALUES (?, ?)", (number, f"tests/test_m.py::{name}|run")
            )
            data.execute("INSERT INTO line_bits VALUES (1, ?, ?)", (number, bits))
    covered = cover.Covered(tmp_path, kept)
    assert covered.missing() == []

    def names(line: int) -> list[list[str]]:
        return [
            [each.partition("::")[2] for each in some]
            for some in covered.tests("src/bnn/m.py", line)
        ]

    assert names(16) == [["a[2]"], ["b", "a[1]"]]
    assert names(18) == [["b", "a[1]"], ["a[2]"]]
    assert names(4) == [["a[2]", "b", "a[1]"], ["c"]]  # LIMIT is read in `within`
    assert names(26) == [["c"], []]
    (tests / "test_m.py").write_text("changed")
    assert covered.missing() == ["tests/test_m.py"]

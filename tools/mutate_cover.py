# SPDX-License-Identifier: BSD-3-Clause
"""Which tests run which line of the package, and in how many seconds; measured with coverage.

Kept in ``build/mutants/coverage`` for each text of a file of tests, so that a second run measures
only files of tests that are new or changed; of these, tests that once took long keep what they
ran then. Each measurement keeps the package's texts beside it: where a file was changed since, its
lines are found again by comparing the texts.
"""

from __future__ import annotations

import ast
import difflib
import hashlib
import json
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from coverage.numbits import numbits_to_nums

#: Left out: what runs in browsers and in processes that are killed, and tests of tools.
NOT_MEASURED = (
    "tests/faults/*",
    "tests/web/test_page.py",
    "tests/web/test_scores.py",
    "tests/web/test_preparation.py",
    "tests/tools/*",
)

#: Seconds of a test that comes after all that are shorter, and of one that is not measured again.
_LONG, _ONCE = 20, 4

#: Seconds to build a simulator, which was at hand without a mistake and is not with one.
_BUILDS = 120


class Covered:
    """The measurements of all files of tests."""

    def __init__(self, root: Path, kept: Path) -> None:
        self._root, self._kept, self._lock = root, kept, threading.Lock()
        index = kept / "index.json"
        self._index: dict[str, list[str]] = json.loads(index.read_text()) if index.is_file() else {}
        #: Each test's time, where it passed without a mistake.
        self.seconds: dict[str, float] = {}
        self._run: dict[str, str] = {}
        #: Lines of a file that were not there when a run was measured.
        self._later: dict[tuple[str, str], set[int]] = defaultdict(set)
        self._load()

    def missing(self) -> list[str]:
        """Files of tests that were not measured as they are now."""
        files = sorted(self._root.glob("tests/**/test_*.py"))
        named = [path.relative_to(self._root) for path in files]
        return [
            str(path)
            for path in named
            if not any(path.match(pattern) for pattern in NOT_MEASURED)
            and self._index.get(str(path), [""])[0] != _digest(self._root / path)
        ]

    def measure(self, folder: Path, environment: dict[str, str], files: list[str]) -> None:
        """Run these files of tests in a copy of the tree, two at a time, and keep what they run."""
        digests = {file: _digest(folder / file) for file in files}
        number = str(len(list(self._kept.glob("run-*"))))
        run = self._kept / f"run-{number}"
        shutil.copytree(folder / "src" / "bnn", run / "bnn", ignore=_only_python)
        log = run / "tests.jsonl"
        log.touch()
        # A test that was measured and takes long keeps what it ran then.
        kept = {t: self._run[t] for t, s in self.seconds.items() if s > _ONCE}
        kept = {test: number for test, number in kept.items() if test.partition("::")[0] in digests}
        (run / "kept").write_text(json.dumps(kept))
        command = [sys.executable, "-m", "pytest", "-q", "-n2", "-p", "no:cacheprovider"]
        command += ["-p", "bnn_mutants", f"--cov={folder / 'src' / 'bnn'}", "--cov-context=test"]
        command += ["--cov-report=", *files]
        print(f"measuring {len(files)} files of tests (once; minutes)", flush=True)
        with (run / "said").open("w") as said:
            subprocess.run(
                command, cwd=folder, stdout=said, stderr=said, check=False,
                env={
                    **environment, "COVERAGE_FILE": str(run / "data"), "BNN_MUTANT_LOG": str(log),
                    "BNN_MUTANT_SKIP": str(run / "kept"),
                },
            )  # fmt: skip
        print((run / "said").read_text().splitlines()[-1], flush=True)
        (run / "folder").write_text(str(folder))
        self._index.update({file: [digest, number] for file, digest in digests.items()})
        (self._kept / "index.json").write_text(json.dumps(self._index, indent=1))
        self._load()

    def _load(self) -> None:
        self.seconds.clear()
        self._run.clear()
        self._lines = cache(self._lines_of)
        logs = {
            path.name.removeprefix("run-"): _logged(path / "tests.jsonl")
            for path in self._kept.glob("run-*")
        }
        for number in {number for _, number in self._index.values()}:
            kept = self._kept / f"run-{number}" / "kept"
            older = json.loads(kept.read_text()) if kept.is_file() else {}
            rows = [(number, *row) for row in logs[number]]
            rows += [(n, *row) for n in {*older.values()} for row in logs[n] if row[0] in older]
            for where, test, seconds, outcome in rows:
                file = test.partition("::")[0]
                of_it = self._index.get(file, ["", ""])[1] == number and older.get(test, number)
                if outcome == "passed" and of_it == where and (self._root / file).is_file():
                    self.seconds[test], self._run[test] = seconds, where

    def tests(self, file: str, line: int) -> tuple[list[str], list[str]]:
        """Tests that run a line of a file of the package; then others that could tell.

        Of lines that run when a module is imported, tests that run functions with the name that is
        made there. The others: those that share a fixture which runs the line, and those that run
        other lines of the same function, or of the module. Each list has the quickest of every
        test function first, then the second of those with several parameters; those of other
        rooms come later, and long ones last.
        """
        with self._lock:  # Python 3.11 reads sources in one thread at a time
            return self._tests(file, line)

    def _tests(self, file: str, line: int) -> tuple[list[str], list[str]]:
        lines, names, function = place((self._root / file).read_text(), line)
        known = self._lines(file)
        exact = self._of(known, [line]) or self._of(known, lines)
        # Where a test was measured before the line was written, its function must do.
        exact |= {t for t in self._of(known, function) if line in self._later[file, self._run[t]]}
        if names:
            names = _made_of((self._root / file).read_text(), names)
            exact = self._of(known, _naming((self._root / file).read_text(), names) - {*lines})
            exact = exact or self._elsewhere(file, names)
        shared = self._of(self._lines(file, "setup"), lines)
        beside = {test.partition("::")[0] for test in shared}
        near = {test for test in self.seconds if test.partition("::")[0] in beside}
        near |= self._of(known, function) or self._of(known, _functions(self._root / file))
        return self._ordered(file, exact), self._ordered(file, near - exact)

    def at_import(self, file: str, line: int) -> bool:
        """Whether a line of a file of the package runs when its module is imported."""
        with self._lock:
            return bool(place((self._root / file).read_text(), line)[1])

    def of_files(self, files: Iterable[str]) -> list[str]:
        """All tests of files of tests, the quickest first."""
        found = [test for test in self.seconds if test.partition("::")[0] in {*files}]
        return sorted(found, key=self.seconds.__getitem__)

    def one_of(self, test: str) -> str:
        """The test itself; of a file that cannot be read, its quickest test."""
        if test in self.seconds:
            return test
        within = [each for each in self.seconds if each.partition("::")[0] == test]
        return min(within, key=self.seconds.__getitem__, default="")

    def patience(self, test: str) -> float:
        """Seconds after which a test hangs: it may build what another of its file has built."""
        file = test.partition("::")[0]
        slowest = max(s for each, s in self.seconds.items() if each.partition("::")[0] == file)
        builds = _BUILDS if "tests/hw/" in test or "sim" in test.partition("::")[2] else 0
        return max(10 * self.seconds[test], 2 * slowest) + 20 + builds

    def _of(self, known: dict[int, set[str]], lines: Iterable[int]) -> set[str]:
        return set().union(*(known.get(each, set()) for each in lines))

    def _elsewhere(self, file: str, names: set[str]) -> set[str]:
        found: set[str] = set()
        for path in (self._root / "src" / "bnn").rglob("*.py"):
            other = str(path.relative_to(self._root))
            if other != file:
                lines = _naming(path.read_text(), names)
                found |= self._of(self._lines(other), lines) if lines else set()
        return found

    def _ordered(self, file: str, tests: set[str]) -> list[str]:
        rounds: dict[str, int] = defaultdict(int)
        keys: list[tuple[bool, int, float, str]] = []
        for test in sorted(tests, key=lambda each: (self.seconds[each], each)):
            function, seconds = test.partition("[")[0], self.seconds[test]
            place = rounds[function] + _distance(file, test.partition("::")[0])
            keys.append((seconds > _LONG, place, seconds, test))
            rounds[function] += 1
        return [test for *_, test in sorted(keys)]

    def _lines_of(self, file: str, phase: str = "") -> dict[int, set[str]]:
        """Line -> tests that run it (in that phase only, where one is given)."""
        found: dict[int, set[str]] = defaultdict(set)
        text = (self._root / file).read_text().splitlines()
        for number in sorted({*self._run.values()}):
            run = self._kept / f"run-{number}"
            if not (run / "bnn" / Path(file).relative_to("src/bnn")).is_file():
                continue
            before = (run / "bnn" / Path(file).relative_to("src/bnn")).read_text().splitlines()
            moved = _moved(before, text)
            self._later[file, number] = {*range(1, len(text) + 1)} - {*moved.values()}
            path = f"{(run / 'folder').read_text()}/{file}"
            with sqlite3.connect(run / "data") as data:
                rows = data.execute(
                    "SELECT context, numbits FROM line_bits JOIN file ON file.id = file_id "
                    "JOIN context ON context.id = context_id WHERE path = ?",
                    (path,),
                ).fetchall()
            for context, bits in rows:
                test, _, when = context.rpartition("|")
                if self._run.get(test) == number and when.startswith(phase):
                    for line in numbits_to_nums(bits):
                        if line in moved:
                            found[moved[line]].add(test)
        return found


def place(text: str, line: int) -> tuple[list[int], set[str], list[int]]:
    """The lines of the statement at a line, the names it makes when it is imported (none in a
    function), and the lines of the function around it."""
    lines, names, function = [line], set[str](), list[int]()
    inside = False
    for node in ast.walk(ast.parse(text)):  # from the outside to the inside
        if not isinstance(node, ast.stmt) or not _first(node) <= line <= (node.end_lineno or 0):
            continue
        body = getattr(node, "body", None) or getattr(node, "cases", None)
        start = _first(body[0] if isinstance(body[0], ast.stmt) else body[0].pattern) if body else 0
        if not body or line < start:
            lines = list(range(_first(node), start or (node.end_lineno or 0) + 1))
        if isinstance(node, ast.ClassDef):
            function = []
        if isinstance(node, ast.FunctionDef):
            function = list(range(start, (node.end_lineno or 0) + 1))
            inside = line >= start
            names = set() if inside else {node.name}
        elif not inside and not body:
            names = _made(node)
        elif not inside and isinstance(node, ast.ClassDef):
            names = {node.name}
    return lines, names, function


def _first(node: ast.AST) -> int:
    decorators = getattr(node, "decorator_list", [])
    return min([node.lineno, *(each.lineno for each in decorators)])  # type: ignore[attr-defined]


def _made(node: ast.stmt) -> set[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    within = [each for target in targets if target is not None for each in ast.walk(target)]
    return {each.id for each in within if isinstance(each, ast.Name)}


def _made_of(text: str, names: set[str]) -> set[str]:
    """Return the names, and those of constants of the module that are made of them."""
    made = set(names)
    for node in ast.parse(text).body:  # what is used stands above
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            read = {each.id for each in ast.walk(node.value) if isinstance(each, ast.Name)}
            made |= _made(node) if read & made else set()
    return made


def _functions(path: Path) -> set[int]:
    """The lines within functions."""
    lines: set[int] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            lines |= set(range(node.body[0].lineno, (node.end_lineno or 0) + 1))
    return lines


def _naming(text: str, names: set[str]) -> set[int]:
    """The lines of statements that have one of the names; of a function's head, its whole body."""
    pattern = re.compile(rf"\b(?:{'|'.join(map(re.escape, sorted(names)))})\b")
    found: set[int] = set()
    for line, each in enumerate(text.splitlines(), 1):
        if pattern.search(each):
            lines, made, function = place(text, line)
            found |= {line, *lines, *(function if made else [])}
    return found


def _moved(before: list[str], after: list[str]) -> dict[int, int]:
    """Line number before -> line number after, of lines that are the same."""
    if before == after:
        return {i: i for i in range(1, len(before) + 1)}
    blocks = difflib.SequenceMatcher(None, before, after, autojunk=False).get_matching_blocks()
    return {b.a + i + 1: b.b + i + 1 for b in blocks for i in range(b.size)}


def _logged(path: Path) -> list[tuple[str, float, str]]:
    return [tuple(json.loads(line)) for line in path.read_text().splitlines()]


def _distance(file: str, tests: str) -> int:
    """0 for tests that are named like a file of the package, 1 for others of its room, else 2."""
    room, within = Path(file).relative_to("src/bnn").parts[:1], Path(tests).parts[1:-1]
    if within[:1] != room:
        return 2
    return 0 if Path(file).stem.strip("_") in Path(tests).stem else 1


def _only_python(_: str, names: list[str]) -> list[str]:
    return [name for name in names if "." in name and not name.endswith(".py")]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]

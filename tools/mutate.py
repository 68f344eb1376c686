# SPDX-License-Identifier: BSD-3-Clause
"""Plants small mistakes, one at a time, and prints those that no test of ``make test`` finds.

    make mutate FILES="src/bnn/hw/rtl/*.sv src/bnn/driver/*.py" N=100 SEED=1

Each mutant is planted in a copy of the tree (``build/mutants``), never here.

- In Python: the tests that run the mutant's line (``mutate_cover.py`` measures them), the quickest
  first, up to the first that fails or to ``--budget`` seconds of a processor, which other work on
  the machine does not shorten. Where those are over and tests are left, the mutant is not judged.
- In RTL, and where no test runs the line: the tests that ``mutate.toml`` names for the file.

A test that takes ten times as long as without the mistake hangs: that is found, and told apart.
What fails with a mistake must pass without it, in the same copy. Results are kept in
``build/mutants/results.jsonl``, so that a run that was stopped goes on. Mutants that change nothing
are marked by hand, with the reason, in ``mutate.toml``.
"""

from __future__ import annotations

import argparse
import atexit
import fnmatch
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import mutate_python
import mutate_rtl
import tomllib
from mutate_cover import Covered

ROOT = Path(__file__).parents[1]
WORK = ROOT / "build" / "mutants"

#: In the copy, the package is the copy's: an editable install would lead back here.
_SITE = """import os, sys
sys.meta_path[:] = [f for f in sys.meta_path if "editable" not in type(f).__module__]
sys.path.insert(0, os.environ["BNN_MUTANT_SRC"])
"""

#: A failure is enough: hypothesis need not look for the smallest one. Tests that are chosen by
#: name run in the order of the list; each writes its name before it starts, and its outcome.
_PLUGIN = """import json, os, pathlib
import hypothesis
phases = [hypothesis.Phase.explicit, hypothesis.Phase.generate]
hypothesis.settings.register_profile("mutants", phases=phases, database=None, deadline=None)

def pytest_collection(session):
    hypothesis.settings.load_profile("mutants")  # after that of conftest.py

def pytest_collection_modifyitems(config, items):
    path = os.environ.get("BNN_MUTANT_SKIP")
    skipped = json.loads(pathlib.Path(path).read_text()) if path else ()
    items[:] = [item for item in items if item.nodeid not in skipped]
    path = os.environ.get("BNN_MUTANT_CHOSEN")
    chosen = json.loads(pathlib.Path(path).read_text()) if path else None
    if chosen is not None:
        place = {test: i for i, test in enumerate(chosen)}
        items[:] = sorted((i for i in items if i.nodeid in place), key=lambda i: place[i.nodeid])

def pytest_runtest_logstart(nodeid, location):
    path = os.environ.get("BNN_MUTANT_NOW")
    if path:
        pathlib.Path(path).write_text(nodeid)

_seconds = {}

def pytest_runtest_logreport(report):
    path = os.environ.get("BNN_MUTANT_LOG")
    if not path or "PYTEST_XDIST_WORKER" in os.environ:
        return
    before, outcome = _seconds.pop(report.nodeid, (0.0, "passed"))
    seconds = before + report.duration
    outcome = report.outcome if outcome == "passed" else outcome
    if report.when != "teardown":
        _seconds[report.nodeid] = seconds, outcome
        return
    with open(path, "a") as file:
        file.write(json.dumps([report.nodeid, seconds, outcome]) + "\\n")
"""


#: Imports what is slow, and forks a process for each run of pytest. Arguments, seconds of a
#: processor for all, and seconds of each test by the clock come in. Out goes the exit status,
#: "hangs" (one test is not done) or "late" (all), and the processor's seconds: those of all
#: processes of the run, also of those that it waited for.
_SERVER = """import gc, json, os, resource, signal, sys, time
import pytest
NAMES = "numpy PIL.Image h5py onnx.reference torch lightning typer rich.table safetensors.numpy"
NAMES += " xml.etree.ElementTree joblib hypothesis.strategies hypothesis.extra.numpy"
NAMES += " hypothesis.internal.conjecture.engine uvicorn"
for name in NAMES.split():
    try:
        __import__(name)
    except ImportError:
        pass
gc.collect()
gc.freeze()  # so that collecting is quick in the processes that begin here

def used(session):
    ticks = 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as file:
                    fields = file.read().rpartition(")")[2].split()
            except OSError:  # it has just ended
                continue
            if int(fields[3]) == session:
                ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")

for line in sys.stdin:
    command, limit, each = json.loads(line)
    open("now", "w").close()
    child = os.fork()
    if child == 0:
        os.setsid()
        most = 10 << 30  # a mistake in a size must not take the machine's memory
        resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))
        said = os.open("said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0), os.dup2(said, 1), os.dup2(said, 2)
        code = 1
        try:
            code = int(pytest.main(command))
        finally:
            sys.stdout.flush()
            os._exit(code)
    end, code, seconds, looked = time.monotonic() + 10 * limit + 120, None, 0.0, 0.0
    while code is None:
        time.sleep(0.05)
        done, status, usage = os.wait4(child, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            seconds = max(seconds, usage.ru_utime + usage.ru_stime)
            break
        if time.monotonic() > looked + 0.5:
            looked, seconds = time.monotonic(), max(seconds, used(child))
        since = time.time() - os.stat("now").st_mtime
        if since > each.get(open("now").read(), float("inf")):
            code = "hangs"
        elif seconds > limit or time.monotonic() > end:
            code = "late"
    try:
        os.killpg(child, signal.SIGKILL)  # and what it has started
    except ProcessLookupError:
        pass
    if isinstance(code, str):
        os.waitpid(child, 0)
    print(json.dumps([code, seconds]), flush=True)
"""

#: Tests that read the package's text, for what runs when a module is imported: coverage sees none.
#: Those of the last file start a process each, and come last.
_GUARDS = ("tests/test_values.py", "tests/test_limits.py", "tests/test_golden_constants.py")
_SLOW_GUARDS = ("tests/test_package.py",)

#: What records the limits, tables and defaults of one room.
_RECORDED = "tests/test_golden_constants.py::test_limits_tables_and_defaults[{}]"

#: The first start of pytest has so many tests, later ones more: of most mutants one of the first
#: fails, and each start imports their files. Of tests that do not run the line so many run.
_BATCH, _LATER, _NEAR = 10, 240, 30


@dataclass(frozen=True)
class Mutant:
    """``wrong`` in the place of ``right`` at an offset of a file."""

    file: str
    offset: int
    right: str
    wrong: str

    @property
    def line(self) -> int:
        return (ROOT / self.file).read_text().count("\n", 0, self.offset) + 1

    @property
    def text(self) -> str:
        """The whole file with the mistake."""
        text = (ROOT / self.file).read_text()
        return text[: self.offset] + self.wrong + text[self.offset + len(self.right) :]

    @property
    def key(self) -> str:
        return hashlib.sha256(f"{self.file}\0{self.text}".encode()).hexdigest()[:12]


def sample(files: list[str], count: int, seed: int) -> list[Mutant]:
    """So many at random, each line as likely as another."""
    luck = random.Random(seed)
    lines: dict[tuple[str, int], list[Any]] = {}
    for file in files:
        for line, place in _places(file):
            lines.setdefault((file, line), []).append(place)
    order = sorted(lines)
    luck.shuffle(order)
    chosen: list[Mutant] = []
    for file, line in order:
        if count and len(chosen) == count:
            break
        choices = lines[file, line]
        luck.shuffle(choices)
        found = (each for each in (_mutant(file, p) for p in choices) if each is not None)
        chosen += islice(found, 1 if count else None)
    return chosen


def _sampled(files: list[str], count: int, seed: int) -> list[Mutant]:
    """:func:`sample`, kept for each text of the files; it takes a minute."""
    texts = b"\0".join((ROOT / file).read_bytes() for file in files)
    key = hashlib.sha256(f"{count} {seed} {files}".encode() + texts).hexdigest()[:12]
    path = WORK / f"sample-{key}.json"
    if path.is_file():
        return [Mutant(*each) for each in json.loads(path.read_text())]
    chosen = sample(files, count, seed)
    path.write_text(json.dumps([list(asdict(each).values()) for each in chosen]))
    return chosen


def _places(file: str) -> Iterator[tuple[int, Any]]:
    text = (ROOT / file).read_text()
    if file.endswith(".sv"):
        for found in mutate_rtl.mutants(text):
            yield text.count("\n", 0, found[0]) + 1, found
    else:
        for place in mutate_python.places(text):
            yield place[0], place


def _mutant(file: str, place: Any) -> Mutant | None:
    text = (ROOT / file).read_text()
    found = place if file.endswith(".sv") else mutate_python.made(text, place)
    return None if found is None else Mutant(file, *found)


class Tree:
    """A copy of the tree in which one mutant after the other is planted."""

    def __init__(self, number: int) -> None:
        self._lock, self._time = threading.Lock(), time.time_ns()
        self._server: subprocess.Popen[str] | None = None
        #: A processor's seconds of all runs so far.
        self.used = 0.0
        self.folder = WORK / f"tree-{os.getpid()}-{number}"
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard", "-z"],
            cwd=ROOT, check=True, capture_output=True, text=True,
        )  # fmt: skip
        for name in filter(None, listed.stdout.split("\0")):
            target = self.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / name).is_file():
                shutil.copy2(ROOT / name, target)
        (native,) = Path(sys.prefix).glob("lib/python*/site-packages/bnn/_native*.so")
        shutil.copy2(native, self.folder / "src" / "bnn" / native.name)
        (self.folder / "site").mkdir()
        (self.folder / "site" / "sitecustomize.py").write_text(_SITE)
        (self.folder / "site" / "bnn_mutants.py").write_text(_PLUGIN)
        files = "import bnn, bnn._native; print(bnn.__file__, bnn._native.__file__)"
        said = subprocess.run(
            [sys.executable, "-c", files],
            env=self._environment, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        if said.count(str(self.folder)) != 2:
            raise SystemExit(f"the copy would not be tested, but {said}")

    @property
    def _environment(self) -> dict[str, str]:
        # Compiled files are kept: a run of tests imports the whole package.
        kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        return {
            **kept,
            "PYTHONPATH": str(self.folder / "site"),
            "BNN_MUTANT_SRC": str(self.folder / "src"),
            "BNN_CACHE": str(WORK / "cache"),
            "BNN_MUTANT_NOW": str(self.folder / "now"),
        }

    def run(
        self,
        tests: list[str],
        limit: float,
        each: dict[str, float] | None = None,
        stop: bool = True,
    ) -> tuple[str, str]:
        """``passed``, ``failed``, ``hangs``, ``late`` or ``none``, and what pytest said.

        ``limit`` is in seconds of a processor; ten times as long may pass, and two minutes. With
        ``each``, seconds that a test may take, ``tests`` are names of tests, in order.
        """
        options = ["-q", "-n0", "-p", "no:cacheprovider", "-p", "no:cov", "-p", "bnn_mutants"]
        options += ["-p", "no:anyio", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
        options += ["-x"] if stop else []
        (self.folder / "chosen").write_text(json.dumps(None if each is None else tests))
        if each is not None:
            tests = list(dict.fromkeys(test.partition("::")[0] for test in tests))
        with self._lock:
            if self._server is None:
                self._server = subprocess.Popen(
                    [sys.executable, "-c", _SERVER], cwd=self.folder, text=True,
                    env={**self._environment, "BNN_MUTANT_CHOSEN": str(self.folder / "chosen")},
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                )  # fmt: skip
            server = self._server
            assert server.stdin is not None
            assert server.stdout is not None
            order = [[*options, *tests], limit, each or {}]
            print(json.dumps(order), file=server.stdin, flush=True)
            code, seconds = json.loads(server.stdout.readline())
            self.used += seconds
        said = (self.folder / "said").read_text(errors="replace")
        if isinstance(code, str):
            return code, said
        return {0: "passed", 5: "none"}.get(code, "failed"), said

    def measure(self, covered: Covered) -> None:
        """Measure files of tests that are new or changed."""
        if files := covered.missing():
            covered.measure(self.folder, self._environment, files)

    @property
    def now(self) -> str:
        """The test that ran last."""
        return (self.folder / "now").read_text()

    def plant(
        self, mutant: Mutant, tests: list[str], limit: float, each: dict[str, float] | None = None
    ) -> tuple[str, str]:
        """Run with the mistake, and take it back."""
        path = self.folder / mutant.file
        right = path.read_text()
        was = path.stat().st_mtime_ns
        path.write_text(mutant.text)
        self._time += 10**9  # of no other mutant: compiled files are told apart by it
        os.utime(path, ns=(self._time, self._time))
        try:
            return self.run(tests, limit, each)
        finally:
            path.write_text(right)
            os.utime(path, ns=(was, was))


def _tests(settings: dict[str, Any], file: str) -> list[str]:
    for entry in settings["tests"]:
        if any(fnmatch.fnmatch(file, pattern) for pattern in entry["files"]):
            return list(dict.fromkeys(entry["run"]))[: settings.get("first")]
    raise SystemExit(f"mutate.toml names no tests for {file}")


#: How pytest's summary names a test that did not pass.
_BAD = ("FAILED ", "ERROR ")


def _finder(said: str) -> str:
    lines = [line for line in said.splitlines() if line.startswith(_BAD)]
    return _named(lines[0]) if lines else "?"


def _named(line: str) -> str:
    return line.split(" - ")[0].split(" ", 1)[1]


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant, the test that told, and how many tests ran."""

    outcome: str
    by: str = ""
    ran: int = 0


def _run(
    chosen: list[Mutant], settings: dict[str, Any], jobs: int, budget: float
) -> dict[str, dict[str, Any]]:
    results = _kept()
    waiting = [each for each in chosen if each.key not in results]
    # In the order in which they were drawn: a run that is stopped is a fair sample too.
    trees: SimpleQueue[Tree] = SimpleQueue()
    made = [Tree(number) for number in range(min(jobs, len(waiting)))]
    covered = None
    if any(each.file.endswith(".py") for each in waiting):
        covered = Covered(ROOT, WORK / "coverage")
        made[0].measure(covered)
    for tree in made:
        trees.put(tree)
    proofs = _Proofs()
    lock, began = threading.Lock(), time.monotonic()

    def one(mutant: Mutant) -> None:
        tree, verdict = trees.get(), None
        start, used = time.monotonic(), tree.used
        try:
            if covered is not None and mutant.file.endswith(".py"):
                verdict = _by_lines(mutant, tree, covered, proofs, budget)
            if verdict is None:
                verdict = _by_list(mutant, tree, settings, proofs, budget if covered else None)
        finally:
            used = tree.used - used
            trees.put(tree)
        found = {
            **asdict(mutant),
            "key": mutant.key,
            "line": mutant.line,
            **asdict(verdict),
            "seconds": round(time.monotonic() - start, 1),
            "processor": round(used, 1),
        }
        with lock:
            results[mutant.key] = found
            if verdict.outcome != "passed" or "first" not in settings:  # others may find it yet
                with (WORK / "results.jsonl").open("a") as file:
                    file.write(json.dumps(found) + "\n")
            done = sum(each.key in results for each in chosen)
            where = f"{done}/{len(chosen)} {time.monotonic() - began:.0f} s: {mutant.file}"
            print(f"{where}:{mutant.line} {verdict.outcome} {verdict.by}", flush=True)

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(one, waiting))
    if covered is not None:
        found = [results[each.key] for each in chosen if each.file.endswith(".py")]
        _confirm([each for each in found if each["by"]], made[0], covered, proofs)
    return results


def _confirm(found: list[dict[str, Any]], tree: Tree, covered: Covered, proofs: _Proofs) -> None:
    """Run each test that failed with a mistake once without; where it fails, nothing was found."""
    asked = {each["by"]: covered.one_of(each["by"]) for each in found}
    left = sorted({test for test in asked.values() if test and not proofs.has(test)})
    while left:
        print(f"running {len(left)} tests that found something without any mistake", flush=True)
        patience = {test: covered.patience(test) for test in left}
        outcome, said = tree.run(left, 3600, patience, stop=False)
        broken = {_named(line) for line in said.splitlines() if line.startswith(_BAD)}
        if outcome in ("hangs", "late"):
            broken = {tree.now}
            left = [test for test in left if test != tree.now]
        else:
            for test in set(left) - broken:
                proofs.passed(test, covered.seconds[test])
            left = []
        for each in found:
            if asked[each["by"]] in broken:
                print(f"{each['by']} does not pass without a mistake either", flush=True)
                each["outcome"] = "unjudged"
                with (WORK / "results.jsonl").open("a") as file:
                    file.write(json.dumps(each) + "\n")


def _by_lines(
    mutant: Mutant, tree: Tree, covered: Covered, proofs: _Proofs, budget: float
) -> Verdict | None:
    """Run the tests that run the line, then others of the module.

    None where no test runs the line in its own process and the others pass.
    """
    exact, near = covered.tests(mutant.file, mutant.line)
    if not exact + near:
        return None
    end, ran = tree.used + budget, 0
    imported = covered.at_import(mutant.file, mutant.line)
    guards, slow = (covered.of_files(g) if imported else [] for g in (_GUARDS, _SLOW_GUARDS))
    own = _RECORDED.format(_room(mutant.file))  # the constants of other rooms cannot tell
    guards = [test for test in guards if "constants" not in test or test == own]
    for tests, needed in ((guards, True), (exact, True), (slow, True), (near[:_NEAR], False)):
        while tests:
            size = _BATCH if ran == 0 else _LATER
            batch, tests = tests[:size], tests[size:]
            left = end - tree.used
            patience = {test: covered.patience(test) for test in batch}
            outcome, said = tree.plant(mutant, batch, left, patience) if left > 0 else ("late", "")
            if outcome == "hangs":  # twice, for the machine may have been busy
                done = batch.index(tree.now) + 1
                batch, tests = batch[:done], [*batch[done:], *tests]
                outcome, said = tree.plant(mutant, batch[-1:], budget, patience)
            if outcome in ("failed", "hangs"):
                finder = _finder(said) if outcome == "failed" else tree.now
                if "::" not in finder:  # no test has failed: nothing could be read, or begun
                    proofs.begins(tree, batch[0], patience)
                return Verdict(outcome, finder, ran)
            if outcome == "late":
                return Verdict("unjudged" if needed else "passed", ran=ran)
            ran += len(batch)
    return Verdict("passed", ran=ran) if exact else None


def _room(file: str) -> str:
    """Return the room of a file of the package, as tests call it: "" for the package itself."""
    return Path(file).parts[2] if len(Path(file).parts) > 3 else ""


def _by_list(
    mutant: Mutant, tree: Tree, settings: dict[str, Any], proofs: _Proofs, budget: float | None
) -> Verdict:
    """Run the tests that ``mutate.toml`` names for the file."""
    end = tree.used + (budget or float("inf"))
    for count, tests in enumerate(_tests(settings, mutant.file)):
        start = tree.used
        outcome, said = tree.plant(mutant, [tests], min(proofs.limit(tests), end - start))
        if outcome == "late":
            outcome = "hangs" if budget is None else "late"
        if outcome in ("failed", "hangs"):
            finder = _finder(said) if outcome == "failed" else tree.now
            proofs.passes(tree, tests if outcome == "hangs" else finder, tests)
            return Verdict(outcome, finder, count + 1)
        if outcome == "late" or end < tree.used:
            return Verdict("unjudged", ran=count)
        proofs.passed(tests, tree.used - start)
    return Verdict("passed", ran=len(_tests(settings, mutant.file)))


class _Proofs:
    """Which tests pass without a mistake, and in how many seconds of a processor; kept for each
    text of the tests.

    Only a test that failed with a mistake is run without it: that is the one that must pass.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._path = WORK / "seconds.json"
        self._seconds: dict[str, float] = {}
        if self._path.is_file():
            self._seconds = json.loads(self._path.read_text())

    def limit(self, tests: str) -> float:
        return 4 * self._seconds.get(self._key(tests), 60) + 120

    def passed(self, tests: str, seconds: float) -> None:
        with self._lock:
            self._seconds[self._key(tests)] = seconds
            self._path.write_text(json.dumps(self._seconds, indent=1))

    def passes(self, tree: Tree, finder: str, tests: str) -> None:
        finder = tests if finder == "?" else finder
        if {self._key(finder), self._key(tests)} & set(self._seconds):
            return
        began = tree.used
        outcome, said = tree.run([finder], 3600)
        if outcome != "passed":
            raise SystemExit(f"without any mistake {finder} does not pass:\n{said[-3000:]}")
        self.passed(finder, tree.used - began)

    def begins(self, tree: Tree, test: str, patience: dict[str, float]) -> None:
        """Stop where tests do not even begin without a mistake; one is asked once."""
        if not self.has(test):
            outcome, said = tree.run([test], 600, patience)
            if outcome != "passed":
                raise SystemExit(f"without any mistake {test} does not pass:\n{said[-3000:]}")
            self.passed(test, 0)

    def has(self, test: str) -> bool:
        return self._key(test) in self._seconds

    def _key(self, tests: str) -> str:
        path = ROOT / tests.partition("::")[0]
        files = [path] if path.is_file() else sorted(path.rglob("*.py"))
        texts = b"".join(file.read_bytes() for file in files)
        return f"{tests} {hashlib.sha256(texts).hexdigest()[:12]}"


def _kept() -> dict[str, dict[str, Any]]:
    path = WORK / "results.jsonl"
    lines = path.read_text().splitlines() if path.is_file() else []
    return {found["key"]: found for found in map(json.loads, lines)}


def _planted(settings: dict[str, Any], jobs: int) -> None:
    """Plant again what once was missed; all must be found by the tests named beside it."""
    trees: SimpleQueue[Tree] = SimpleQueue()
    for number in range(jobs):
        trees.put(Tree(number))
    missed = []

    def one(entry: dict[str, Any]) -> None:
        text = (ROOT / entry["file"]).read_text()
        assert text.count(entry["right"]) == 1, (
            f"{entry['file']}: {entry['right']!r} is not there once"
        )
        mutant = Mutant(entry["file"], text.index(entry["right"]), entry["right"], entry["wrong"])
        tree = trees.get()
        outcome, said = tree.plant(mutant, entry["run"], 1800)
        trees.put(tree)
        print(f"{mutant.file}:{mutant.line} {outcome} {_finder(said)}", flush=True)
        if outcome == "passed" or _finder(said) == "?":
            missed.append(mutant)

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(one, settings["planted"]))
    print(f"{len(settings['planted']) - len(missed)} of {len(settings['planted'])} found")
    if missed:
        raise SystemExit(1)


_KINDS = {"failed": "found", "hangs": "hangs", "passed": "survived", "unjudged": "not judged"}


def _report(
    chosen: list[Mutant], results: dict[str, dict[str, Any]], settings: dict[str, Any]
) -> None:
    equal = {
        (each["file"], each["right"], each["wrong"], each["line"])
        for each in settings.get("equivalent", [])
    }
    table: dict[str, Counter[str]] = {}
    for mutant in chosen:
        result = results[mutant.key]
        text = (ROOT / mutant.file).read_text().splitlines()[mutant.line - 1].strip()
        kind = _KINDS[result["outcome"]]
        if (
            kind in ("survived", "not judged")
            and (mutant.file, mutant.right, mutant.wrong, text) in equal
        ):
            kind = "equivalent"
        table.setdefault(mutant.file, Counter())[kind] += 1
        if kind in ("survived", "not judged"):
            before = (ROOT / mutant.file).read_text()
            print(f"\n{mutant.file}:{mutant.line} {kind}: {mutant.right!r} -> {mutant.wrong!r}")
            print(mutate_python.diff(mutant.file, before, mutant.text))
    total: Counter[str] = sum(table.values(), Counter())
    kinds = ("found", "hangs", "survived", "equivalent", "not judged")
    print(f"\n{'file':44}" + "".join(f"{kind:>11}" for kind in kinds))
    for file, counts in [*sorted(table.items()), ("all", total)]:
        print(f"{file:44}" + "".join(f"{counts[kind]:11}" for kind in kinds))
    found = total["found"] + total["hangs"]
    real = found + total["survived"]
    print(
        f"{found} of {real} judged that change something were found "
        f"({100 * found / max(1, real):.0f} %)"
    )


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", help="files or patterns, from the root of the tree")
    parser.add_argument("--count", type=int, default=0, help="so many, chosen at random; 0: all")
    parser.add_argument("--seed", type=int, default=1, help="of the choice")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--budget", type=float, default=60, help="a processor's seconds for each in Python"
    )
    parser.add_argument("--first", type=int, help="run so many of the tests only, to see most soon")
    parser.add_argument("--list", action="store_true", help="print the mutants, run nothing")
    parser.add_argument("--planted", action="store_true", help="only what once was missed")
    given = parser.parse_args()
    settings = tomllib.loads((ROOT / "tools" / "mutate.toml").read_text())
    WORK.mkdir(parents=True, exist_ok=True)
    if given.first:
        settings["first"] = given.first
    if given.planted:
        _planted(settings, given.jobs)
        return
    files = sorted(
        {str(p.relative_to(ROOT)) for pattern in given.files for p in ROOT.glob(pattern)}
    )
    if not files:
        raise SystemExit(f"no such files: {' '.join(given.files)}")
    chosen = _sampled(files, given.count, given.seed)
    if given.list:
        for each in chosen:
            print(f"{each.key} {each.file}:{each.line} {each.right!r} -> {each.wrong!r}")
        return
    _report(chosen, _run(chosen, settings, given.jobs, given.budget), settings)


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: BSD-3-Clause
"""`make fuzz`: coverage-guided fuzzing of every reader, and of the native program and plan.

    python tests/fuzz/fuzz.py --seconds 300 [--runs N] [--only bnn,qonnx] [--native PROGRAM]
                              [--write docs/reliability.md]

Readers are fuzzed one after the other, each in a process of its own, so that one that dies is a
finding and not the end. Corpus, counts and failing inputs are kept in ``build/fuzz``; a second run
goes on from there and adds to the counts.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from readers import Reader

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
WORK = ROOT / "build" / "fuzz"
sys.path.insert(0, str(HERE))

#: Deaths of one reader's process in a run, before it is left alone.
MAX_DEATHS = 20
#: What a reader gets at least: its seeds take that long.
MIN_SECONDS = 1.0
#: Seconds after its time from which a process hangs: a library may not let libFuzzer stop it.
MAX_OVERTIME_S = 240
EMPTY: dict = {"inputs": 0, "taken": 0, "failures": 0, "crashes": 0, "slowest": 0.0, "mib": 0}
MARKS = ("<!-- fuzzing -->", "<!-- end of fuzzing -->")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--runs", type=int, default=0, help="of each reader; 0: no limit")
    parser.add_argument("--only", default="", help="names of readers, by commas")
    parser.add_argument("--native", default="", help="program of the native target")
    parser.add_argument("--write", type=Path, help="put the table into this file")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--coverage", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        return one(given.one, given.seconds, given.runs)
    if given.coverage:
        return coverage(given.coverage)
    return everything(given)


# --- one reader, in a process of its own ---------------------------------------------


def one(name: str, seconds: float, runs: int) -> int:
    import atheris
    import readers
    from mutators import changed

    reader = readers.READERS[name]
    instrument(reader)
    folder = WORK / name
    stats = dict(EMPTY)
    place = Path(tempfile.mkdtemp())  # in a folder that the parent removes
    known: set[str] = set()
    written = time.monotonic()

    def test(data: bytes) -> None:
        nonlocal written
        path = place / f"input{Path(name).suffix}"
        path.write_bytes(data)
        stats["inputs"] += 1
        start = time.thread_time()
        try:
            stats["taken"] += readers.attempt(reader, path, len(data))
        except readers.UnfitError as reason:
            keep(name, data, reason, known, stats)
        stats["slowest"] = max(stats["slowest"], time.thread_time() - start)
        if time.monotonic() - written > 1:
            written = time.monotonic()
            _write(folder / "stats.json", stats)

    def mutator(data: bytes, max_size: int, seed: int) -> bytes:
        made = changed(
            reader.mutator, data, lambda part: atheris.Mutate(part, len(part) + 64), seed
        )
        return made[:max_size]

    options = [
        f"-max_len={reader.max_len}",
        "-timeout=120",
        "-rss_limit_mb=6144",
        "-print_final_stats=0",
    ]
    options += [
        f"-artifact_prefix={folder}/died/",
        f"-max_total_time={int(seconds)}",
        "-verbosity=0",
    ]
    options += [f"-runs={runs}"] if runs else []
    corpora = [folder / "corpus", readers.SEEDS / name, readers.FAILED / name]
    try:
        atheris.Setup(
            [sys.argv[0], *options, *(str(c) for c in corpora if c.is_dir())],
            test,
            custom_mutator=mutator if reader.mutator else None,
        )
        atheris.Fuzz()
    finally:
        _write(folder / "stats.json", stats)
    return 0


def instrument(reader: Reader) -> None:
    """Let atheris count the branches of the reader's own modules.

    Its import hook does not see an editable package. What other modules do is not counted: it
    would make every input slower, and inputs that are new only there are of no use.
    """
    import atheris

    done = set()
    for name in (f"bnn.{module}" for module in reader.modules):
        for value in list(vars(importlib.import_module(name)).values()):
            members = list(vars(value).values()) if isinstance(value, type) else []
            for item in [value, *members]:
                function = getattr(item, "fget", None) or getattr(item, "__func__", item)
                function = inspect.unwrap(function) if callable(function) else function
                own = getattr(function, "__module__", "") == name
                if inspect.isfunction(function) and own and function not in done:
                    done.add(function)
                    atheris.instrument_func(function)


def keep(name: str, data: bytes, reason: BaseException, known: set[str], stats: dict) -> None:
    """Keep an input that failed, once for each place in the code."""
    stats["failures"] += 1
    cause = reason.__cause__
    frames = traceback.extract_tb(cause.__traceback__) if cause else []
    mine = [f for f in frames if "/bnn/" in f.filename] or frames
    where = f"{Path(mine[-1].filename).name}-{mine[-1].lineno}" if mine else "limits"
    key = f"{where}-{type(cause).__name__ if cause else 'limit'}"
    if key in known:
        return
    known.add(key)
    folder = WORK / name / "failed"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / key).write_bytes(data)
    text = "".join(traceback.format_exception(reason)) if cause else str(reason)
    (folder / f"{key}.txt").write_text(text, encoding="utf-8")
    sys.stderr.write(f"{name}: {key}: {reason}\n")


def _memory() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _write(path: Path, values: dict) -> None:
    path.with_suffix(".new").write_text(json.dumps(values), encoding="utf-8")
    path.with_suffix(".new").replace(path)


# --- all of them ---------------------------------------------------------------------


def everything(given: argparse.Namespace) -> int:
    import readers

    fuzzed = [name for name, reader in readers.READERS.items() if reader.fuzzed]
    known = [*fuzzed, "native"]
    built = Path(given.native).is_file() if given.native else False
    names = given.only.split(",") if given.only else [*fuzzed, *(["native"] if built else [])]
    if wrong := sorted(set(names) - set(known)):
        raise SystemExit(f"no reader {', '.join(wrong)}; there are: {', '.join(known)}")
    share = max(MIN_SECONDS, given.seconds / len(names))
    bad = 0
    for name in names:
        before = total(name)
        if name == "native":
            native(Path(given.native), share, given.runs)
        else:
            run(name, share, given.runs)
        after = total(name)
        bad += sum(after[key] - before[key] for key in ("failures", "crashes"))
        if after["inputs"] == before["inputs"]:  # nothing was tried: that is no success
            sys.stdout.write(f"{name}: no input was tried; see {WORK / name / 'log'}\n")
            bad += 1
        _write(WORK / name / "total.json", {**after, "covered": covered(name)})
    table = as_table([(name, total(name)) for name in known if (WORK / name).is_dir()])
    sys.stdout.write(table)
    if given.write is not None:
        text = given.write.read_text(encoding="utf-8")
        start, end = (text.index(mark) for mark in MARKS)
        made = f"{text[: start + len(MARKS[0])]}\n{table}{text[end:]}"
        given.write.write_text(made, encoding="utf-8")
    if bad:
        sys.stdout.write(f"{bad} failures now; inputs and reasons are in {WORK}/*/failed\n")
    return int(bad > 0)


def run(name: str, seconds: float, runs: int) -> None:
    folder = WORK / name
    for part in ("corpus", "died", "failed"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + seconds
    for deaths in range(MAX_DEATHS):
        left = end - time.monotonic()
        if deaths and left < 1:
            break
        (folder / "stats.json").unlink(missing_ok=True)
        command = [sys.executable, __file__, "--one", name, "--seconds", str(int(left) + 1)]
        command += ["--runs", str(runs)]
        with tempfile.TemporaryDirectory(prefix="bnn-fuzz-", dir=_memory()) as place:
            code = _watched(command, folder / "log", place, left + MAX_OVERTIME_S)
            if code != 0:  # what it was reading, if libFuzzer could not keep it
                for path in Path(place).glob("*/input*"):
                    if path.is_file():
                        shutil.copyfile(path, folder / "failed" / f"last-{time.time():.0f}")
            add(name, code, folder)
        if code == 0:
            break
    done = total(name)
    sys.stdout.write(f"{name}: {done['inputs']} inputs, {done['failures']} failures, ")
    sys.stdout.write(f"{done['crashes']} crashes, slowest {done['slowest']:.1f} s\n")
    sys.stdout.flush()


def _watched(command: list[str], log: Path, place: str, seconds: float) -> int:
    """Exit status of a process that gets so many seconds; 1 if they were not enough."""
    environment = {**os.environ, "TMPDIR": place}
    with log.open("w") as file, contextlib.suppress(subprocess.TimeoutExpired):
        return subprocess.run(
            command, stdout=file, stderr=file, check=False, env=environment, timeout=seconds
        ).returncode
    return 1


def add(name: str, code: int, folder: Path) -> None:
    """Add what a process did to what was done before; what killed it is kept."""
    values = total(name)
    with contextlib.suppress(OSError, ValueError):
        new = json.loads((folder / "stats.json").read_text(encoding="utf-8"))
        for key, value in new.items():
            largest = key in ("slowest", "mib")
            values[key] = max(values[key], value) if largest else values[key] + value
    died = list((folder / "died").iterdir()) if (folder / "died").is_dir() else []
    for path in died:
        path.replace(folder / "failed" / path.name)
    if code != 0:
        values["crashes"] += 1
        log = (folder / "log").read_text(encoding="utf-8", errors="replace")
        (folder / "failed" / f"death-{values['crashes']}.txt").write_text(log[-20_000:], "utf-8")
    _write(folder / "total.json", values)


def total(name: str) -> dict:
    try:
        values = json.loads((WORK / name / "total.json").read_text(encoding="utf-8"))
        return {**EMPTY, "covered": "-", **values}
    except (OSError, ValueError):
        return {**EMPTY, "covered": "-"}


def native(program: Path, seconds: float, runs: int) -> None:
    folder = WORK / "native"
    for part in ("corpus", "died", "failed"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    options = ["-timeout=10", "-rss_limit_mb=1536", "-malloc_limit_mb=1024", "-max_len=512"]
    options += ["-len_control=0", "-reload=0"]
    options += [f"-artifact_prefix={folder}/died/", f"-max_total_time={int(seconds) + 1}"]
    options += [f"-runs={runs}"] if runs else []
    with (folder / "log").open("w") as log:
        corpora = [str(folder / "corpus"), str(ROOT / "native" / "fuzz" / "seeds")]
        command = [str(program), *options, "-print_final_stats=1", *corpora]
        code = subprocess.run(command, stdout=log, stderr=log, check=False).returncode
    text = (folder / "log").read_text(encoding="utf-8", errors="replace")
    found = re.search(r"stat::number_of_executed_units:\s*(\d+)", text)
    inputs = (
        int(found[1])
        if found
        else max(map(int, re.findall(r"^#(\d+)", text, re.MULTILINE)), default=0)
    )
    slowest = re.search(r"stat::slowest_unit_time_sec:\s*(\d+)", text)
    mib = re.search(r"stat::peak_rss_mb:\s*(\d+)", text)
    stats = {"inputs": inputs, "slowest": float(slowest[1]) if slowest else 0.0}
    _write(folder / "stats.json", {**stats, "mib": int(mib[1]) if mib else 0})
    add("native", code, folder)
    sys.stdout.write(f"native: {inputs} inputs, exit {code}\n")


def covered(name: str) -> str:
    """The share of a reader's own lines that its inputs reach, in a process of its own."""
    if name == "native":
        return "-"
    command = [sys.executable, __file__, "--coverage", name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else "?"


def as_table(rows: list[tuple[str, dict]]) -> str:
    lines = ["| reader | inputs | taken | lines covered | crashes | failures | slowest input |"]
    lines.append("|---|---:|---:|---:|---:|---:|---:|")
    for name, values in rows:
        lines.append(
            f"| {name} | {values['inputs']:,} | {values['taken']:,} | {values['covered']} | "
            f"{values['crashes']} | {values['failures']} | {values['slowest']:.1f} s |"
        )
    count = sum(values["inputs"] for _, values in rows)
    return "\n".join([*lines, f"| all | {count:,} | | | | | |", ""])


def coverage(name: str) -> int:
    """Print the share of a reader's lines that its seeds and corpus reach."""
    import coverage as lines

    measured = lines.Coverage(data_file=None, source_pkgs=["bnn"])
    measured.start()
    import readers

    reader = readers.READERS[name]
    place = Path(tempfile.mkdtemp(prefix="bnn-fuzz-", dir=_memory()))
    for path in [*readers.kept(name), *sorted((WORK / name / "corpus").iterdir())]:
        data = path.read_bytes()
        (place / "input").write_bytes(data)
        with contextlib.suppress(readers.UnfitError):
            readers.attempt(reader, place / "input", len(data))
    measured.stop()
    shutil.rmtree(place)
    wanted = missed = 0
    for module in reader.modules:
        file = ROOT / "src" / "bnn" / (module.replace(".", "/") + ".py")
        if not file.exists():
            file = ROOT / "src" / "bnn" / module.replace(".", "/") / "__init__.py"
        _, statements, _, missing, _ = measured.analysis2(str(file))
        wanted, missed = wanted + len(statements), missed + len(missing)
    sys.stdout.write(f"{100 * (wanted - missed) / max(wanted, 1):.0f} %\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

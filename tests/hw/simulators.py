# SPDX-License-Identifier: BSD-3-Clause
"""Small simulators for benches: Verilator's output and a ``main``, built here, and kept."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from bnn.hw.render import library
from bnn.hw.toolchain import verilator


def built(
    top: str,
    modules: Iterable[str],
    texts: Mapping[str, str],
    main: str,
    more_flags: Iterable[str] = (),
) -> Path:
    """A simulator with a ``main`` of its own; kept under a digest of all that goes into it.

    Args:
        top: the topmost module, of ``modules`` of the package or of ``texts``, by file name.
        more_flags: of Verilator.
    """
    own = {name: library()[name] for name in (*reached(modules), "bnn_registers.svh")}
    texts = {**own, **texts, "main.cpp": main, "flags": " ".join(more_flags)}
    digest = hashlib.sha256("\0".join(f"{n}\0{t}" for n, t in texts.items()).encode()).hexdigest()
    program = _cache() / f"{top}-{digest[:32]}"
    if program.is_file():
        return program
    root, compiler = verilator.verilator_root(), verilator.compiler()
    with tempfile.TemporaryDirectory(dir=_cache()) as work:
        for name, text in texts.items():
            (Path(work) / name).write_text(text)
        flags = ["--cc", "--top-module", top, "-O3", "-Wno-fatal", "-Wno-lint", "--x-assign"]
        flags += ["unique", "--x-initial", "unique", "--output-split", "100000", "--Mdir", "."]
        flags += ["-Werror-USERERROR"]
        flags += more_flags
        sources = [name for name in texts if name.endswith(".sv")]
        _tool(
            work, [str(root / "bin" / "verilator_bin"), *flags, *sources], VERILATOR_ROOT=str(root)
        )
        command = [*compiler, "-std=c++20", "-w", "-O0", "-I.", f"-I{root / 'include'}"]
        command += [f"-I{root / 'include' / 'vltstd'}"]
        units = sorted(Path(work).glob(f"V{top}*.cpp"))
        (Path(work) / "all.cpp").write_text("".join(f'#include "{u.name}"\n' for u in units) + main)
        objects = [str(path) for path in _runtime(command)]
        _tool(work, [*command, "-pthread", "-o", "simulator", "all.cpp", *objects])
        shutil.move(f"{work}/simulator", program)
    return program


def _runtime(command: list[str]) -> list[Path]:
    """Verilator's own library, the same for all."""
    include = verilator.verilator_root() / "include"
    key = hashlib.sha256(" ".join(command).encode()).hexdigest()[:16]
    made = []
    for name in ("verilated", "verilated_threads"):
        path = _cache() / f"{name}-{key}.o"
        if not path.is_file():
            with tempfile.TemporaryDirectory(dir=_cache()) as work:
                _tool(work, [*command, "-O1", "-c", "-o", "made.o", str(include / f"{name}.cpp")])
                shutil.move(f"{work}/made.o", path)
        made.append(path)
    return made


def reached(modules: Iterable[str]) -> list[str]:
    """Files of these and of all that they are made of."""
    found: list[str] = []
    waiting = [f"{name}.sv" for name in modules]
    while waiting:
        name = waiting.pop()
        if name not in found and name in library():
            found.append(name)
            waiting += [f"{each}.sv" for each in re.findall(r"\b(bnn_\w+) #\(", library()[name])]
    return sorted(found)


def _cache() -> Path:
    folder = Path(os.environ["BNN_CACHE"]) / "benches"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _tool(work: str, command: list[str], **variables: str) -> None:
    run = subprocess.run(
        command,
        cwd=work,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, f"{command[0]}: {run.stderr[:2000]}"

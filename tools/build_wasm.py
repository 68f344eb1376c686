# SPDX-License-Identifier: BSD-3-Clause
"""Compile the core to WebAssembly for the page (src/bnn/web/site/bnn-*.wasm), or compare.

The compiled files are in the tree, so that a machine without a compiler for WebAssembly gets the
page too. One version of ziglang makes them: another one makes other bytes.
``native/wasm/built.json`` says which, and from which sources.

    python tools/build_wasm.py           # compile; the first time also libc++: minutes
    python tools/build_wasm.py --check   # were they compiled from the sources of this tree?
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "src/bnn/web/site"
RECORD = ROOT / "native/wasm/built.json"
CORE = (
    "compile",
    "dispatch",
    "depthwise_step",
    "dot_step",
    "encode",
    "pack",
    "plan",
    "program",
    "scan_step",
    "steps",
)
SOURCES = (
    "native/wasm/core.cpp",
    "native/wasm/throwing.cpp",
    *(f"native/src/{name}.cpp" for name in CORE),
    "native/src/kernels/portable.cpp",
)
SETS = "-DBNN_KERNEL_SETS=X(simd128) X(portable)"
SIMD = ["native/src/kernels/simd128.cpp"]
#: Flags and further sources of each file, for browsers with relaxed SIMD (Chrome since 2023), with
#: SIMD (all since 2023), and without.
VARIANTS: dict[str, tuple[list[str], list[str]]] = {
    "relaxed": ([SETS, "-mcpu=generic+simd128+relaxed_simd"], SIMD),
    "simd128": ([SETS, "-mcpu=generic+simd128"], SIMD),
    "portable": (["-DBNN_KERNEL_SETS=X(portable)", "-mcpu=generic"], []),
}
#: A reactor is a library, not a program. Exceptions: see native/wasm/throwing.cpp.
FLAGS = (
    *("-std=c++20", "-O3", "-DNDEBUG", "-g0", "-s", "-target", "wasm32-wasi"),
    *("-mexec-model=reactor", "-fexceptions", "-fno-rtti", "-Inative/include", "-Inative/src"),
    "-Wl,--gc-sections",
)


def name_of(variant: str) -> str:
    """Return the file name of a variant."""
    return f"bnn-{variant}.wasm"


def build(folder: Path, variant: str) -> bytes:
    """Compile one variant into ``folder``; return its bytes."""
    flags, more = VARIANTS[variant]
    target = folder / name_of(variant)
    command = [sys.executable, "-m", "ziglang", "c++", *FLAGS, *flags, *SOURCES, *more]
    subprocess.run([*command, "-o", str(target)], cwd=ROOT, check=True, env=dict(os.environ))
    return target.read_bytes()


def digest_of_sources() -> str:
    """Return the SHA-256 over the flags and every file that is compiled or included."""
    hasher = hashlib.sha256(repr((FLAGS, VARIANTS)).encode())
    for name in sorted(included({*SOURCES, *SIMD})):
        hasher.update(f"{name}\0".encode() + (ROOT / name).read_bytes())
    return hasher.hexdigest()


def included(sources: set[str]) -> set[str]:
    """Return ``sources`` and all files of native/ that they include, directly or not."""
    found, left = set(sources), list(sources)
    while left:
        path = ROOT / left.pop()
        for wanted in re.findall(r'#include "(.+)"', path.read_text(encoding="utf-8")):
            places = (path.parent, ROOT / "native/include", ROOT / "native/src")
            home = next(place for place in places if (place / wanted).is_file())
            name = (home / wanted).resolve().relative_to(ROOT).as_posix()
            if name not in found:
                found.add(name)
                left.append(name)
    return found


def stale() -> str:
    """Return why the files in the tree must be made again; "" if they need not be."""
    known = json.loads(RECORD.read_text(encoding="utf-8"))
    if known["sources"] != digest_of_sources():
        return "native/ has changed since the page's .wasm files were compiled: run make wasm"
    for variant in VARIANTS:
        path = SITE / name_of(variant)
        if hashlib.sha256(path.read_bytes()).hexdigest() != known["files"][path.name]:
            return f"{path.name} is not the file that was compiled: run make wasm"
    return ""


def compiler() -> str:
    """Return the version of ziglang here; "" if it is not installed."""
    try:
        return version("ziglang")
    except PackageNotFoundError:
        return ""


def make() -> None:
    """Compile all variants and record what they were compiled from."""
    digests = {}
    for variant in VARIANTS:
        print(f"compiling {name_of(variant)}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            content = build(Path(folder), variant)
        (SITE / name_of(variant)).write_bytes(content)
        digests[name_of(variant)] = hashlib.sha256(content).hexdigest()
    record = {"ziglang": compiler(), "sources": digest_of_sources(), "files": digests}
    RECORD.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def main() -> int:
    """Compile, or with ``--check`` print what is out of date; return 1 if something is."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the sources only")
    if not parser.parse_args().check:
        make()
        return 0
    reason = stale()
    if reason:
        print(reason)
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main())

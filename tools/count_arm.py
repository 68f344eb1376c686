# SPDX-License-Identifier: BSD-3-Clause
"""Count the instructions that a 32-bit ARM processor with NEON runs for each layer, under qemu.

Each layer of the models below is cut out as a part (`bnn.program.cut`), compiled for ARM with the
native core (`tools/arm/run.cpp`) and run under qemu-user with a plugin that counts instructions
(`tools/arm/count.c`). The counts of many runs less those of one leave out the start. The result is
`src/bnn/plan/arm.json`, which `bnn split` reads.

Debian packages: qemu-user, g++-arm-linux-gnueabihf.

    python tools/count_arm.py
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import bnn
from bnn.plan.arm import FILE, MANY, ONE, features, signature
from bnn.program.cut import layers, part
from bnn.program.inputs import PictureInput
from bnn.program.operations import INPUT, ArgMax, Dot, Pool, Threshold, Window
from bnn.program.program import Program
from bnn.run.cpu import _lattice

ROOT = Path(__file__).parents[1]
MODELS = ("cnv-w1a1", "cnv-w1a2", "cnv-w2a2", "lfc-w1a1", "lfc-w1a2")
BATCHES = (ONE, MANY)
COMPILER = "arm-linux-gnueabihf-g++"


def main() -> int:
    """Count every layer and every whole model; write the file."""
    for tool in (COMPILER, "qemu-arm", "gcc", "cmake"):
        if shutil.which(tool) is None:
            print(f"{tool} is not installed", file=sys.stderr)
            return 1
    build()
    found: dict[str, dict[str, list[int]]] = {}
    singles: dict[str, Program] = {}
    for name in MODELS:
        program = bnn.load(name).program
        ends = [layer.ops[-1] for layer in layers(program)]
        ends[-1] = program.scores
        parts = [
            part(program, start, end) for start, end in zip([INPUT, *ends], ends, strict=False)
        ]
        for each in [*parts, part(program, end=program.scores)]:
            key = signature(each)
            if key not in found:
                found[key] = {str(batch): counted(each, batch) for batch in BATCHES}
                print(f"{name}: {key}: {found[key]}", flush=True)
            singles.setdefault(key, each)
    values = {"counted": found, **fitted(found, singles)}
    FILE.write_text(json.dumps(values, indent=1) + "\n", encoding="ascii")
    return 0


def fitted(found: dict[str, dict[str, list[int]]], parts: dict[str, Program]) -> dict[str, object]:
    """Return the rates of the estimate, fitted by relative error, and its errors in cycles."""
    work = np.array([features(each) for each in parts.values()])
    every = np.array([found[key]["1"] for key in parts], float)
    neon, others = every[:, 1], every[:, 0] - every[:, 1]
    rates = {"neon": positive(work, neon), "others": positive(work, others)}
    true = 2 * neon + others
    made = work @ (2 * np.array(rates["neon"]) + np.array(rates["others"]))
    wrong = np.abs(made / true - 1)
    print(f"estimate: {100 * wrong.mean():.1f} % mean error, {100 * wrong.max():.1f} % the largest")
    return {**rates, "mean_error": round(wrong.mean(), 3), "largest_error": round(wrong.max(), 3)}


def positive(work: np.ndarray, wanted: np.ndarray) -> list[float]:
    """Return the rates of least relative error that are not negative."""
    kept = list(range(work.shape[1]))
    while True:
        rates = np.linalg.lstsq(work[:, kept] / wanted[:, None], np.ones(len(wanted)), rcond=None)[
            0
        ]
        if (rates >= 0).all():
            break
        del kept[int(rates.argmin())]
    found = np.zeros(work.shape[1])
    found[kept] = rates
    return [float(f"{rate:.4g}") for rate in found]


def build() -> None:
    """Build the core, the program and the plugin in ``build/``."""
    core, place = ROOT / "build" / "cross-armv7-core", ROOT / "build" / "arm"
    place.mkdir(parents=True, exist_ok=True)
    run(
        *("cmake", "-S", ROOT, "-B", core, "-DCMAKE_BUILD_TYPE=Release", "-DBNN_PYTHON=OFF"),
        *("-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=armv7"),
        f"-DCMAKE_CXX_COMPILER={COMPILER}",
    )
    run("cmake", "--build", core, "--target", "bnn_core", "-j", "2")
    sources = ROOT / "tools" / "arm"
    run("gcc", "-O2", "-shared", "-fPIC", "-o", place / "count.so", sources / "count.c")
    run(
        *(COMPILER, "-O2", "-std=c++20", "-static", "-o", place / "run", sources / "run.cpp"),
        *(f"-I{ROOT / 'native' / 'include'}", core / "libbnn_core.a", "-lpthread"),
    )


def run(*words: str | Path) -> str:
    """Run a command; return what it writes to standard error."""
    done = subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True)
    return done.stderr


def counted(program: Program, batch: int) -> list[int]:
    """Return the instructions of one image, all and NEON's, in batches of ``batch``."""
    place = ROOT / "build" / "arm"
    with tempfile.NamedTemporaryFile(suffix=".program") as file:
        file.write(numbers(program).astype("<i4").tobytes())
        file.flush()
        ends = []
        for repeats in (1, 3):
            words = ("-plugin", place / "count.so", place / "run", file.name, repeats, batch)
            text = run("qemu-arm", *map(str, words))
            ends.append([int(word) for word in text.split("counted")[1].split()])
    return [(last - first) // (2 * batch) for first, last in zip(*ends, strict=True)]


def numbers(program: Program) -> np.ndarray:
    """Return the program as 32-bit integers, as `tools/arm/run.cpp` reads them."""
    edge = program.edges[INPUT]
    table = program.input.table if isinstance(program.input, PictureInput) else []
    found: list[np.ndarray] = [np.array([*edge.shape, *_lattice(program), len(table), *table])]
    places = {INPUT: 0}
    for op in program.ops:
        at = places[op.source]
        match op:
            case Window():
                values = [0, at, *op.kernel, *op.stride, *op.padding, op.pad_value]
                found.append(np.array(values))
            case Dot():
                bias = np.zeros(0) if op.bias is None else op.bias
                found += [np.array([1, at, *op.weights.shape]), op.weights.ravel()]
                found += [np.array([len(bias)]), bias]
            case Threshold():
                signs = np.zeros(0) if op.signs is None else op.signs
                shape = op.thresholds.shape
                found += [np.array([2, at, *shape, op.base, op.step]), op.thresholds.ravel()]
                found += [np.array([len(signs)]), signs]
            case Pool():
                found.append(np.array([3, at, *op.kernel, *op.stride, *op.padding]))
            case ArgMax():
                raise ValueError("an arg max is the host's")
            case _:
                raise ValueError(f"{op.name}: not counted")
        places[op.name] = len(places)
    return np.concatenate(found)


if __name__ == "__main__":
    sys.exit(main())

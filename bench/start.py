# SPDX-License-Identifier: BSD-3-Clause
"""Measure what comes before the first answer: ``bench/start.py``.

CPU time (user and system) of ``bnn classify`` of one picture, beside a Python that only imports
numpy, Pillow, typer and rich; and of a program of VGG-16's size: made, checked and packed, with
the memory above what the process had before.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import bnn
from bnn.measure.speed import machine
from bnn.program.inputs import PictureInput, fixed_point_table
from bnn.program.operations import Dot, Op, Pool, Threshold, Window
from bnn.program.precision import BIPOLAR, INT
from bnn.program.program import Program
from bnn.run import cpu

IMPORTS = "import numpy, PIL.Image, typer, rich"
PICTURE = Path(bnn.__file__).parent / "samples/cifar10/Bird.png"
CLASSIFY = "import sys; from bnn.commands.main import main; main()"
#: Channels of VGG-16's convolutions; 0 is a pool.
VGG = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0)


def cpu_seconds(compiled: str, *command: str) -> float:
    """Return the user and system time of a process; ``compiled`` is its folder of bytecode."""
    # pip compiles what it installs; a copy to develop in may be forbidden to.
    settings = {**os.environ, "PYTHONPYCACHEPREFIX": compiled, "PYTHONDONTWRITEBYTECODE": ""}
    call = [sys.executable, "-c", *command]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(call, check=True, stdout=subprocess.DEVNULL, env=settings)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def resident() -> int:
    """Return the bytes of memory that this process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def signs(rows: int, columns: int) -> np.ndarray:
    """Return random signs, int8 (rows, columns)."""
    return np.random.default_rng(rows).integers(0, 2, (rows, columns), dtype=np.int8) * 2 - 1


def vgg_weights() -> list[np.ndarray | None]:
    """Return the weights of VGG-16's layers, None for a pool."""
    found: list[np.ndarray | None] = []
    channels = 3
    for rows in VGG:
        found.append(signs(rows, 9 * channels) if rows else None)
        channels = rows or channels
    return [*found, *(signs(*shape) for shape in ((4096, 25088), (4096, 4096), (1000, 4096)))]


def vgg(weights: list[np.ndarray | None]) -> Program:
    """Return the program of these weights."""
    ops: list[Op] = []
    last = "input"

    def add(op: Op) -> None:
        nonlocal last
        ops.append(op)
        last = op.name

    for number, matrix in enumerate(weights):
        if matrix is None:
            add(Pool(f"pool{number}", last, (2, 2), (2, 2)))
            continue
        if number < len(VGG):
            pad = 0 if number == 0 else -1
            add(Window(f"window{number}", last, (3, 3), (1, 1), (1, 1, 1, 1), pad))
        elif number == len(VGG):
            add(Window(f"window{number}", last, (7, 7)))
        add(Dot(f"dot{number}", last, matrix, BIPOLAR))
        if number + 1 < len(weights):
            limits = np.zeros((len(matrix), 1), np.int32)
            add(Threshold(f"act{number}", last, limits, BIPOLAR, -1, 2))
    return Program(PictureInput((224, 224, 3), INT(8), fixed_point_table()), tuple(ops), last)


def build_large() -> str:
    """Return a line about VGG-16's size."""
    weights = vgg_weights()
    count = sum(each.size for each in weights if each is not None)
    before, peak, done = resident(), 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.005):
            peak = max(peak, resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.process_time()
    runtime = cpu.prepare(vgg(weights), threads=1)
    taken = time.process_time() - began
    done.set()
    watcher.join()
    each = (peak - before) / count
    return (
        f"VGG-16's size, {count / 1e6:.0f} M weights: {taken:.2f} s CPU to make, check and pack "
        f"(kernel {runtime.kernel}), {each:.2f} bytes a weight at most"
    )


def main() -> None:
    """Print three lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--no-large", dest="large", action="store_false", help="no VGG-16")
    options = parser.parse_args()
    rounds = options.rounds
    print(machine())
    bare, whole = 1e9, 1e9
    with TemporaryDirectory() as compiled:
        for _ in range(rounds + 1):  # the first one compiles, and is not the fastest
            bare = min(bare, cpu_seconds(compiled, IMPORTS))
            classify = CLASSIFY, "classify", "cnv-w1a1", str(PICTURE)
            whole = min(whole, cpu_seconds(compiled, *classify))
    print(f"{IMPORTS}: {bare:.3f} s CPU")
    print(f"bnn classify cnv-w1a1 PICTURE: {whole:.3f} s CPU, {whole / bare:.2f} of the imports")
    if options.large:
        print(build_large())


if __name__ == "__main__":
    main()

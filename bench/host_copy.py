# SPDX-License-Identifier: BSD-3-Clause
"""The host's work per image before a start of the accelerator, against memcpy of the same bytes.

    python bench/host_copy.py

One process, pieces of 1 MiB as the runtime copies them, the best of 30 times. ``bytes`` is a design
that reads pictures as they are, ``packed`` one for which the host packs them; both copy into a
buffer in ordinary memory. Where ``arm-linux-gnueabihf-gcc`` and ``qemu-arm`` are installed, it
also prints the instructions of that copy on a 32-bit ARM processor.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

import bnn
from bnn.hw import folding as folds
from bnn.hw.design import build
from bnn.hw.host_packing import Accelerated
from bnn.run.accelerator import PIECE_BYTES

TOOLS = Path(__file__).parents[1] / "tools" / "arm"
COMPILER = "arm-linux-gnueabihf-gcc"
_COPY = """#include <stdlib.h>
#include <string.h>
int main(int count, char** words) {
    size_t bytes = atoi(words[1]), times = atoi(words[2]);
    char* from = malloc(bytes * 64);
    char* to = malloc(bytes * 64);
    memset(from, count, bytes * 64);
    for (size_t n = 0; n < times; n++) {
        memcpy(to, from, bytes * 64);
        __asm__ volatile("" : : "r"(to) : "memory");
    }
    return to[bytes] != count;
}
"""


def main() -> None:
    """Print a line for each network and way, then the instructions on ARM."""
    for name in ("cnv-w1a1", "lfc-w1a1"):
        program = bnn.load(name).program
        shape = program.input.shape
        count = PIECE_BYTES // int(np.prod(shape))
        images = np.random.default_rng(0).integers(0, 256, (count, *shape)).astype(np.uint8)
        memory = np.zeros(2 * images.nbytes, np.uint8)
        plain = best(lambda memory=memory, images=images: into(memory, images))
        print(
            f"{name:10} memcpy {1e6 * plain / count:9.3f} us per image of {images[0].nbytes} bytes"
        )
        for choice in ("bytes", "packed"):
            folding = replace(folds.choose(program, None), input=choice)
            host = Accelerated(build(program, folding))
            taken = best(
                lambda host=host, memory=memory, images=images: into(memory, host.pack(images))
            )
            print(f"{name:10} {choice:6} {1e6 * taken / count:9.3f} us, {taken / plain:.2f} memcpy")
    arm()


def into(memory: np.ndarray, given: np.ndarray) -> None:
    """Copy as :class:`bnn.driver.Driver` does."""
    room = memory[: given.nbytes].view(given.dtype).reshape(given.shape)
    np.copyto(room, given)


def best(call: Callable[[], None]) -> float:
    """Return the seconds of the fastest of 30 calls."""
    seconds = []
    for _ in range(30):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def arm() -> None:
    """Print the instructions of copying an image on a 32-bit ARM processor, under qemu."""
    for tool in (COMPILER, "gcc", "qemu-arm"):
        if shutil.which(tool) is None:
            print(f"ARM: {tool} is not installed")
            return
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "copy.c").write_text(_COPY, encoding="ascii")
        run(COMPILER, "-O2", "-static", "-o", place / "copy", place / "copy.c")
        run("gcc", "-O2", "-shared", "-fPIC", "-o", place / "count.so", TOOLS / "count.c")
        for network, size in (("cnv-w1a1", 3072), ("lfc-w1a1", 784)):
            ends = [counted(place, size, times) for times in (1, 5)]
            print(f"{network:10} ARM: {(ends[1] - ends[0]) / (4 * 64):.0f} instructions per image")


def counted(place: Path, size: int, times: int) -> int:
    """Return the instructions of copying 64 images of ``size`` bytes ``times`` times."""
    words = ("-plugin", place / "count.so", place / "copy", size, times)
    return int(run("qemu-arm", *words).split("counted")[1].split()[0])


def run(*words: object) -> str:
    """Run a command; return what it writes to standard error."""
    text = [str(word) for word in words]
    return subprocess.run(text, check=True, capture_output=True, text=True).stderr


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: BSD-3-Clause
"""What a process that classifies needs of memory, as the operating system counts it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support.kernels import KERNELS

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="no /proc: nobody counts resident memory"
)

#: Starts a process of its own, in which `peak()` is the largest resident memory so far, in bytes.
START = """
import re
from pathlib import Path
import numpy as np
import bnn
from bnn.run import cpu

def peak():
    return int(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1]) << 10

def pictures(count):
    return np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
"""


def printed(script: str) -> list[int]:
    """The numbers that ``script`` prints."""
    command = [sys.executable, "-c", START + script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [int(word) for word in done.stdout.split()]


def test_cnv_one_image_at_a_time_stays_below_80_megabytes() -> None:
    script = """
runtime = cpu.prepare(bnn.load("cnv-w1a1").program, threads=1)
for image in pictures(200):
    runtime.run(image[None])
print(peak())
"""
    [most] = printed(script)
    assert most < 80_000_000


@pytest.mark.parametrize("kernel", KERNELS)
def test_memory_grows_by_input_and_output_only(kernel: str) -> None:
    script = f"""
images = pictures(1500)
runtime = cpu.prepare(bnn.load("cnv-w1a1").program, threads=1, kernel={kernel!r})
runtime.run(images[:64])
before = peak()
scores = runtime.run(images).scores
print(peak() - before, scores.nbytes)
"""
    grown, output = printed(script)
    # Buffers between layers alone would be 20 MB; the allocator may round a little up.
    assert grown <= output + (512 << 10)

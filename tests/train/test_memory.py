# SPDX-License-Identifier: BSD-3-Clause
"""What is told to the C library, in a process of its own: it cannot be taken back."""

import platform
import subprocess
import sys

import pytest

CODE = """
import os, resource
from bnn.train.memory import keep_memory
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        bytearray(b"1" * 40_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
before = faults()
assert keep_memory()
assert os.environ["THP_MEM_ALLOC_ENABLE"] == "1"
faults()
after = faults()
assert after < before / 10, (before, after)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_large_blocks_are_mapped_once():
    subprocess.run([sys.executable, "-c", CODE], check=True)

# SPDX-License-Identifier: BSD-3-Clause
"""One cpu runtime among several Python threads and processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import bnn
from bnn.run import Runtime, cpu


def _runtime(threads: int) -> Runtime:
    return cpu.prepare(bnn.load("lfc-w1a1").program, threads=threads)


def _digits(count: int) -> Any:
    return np.random.default_rng(count).integers(0, 256, (count, 28, 28, 1), dtype=np.uint8)


def test_several_python_threads_share_a_runtime() -> None:
    runtime, images = _runtime(2), _digits(64)
    wanted = runtime.run(images).scores

    def same(first: int) -> bool:
        return np.array_equal(runtime.run(images[first:]).scores, wanted[first:])

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(same, list(range(64)) * 4))


def test_the_interpreter_lock_is_released() -> None:
    """Threads are not switched here unless one gives the lock away, as a run must."""
    runtime, images = _runtime(1), _digits(16)
    others: list[bool] = []
    met: list[bool] = []

    def work() -> None:
        for _ in range(3000):
            runtime.run(images)
            if others:
                break
        met.append(bool(others))

    usual = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    try:
        thread = threading.Thread(target=work)
        thread.start()
        others.append(True)
        thread.join()
    finally:
        sys.setswitchinterval(usual)
    assert met == [True]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_process_can_go_on() -> None:
    """In a process of its own: pytest's has threads, which newer Pythons warn of."""
    program = (
        "import os, bnn, numpy\n"
        "clf = bnn.Classifier('lfc-w1a1', threads=2)\n"
        "images = numpy.full((64, 28, 28, 1), 200, numpy.uint8)\n"
        "wanted = clf.scores(images)\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    os._exit(not numpy.array_equal(clf.scores(images), wanted))\n"
        "raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], timeout=120, check=False)
    assert done.returncode == 0

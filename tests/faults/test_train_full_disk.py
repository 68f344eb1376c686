# SPDX-License-Identifier: BSD-3-Clause
"""Trainings on a disk that becomes full (a small tmpfs), and go on after space is made.

``FAULTS_DISK`` is the number of full disks; a few by default. Mounting needs the right to.
"""

import multiprocessing
import os
import random
import subprocess
from contextlib import contextmanager

import pytest

torch = pytest.importorskip("torch", reason="needs bnn-pynq[train]")
pytest.importorskip("lightning", reason="needs bnn-pynq[train]")

from bnn.train.checkpoint import read_checkpoint  # noqa: E402
from bnn.train.early import BEST, LAST, PREVIOUS  # noqa: E402
from faults.compared import compare  # noqa: E402
from faults.pictures import write_pictures  # noqa: E402
from faults.train_child import TOPOLOGIES, begin, go_on, told  # noqa: E402

DISKS = int(os.environ.get("FAULTS_DISK", "2"))


@contextmanager
def small_disk(folder, size):
    """A file system of ``size`` bytes at ``folder``."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a small file system")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def run(context, target, *args):
    process = context.Process(target=told, args=(target, *args))
    process.start()
    process.join()
    return process.exitcode


def test_a_full_disk_is_one_line_and_nothing_is_lost(tmp_path):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["bnn.train.run"])
    write_pictures(tmp_path / "data", (60, 50, 70))
    (tmp_path / "dense.toml").write_text(TOPOLOGIES["dense"])
    values = {"network": str(tmp_path / "dense.toml"), "data": str(tmp_path / "data")}
    values |= {"epochs": 4, "batch": 32, "augment": "shift"}
    options = {"devices": "1", "precision": "32-true"}
    whole, message = tmp_path / "whole", tmp_path / "message"
    assert run(context, message, begin, values, str(whole), options) == 0
    needed = sum(path.stat().st_size for path in whole.rglob("*") if path.is_file())
    draw = random.Random(os.environ.get("FAULTS_SEED", "disks"))
    full = 0
    for number in range(DISKS):
        size = (draw.randrange(4096, needed + needed // 3) // 4096 + 1) * 4096
        disk = tmp_path / f"disk{number}"
        with small_disk(disk, size):
            folder = disk / "run"
            code = run(context, message, begin, values, str(folder), options)
            if code:
                full += 1
                line = message.read_text()
                assert "No space left on device" in line, line
                assert "\n" not in line
                for name in (BEST, LAST, PREVIOUS):  # each is whole
                    if (folder / name).exists():
                        read_checkpoint(folder / name)
            mount = ["mount", "-o", f"remount,size={8 * needed}", str(disk)]
            subprocess.run(mount, check=True)
            again = {"values": values, **options}
            assert run(context, message, go_on, str(folder), again) == 0, message.read_text()
            compare(whole, folder)
    print(f"\n{full} of {DISKS} disks of up to {needed * 4 // 3} bytes were full")  # noqa: T201
    assert full

# SPDX-License-Identifier: BSD-3-Clause
"""Trainings that are killed (-9) at random moments, once or many times, and resumed.

``FAULTS`` is the number of kills for each arithmetic; a few by default.
"""

import json
import multiprocessing
import os
import random
import signal
import time

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs bnn-pynq[train]")
pytest.importorskip("lightning", reason="needs bnn-pynq[train]")

from bnn.train.checkpoint import CheckpointFiles, read_checkpoint  # noqa: E402
from bnn.train.early import LAST, PREVIOUS  # noqa: E402
from faults.compared import compare, same  # noqa: E402
from faults.pictures import write_pictures  # noqa: E402
from faults.train_child import CALLS, TOPOLOGIES, begin, go_on  # noqa: E402

FAULTS = int(os.environ.get("FAULTS", "2"))
EPOCHS = 8
#: When a process is killed, in turn: in a later epoch than its first one, while it writes a file
#: (a checkpoint, most often), and at any moment, its start included.
MOMENTS = ("in an epoch", "in a file", "in an epoch", "in a file", "any")


@pytest.fixture(scope="module")
def context():
    """Processes that have PyTorch loaded before they begin: a kill costs a second, not five."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["bnn.train.run"])
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory, context):
    """Pictures, topologies, and a model that teaches."""
    folder = tmp_path_factory.mktemp("kills")
    write_pictures(folder / "data", (90, 80, 100))
    for name, text in TOPOLOGIES.items():
        (folder / f"{name}.toml").write_text(text)
    teacher = {"network": str(folder / "dense.toml"), "data": str(folder / "data"), "epochs": 2}
    run(context, begin, teacher, str(folder / "teacher"), {"devices": "1"})
    return folder


def run(context, target, *args, killer=None):
    """Whether the process came to its end by itself; ``killer`` returns when it is to die."""
    process = context.Process(target=target, args=args)
    process.start()
    if killer is not None:
        killer(process)
        process.kill()
    process.join()
    if process.exitcode == -signal.SIGKILL:
        return False
    assert process.exitcode == 0
    return True


def after(seconds):
    """Wait for so long."""
    return lambda process: process.join(seconds)


def after_an_epoch(folder, seconds):
    """Wait until the process has finished an epoch, and then for so long: in a later epoch."""
    before = _written(folder / LAST)

    def wait(process):
        while process.is_alive() and _written(folder / LAST) == before:
            process.join(0.001)
        process.join(seconds)

    return wait


def _written(path):
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns


@pytest.mark.parametrize("precision", ["integer", "32-true", "bf16-mixed"])
@pytest.mark.parametrize("network", ["conv", "dense"])
def test_a_killed_run_that_is_resumed_is_the_uninterrupted_one(
    context, place, tmp_path, network, precision
):
    values = {
        "network": str(place / f"{network}.toml"),
        "data": str(place / "data"),
        "epochs": EPOCHS,
        "batch": 16,
        "augment": "flip-shift-cut",
        "mix": 0.2,
        "teachers": [str(place / "teacher" / "model.bnn")],
    }
    options = {"devices": "1", "precision": precision, "patience": EPOCHS - 1}
    started = time.monotonic()
    assert run(context, begin, values, str(tmp_path / "whole"), options)
    seconds = time.monotonic() - started
    each = sum(row["seconds"] for row in history(tmp_path / "whole")) / EPOCHS
    draw = random.Random(os.environ.get("FAULTS_SEED", f"{network} {precision}"))
    kills, runs, tries = dict.fromkeys(MOMENTS, 0), 0, 0
    while sum(kills.values()) < FAULTS or runs == 0:
        folder = tmp_path / f"resumed{runs}"
        ended = False
        while not ended:
            moment, killer, death = "", None, None
            if sum(kills.values()) < FAULTS:
                moment = MOMENTS[tries % len(MOMENTS)]
                tries += 1
            if moment == "in an epoch":
                killer = after_an_epoch(folder, draw.uniform(0, 2.5 * each))
            elif moment == "in a file":
                call = draw.choice(CALLS)
                death = call, draw.randrange(1, 40 if call == "fsync" else 12)
            elif moment == "any":
                killer = after(draw.uniform(0, seconds))
            given = {"values": dict(values), **options}
            ended = run(context, go_on, str(folder), given, death, killer=killer)
            if not ended:
                kills[moment] += 1
        compare(tmp_path / "whole", folder)
        runs += 1
    told = ", ".join(f"{count} {moment}" for moment, count in kills.items())
    print(f"\n{network} {precision}: killed {told}; {runs} runs to their end, all equal")  # noqa: T201


def history(folder):
    """Rows of figures of a run, one per epoch."""
    return json.loads((folder / "report.json").read_text())["history"]


def test_the_comparison_sees_a_difference():
    one = {"a": [torch.zeros(2)], "seconds": 1.0}
    same(one, {"a": [torch.zeros(2)], "seconds": 2.0})
    with pytest.raises(AssertionError):
        same(one, {"a": [torch.tensor(np.array([0.0, 1e-30], np.float32))], "seconds": 1.0})


def test_a_kill_between_the_two_names_of_a_checkpoint_leaves_nothing(tmp_path):
    """Killed after last got its second name, before it was replaced: previous is last."""
    files = CheckpointFiles()
    files.save_checkpoint({"epoch": 1}, tmp_path / LAST)
    os.link(tmp_path / LAST, tmp_path / PREVIOUS)
    files.save_checkpoint({"epoch": 2}, tmp_path / LAST)
    assert {path.name for path in tmp_path.iterdir()} == {LAST, PREVIOUS}
    assert read_checkpoint(tmp_path / PREVIOUS) == {"epoch": 1}
    assert read_checkpoint(tmp_path / LAST) == {"epoch": 2}

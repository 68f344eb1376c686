# SPDX-License-Identifier: BSD-3-Clause
"""Trainings that are killed (-9) at random moments, once or many times, and resumed.

``FAULTS`` is the number of kills for each arithmetic; a few by default.
"""

import multiprocessing
import os
import random
import time

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs bnn-pynq[train]")
pytest.importorskip("lightning", reason="needs bnn-pynq[train]")

from faults.compared import compare, same  # noqa: E402
from faults.pictures import write_pictures  # noqa: E402
from faults.train_child import TOPOLOGIES, begin, go_on  # noqa: E402

FAULTS = int(os.environ.get("FAULTS", "2"))
EPOCHS = 8


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


def run(context, target, *args, kill_after=None):
    """Whether the process came to its end by itself."""
    process = context.Process(target=target, args=args)
    process.start()
    process.join(kill_after)
    if process.is_alive():
        process.kill()
        process.join()
        return False
    assert process.exitcode == 0
    return True


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
    draw = random.Random(os.environ.get("FAULTS_SEED", f"{network} {precision}"))
    kills, runs, at = 0, 0, []
    while kills < FAULTS or runs == 0:
        folder = tmp_path / f"resumed{runs}"
        ended = False
        while not ended:
            left = kills < FAULTS
            after = draw.uniform(0, seconds) if left else None
            ended = run(
                context, go_on, str(folder), {"values": values, **options}, kill_after=after
            )
            if not ended:
                kills += 1
                at.append(round(after, 2))
        compare(tmp_path / "whole", folder)
        runs += 1
    print(f"\n{network} {precision}: {kills} kills in {runs} runs, after {at} of {seconds:.2f} s")  # noqa: T201


def test_the_comparison_sees_a_difference():
    one = {"a": [torch.zeros(2)], "seconds": 1.0}
    same(one, {"a": [torch.zeros(2)], "seconds": 2.0})
    with pytest.raises(AssertionError):
        same(one, {"a": [torch.tensor(np.array([0.0, 1e-30], np.float32))], "seconds": 1.0})

# SPDX-License-Identifier: BSD-3-Clause
"""Two processes train as one with the same batch would; a killed one ends the run in one line."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="needs bnn-pynq[train]")
pytest.importorskip("lightning", reason="needs bnn-pynq[train]")

import torch.distributed as dist  # noqa: E402
import torch.nn.functional as F  # noqa: E402, N812

from bnn.errors import TrainError  # noqa: E402
from bnn.train.checkpoint import read_checkpoint  # noqa: E402
from bnn.train.data import Batches, Part  # noqa: E402
from bnn.train.early import LAST  # noqa: E402
from bnn.train.loop import _check_shares  # noqa: E402
from bnn.train.together import normalized, told_if_gone  # noqa: E402

several = pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two processors")

TOPOLOGY = """
name = "tiny"
input = [9, 8, 1]
encoding = "bytes"
activations = "bipolar"
layers = [{ conv = 7, kernel = 3 }, "norm", "act", { dense = 3 }]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A topology, and pictures of noise: 203 of each of three classes, of any brightness."""
    folder = tmp_path_factory.mktemp("together")
    (folder / "tiny.toml").write_text(TOPOLOGY)
    rng = np.random.default_rng(3)
    for label in range(3):
        (folder / "data" / str(label)).mkdir(parents=True)
        for number in range(203):
            pixels = rng.integers(0, 100 + 70 * label, (9, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "data" / str(label) / f"{number}.png")
    return folder


def _command(*words):
    return [sys.executable, "-m", "bnn", "train", *map(str, words)]


def _train(folder, *words):
    done = subprocess.run(
        _command(*words), cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


def _new(folder, run, devices, epochs):
    how = ("--epochs", epochs, "--batch", 25, "--precision", "32-true", "--augment", "none")
    words = ("tiny.toml", "--data", "data", *how, "--devices", devices, "-o", run)
    return _train(folder, *words)


def _compare(one, other):
    """Compare all that decides an answer. The one beta at the end moves all logits alike."""
    first, second = (read_checkpoint(run / LAST)["state_dict"] for run in (one, other))
    assert set(first) == set(second)
    for name in set(first) - {"stack.head.0.beta"}:
        torch.testing.assert_close(first[name], second[name], rtol=2e-3, atol=2e-3, msg=name)


@several
def test_two_processes_train_as_one(folder):
    """25 pictures are 13 and 12: the shares of the loss are weighted."""
    _new(folder, "one", 1, 1)
    done = _new(folder, "two", 2, 1)
    _compare(folder / "one", folder / "two")
    assert done.stdout.count("to train on") == 1  # the second process says nothing
    assert "distributed" not in done.stdout + done.stderr

    # They go on crosswise.
    _train(folder, "--resume", "one", "--epochs", 2, "--devices", 2)
    done = _train(folder, "--resume", "two", "--epochs", 2, "--devices", 1)
    assert "processes 2 then, 1 now" in done.stdout
    _compare(folder / "one", folder / "two")
    rows = [(folder / run / "epochs.csv").read_text().splitlines() for run in ("one", "two")]
    for first, second in zip(*rows, strict=True):
        assert first.split(",")[:2] == second.split(",")[:2]  # epoch, validation accuracy


@several
def test_a_killed_process_ends_the_run_in_one_line(folder):
    run = folder / "killed"
    words = ("tiny.toml", "--data", "data", "--epochs", 100_000, "--devices", 2, "-o", "killed")
    child = subprocess.Popen(
        _command(*words),
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        started = time.monotonic()
        while not (run / LAST).exists():
            assert child.poll() is None
            assert time.monotonic() - started < 240
            time.sleep(0.1)
        children = f"/proc/{child.pid}/task/{child.pid}/children"
        with open(children) as file:  # noqa: PTH123
            os.kill(int(file.read().split()[0]), signal.SIGKILL)
        said = child.communicate(timeout=120)[1]
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
    assert child.returncode == 1
    assert "another process of this training has ended" in said.splitlines()[-1]
    assert "bnn train --resume killed" in said.splitlines()[-1]
    assert "Traceback" not in said
    assert (run / LAST).exists()


@pytest.fixture
def alone(tmp_path):
    dist.init_process_group(
        "gloo", store=dist.FileStore(str(tmp_path / "s"), 1), rank=0, world_size=1
    )
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize("shape", [(5, 3), (4, 3, 6, 2)])
@pytest.mark.usefixtures("alone")
def test_the_statistics_of_all_processes_are_batch_norm(shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1)) * 3 + 1
    own, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    values, mean, variance, count = normalized(own, 1e-3)
    wanted = F.batch_norm(other, None, None, training=True, eps=1e-3)
    torch.testing.assert_close(values, wanted)
    axes = [axis for axis in range(x.dim()) if axis != 1]
    torch.testing.assert_close(mean, x.mean(axes))
    torch.testing.assert_close(variance, x.var(axes, correction=0))
    assert count == x.numel() // 3
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    (values * weight).sum().backward()
    (wanted * weight).sum().backward()
    torch.testing.assert_close(own.grad, other.grad)


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_processes_share_the_batches_of_one(ranks):
    part = Part(torch.arange(23, dtype=torch.uint8).view(23, 1), torch.arange(23))
    wanted = [labels for _, labels in Batches(part, 7, 5)]
    shares = [list(Batches(part, 7, 5, rank, ranks)) for rank in range(ranks)]
    assert [len(one) for one in shares] == [3] * ranks
    for step, labels in enumerate(wanted):
        taken = torch.cat([share[step][1] for share in shares])
        assert sorted(taken.tolist()) == sorted(labels.tolist())


@pytest.mark.parametrize(("batch", "processes"), [(2, 2), (3, 2), (5, 3)])
def test_batches_too_small_for_the_processes(batch, processes):
    with pytest.raises(TrainError, match=f"a batch of {batch} pictures is too small for"):
        _check_shares(batch, processes)


@pytest.mark.parametrize(("batch", "processes"), [(1, 1), (2, 1), (4, 2), (6, 3)])
def test_batches_of_two_pictures_each(batch, processes):
    _check_shares(batch, processes)


def test_other_errors_are_not_renamed(tmp_path):
    with pytest.raises(RuntimeError, match="gloo"), told_if_gone(tmp_path):
        raise RuntimeError("gloo: of a process that trains alone")

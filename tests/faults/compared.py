# SPDX-License-Identifier: BSD-3-Clause
"""Whether two runs came to the same, bit for bit."""

import json

import torch

from bnn.train.checkpoint import read_checkpoint
from bnn.train.early import BEST, LAST


def same(one, other, where=""):
    """That two checkpoints hold the same; how long an epoch took is no result."""
    if isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype, where
        assert torch.equal(one, other), where
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            if key != "seconds":
                same(one[key], other[key], f"{where}/{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for index, pair in enumerate(zip(one, other, strict=True)):
            same(*pair, f"{where}/{index}")
    else:
        assert one == other, where


def report(folder):
    found = json.loads((folder / "report.json").read_text())
    for row in found["history"]:
        del row["seconds"]
    return found


def compare(whole, resumed):
    assert (resumed / "model.bnn").read_bytes() == (whole / "model.bnn").read_bytes()
    assert report(resumed) == report(whole)
    for name in (BEST, LAST):
        same(read_checkpoint(whole / name), read_checkpoint(resumed / name), name)
    left = {path.name for path in resumed.iterdir() if path.name.endswith(".tmp")}
    assert not left, "what a killed process had begun to write is taken away"

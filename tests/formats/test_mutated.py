# SPDX-License-Identifier: BSD-3-Clause
"""Files that stay well-formed and say nonsense: one line, or a model, and nothing else.

``BNN_MUTATIONS`` sets how many changed files are tried of each seed (30 by default).
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bnn.errors import BnnError
from bnn.formats.convert import Options, convert
from support.converted import FIXTURES
from support.mutated import mutated

SEEDS = {
    "keras/larq-quantizers.h5": None,
    "keras/larq-bordered.h5": None,
    "keras/larq-padded.keras": None,
    "keras/keras3-cnn.keras": None,
    "keras/keras3-mlp.keras": None,
    "chainer/mlp.npz": None,
    "chainer/snapshot_iter_800": None,
    "chainer/guinness.model": "chainer/guinness.toml",
    "theano/small.npz": "theano/small.toml",
    "theano/tfc-1w-1a.npz": None,
    "brevitas/tfc-w1a1.tar": None,
}
COUNT = int(os.environ.get("BNN_MUTATIONS", "30"))
#: (file, seed) of changes that once raised something else.
FAILED = [("chainer/mlp.npz", 72), ("chainer/guinness.model", 52)]


def tried(file: str, seed: int, folder: Path) -> None:
    """Convert a changed file; anything but a :class:`BnnError` of one line fails."""
    path = folder / Path(file).name
    path.write_bytes(mutated((FIXTURES / file).read_bytes(), seed))
    topology = SEEDS[file]
    line = str(path)
    try:
        convert(path, None, Options(topology=topology and str(FIXTURES / topology)))
    except BnnError as error:
        line = str(error)
    assert "\n" not in line, (file, seed)
    assert str(path) in line, (file, seed)
    assert len(line) < 1000, (file, seed)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("file", SEEDS)
def test_changed_files(file: str, tmp_path: Path) -> None:
    for seed in range(COUNT):
        tried(file, seed, tmp_path)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize(("file", "seed"), FAILED)
def test_changed_files_that_failed_once(file: str, seed: int, tmp_path: Path) -> None:
    tried(file, seed, tmp_path)

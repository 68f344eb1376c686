# SPDX-License-Identifier: BSD-3-Clause
"""What is refused before any data are read, and places that a run could not write to."""

from __future__ import annotations

import os

import numpy as np
import pytest

pytest.importorskip("lightning", reason="needs bnn-pynq[train]")

from bnn.errors import BnnError, TrainError
from bnn.train import run
from bnn.train.loop import FitOptions
from bnn.train.run import WRITTEN, Settings, topology_of, train

QUIET = {"progress": False}


@pytest.fixture
def unread(monkeypatch):
    """No data set may be opened."""

    def fail(*_, **__):
        raise AssertionError("the data were read")

    monkeypatch.setattr(run, "open_data", fail)


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"precision": "foo"}, "precision is one of integer, 32-true, bf16-mixed, not 'foo'"),
        ({"precision": "bf16"}, "precision is one of"),
        ({"devices": "0,0"}, "names a device twice"),
        ({"devices": "1,0,1"}, "names a device twice"),
        ({"devices": "0"}, "devices is auto, a number"),
        ({"devices": "many"}, "devices is auto, a number"),
    ],
)
def test_options_are_looked_at_first(tmp_path, options, said):
    settings = Settings.make("tfc-w1a1", "mnist")
    with pytest.raises(TrainError, match=said):
        train(settings, tmp_path / "run", FitOptions(**QUIET, **options), resume=False)
    assert not (tmp_path / "run" / "settings.json").exists()


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize("option", ["init", "teachers"])
def test_models_to_learn_from_are_looked_at_first(tmp_path, option):
    other = "no-such-model"
    made = {option: other if option == "init" else (other,)}
    settings = Settings.make("tfc-w1a1", "mnist", **made)
    with pytest.raises(BnnError, match=other):
        train(settings, tmp_path / "run", FitOptions(**QUIET), resume=False)


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("kind", ["folder", "pipe", "link"])
@pytest.mark.parametrize("resume", [False, True])
def test_places_that_cannot_be_written_are_found_first(tmp_path, name, kind, resume):
    folder = tmp_path / "run"
    folder.mkdir()
    match kind:
        case "folder":
            (folder / name).mkdir()
        case "pipe":
            os.mkfifo(folder / name)
        case "link":
            (folder / name).symlink_to(tmp_path)
    settings = Settings.make("tfc-w1a1", "mnist")
    with pytest.raises(TrainError, match=f"{name}: cannot be written: is a "):
        train(settings, folder, FitOptions(**QUIET), resume=resume)


def test_skipping_of_arrays_is_refused(tmp_path):
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (40, 28, 28), np.uint8)
    labels = np.arange(40) % 10
    path = tmp_path / "some.npz"
    np.savez(path, x_train=pixels, y_train=labels)
    settings = Settings.make("tfc-w1a1", str(path), skip_broken=True)
    with pytest.raises(BnnError, match="holds arrays, not picture files; remove --skip-broken"):
        train(settings, tmp_path / "run", FitOptions(**QUIET), resume=False)


def test_one_is_not_called_several(tmp_path):
    path = tmp_path / "two.toml"
    path.write_text(
        'name = "two"\ninput = [6, 9, 1]\nencoding = "bytes"\nlayers = [{ dense = 2 }]\n'
    )
    with pytest.raises(TrainError, match=r"ends in 2 units, the data has 1 class$"):
        topology_of(str(path), 1)

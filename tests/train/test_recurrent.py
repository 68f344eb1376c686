# SPDX-License-Identifier: BSD-3-Clause
"""Recurrent networks: the program equals the trained network; own data; a whole run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs bnn-pynq[train]")

from bnn.data.sequences import read_sequence, sequences_of  # noqa: E402
from bnn.errors import DataError, InputError, TrainError  # noqa: E402
from bnn.model.file import load  # noqa: E402
from bnn.model.model import Model  # noqa: E402
from bnn.reader import SequenceClassifier  # noqa: E402
from bnn.train.recurrent import GATES, Recurrent, Shape, to_program  # noqa: E402
from bnn.train.sequences import Settings, parsed, train  # noqa: E402


@pytest.mark.parametrize("cell", list(GATES))
@pytest.mark.parametrize("bits", [(1, 1), (1, 2), (2, 2), (4, 4), (4, 1)])
def test_the_program_equals_the_network(cell: str, bits: tuple[int, int]) -> None:
    torch.manual_seed(sum(bits))
    net = Recurrent(Shape(cell, 5, 9, 3, *bits, 4))  # type: ignore[arg-type]
    steps = torch.randint(0, 16, (20, 11, 5)).float()
    net.momentum = 0.3
    with torch.no_grad():
        for _ in range(6):
            net(steps)
        net.momentum = 0.0
        for one in (net.mean, net.beta, net.gamma, net.offset):
            one += torch.randn_like(one)
        net.project()
    program = to_program(net, np.ones(1, np.float32), np.zeros(1, np.float32))
    model = Model(program, ("a", "b", "c"))
    with torch.no_grad():
        wanted = net(steps).numpy()
    assert len(np.unique(wanted, axis=0)) > 3  # it answers differently
    for runtime in ("reference", "cpu"):
        found = SequenceClassifier(model, runtime).scores(steps.numpy())
        np.testing.assert_array_equal(found, wanted)


def _data(folder: Path) -> Path:
    """Write sequences of 3 to 5 steps of 2 features, which rise or fall."""
    random = np.random.default_rng(0)
    for name, sign in (("down", -1), ("up", 1)):
        (folder / name).mkdir(parents=True)
        for number in range(30):
            ramp = sign * np.arange(3 + number % 3)[:, None] + random.normal(0, 0.1, (1, 2))
            if number % 2:
                np.savetxt(folder / name / f"{number}.csv", ramp, delimiter=",")
            else:
                np.savez(folder / name / f"{number}.npz", ramp)
    return folder


def test_own_sequences_are_learned_saved_and_resumed(tmp_path: Path) -> None:
    data = _data(tmp_path / "data")
    settings = Settings("gru-16-w2a2", str(data), epochs=12, batch=8, rate=0.02)
    report = train(settings, tmp_path / "run", lambda _: None)
    assert report["differing"] == {"cpu": 0, "reference": 0}
    assert report["accuracy"] == 1.0
    again = train(settings, tmp_path / "run", lambda _: None, resume=True)
    assert again == report == json.loads((tmp_path / "run/report.json").read_text())
    classifier = SequenceClassifier(load(tmp_path / "run/model.bnn"))
    assert [*classifier.classify([[[0.0, 0.0], [1, 1], [2, 2]]])] == [1]
    with pytest.raises(InputError, match="sequence 0: has 0 steps"):
        classifier.classify([np.zeros((0, 2))])
    with pytest.raises(InputError, match="sequence 1: inputs have shape"):
        classifier.classify([np.zeros((3, 2)), np.zeros((3, 4))])
    with pytest.raises(TrainError, match="other settings"):
        train(Settings("gru-w1a1", str(data)), tmp_path / "run", lambda _: None, resume=True)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.txt", "1,2", "is not a .csv or .npz file"),
        ("a.csv", "1,x", "is not a table of numbers"),
        ("a.csv", "1,2\n3", "is not a table of numbers"),
        ("a.csv", "", "has the shape"),
        ("a.csv", "1,nan", "not finite"),
        ("a.csv", "1,1e300", "not finite in float32"),
        ("a.npz", "no zip", "is not an .npz file"),
    ],
)
def test_files_that_are_not_understood(tmp_path: Path, name: str, text: str, reason: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=reason) as caught:
        read_sequence(tmp_path / name)
    assert name in str(caught.value)


def test_folders_that_are_not_understood(tmp_path: Path) -> None:
    data = _data(tmp_path / "data")
    (data / "up/0.csv").write_text("1,2,3\n")
    with pytest.raises(DataError, match=r"0\.csv: has 3 features, the first file has 2"):
        sequences_of(str(data), 1)
    (data / "notes.txt").write_text("")
    with pytest.raises(DataError, match=r"notes\.txt: is not the folder of a class"):
        sequences_of(str(data), 1)


@pytest.mark.parametrize("name", ["lstm-w3a2", "gru-2000-w1a1", "rnn-w1a1", "lstm"])
def test_names_of_networks(name: str) -> None:
    with pytest.raises(TrainError, match="is called such as"):
        parsed(name)

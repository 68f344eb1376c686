# SPDX-License-Identifier: BSD-3-Clause
"""What is asked of a new training before it starts, and how its errors become one line."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("lightning", reason="needs bnn-pynq[train]")

import bnn
from bnn.data.sets import DataSet
from bnn.errors import DataError, TrainError, UnknownNameError
from bnn.program.operations import Dot, Threshold
from bnn.program.precision import BIPOLAR, INT, UINT
from bnn.train import adopt, certificate, data, early, loop, run
from support.models import small

GIVEN: dict[str, Any] = {
    "network": "tfc-w1a1", "data": "mnist", "preprocess": None, "init": None, "teacher": None,
    "whole": None, "patience": None, **dict.fromkeys(early.CHANGES),
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"data": "nowhere"}, "^nowhere: no such folder, and no data set "),
        ({"preprocess": "other"}, r"^preprocess is one of .*, not 'other'$"),
        ({"taught": 0.5}, "^--taught is the share of a teacher's answers; name one"),
        ({"whole": True, "patience": 3}, "^--patience needs a validation part, and --whole"),
        ({"whole": True, "patience": 0}, "^--patience needs a validation part, and --whole"),
        ({"epochs": 0}, "epochs"),
        ({"network": "other"}, "other"),
    ],
)
def test_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises((TrainError, UnknownNameError, bnn.BnnError), match=reason):
        early.check_given({**GIVEN, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"preprocess": "digit"},
        {"taught": 0.5, "teacher": ("x",)},
        {"whole": True},
        {"patience": 3},
        {"whole": False, "patience": 3},
        {"epochs": 1},
    ],
)
def test_taken(changes: dict[str, Any], tmp_path: Path) -> None:
    early.check_given({**GIVEN, **changes})
    early.check_given({**GIVEN, **changes, "data": str(tmp_path)})


def test_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set").mkdir()
    (tmp_path / "mnist").mkdir()
    for place in ("set", "set/run", "set/a/b", "other/../set/run"):
        with pytest.raises(
            TrainError, match=rf"^{place}: is in the data folder set; choose another"
        ):
            early.check_place(Path(place), "set")
    for place, name in (
        *(("run", "set"), ("setting", "set"), (".", "set"), ("mnist/run", "mnist")),
        ("nowhere/run", "nowhere"),
    ):
        early.check_place(Path(place), name)


def test_runs(tmp_path: Path) -> None:
    early.check_new(tmp_path)
    with pytest.raises(TrainError):
        early.check_run(tmp_path)
    (tmp_path / early.SETTINGS).touch()
    early.check_run(tmp_path)
    early.check_new(tmp_path)  # settings alone: nothing was trained
    (tmp_path / early.LAST).touch()
    with pytest.raises(TrainError, match=r"has a run already; resume it with --resume$"):
        early.check_new(tmp_path)


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (OSError(errno.ENOSPC, "No space left"), r"r: cannot be written: No space left; what was"),
        (OSError("only text"), r"r: cannot be written: only text; what was written is kept; bnn"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: x"), "^not enough memory: use"),
        (RuntimeError("CUDA out of memory"), "^not enough memory: use a smaller --batch or net"),
    ],
)
def test_errors_of_training_are_one_line(reason: Exception, text: str) -> None:
    with pytest.raises(TrainError, match=text), loop._readable_errors(Path("r")):
        raise reason


def test_defects_stay_defects() -> None:
    with pytest.raises(RuntimeError, match=r"^other$"), loop._readable_errors(Path("r")):
        raise RuntimeError("other")
    with loop._readable_errors(Path("r")):
        pass


@pytest.mark.parametrize(
    ("classes", "same"),
    [(("no", "yes"), True), (("NO", "Yes"), True), (("yes", "no"), False), (("no",), False)],
)
def test_the_classes_of_a_model(classes: tuple[str, ...], same: bool, tmp_path: Path) -> None:
    parts: Any = SimpleNamespace(classes=classes)
    bnn.save(small(), tmp_path / "m.bnn")
    assert run._same_classes(str(tmp_path / "m.bnn"), parts) is same
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / early.SETTINGS).touch()
    assert run._same_classes(str(folder), parts)  # nothing is known of its classes
    bnn.save(small(), folder / run.MODEL)
    assert run._same_classes(str(folder), parts) is same


def test_pictures_of_another_shape() -> None:
    images, labels = np.zeros((2, 4, 5, 3), np.uint8), np.zeros(2, np.int64)
    given: Any = SimpleNamespace(spec=DataSet, name="set", images=images, labels=labels)
    data._check_arrays(given, (4, 5, 3))
    for shape in ((5, 4, 3), (4, 5, 1)):
        with pytest.raises(DataError, match=r"^set: its pictures are 4x5x3, the network takes "):
            data._check_arrays(given, shape)


@pytest.mark.parametrize("name", ["lfc-w1a1", "lfc-w1a2", "cnv-w1a1", "mine"])
def test_the_level_at_which_an_lfc_fires(name: str) -> None:
    model = replace(small(), provenance={"network": name, "seed": 3})
    scores = np.array([[5, -3], [1, 9], [2, 8]], np.int32)
    found = certificate.with_firing_level(model, scores)
    if name.startswith("lfc"):
        assert set(found.provenance) == {"network", "seed", "fires at"}
        assert found.provenance["network"] == name
    else:
        assert found is model


@pytest.mark.parametrize("signs", [None, [1, -1]])
@pytest.mark.parametrize("bias", [None, [3, -2]])
@pytest.mark.parametrize(("levels", "base"), [(1, -1), (2, 4)])
def test_thresholds_lie_between_two_sums(
    signs: list[int] | None, bias: list[int] | None, levels: int, base: int
) -> None:
    """A sum without its bias reaches the threshold where the sum with it reached it before."""
    dot = Dot("d", "input", np.array([[1, -1], [1, 1]]), BIPOLAR, bias=bias)
    table = np.array([[-1, 4], [0, 1]])[:, :levels]
    precision = BIPOLAR if levels == 1 else UINT(4) if base >= 0 else INT(4)
    steps = Threshold("t", "d", table, precision, base, 2 if levels == 1 else 1, signs)
    reached, least = adopt._thresholds(dot, steps, -9, 9)
    assert least == (0 if levels == 1 else base)
    for row in range(2):
        sign = 1 if signs is None else signs[row]
        added = 0 if bias is None else bias[row]
        for total in range(-6, 7):
            before = table[row] <= sign * (total + added)
            assert ((reached[row] <= sign * total) == before).all()


def test_thresholds_that_are_never_and_always_reached() -> None:
    dot = Dot("d", "input", np.array([[1, -1]]), BIPOLAR)
    steps = Threshold("t", "d", np.array([[-(2**20), 2**20]]), UINT(2), 0, 1)
    reached, _ = adopt._thresholds(dot, steps, -9, 9)
    assert reached.tolist() == [[-9.5, 9.5]]

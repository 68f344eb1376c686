# SPDX-License-Identifier: BSD-3-Clause
"""``bnn train`` and ``bnn certify`` tell mistakes before they ask for PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bnn.commands import train
from bnn.commands.main import app


@pytest.fixture(autouse=True)
def _without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "find_spec", lambda _: None)


def _said(*args: Any) -> str:
    failed = CliRunner().invoke(app, [*map(str, args)])
    assert failed.exit_code
    return str(failed.exception) if failed.exit_code == 1 else failed.output


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (("lfc-w9a9",), "lfc-w9a9"),
        (("nothing.toml",), "nothing.toml"),
        (("lfc-w1a1", "--data", "nowhere"), "nowhere: no such folder, and no data set (mnist"),
        (("lfc-w1a1", "--taught", "7"), "taught"),
        (("lfc-w1a1", "--taught", "0.5"), "name one with --teacher"),
        (("lfc-w1a1", "--rate", "-1"), "rate"),
        (("lfc-w1a1", "--augment", "twist"), "augment"),
        (("lfc-w1a1", "--preprocess", "crop"), "preprocess is one of thumbnail, digit, stretch"),
        (("lfc-w1a1", "--whole", "--patience", "3"), "--patience needs a validation part"),
    ],
)
def test_mistakes_come_first(changed: tuple[str, ...], reason: str, tmp_path: Path) -> None:
    data = () if "--data" in changed else ("--data", "mnist")
    said = _said("train", *changed, *data, "-o", tmp_path / "run")
    assert reason in said
    assert "torch" not in said
    assert not (tmp_path / "run").exists()


def test_one_network_at_a_time(tmp_path: Path) -> None:
    said = " ".join(_said("train", "lfc-w1a1", "cnv-w1a1", "-o", tmp_path / "run").split())
    assert "one network is trained at a time" in said
    said = " ".join(_said("train", "--resume", "lfc-w1a1", "run").split())
    assert "--resume takes the folder of a run alone" in said
    for args in (("-o", tmp_path / "run"), ("lfc-w1a1",), ("lfc-w1a1", "--data", "mnist"), ()):
        said = " ".join(_said("train", *args).split())
        assert "train with NET --data DATA -o RUN" in said


def test_a_run_that_is_not_there_comes_first(tmp_path: Path) -> None:
    for args in (("certify", tmp_path), ("train", "--resume", tmp_path)):
        assert "is not a run: it has no settings.json" in _said(*args)
    (tmp_path / "settings.json").write_text("{}")
    for args in (("certify", tmp_path), ("train", "--resume", tmp_path)):
        assert "training needs torch" in _said(*args)


@pytest.mark.parametrize(
    "more",
    [
        (),
        ("--patience", "3"),
        ("--whole",),
        ("--teacher", "lfc-w1a1", "--taught", "0.5"),
        ("--preprocess", "digit"),
        ("--rate", "0.01", "--epochs", "2", "--batch", "7"),
    ],
)
def test_what_is_right_is_told_to_need_pytorch(more: tuple[str, ...], tmp_path: Path) -> None:
    said = _said("train", "lfc-w1a1", "--data", "mnist", *more, "-o", tmp_path / "run")
    assert "training needs torch" in said

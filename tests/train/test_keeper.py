# SPDX-License-Identifier: BSD-3-Clause
"""The line, the row and the bar of an epoch."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torch", reason="training is not installed (extra `train`)")

from bnn.train import keeper
from bnn.train.keeper import MONITOR, Bar, History, Keeper, duration, table


class Trainer:
    """What the callbacks ask of Lightning's."""

    is_global_zero = True
    current_epoch = 1
    num_training_batches = 7

    def __init__(self) -> None:
        self.saved: list[str] = []
        self.callback_metrics: dict[str, float] = {}

    def save_checkpoint(self, path: Path) -> None:
        self.saved.append(Path(path).name)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    now = SimpleNamespace(at=100.0)
    monkeypatch.setattr(keeper, "time", SimpleNamespace(perf_counter=lambda: now.at))
    return now


def test_an_epoch_has_a_line_a_row_and_checkpoints(tmp_path: Path, clock: Any) -> None:
    history, trainer, said = History(), Trainer(), list[str]()
    kept = Keeper(tmp_path, history, 10, said.append)
    figures = ((0.25, 0.5, 0.75), (0.125, 0.5, 0.5), (0.0625, 1.0, 0.875))
    for number, (loss, training, validation) in enumerate(figures):
        trainer.current_epoch = number
        trainer.callback_metrics = {
            "loss": loss,
            "training_accuracy": training,
            MONITOR: validation,
        }
        history.on_train_epoch_start()
        kept.on_train_epoch_start()
        clock.at += 12.5
        history.on_train_epoch_end(trainer, None)
        kept.on_train_epoch_end(trainer, None)
    assert said == [
        "epoch 1/10  loss 0.250  train 50.00%  validation 75.00%* 12.5 s  2 min left",
        "epoch 2/10  loss 0.125  train 50.00%  validation 50.00%  12.5 s  2 min left",
        "epoch 3/10  loss 0.062  train 100.00%  validation 87.50%* 12.5 s  1 min left",
    ]
    assert trainer.saved == ["best.ckpt", "last.ckpt", "last.ckpt", "best.ckpt", "last.ckpt"]
    lines = (tmp_path / keeper.EPOCHS).read_text().splitlines()
    assert lines[0] == f"epoch,loss,training_accuracy,{MONITOR},seconds"
    assert lines[2] == "2,0.125,0.5,0.5,12.5"
    assert len(lines) == 4
    again = Keeper(tmp_path, history, 10, said.append)
    again.load_state_dict(kept.state_dict())
    assert again.state_dict() == {"best": 0.875, "loss": 0.0625}
    other = History()
    other.load_state_dict(history.state_dict())
    assert other.rows == history.rows


@pytest.mark.parametrize(
    ("state", "loss", "better"),
    [
        ({"best": 0.5, "loss": 0.25}, 0.125, True),
        ({"best": 0.5, "loss": 0.25}, 0.25, False),
        ({"best": 0.5, "loss": 0.25}, 0.5, False),
        ({"best": 0.5}, 0.125, False),  # a checkpoint of before: as it was there
        ({"best": 0.4375}, 9.0, True),
    ],
)
def test_of_equal_epochs_the_one_of_lower_loss_is_kept(
    tmp_path: Path, clock: Any, state: dict[str, float], loss: float, better: bool
) -> None:
    history, trainer = History(), Trainer()
    kept = Keeper(tmp_path, history, 10, lambda _: None)
    kept.load_state_dict(state)
    trainer.current_epoch = 0
    trainer.callback_metrics = {"loss": loss, "training_accuracy": 0.5, MONITOR: 0.5}
    history.on_train_epoch_start()
    kept.on_train_epoch_start()
    clock.at += 1
    history.on_train_epoch_end(trainer, None)
    kept.on_train_epoch_end(trainer, None)
    assert ("best.ckpt" in trainer.saved) is better


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((0, "0 s"), (59.4, "59 s"), (60, "1 min"), (89, "1 min"), (3599, "60 min")),
        *((3600, "1.0 h"), (11_160, "3.1 h")),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_tables_of_rows() -> None:
    assert table([]) == b""
    assert table([{"epoch": 1}, {"epoch": 2, "loss": 0.5}]) == b"epoch,loss\n1,\n2,0.5\n"


def test_the_bar_counts_the_batches_of_each_epoch() -> None:
    bar, trainer = Bar(3), Trainer()
    bar.on_train_epoch_start(trainer, None)  # type: ignore[arg-type]
    for _ in range(4):
        bar.on_train_batch_end()
    (task,) = bar._bar.tasks
    assert (task.description, task.completed, task.total) == ("epoch 2/3", 4, 7)
    bar.on_train_epoch_start(trainer, None)  # type: ignore[arg-type]
    assert bar._bar.tasks[0].completed == 0
    bar.on_train_end()
    assert bar._bar.finished is False
    bar.on_exception()

# SPDX-License-Identifier: BSD-3-Clause
"""Keep the figures and checkpoints of every epoch, and print a line."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L  # noqa: N812
from lightning.pytorch.callbacks import Callback, Checkpoint

from bnn.errors import TrainError
from bnn.system.files import write_whole
from bnn.train.early import BEST, LAST

#: The best epoch is chosen by this figure: accuracy of the deployed integers in validation.
MONITOR = "validation_accuracy"
#: File in a run's folder: table of the epochs' figures.
EPOCHS = "epochs.csv"


class History(Callback):
    """One row of figures per epoch.

    The rows are in the checkpoint too, so that a resumed run continues them.
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []
        self._start = 0.0

    def on_train_epoch_start(self, *_: Any) -> None:
        """Keep the time at which the epoch begins (a Lightning hook)."""
        self._start = time.perf_counter()

    def on_train_epoch_end(self, trainer: L.Trainer, _: L.LightningModule) -> None:
        """Add the epoch's row, after validation and before the checkpoint (a Lightning hook)."""
        figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
        seconds = time.perf_counter() - self._start
        self.rows.append({"epoch": trainer.current_epoch + 1, **figures, "seconds": seconds})

    def state_dict(self) -> dict[str, Any]:
        """Return the state for the checkpoint."""
        return {"rows": self.rows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        self.rows = list(state["rows"])


class Keeper(Checkpoint):
    """After each epoch, writes checkpoints and the table of epochs, and then prints a line.

    The checkpoints are those of the last and of the best epoch. When the line of an epoch is
    printed, the checkpoint of this epoch is on the disk.

    Args:
        folder: folder of the run.
        history: figures of the epochs; its last row is that of the current epoch.
        epochs: number of epochs of the run.
        say: called with the line.
    """

    def __init__(
        self, folder: Path, history: History, epochs: int, say: Callable[[str], None]
    ) -> None:
        self._folder, self._history, self._epochs, self._say = folder, history, epochs, say
        self._best = -1.0, 0.0
        self._begun: float | None = None
        self._done = 0

    def on_train_epoch_start(self, *_: Any) -> None:
        """Keep the time at which the run begins (a Lightning hook)."""
        if self._begun is None:
            self._begun = time.perf_counter()

    def on_train_epoch_end(self, trainer: L.Trainer, _: L.LightningModule) -> None:
        """Save the checkpoints and print the epoch's line (a Lightning hook)."""
        row = self._history.rows[-1]
        # Few validation pictures make many epochs equal: then the lower loss decides.
        found = row[MONITOR], -row["loss"]
        better = found > self._best
        if better:
            self._best = found
            trainer.save_checkpoint(self._folder / BEST)
        trainer.save_checkpoint(self._folder / LAST)
        if trainer.is_global_zero:
            write_whole(self._folder / EPOCHS, table(self._history.rows), TrainError)
            self._say(self._line(row, better))

    def _line(self, row: dict[str, float], better: bool) -> str:
        """Return one line about an epoch, shorter than 80 characters."""
        self._done += 1
        spent = time.perf_counter() - (self._begun or 0.0)
        number = int(row["epoch"])
        left = spent / self._done * (self._epochs - number)
        shares = (100 * row["training_accuracy"], 100 * row[MONITOR])
        return (
            f"epoch {number}/{self._epochs}  loss {row['loss']:.3f}  "
            f"train {shares[0]:.2f}%  validation {shares[1]:.2f}%{'*' if better else ' '} "
            f"{row['seconds']:.1f} s  {duration(left)} left"
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the state for the checkpoint."""
        return {"best": self._best[0], "loss": -self._best[1]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        # Checkpoints of earlier versions have no loss: as there, an equal epoch is not better.
        self._best = float(state["best"]), -float(state.get("loss", 0.0))


class Bar(Callback):
    """A progress bar of the current epoch on a terminal; the lines of earlier epochs stay above it.

    Args:
        epochs: number of epochs of the run.
    """

    def __init__(self, epochs: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
        self._epochs, self._bar = epochs, Progress(*columns, transient=True)
        self._task = self._bar.add_task("", total=None)

    def on_train_epoch_start(self, trainer: L.Trainer, _: L.LightningModule) -> None:
        """Start the bar anew, with the epoch's number and batches (a Lightning hook)."""
        self._bar.start()
        said = f"epoch {trainer.current_epoch + 1}/{self._epochs}"
        steps = int(trainer.num_training_batches)
        self._bar.reset(self._task, description=said, total=steps)

    def on_train_batch_end(self, *_: Any) -> None:
        """Move the bar by one batch (a Lightning hook)."""
        self._bar.advance(self._task)

    def on_train_end(self, *_: Any) -> None:
        """Remove the bar at the end of the run (a Lightning hook)."""
        self._bar.stop()

    def on_exception(self, *_: Any) -> None:
        """Remove the bar when the run ends by an error (a Lightning hook)."""
        self._bar.stop()


def duration(seconds: float) -> str:
    """Return a number of seconds as a short text: ``8 s``, ``12 min`` or ``3.1 h``."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def table(rows: list[dict[str, float]]) -> bytes:
    """Return the epochs' figures as comma-separated values; the first line has their names."""
    if not rows:
        return b""
    lines = [
        ",".join(rows[-1]),
        *(",".join(str(row.get(key, "")) for key in rows[-1]) for row in rows),
    ]
    return ("\n".join(lines) + "\n").encode()

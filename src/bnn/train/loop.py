# SPDX-License-Identifier: BSD-3-Clause
"""The training loop: what happens at every step and epoch, run by Lightning.

Lightning provides devices, processes, mixed precision, checkpoints and progress bars; this
module adds what integer networks need.
"""

from __future__ import annotations

import logging
import math
import os
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import lightning as L  # noqa: N812
import torch
import torch.nn.functional as F  # noqa: N812
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from torch import Tensor

from bnn.errors import TrainError
from bnn.lower import lower
from bnn.run import prepare
from bnn.train import lut
from bnn.train.augment import AUGMENTATIONS, mix
from bnn.train.certificate import machine
from bnn.train.checked import closest, counted, short
from bnn.train.checkpoint import CheckpointFiles, newest, read_checkpoint
from bnn.train.data import Batches, Part, Parts
from bnn.train.extract import extract
from bnn.train.finite import check_history, check_stack
from bnn.train.keeper import MONITOR, Bar, History, Keeper
from bnn.train.origin import Origin
from bnn.train.randomness import random_states, set_random_states
from bnn.train.recipes import Recipe
from bnn.train.stack import Stack
from bnn.train.teach import Teachers
from bnn.train.together import told_if_gone

VALIDATION_BATCH = 500
#: Number of training batches that set the batch norms' statistics before each validation.
MEASURED_BATCHES = 10
#: A precision that Lightning does not have: small integers, on a CPU (``bnn.train.lut``).
INTEGER = "integer"
PRECISIONS = (INTEGER, "32-true", "bf16-mixed")
#: Key of a checkpoint that holds the name of its network.
OWNER = "bnn_topology"
#: Key of a checkpoint that holds the precision of its last epoch.
ARITHMETIC = "bnn_arithmetic"
#: Keys of a checkpoint: states of the random generators; the origin of the run; and the patience,
#: if training ended because no better epoch came.
RANDOM, RUN, ENDED = "bnn_random", "bnn_run", "bnn_ended"


class Task(L.LightningModule):
    """A stack, its data and its recipe, as a module that Lightning trains.

    Args:
        stack: the network; training changes its parameters.
        parts: the data; all of it is moved to the device when training starts.
        recipe: settings of the training.
        seed: seed of the order of the pictures.
        teachers: networks to learn from in addition to the labels; or None.
        origin: origin of the run; goes into its checkpoints.
    """

    def __init__(
        self,
        stack: Stack,
        parts: Parts,
        recipe: Recipe,
        seed: int,
        teachers: Teachers | None = None,
        origin: Origin | None = None,
    ) -> None:
        super().__init__()
        self.origin = Origin() if origin is None else origin
        self._states: dict[str, Any] | None = None
        self.begun = False
        self.stack, self.parts, self.recipe, self.seed = stack, parts, recipe, seed
        self._teachers = teachers
        self._augment = AUGMENTATIONS[recipe.augment]

    def setup(self, stage: str) -> None:  # noqa: ARG002
        """Move the data to the device of the network (a Lightning hook)."""
        device = self.trainer.strategy.root_device
        self._training = self.parts.training.to(device)
        self._validation = self.parts.validation.to(device)
        if self._teachers is not None:
            self._teachers.to(device)

    def on_train_epoch_start(self) -> None:
        """Reset the epoch's sums; in a resumed run, set the random states (a Lightning hook)."""
        self._losses = torch.zeros((), device=self.device)
        self._right = torch.zeros((), dtype=torch.int64, device=self.device)
        self.begun = True
        if self._states is not None:  # from a checkpoint
            set_random_states(self._states, self.device)
            self._states = None

    def train_dataloader(self) -> Batches:
        """Return the batches of the current epoch, in its own random order."""
        ranks = self.trainer.global_rank, self.trainer.world_size
        seed = self.seed * 100_003 + self.trainer.current_epoch
        return Batches(self._training, self.recipe.batch, seed, *ranks)

    def val_dataloader(self) -> Batches:
        """Return the batches of the validation part, in order; each process has a share."""
        ranks = self.trainer.global_rank, self.trainer.world_size
        return Batches(self._validation, VALIDATION_BATCH, None, *ranks)

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        """Return the loss of one batch."""
        pictures, labels = batch
        pictures, wanted = self._augment(pictures), labels
        if self.recipe.mix > 0:
            chances = F.one_hot(labels, self.stack.topology.classes).float()
            pictures, wanted = mix(pictures, chances, self.recipe.mix)
        logits = self.stack(pictures)
        loss = F.cross_entropy(logits, wanted, label_smoothing=self.recipe.smoothing)
        if self._teachers is not None:
            taught = self.recipe.taught
            loss = (1 - taught) * loss + taught * self._teachers.loss(pictures, logits)
        if (ranks := self.trainer.world_size) > 1:
            # Gradients are averaged over processes, whose shares may differ by a picture.
            loss = loss * (len(labels) * ranks / self.recipe.batch)
        # Reading a number makes a GPU wait, so the loss is not read at every step.
        if index % 50 == 0:
            self._check_loss(loss)
        self._losses += loss.detach()  # Lightning's log would take a third of a millisecond
        self._right += logits.detach().argmax(1).eq(labels).sum()
        return loss

    def _check_loss(self, loss: Tensor) -> None:
        if not torch.isfinite(loss):
            raise TrainError(
                f"the loss became NaN or infinite in epoch {self.current_epoch + 1}: "
                "train with a lower --rate; the best earlier epoch is kept"
            )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add network, arithmetic, random states and origin to a checkpoint (a Lightning hook)."""
        checkpoint[OWNER] = repr(self.stack.topology)
        checkpoint[ARITHMETIC] = INTEGER if self.stack.uses_luts else str(self.trainer.precision)
        checkpoint[RANDOM] = random_states(self.device)
        checkpoint[RUN] = self.origin.as_plain()
        stops = [one for one in self.trainer.callbacks if isinstance(one, EarlyStopping)]  # type: ignore[attr-defined]
        checkpoint[ENDED] = stops[0].patience if stops and self.trainer.should_stop else None

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep a checkpoint's random states until the next epoch starts (a Lightning hook)."""
        self._states = checkpoint[RANDOM]

    def on_train_batch_end(self, *_: Any) -> None:
        """Clip the parameters after the optimiser's step (a Lightning hook)."""
        self.stack.project()

    def on_validation_epoch_start(self) -> None:
        """Measure the batch norms' statistics, and prepare the validation (a Lightning hook).

        On a CPU the ``cpu`` runtime validates the program that would be deployed: it computes the
        same scores as PyTorch, much faster.
        """
        self._check_loss(self._losses)  # a sum: of all steps
        measure_norms(self.stack, self._training, self.recipe, self.seed)
        check_stack(self.stack, f"epoch {self.current_epoch + 1}")
        self._validated = torch.zeros(2, dtype=torch.int64, device=self.device)
        self._deployed = None
        if self.device.type == "cpu":
            threads = torch.get_num_threads()
            self._deployed = prepare("cpu", lower(extract(self.stack)), threads=threads)

    def validation_step(self, batch: tuple[Tensor, Tensor], _index: int) -> None:
        """Count the right answers of the program that would be deployed now."""
        pictures, labels = batch
        if self._deployed is None:
            scores = self.stack.scores(pictures)
        else:
            scores = torch.from_numpy(self._deployed.run(pictures.numpy()).scores)
        self._validated[0] += scores.argmax(1).eq(labels).sum()
        self._validated[1] += len(labels)

    def on_validation_epoch_end(self) -> None:
        """Log accuracies and the loss of the epoch, over all processes (a Lightning hook)."""
        steps, ranks = self.trainer.num_training_batches, self.trainer.world_size
        right, count = self.trainer.strategy.reduce(self._validated, reduce_op="sum")
        self.log(MONITOR, (right / count).float())
        self.log("loss", self._losses / steps, sync_dist=True)
        right = self._right * ranks / (steps * self.recipe.batch)
        self.log("training_accuracy", right.float(), sync_dist=True)

    def configure_optimizers(self) -> Any:
        """Return Adam with two learning rates; they rise in a warm-up, then fall along a cosine."""
        weights = self.stack.weights()
        known = {id(weight) for weight in weights}
        others = [one for one in self.stack.parameters() if id(one) not in known]
        groups = [
            {"params": weights, "lr": self.recipe.rate},
            {"params": others, "lr": self.recipe.norm_rate},
        ]
        optimizer = torch.optim.Adam(groups, fused=True)
        steps = max(1, self.recipe.epochs * len(self.train_dataloader()))
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: rate_factor(step, steps, self.recipe.warm_up)
        )
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]


def measure_norms(stack: Stack, training: Part, recipe: Recipe, seed: int) -> None:
    """Set the batch norms' statistics to those of some training pictures.

    Args:
        stack: the network; its weights are not changed.
        training: part from which batches are drawn; the same ones in all processes.
        recipe: the pictures are augmented as this recipe says, because the weights were trained on
            augmented pictures.
        seed: seed of the draw.
    """
    batches = Batches(training, min(VALIDATION_BATCH, len(training)), seed)
    some = (pictures for pictures, _ in islice(batches, MEASURED_BATCHES))
    stack.measure(AUGMENTATIONS[recipe.augment](pictures) for pictures in some)


def rate_factor(step: int, steps: int, warm_up: int) -> float:
    """Return the factor of the learning rates at ``step`` of ``steps``.

    It rises in the first ``warm_up`` steps (at most a fifth of all steps), and falls to 0 along
    half a cosine.
    """
    rising = min(1.0, (step + 1) / max(1, min(warm_up, steps // 5)))
    return rising * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))


def restore(stack: Stack, path: Path) -> list[dict[str, float]]:
    """Load the values of a checkpoint into ``stack``; return its figures, a row for each epoch.

    Raises:
        TrainError: the checkpoint cannot be read, belongs to another network, or has values that
            are not finite.
    """
    checkpoint = read_checkpoint(path)
    if checkpoint.get(OWNER) != repr(stack.topology):
        raise TrainError(
            f"{path}: belongs to another network than {stack.topology.name}, or its "
            "topology was edited since"
        )
    prefix = "stack."
    try:
        state = {key.removeprefix(prefix): value for key, value in checkpoint["state_dict"].items()}
        stack.load_state_dict(state)
        rows = next(one["rows"] for one in checkpoint["callbacks"].values() if "rows" in one)
        history = [dict(row) for row in rows]
    except (RuntimeError, LookupError, StopIteration, TypeError, ValueError, AttributeError):
        raise TrainError(f"{path}: does not fit its network: it is damaged") from None
    check_stack(stack, str(path))
    check_history(history, str(path))
    return history


def arithmetic_of(path: Path) -> str:
    """Return the arithmetic in which the last epoch of a checkpoint was trained.

    It is a precision such as ``bf16-mixed``, or ``unknown``.

    Raises:
        TrainError: the checkpoint cannot be read.
    """
    return str(read_checkpoint(path).get(ARITHMETIC, "unknown"))


def classes_of(path: Path) -> int:
    """Return the number of classes of a checkpoint's network.

    It is the number of outputs of the last layer with weights.

    Raises:
        TrainError: the checkpoint cannot be read, or has no weights.
    """
    state = read_checkpoint(path).get("state_dict")
    keys = state if isinstance(state, dict) else {}
    weights = [key for key in keys if re.fullmatch(r"stack\.body\.\d{1,6}\.weight", str(key))]
    if not weights:
        raise TrainError(f"{path}: has no weights: it is damaged")
    last = keys[max(weights, key=lambda key: int(key.split(".")[2]))]
    if not isinstance(last, Tensor) or last.dim() == 0:
        raise TrainError(f"{path}: has no weights: it is damaged")
    return len(last)


#: Keys of a checkpoint that a resumed training needs beside the network.
_GOING_ON = ("optimizer_states", "lr_schedulers", "loops")


def fit(
    task: Task, folder: Path, options: FitOptions, accepted: Callable[[], None] = lambda: None
) -> bool:
    """Train ``task``, writing checkpoints and logs to ``folder``; resume if it has checkpoints.

    ``accepted`` is called after all checks, before the first step.

    Several processes may train together. Return whether this is the first of them, which deploys
    and certifies.

    Raises:
        TrainError: the loss is not finite, the disk is full, or a checkpoint is not one of this
            run.
        KeyboardInterrupt: Ctrl-C; the checkpoint of the last complete epoch is kept.
    """
    precision = lightning_precision(task.stack, options.precision)
    last = newest(folder, options.say)
    step = 0
    if last is not None:
        rows = restore(task.stack, last)  # its message names what does not fit
        kept = read_checkpoint(last)
        task.origin.check(kept.get(RUN), last, options.say)
        if not all(kept.get(part) for part in _GOING_ON):  # Lightning would begin these anew
            raise TrainError(f"{last}: does not fit its run: it is damaged")
        step = int(kept.get("global_step", 0))
        if _is_done(rows, kept, task, options):
            accepted()
            options.say(f"{folder}: its training is finished, after {len(rows)} epochs")
            return os.environ.get("LOCAL_RANK", "0") == "0"
    history = History()
    keeper = Keeper(folder, history, task.recipe.epochs, options.say)
    callbacks: list[Callback] = [history, keeper]
    if options.patience is not None:
        callbacks.append(EarlyStopping(MONITOR, mode="max", patience=options.patience))
    if options.progress:
        callbacks.append(Bar(task.recipe.epochs))
    logger = TensorBoardLogger(folder, name="tensorboard", version="", purge_step=step)
    with _quiet(), _readable_errors(folder), told_if_gone(folder), _interruptible():
        trainer = _trainer(task, options, precision, callbacks, logger)
        _check_shares(task.recipe.batch, trainer.world_size)
        accepted()
        try:
            trainer.fit(task, ckpt_path=None if last is None else str(last), weights_only=False)
        except (LookupError, TypeError, AttributeError, ValueError, RuntimeError):
            if last is None or task.begun:
                raise
            raise TrainError(f"{last}: does not fit its run: it is damaged") from None
    return trainer.is_global_zero


def _trainer(
    task: Task, options: FitOptions, precision: str, callbacks: list[Callback], logger: Logger
) -> L.Trainer:
    _check_devices(options.devices)
    if task.stack.uses_luts:
        _check_processors(options.devices)
    try:
        return L.Trainer(
            accelerator="cpu" if task.stack.uses_luts else "auto",
            devices=options.devices,
            precision=precision,  # type: ignore[arg-type]
            max_epochs=task.recipe.epochs,
            callbacks=callbacks,
            plugins=[CheckpointFiles()],
            logger=[logger],
            enable_progress_bar=False,  # Bar is one line, and counts epochs from 1
            enable_model_summary=False,
            num_sanity_val_steps=0,
            reload_dataloaders_every_n_epochs=1,
            log_every_n_steps=1,
        )
    except (MisconfigurationException, ValueError, TypeError) as reason:
        why = " ".join(str(reason).split())
        raise TrainError(
            f"devices {short(options.devices)} are not available: {why[:200]}"
        ) from None


def _check_shares(batch: int, processes: int) -> None:
    """Refuse batches of which a process would have fewer than two pictures."""
    if batch < 2 * processes > 2:
        raise TrainError(
            f"a batch of {counted(batch, 'picture')} is too small for {processes} devices: each "
            "takes at least 2 of every batch; use fewer --devices or a larger --batch"
        )


def check_options(options: FitOptions) -> None:
    """Refuse a precision and devices that are not valid on any machine, before data are read.

    Raises:
        TrainError: a value is not valid; the message names the option and the valid values.
    """
    _check_precision(options.precision)
    _check_devices(options.devices)


def _check_precision(wanted: str | None) -> None:
    if wanted is not None and wanted not in PRECISIONS:
        close = closest(wanted, PRECISIONS)
        raise TrainError(f"precision is one of {', '.join(PRECISIONS)}, not {short(wanted)}{close}")


def _check_devices(devices: str) -> None:
    """Refuse values that ``--devices`` does not allow, and more processes than processors."""
    text = devices.replace(" ", "")
    if not (
        text == "auto"
        or re.fullmatch(r"0*[1-9][0-9]{0,8}|[0-9]{1,9}(,[0-9]{1,9})+|[0-9]{1,9},", text)
    ):
        raise TrainError(
            "devices is auto, a number of devices from 1, or a list such as 0,2, not "
            f"{short(devices)}"
        )
    named = [int(one) for one in text.split(",") if one and "," in text]
    if len(set(named)) < len(named):
        raise TrainError(f"devices {short(devices)} names a device twice; name each once")
    if not torch.cuda.is_available():
        _check_processors(devices)


def _check_processors(devices: str) -> None:
    """Refuse more processes than there are processors: Lightning would start thousands."""
    there = os.cpu_count() or 1
    if devices.strip().isdecimal() and int(devices) > there:
        raise TrainError(
            f"devices {short(devices)} are not available: there are {counted(there, 'processor')}"
        )


def _is_done(
    rows: list[dict[str, float]], kept: dict[str, Any], task: Task, options: FitOptions
) -> bool:
    """Return whether nothing is left to train.

    This is so if all epochs are done, or if training ended early with the same patience.
    """
    if len(rows) > task.recipe.epochs:
        raise TrainError(
            f"the run has trained {len(rows)} epochs already, more than {task.recipe.epochs}; "
            "ask for more with --epochs"
        )
    ended = kept.get(ENDED)
    return len(rows) == task.recipe.epochs or (ended is not None and ended == options.patience)


def _silent(_: str) -> None:
    pass


@dataclass(frozen=True)
class FitOptions:
    """Options of how a training is run. They are not part of :class:`bnn.train.run.Settings`.

    Attributes:
        devices: ``auto``, a number of devices, or a list like ``0,2``, as Lightning takes it.
        precision: :data:`INTEGER`, or a precision of Lightning (``32-true``, ``bf16-mixed``);
            None for the fastest.
        patience: stop after so many epochs of which none is better than the best before; None: do
            not stop early.
        progress: whether to show progress bars.
        say: called with each line of output, for example one per epoch.
    """

    devices: str = "auto"
    precision: str | None = None
    patience: int | None = None
    progress: bool = True
    say: Callable[[str], None] = _silent


def lightning_precision(stack: Stack, wanted: str | None) -> str:
    """Return the precision that Lightning is given.

    ``stack`` is set to use look-up tables if integers are requested; and if no precision is
    requested and integers are faster on this machine.

    On a CPU without AMX, few-bit layers train several times faster in integers than in floating
    point (``bench/train_step.py``).

    Raises:
        TrainError: integers are requested, and ``stack`` has layers that cannot be trained in
            integers.
    """
    if wanted == INTEGER or (wanted is None and _integers_pay()):
        if stack.use_luts():
            return "32-true"
        if wanted == INTEGER:
            raise TrainError(
                f"{stack.topology.name}: cannot be trained in integers: they are for binary and "
                "ternary layers after the first, without stride or bias; do not use --precision"
            )
    return wanted or fastest_precision()


def precision_of(stack: Stack, wanted: str | None) -> str:
    """Return the name of the precision in which ``stack`` will be trained.

    Raises:
        TrainError: ``wanted`` is not a precision, or ``stack`` cannot be trained in it.
    """
    _check_precision(wanted)
    found = lightning_precision(stack, wanted)
    return INTEGER if stack.uses_luts else found


def _integers_pay() -> bool:
    graphics = torch.cuda.is_available() or torch.backends.mps.is_available()
    return lut.available() and not _has("amx_bf16") and not graphics


def fastest_precision() -> str:
    """Return bfloat16 mixed precision if PyTorch is faster in it on this machine, else float32.

    bfloat16 holds weights and activations of one or two bits exactly. Sums are rounded in
    training only; evaluation is exact. bfloat16 is faster on GPUs, on CPUs with AMX, and on AMD
    CPUs with AVX512_BF16; on Intel CPUs with AVX512_BF16 but without AMX, CNV trains faster in
    float32 (``bench/train_step.py``).
    """
    if torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "32-true"
    fast = _has("amx_bf16") or (_has("avx512_bf16") and "AMD" in machine())
    return "bf16-mixed" if fast else "32-true"


def _has(feature: str) -> bool:
    return bool(torch.cpu.get_capabilities().get(feature))


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide Lightning's hints for developers, which do not concern users of ``bnn train``."""
    loggers = [logging.getLogger(f"lightning.{one}") for one in ("pytorch", "fabric")]
    levels = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"(lightning|torch|tensorboard)\b.*")
            yield
    finally:
        for one, level in zip(loggers, levels, strict=True):
            one.setLevel(level)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt when Lightning ends the process because of Ctrl-C."""
    try:
        yield
    except SystemExit as ended:
        cause = ended.__context__
        raise (cause if isinstance(cause, KeyboardInterrupt) else KeyboardInterrupt()) from None


@contextmanager
def _readable_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as reason:
        why = reason.strerror or str(reason)
        raise TrainError(
            f"{folder}: cannot be written: {why}; what was written is kept; "
            f"bnn train --resume {folder} goes on with it"
        ) from reason
    except RuntimeError as reason:
        if "can't allocate memory" not in str(reason) and "out of memory" not in str(reason):
            raise
        raise TrainError("not enough memory: use a smaller --batch or network") from reason

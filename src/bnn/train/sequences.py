# SPDX-License-Identifier: BSD-3-Clause
"""Train a recurrent network on sequences, deploy it, and compare the deployed scores.

A run is a folder with ``settings.json``, ``last.ckpt`` and ``best.ckpt`` (the epoch that is the
best on the validation part), and at the end ``model.bnn`` and ``report.json``.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from bnn.data.sequences import Sequences, sequences_of
from bnn.errors import TrainError
from bnn.model.file import load, save
from bnn.model.model import Model
from bnn.program.inputs import RealInput
from bnn.program.precision import UINT
from bnn.reader import SequenceClassifier
from bnn.system.files import parse_json, read_file, write_whole
from bnn.train.checked import Range, check_keys, check_values
from bnn.train.checkpoint import read_checkpoint, to_bytes
from bnn.train.early import BEST, LAST, SETTINGS, check_new, check_place, check_run
from bnn.train.lock import exclusive
from bnn.train.recurrent import MAX_UNITS, Recurrent, Shape, to_program

MODEL, REPORT = "model.bnn", "report.json"
MAX_SETTINGS_BYTES = 1 << 20
#: ``lstm-w2a2`` has 128 units; ``gru-64-w1a2`` says how many.
_NAME = re.compile(r"(lstm|gru)(?:-([1-9][0-9]{0,3}))?-w([124])a([124])")
UNITS = 128
#: Bits of the input's integers, if the hidden values have fewer.
LEAST_INPUT_BITS = 2
#: Test sequences whose scores the slow ``reference`` runtime computes too.
REFERENCE = 500
#: Sequences per measurement of statistics before training, and how often they are measured.
WARM = 20
#: Share of the epochs after which the batch norms' statistics do not change any more.
SETTLED = 0.6
#: Until then, every so many steps of the optimiser they move so far towards those of the batch.
OBSERVED, MOMENTUM = 4, 0.08
RANGES: dict[str, Any] = {
    "epochs": Range(1, 10_000),
    "batch": Range(2, 1 << 16),
    "rate": Range(1e-8, 1.0),
    "seed": Range(0, 2**32 - 1),
}


@dataclass(frozen=True)
class Settings:
    """What is trained.

    Attributes:
        network: ``lstm-w2a2``, ``gru-64-w1a2`` and so on.
        data: ``mnist`` or ``fashion-mnist``, whose pictures are sequences of rows, or a folder.
        epochs, batch, rate, seed: passes over the data, sequences a step, learning rate at the
            beginning (it falls to 0 as a cosine), seed of weights and order.
    """

    network: str
    data: str
    epochs: int = 20
    batch: int = 128
    rate: float = 2e-3
    seed: int = 1

    def __post_init__(self) -> None:
        check_values(self, RANGES)
        parsed(self.network)


def parsed(name: str) -> tuple[str, int, int, int]:
    """Return cell, units, bits of weights and bits of hidden values of a network's name.

    Raises:
        TrainError: no recurrent network has this name.
    """
    match = _NAME.fullmatch(name)
    units = int(match[2] or UNITS) if match else 0
    if match is None or units > MAX_UNITS:
        raise TrainError(
            f"{name}: a recurrent network is called such as lstm-w2a2 or gru-64-w1a2: lstm or gru, "
            f"up to {MAX_UNITS} units ({UNITS} by default), bits of weights and activations "
            "(1, 2 or 4)"
        )
    return match[1], units, int(match[3]), int(match[4])


def train(
    settings: Settings, folder: Path, say: Callable[[str], None], *, resume: bool = False
) -> dict[str, Any]:
    """Train, deploy the epoch that is the best on the validation part, and certify it.

    Args:
        settings: what is trained.
        folder: folder of the run; made if it is missing.
        say: called with lines of progress.
        resume: whether to go on with the run in ``folder``; its settings must be ``settings``.

    Returns:
        The report, as ``report.json`` has it.

    Raises:
        TrainError, DataError: an argument or the data are wrong; one line.
    """
    check_place(folder, settings.data)
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive(folder):
        if resume:
            if read_settings(folder) != settings:
                raise TrainError(f"{folder}: has a run with other settings")
        else:
            check_new(folder)
            text = json.dumps({"kind": "sequences", **asdict(settings)}, indent=2) + "\n"
            write_whole(folder / SETTINGS, text.encode(), TrainError)
        data = sequences_of(settings.data, settings.seed)
        net, given = _network(settings, data)
        _fit(settings, net, given, data, folder, say)
        return _certify(settings, net, given, data, folder, say)


def read_settings(folder: Path) -> Settings:
    """Read the settings of the run in ``folder``; :class:`TrainError` if they are wrong."""
    check_run(folder)
    path = folder / SETTINGS
    try:
        values = parse_json(read_file(path, MAX_SETTINGS_BYTES, TrainError), finite=True)
    except ValueError as reason:
        raise TrainError(f"{path}: is not JSON: {reason}") from None
    if not isinstance(values, dict) or values.pop("kind", None) != "sequences":
        raise TrainError(f"{path}: is not a run of a recurrent network")
    check_keys(str(path), values, Settings)
    return Settings(**values)


def _network(settings: Settings, data: Sequences) -> tuple[Recurrent, RealInput]:
    cell, units, weights, activations = parsed(settings.network)
    bits = max(LEAST_INPUT_BITS, activations)
    torch.manual_seed(settings.seed)
    shape = Shape(
        cell,  # type: ignore[arg-type]
        data.features,
        units,
        len(data.classes),
        weights,
        activations,
        bits,
    )
    low, high = data.ends()
    scale = ((high - low) / UINT(bits).high).astype(np.float32)
    given = RealInput((data.features,), UINT(bits), scale, (-low / scale).astype(np.float32))
    return Recurrent(shape), given


def _batches(
    data: Sequences, given: RealInput, chosen: NDArray[np.int64], size: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield integers (N, steps, features) and labels (N,); sequences of a batch have equal steps.

    They are taken in the order of ``chosen``.
    """
    waiting: dict[int, list[int]] = {}
    for index in chosen.tolist():
        group = waiting.setdefault(len(data.values[index]), [])
        group.append(index)
        if len(group) == size:
            yield _batch(data, given, group)
            group.clear()
    for group in waiting.values():
        if group:
            yield _batch(data, given, group)


def _batch(data: Sequences, given: RealInput, group: list[int]) -> tuple[Tensor, Tensor]:
    values = given.quantized(np.stack([data.values[index] for index in group]))
    return torch.from_numpy(values.astype(np.float32)), torch.from_numpy(data.labels[group])


def _fit(
    settings: Settings,
    net: Recurrent,
    given: RealInput,
    data: Sequences,
    folder: Path,
    say: Callable[[str], None],
) -> None:
    optimizer = torch.optim.Adam(net.parameters(), settings.rate)
    first, best, rows = 0, -1.0, []
    if (folder / LAST).exists():
        kept = read_checkpoint(folder / LAST)
        net.load_state_dict(kept["net"])
        optimizer.load_state_dict(kept["optimizer"])
        first, best, rows = kept["epoch"], kept["best"], kept["rows"]
    else:
        _measure(settings, net, given, data)
    per_epoch = -(-len(data.training) // settings.batch)
    for epoch in range(first, settings.epochs):
        began = time.monotonic()
        loss = _epoch(settings, net, given, data, optimizer, epoch, per_epoch, say)
        right = _right(net, given, data, data.validation) / len(data.validation)
        rows.append({"epoch": epoch + 1, "loss": loss, "validation": right})
        say(
            f"epoch {epoch + 1} of {settings.epochs}: loss {loss:.4f}, validation "
            f"{100 * right:.2f} %, {time.monotonic() - began:.0f} s"
        )
        if right > best:
            best = right
            write_whole(folder / BEST, to_bytes({"net": net.state_dict()}), TrainError)
        kept = {
            "net": net.state_dict(),
            "optimizer": optimizer.state_dict(),
            "epoch": epoch + 1,
            "best": best,
            "rows": rows,
        }
        write_whole(folder / LAST, to_bytes(kept), TrainError)


def _measure(settings: Settings, net: Recurrent, given: RealInput, data: Sequences) -> None:
    """Measure the statistics of the batch norms of the untrained network."""
    net.train()
    net.momentum = 0.5
    with torch.no_grad():
        for number, (steps, _) in enumerate(_batches(data, given, data.training, settings.batch)):
            if number == WARM:
                break
            net(steps)


def _epoch(
    settings: Settings,
    net: Recurrent,
    given: RealInput,
    data: Sequences,
    optimizer: torch.optim.Optimizer,
    epoch: int,
    per_epoch: int,
    say: Callable[[str], None],
) -> float:
    random = np.random.default_rng([settings.seed, epoch])
    net.train()
    total, count, told = 0.0, 0, time.monotonic()
    order = random.permutation(data.training)
    for number, (steps, labels) in enumerate(_batches(data, given, order, settings.batch)):
        moves = epoch < SETTLED * settings.epochs and number % OBSERVED == 0
        net.momentum = MOMENTUM if moves else 0.0
        done = min(1.0, (epoch + number / per_epoch) / settings.epochs)
        for group in optimizer.param_groups:
            group["lr"] = settings.rate * 0.5 * (1 + float(np.cos(np.pi * done)))
        loss = F.cross_entropy(net.logits(net(steps)), labels)
        if not torch.isfinite(loss):
            raise TrainError(f"the loss is {loss.item()}; choose a smaller --rate")
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        net.project()
        total, count = total + loss.item() * len(labels), count + len(labels)
        if time.monotonic() - told > 10:
            told = time.monotonic()
            say(f"  {count} of {len(order)} sequences, loss {total / count:.4f}")
    return total / count


def _right(net: Recurrent, given: RealInput, data: Sequences, part: NDArray[np.int64]) -> int:
    """Return how many sequences of ``part`` are classified as their labels say."""
    net.eval()
    with torch.no_grad():
        return sum(
            int((net.logits(net(steps)).argmax(1) == labels).sum())
            for steps, labels in _batches(data, given, part, 500)
        )


def _certify(
    settings: Settings,
    net: Recurrent,
    given: RealInput,
    data: Sequences,
    folder: Path,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Write the model of the best epoch, and compare its scores with the trained network's.

    Raises:
        TrainError: a score differs.
    """
    net.load_state_dict(read_checkpoint(folder / BEST)["net"])
    program = to_program(net, given.scale, given.zero_point)
    origin = {"settings": asdict(settings), "torch": torch.__version__}
    save(Model(program, data.classes, None, origin, settings.network), folder / MODEL)
    model = load(folder / MODEL)
    test = data.test_part()
    say(f"comparing scores of {len(test.values)} test sequences")
    wanted = np.empty((len(test.values), len(data.classes)), np.int64)
    with torch.no_grad():
        for index, sequence in enumerate(test.values):
            steps = given.quantized(sequence[np.newaxis]).astype(np.float32)
            wanted[index] = net(torch.from_numpy(steps)).numpy()[0].astype(np.int64)
    counts = {"cpu": len(test.values), "reference": min(REFERENCE, len(test.values))}
    differing, classes = {}, np.empty(0, np.int64)
    for runtime, count in counts.items():
        classifier = SequenceClassifier(model, runtime)
        scores = classifier.scores(test.values[:count])
        differing[runtime] = int((scores != wanted[:count]).sum())
        if runtime == "cpu":
            classes = classifier.decided(scores)
    if any(differing.values()):
        raise TrainError(f"scores differ from PyTorch's: {differing}; this is an error of bnn")
    report = {
        "network": settings.network,
        "data": settings.data,
        "classes": list(data.classes),
        "sequences": {"trained on": len(data.training), "validation": len(data.validation)},
        "tested": counts,
        "differing": differing,
        "accuracy": float((classes == test.labels).mean()),
        "settings": asdict(settings),
        "history": read_checkpoint(folder / LAST)["rows"],
    }
    write_whole(folder / REPORT, (json.dumps(report, indent=2) + "\n").encode(), TrainError)
    return report

# SPDX-License-Identifier: BSD-3-Clause
"""The certificate: the deployed model equals the trained network on the whole test set.

Three computations of every score are compared: PyTorch's evaluation of the trained
stack, the ``reference`` runtime and the ``cpu`` runtime of the file that was written.
There is no tolerance: if one score differs, there is no certificate.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bnn.classifier import logits, probabilities
from bnn.data.report import DataReport
from bnn.errors import TrainError
from bnn.formats.bnn_pynq.extracting import firing_level
from bnn.measure.calibration import (
    MIN_PICTURES,
    MIN_WRONG,
    Trade,
    calibration_error,
    find_calibration,
    noise,
    reliability,
    trade,
)
from bnn.model.calibration import NO_CALIBRATION, Calibration
from bnn.model.file import load, save
from bnn.model.model import Model
from bnn.run import prepare
from bnn.system.files import write_whole
from bnn.system.processor import with_count
from bnn.train.data import Batches, Part, Parts
from bnn.train.export import to_model
from bnn.train.finite import check_history, check_logits, check_stack
from bnn.train.stack import Stack

MODEL, REPORT, PAGE, CARD = "model.bnn", "report.json", "report.html", "card.md"
RUNTIMES = ("reference", "cpu")
BATCH = 500
#: Probabilities below which the report says what rejecting does.
LIMITS = (0.5, 0.9, 0.99)


@dataclass(frozen=True, eq=False)
class Certificate:
    """Result of the comparison; written as JSON, as an HTML page and as a model card.

    Attributes:
        network, dataset: names of the network and of the data set.
        classes: names of the classes.
        sha256: SHA-256 of the model file, in hex digits.
        differing: runtime name -> number of scores that differ from PyTorch's; there are images
            times classes scores.
        accuracy: ``pytorch`` or runtime name -> accuracy on the test part, 0 to 1.
        labels, predicted: int64 (images,), the true class, and the class that PyTorch gives.
        scores: int32 (images, classes), computed by PyTorch.
        history: one row of figures per epoch.
        settings: settings of the run, as plain values.
        machine: processor and GPU that computed this.
        data: what the data contain and what looks wrong, see :mod:`bnn.data.report`.
        calibration: how logits become probabilities; None if no calibration was found.
        no_calibration: why there is no calibration; "" if there is one.
        error: the expected calibration error on the test part; None without a calibration.
        trades: for each of several limits of probability, how many answers it rejects, on the test
            part and on noise.
    """

    network: str
    dataset: str
    classes: tuple[str, ...]
    sha256: str
    differing: dict[str, int]
    accuracy: dict[str, float]
    labels: NDArray[np.int64]
    predicted: NDArray[np.int64]
    scores: NDArray[np.int32]
    history: list[dict[str, float]]
    settings: dict[str, Any]
    machine: str
    data: DataReport
    calibration: Calibration | None = None
    no_calibration: str = ""
    error: float | None = None
    trades: tuple[Trade, ...] = ()

    @property
    def confusion(self) -> NDArray[np.int64]:
        """int64 (classes, classes): pictures by true class (row) and predicted class (column)."""
        count = len(self.classes)
        pairs = self.labels * count + self.predicted
        return np.bincount(pairs, minlength=count * count).reshape(count, count)

    def most_confused(self, most: int) -> NDArray[np.int64]:
        """Return the indexes of at most ``most`` wrong answers, those with the largest margin.

        The margin is the score of the predicted class minus that of the true class. The answer
        with the largest margin is the first.
        """
        rows = np.arange(len(self.labels))
        margin = self.scores[rows, self.predicted] - self.scores[rows, self.labels]
        wrong = np.flatnonzero(self.predicted != self.labels)
        return wrong[np.argsort(-margin[wrong], kind="stable")][:most]

    def as_json(self) -> dict[str, Any]:
        """Return the certificate as plain values, without the results of single pictures."""
        return {
            "network": self.network,
            "dataset": self.dataset,
            "classes": list(self.classes),
            "sha256": self.sha256,
            "images": len(self.labels),
            "differing_scores": self.differing,
            "accuracy": self.accuracy,
            "confusion": self.confusion.tolist(),
            "history": self.history,
            "settings": self.settings,
            "machine": self.machine,
            "calibration": None if self.calibration is None else self.calibration.to_json(),
            "no_calibration": self.no_calibration,
            "calibration_error": self.error,
            "rejecting": [one.as_json() for one in self.trades],
            "data_report": self.data.as_json(),
        }


def certify(
    stack: Stack,
    parts: Parts,
    history: list[dict[str, float]],
    settings: dict[str, Any],
    folder: Path,
) -> Certificate:
    """Deploy ``stack`` into ``folder``, compare, and write the results there.

    Raises:
        TrainError: a value is not finite; then nothing is written. Or a score differs, which is a
            defect of this package; then the results are written.
    """
    from bnn.train.page import card, page

    where = f"{folder}: cannot be certified"
    check_stack(stack, where)
    check_history(history, where)
    validated = trained_scores(stack, parts.validation)
    for scores in (validated, trained_scores(stack, parts.test)):
        check_logits(stack, torch.from_numpy(scores), where)
    kept = {key: settings[key] for key in ("recipe", "seed", "torch")}
    model = to_model(stack, parts.classes, parts.preprocess, parts.name, kept)
    model = with_firing_level(model, validated)
    model, missing = with_calibration(
        model, validated, parts.validation.labels.numpy(), whole=bool(settings.get("whole"))
    )
    if missing:
        model = replace(model, provenance={**model.provenance, NO_CALIBRATION: missing})
    save(model, folder / MODEL)
    found = _compare(stack, parts, history, settings, folder / MODEL)
    found = _judged(replace(found, no_calibration=missing), model)
    report = json.dumps(found.as_json(), indent=1, allow_nan=False) + "\n"
    write_whole(folder / REPORT, report.encode(), TrainError)
    write_whole(folder / PAGE, page(found, parts.test.pictures.numpy()).encode(), TrainError)
    write_whole(folder / CARD, card(found).encode(), TrainError)
    if any(found.differing.values()):
        raise TrainError(f"{folder / REPORT}: scores differ from the trained ones: report this")
    return found


def with_firing_level(model: Model, scores: NDArray[np.int32]) -> Model:
    """Return an LFC model with the entry ``fires at`` in its provenance.

    The original's hardware has one bit per class and no scores: the bit is 1 if the logit is at
    least this number. ``bnn convert --to bnn-pynq`` needs it. Other models are returned unchanged.

    Args:
        scores: int32 (N, classes), scores of validation pictures.
    """
    if not str(model.provenance["network"]).startswith("lfc"):
        return model
    level = firing_level(logits(model.program, scores))
    return replace(model, provenance={**model.provenance, "fires at": level})


def with_calibration(
    model: Model, scores: NDArray[np.int32], labels: NDArray[np.int64], *, whole: bool
) -> tuple[Model, str]:
    """Return the model with a calibration, and "".

    If no calibration can be found, return the model unchanged, and the reason.

    Args:
        model: the deployed model.
        scores, labels: scores (N, classes) and true classes (N,) of the validation part.
        whole: whether the validation part was trained on. Then no calibration is searched, because
            the model's probabilities on pictures that it was trained on are too high.
    """
    if whole:
        return model, "the validation part was trained on (--whole)"
    found = find_calibration(logits(model.program, scores), labels)
    if found is None:
        return model, (
            f"the validation part has fewer than {MIN_PICTURES} pictures or {MIN_WRONG} wrong "
            "answers, or the answers are no better than chance"
        )
    return replace(model, calibration=found), ""


def _judged(found: Certificate, model: Model) -> Certificate:
    """Return the certificate with the attributes that depend on the model's calibration.

    If the model has no calibration, return the certificate unchanged.
    """
    if model.calibration is None:
        return found
    sure = probabilities(model, found.scores).max(axis=1)
    right = found.predicted == found.labels
    runtime = prepare("cpu", model.program)
    random = runtime.run(model.program.input.check(noise(model.program.input.shape)))
    others = {"noise": probabilities(model, random.scores).max(axis=1)}
    return replace(
        found,
        calibration=model.calibration,
        error=calibration_error(reliability(sure, right)),
        trades=tuple(trade(limit, sure, right, others) for limit in LIMITS),
    )


def _compare(
    stack: Stack,
    parts: Parts,
    history: list[dict[str, float]],
    settings: dict[str, Any],
    path: Path,
) -> Certificate:
    program = load(path).program
    scores = trained_scores(stack, parts.test)
    labels = parts.test.labels.numpy()
    predicted = scores.argmax(axis=1)
    differing, accuracy = {}, {"pytorch": float((predicted == labels).mean())}
    for runtime in RUNTIMES:
        deployed = prepare(runtime, program).run(parts.test.pictures.numpy())
        differing[runtime] = int((deployed.scores != scores).sum())
        accuracy[runtime] = float((deployed.scores.argmax(axis=1) == labels).mean())
    return Certificate(
        network=stack.topology.name,
        dataset=parts.name,
        classes=parts.classes,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        differing=differing,
        accuracy=accuracy,
        labels=labels,
        predicted=predicted,
        scores=scores,
        history=history,
        settings=settings,
        machine=machine(),
        data=parts.report,
    )


def trained_scores(stack: Stack, part: Part) -> NDArray[np.int32]:
    """Return the integer scores of a part, int32 (N, classes), computed by PyTorch on a CPU."""
    stack.eval()
    scores = [stack.scores(pictures) for pictures, _ in Batches(part, BATCH)]
    found: NDArray[np.int32] = torch.cat(scores).numpy()
    return found


def machine() -> str:
    """Return the name of the processor and, if there is one, of the GPU."""
    name = with_count()
    return f"{name}, {torch.cuda.get_device_name()}" if torch.cuda.is_available() else name

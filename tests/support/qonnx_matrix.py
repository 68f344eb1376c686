# SPDX-License-Identifier: BSD-3-Clause
"""The matrix of ONNX operators (``fixtures/qonnx/matrix.py``): converted, executed, compared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from bnn.classifier import Classifier
from bnn.errors import BnnError, FormatError
from bnn.formats.convert import Options, convert
from bnn.formats.qonnx.executor import Executor
from bnn.measure.agreement import Answers, classes_of, compared
from support.converted import FIXTURES
from support.scripts_loaded import load

MATRIX: Any = load("fixtures", "qonnx", "matrix.py")
GROUPS: tuple[str, ...] = tuple(MATRIX.GROUPS)


def features(model: Any) -> int:
    """How many numbers a sample has at the output of ``model``."""
    return int(Executor(model).run(MATRIX.inputs()[:1], 10).shape[1])


def stored() -> dict[str, Any]:
    """Answers of qonnx's executor, by group and name."""
    with np.load(FIXTURES / "qonnx" / "matrix.answers.npz") as arrays:
        names, widths = str(arrays["names"]).split("\n"), arrays["widths"].astype(int)
        flat = arrays["answers"]
    ends = np.cumsum(widths * MATRIX.ANSWERED)
    parts = np.split(flat, ends[:-1])
    return {
        name: part.reshape(MATRIX.ANSWERED, width)
        for name, part, width in zip(names, parts, widths, strict=True)
    }


@dataclass(frozen=True)
class Outcome:
    """``equal``, ``refused``, ``wrong``, or ``unknown`` where no executor has an answer; why."""

    verdict: str
    why: str = ""


def _without_ties(classes: NDArray[np.int64], mine: Answers) -> NDArray[np.int64]:
    """Return ``classes``, with ours where both have equal logits.

    Sums of values such as q / 3 are rounded in float32, which decides between equal sums.
    """
    if mine.logits is None or mine.logits.shape[1] == 1:
        return classes
    rows, logits = np.arange(len(classes)), mine.logits
    apart = np.abs(logits[rows, mine.classes] - logits[rows, classes])
    return np.where(apart <= 1e-6 * max(1.0, float(np.abs(logits).max())), mine.classes, classes)


def outcome(model: Any, inputs: Any, answer: Any, folder: Path) -> Outcome:
    """What becomes of ``model``, compared with ``onnx.reference`` and the stored ``answer``."""
    path = folder / "x.onnx"
    onnx.save(model, path)
    try:
        conversion = convert(path)
        if conversion.report.assumed:  # the grid on which these inputs are
            conversion = convert(path, None, Options(input="int8/2"))
    except BnnError as error:
        return Outcome("refused", str(error).replace(f"{path}: ", ""))
    given = conversion.model.program.input.shape
    classifier = Classifier(conversion.model, "reference")
    batch = inputs.transpose(0, 2, 3, 1).reshape(len(inputs), *given)
    mine = Answers(classifier.classify(batch), classifier.logits(batch))
    answers, ending, middle = [] if answer is None else [answer], "scores", 0.0
    try:
        executor = Executor(path)
        ending, middle = executor.ending, 0.5 if executor.sigmoid else 0.0
        answers.append(executor.run(inputs.reshape(len(inputs), *executor.shape[1:]), 60))
    except FormatError as error:
        if answer is None:
            return Outcome("unknown", str(error))
    for found in answers:
        theirs = (
            Answers(_without_ties(found[:, 0].astype(np.int64), mine))
            if ending == "class"
            else Answers(classes_of(found, middle), found - np.float32(middle))
        )
        result = compared("them", mine, theirs, order_only=ending == "squashed")
        if result.differing or (result.off or 0) > 1e-5 * max(1.0, result.largest):
            return Outcome("wrong", result.line())
    return Outcome("equal")

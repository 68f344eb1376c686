# SPDX-License-Identifier: BSD-3-Clause
"""Classify sequences: each is an array (steps, features); its class is decided after the last."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.classifier import logits
from bnn.errors import InputError
from bnn.library import load
from bnn.model.model import Model
from bnn.program.operations import MAX_COLUMNS, Scan
from bnn.run import prepare_sequence


class SequenceClassifier:
    """A recurrent model on a runtime.

    Args:
        model: a :class:`~bnn.model.model.Model` whose program has a scan, or anything that
            :func:`bnn.load` takes.
        runtime: ``cpu``, ``reference`` or ``sim``.
        options: options for the runtime, for example ``threads=1`` for ``cpu``.

    Attributes:
        model: the model.
        classes: names of the classes.

    ``sequences`` below is an array (N, steps, features), or a list of arrays (steps, features),
    whose numbers of steps may differ. Values are what ``model.program.input.check`` takes: real
    numbers in the units of the training data. Of MNIST, a sequence is a picture: uint8 (28, 28).

    Raises:
        InputError: the model does not read sequences, or reads lines of text.
        RuntimeUnavailableError, UnknownNameError: see :func:`bnn.run.prepare_sequence`.
    """

    def __init__(
        self, model: Model | str | os.PathLike[str], runtime: str = "cpu", **options: Any
    ) -> None:
        self.model = model if isinstance(model, Model) else load(model)
        program = self.model.program
        if not program.is_sequence:
            raise InputError(f"{self.model.name}: reads single images; use bnn.Classifier")
        if self.model.lines is not None:
            raise InputError(f"{self.model.name}: reads lines of text; use bnn.LineReader")
        if any(isinstance(op, Scan) and op.reverse for op in program.ops):
            raise InputError(
                f"{self.model.name}: has a scan from the last step to the first, whose result "
                "after the last step has seen one step only; no class is decided so"
            )
        self.classes = self.model.classes
        self._runtime = prepare_sequence(runtime, program, **options)

    def scores(self, sequences: Iterable[Any]) -> NDArray[np.int32]:
        """Return the scores after the last step of each sequence, int32 (N, scores).

        Raises:
            InputError: a sequence has no step, too many steps, or values of another shape or type.
        """
        found = [self._last(number, one) for number, one in enumerate(sequences)]
        count = self.model.program.score_count
        return np.array(found, np.int32).reshape(len(found), count)

    def logits(self, sequences: Iterable[Any]) -> NDArray[np.float64]:
        """Return the logits, float64 (N, classes); without an affine they are the scores."""
        return self._logits(self.scores(sequences))

    def classify(self, sequences: Iterable[Any]) -> NDArray[np.int64]:
        """Return the index of the class of each sequence, int64 (N,); the first of equal ones."""
        return self.decided(self.scores(sequences))

    def decided(self, scores: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return the index of the class, int64 (N,), that each row of scores means."""
        classes: NDArray[np.int64] = self._logits(scores).argmax(axis=1).astype(np.int64)
        return classes

    def _logits(self, scores: NDArray[np.int32]) -> NDArray[np.float64]:
        return logits(self.model.program, scores)

    def _last(self, number: int, sequence: Any) -> NDArray[np.int32]:
        try:
            steps = self.model.program.input.check(sequence)
        except InputError as reason:
            raise InputError(f"sequence {number}: {reason}") from None
        if not 1 <= len(steps) <= MAX_COLUMNS:
            raise InputError(
                f"sequence {number}: has {len(steps)} steps; from 1 to {MAX_COLUMNS} are possible"
            )
        last: NDArray[np.int32] = self._runtime.run(steps).scores[-1]
        return last

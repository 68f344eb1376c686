# SPDX-License-Identifier: BSD-3-Clause
"""Recurrent models: :class:`LineReader` for text, :class:`SequenceClassifier` for classes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bnn.errors import InputError
from bnn.library import load
from bnn.model.lines import Lines
from bnn.model.model import Model
from bnn.program.operations import MAX_COLUMNS, Scan
from bnn.run import prepare_sequence

if TYPE_CHECKING:
    from bnn.data.pictures.lines import Line


@dataclass(frozen=True)
class LineRun:
    """Time of a reader's last line.

    Attributes:
        columns: number of columns that the network read.
        seconds: seconds spent on computing the class sums.
        prepare_seconds: seconds spent on reading, scaling and quantizing the picture.
    """

    columns: int
    seconds: float
    prepare_seconds: float = 0.0


class LineReader:
    """A model of text lines on a runtime.

    Args:
        model: a :class:`~bnn.model.model.Model`, or anything that :func:`bnn.load` takes.
        runtime: ``cpu``, ``reference`` or ``sim``.
        options: options for the runtime, for example ``kernel="avx2"`` for ``cpu``, ``folding``
            for ``sim``.

    A *line* below is the path of a picture, a PIL picture, or grey levels uint8 (height, width):
    dark text on light paper. A picture is read as a person sees it: upright, transparent pixels
    show white paper. Light text on dark is inverted, with a notice; small text and several lines
    are told in a notice; a blank picture is refused.

    Raises:
        UnknownNameError: no such model or runtime.
        InputError: the model does not read lines.
        RuntimeUnavailableError: the runtime cannot run sequences.
        InputError, DataError: from every method that takes a line.
    """

    def __init__(
        self, model: Model | str | os.PathLike[str], runtime: str = "cpu", **options: Any
    ) -> None:
        self.model = model if isinstance(model, Model) else load(model)
        self.lines = _lines(self.model)
        self.runtime = runtime
        self.options = options
        self.last_run = LineRun(0, 0.0)
        self._runtime = prepare_sequence(runtime, self.model.program, **options)

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how copy and pickle make this reader again: they prepare a new runtime."""
        return _again, (self.model, self.runtime, self.options)

    def __repr__(self) -> str:
        options = "".join(f", {name}={value!r}" for name, value in self.options.items())
        return f"LineReader({self.model.name!r}, runtime={self.runtime!r}{options})"

    @property
    def rows(self) -> int:
        """Number of pixels in a column."""
        return self.model.program.input.shape[0]

    def read(self, line: Line, *, original: bool = False) -> str:
        """Return the text of a line; ``original`` as of :meth:`scores`."""
        return self.text(self.scores(line, original=original))

    def scores(self, line: Line, *, original: bool = False) -> NDArray[np.int32]:
        """Return the class sums of every column, int32 (columns, classes).

        Args:
            line: the line.
            original: the picture is read as the original reads it, for equal class sums of any
                picture: alpha is not used, it is not turned, not inverted, and not checked.
        """
        start = time.perf_counter()
        columns = self.columns(line, original=original)
        prepared = time.perf_counter() - start
        scores = self.scores_of(columns)
        self.last_run = LineRun(len(columns), self.last_run.seconds, prepared)
        return scores

    def columns(self, line: Line, *, original: bool = False) -> NDArray[np.int16]:
        """Return a line as the network reads it, int16 (columns, rows); ``original`` as of
        :meth:`scores`.
        """
        return self.lines.columns(line, self.rows, original=original)

    def columns_of_file(self, path: str | os.PathLike[str]) -> NDArray[np.int16]:
        """Return the columns in a text file of prepared pixels, int16 (columns, rows)."""
        return self.lines.prepared(path, self.rows)

    def scores_of(self, columns: NDArray[Any]) -> NDArray[np.int32]:
        """Return the class sums of prepared columns, int32 (columns, classes).

        ``columns`` are the integers (columns, rows) of the network's input.
        """
        outputs = self._runtime.run(self.model.program.input.check(columns))
        self.last_run = LineRun(len(columns), outputs.seconds)
        return outputs.scores

    def text(self, scores: NDArray[Any]) -> str:
        """Return the text that follows from the class sums ``scores`` (columns, classes)."""
        return self.lines.text(scores, self.model.classes)


def _again(model: Model, runtime: str, options: dict[str, Any]) -> LineReader:
    return LineReader(model, runtime, **options)


def _lines(model: Model) -> Lines:
    if model.lines is None:
        raise InputError(
            f"{model.name}: does not read lines of text; use bnn classify or bnn.Classifier"
        )
    return model.lines


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
        affine = self.model.program.affine
        return scores.astype(np.float64) if affine is None else affine.logits(scores)

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

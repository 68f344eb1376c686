# SPDX-License-Identifier: BSD-3-Clause
"""Read lines of text with a recurrent model: :class:`LineReader`."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bnn.errors import InputError
from bnn.library import load
from bnn.model.lines import Lines
from bnn.model.model import Model
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

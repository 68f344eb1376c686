# SPDX-License-Identifier: BSD-3-Clause
"""A class for ``ray.data.Dataset.map_batches``, or for other programs with batches of data."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from bnn.errors import InputError
from bnn.library import load
from bnn.model.model import Model
from bnn.run import prepare
from bnn.scale.sources import Block
from bnn.scale.work import decoded


class Classify:
    """Adds ``class_index``, ``class_name``, ``scores`` and ``error`` to batches of a data set.

        dataset.map_batches(bnn.scale.Classify, fn_constructor_args=("cnv-w1a1",), concurrency=2)

    Args:
        model: a :class:`~bnn.model.model.Model`, or anything that :func:`bnn.load` takes.
        column: name of the column with the pictures; the column is an array (N, *input shape), or
            has the bytes of a picture file for each picture.
        runtime: name of a runtime, see :data:`bnn.run.RUNTIMES`.
        threads: number of threads of the cpu runtime; 1 is enough for Ray, which starts a process
            for each processor. Other runtimes ignore it.
    """

    def __init__(
        self,
        model: Model | str | os.PathLike[str],
        column: str = "image",
        runtime: str = "cpu",
        threads: int = 1,
    ) -> None:
        self.model = model if isinstance(model, Model) else load(model)
        self.column = column
        options: dict[str, Any] = {"threads": threads} if runtime == "cpu" else {}
        self._runtime = prepare(runtime, self.model.program, **options)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return the batch with four more columns.

        ``class_index`` is int64 (N,), ``class_name`` has texts, ``scores`` is int32 (N, scores),
        ``error`` has texts, which are empty if the picture was classified. For a picture that
        cannot be read, the four values are -1, an empty text, zeros and the reason.

        Raises:
            InputError: the batch has no such column, or the model does not take what is in it.
        """
        from bnn.classifier import decide

        if self.column not in batch:
            raise InputError(f"no column {self.column!r}; there are {', '.join(batch)}")
        given: Any = batch[self.column]
        numbers = isinstance(given, np.ndarray) and given.dtype != np.object_
        names = [f"{self.column}[{index}]" for index in range(len(given))]
        inputs, errors = decoded(self.model, Block(names, given if numbers else list(given)))
        outputs = self._runtime.run(inputs)
        good = np.array([error is None for error in errors], np.bool_)
        classes = np.full(len(given), -1, np.int64)
        classes[good] = decide(self.model.program, outputs)
        scores = np.zeros((len(given), outputs.scores.shape[1]), np.int32)
        scores[good] = outputs.scores
        labels = [self.model.classes[index] if index >= 0 else "" for index in classes]
        return {
            **batch,
            "class_index": classes,
            "class_name": np.array(labels),
            "scores": scores,
            "error": np.array([error or "" for error in errors]),
        }

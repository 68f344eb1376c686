# SPDX-License-Identifier: BSD-3-Clause
"""A model's accuracy on a labelled test set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.classifier import Classifier
from bnn.data.sets import load_test
from bnn.errors import DataError

CHUNK = 500


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Result of :func:`evaluate`.

    Attributes:
        confusion: int64 (classes, classes), how often class row was taken for column.
        seconds: spent on computing.
    """

    confusion: NDArray[np.int64]
    seconds: float

    @property
    def images(self) -> int:
        """How many."""
        return int(self.confusion.sum())

    @property
    def correct(self) -> int:
        """How many were classified right."""
        return int(np.trace(self.confusion))

    @property
    def accuracy(self) -> float:
        """Share of images classified right, 0 to 1."""
        return self.correct / self.images

    @property
    def us_per_image(self) -> float:
        """Microseconds per image."""
        return 1e6 * self.seconds / self.images

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "images": self.images,
            "correct": self.correct,
            "accuracy": self.accuracy,
            "us": self.us_per_image,
            "confusion": self.confusion.tolist(),
        }


def evaluate(
    classifier: Classifier, data: str, advance: Callable[[int, int], None] | None = None
) -> Evaluation:
    """Classify the whole test set ``data`` (see :func:`bnn.data.sets.load_test`).

    Args:
        advance: called after every chunk with images done and images in all.

    Raises:
        DataError: the data set is missing or damaged, or has classes that the model lacks.
    """
    test = load_test(data)
    total = len(test.labels)
    count = len(classifier.classes)
    wanted = _class_indices(test.classes, classifier.classes, data)
    confusion = np.zeros((count, count), np.int64)
    seconds = 0.0
    for first in range(0, total, CHUNK):
        chunk = slice(first, min(first + CHUNK, total))
        classes = classifier.classify(test.images[chunk])
        np.add.at(confusion, (wanted[test.labels[chunk]], classes), 1)
        seconds += classifier.last_run.seconds
        if advance is not None:
            advance(chunk.stop, total)
    return Evaluation(confusion, seconds)


def _class_indices(of_data: Sequence[str], of_model: Sequence[str], data: str) -> NDArray[np.int64]:
    """The model's index of each class of the data: by name where all names agree, else in order."""
    names = [name.casefold() for name in of_model]
    if all(name.casefold() in names for name in of_data):
        return np.array([names.index(name.casefold()) for name in of_data])
    if len(of_data) > len(of_model):
        raise DataError(
            f"{data}: has {len(of_data)} classes, the model knows {len(of_model)}: "
            f"{', '.join(of_model[:10])}"
        )
    return np.arange(len(of_data))

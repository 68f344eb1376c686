# SPDX-License-Identifier: BSD-3-Clause
"""A model's accuracy on a labelled test set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.classifier import Classifier
from bnn.data.folder import PictureFolder
from bnn.data.sets import DataSet, load_test
from bnn.errors import DataError, InputError
from bnn.inputs import PictureInput

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
        InputError: the model does not take pictures, or pictures of another shape.
    """
    given = classifier.model.program.input
    if not isinstance(given, PictureInput):
        raise InputError(f"{classifier.model.name} does not take pictures")
    test = load_test(data)
    if isinstance(test, DataSet) and test.images.shape[1:] != given.shape:
        raise InputError(
            f"{test.name}: pictures of {test.images.shape[1:]}, "
            f"{classifier.model.name} takes {given.shape}"
        )
    images: Any = test.images if isinstance(test, DataSet) else test.paths
    labels = _labels(test, classifier.classes)
    total, count = len(labels), len(classifier.classes)
    confusion = np.zeros((count, count), np.int64)
    seconds = 0.0
    for first in range(0, total, CHUNK):
        chunk = slice(first, min(first + CHUNK, total))
        classes = classifier.classify(images[chunk])
        np.add.at(confusion, (labels[chunk], classes), 1)
        seconds += classifier.last_run.seconds
        if advance is not None:
            advance(chunk.stop, total)
    return Evaluation(confusion, seconds)


def _labels(test: DataSet | PictureFolder, classes: Sequence[str]) -> NDArray[np.int64]:
    """Labels as the model's classes: by name where all names agree, else in order."""
    if isinstance(test, PictureFolder):
        return test.labels_for(classes)
    names = [name.casefold() for name in classes]
    if all(name.casefold() in names for name in test.classes):
        return np.array([names.index(name.casefold()) for name in test.classes])[test.labels]
    if len(test.classes) > len(classes):
        raise DataError(
            f"{test.name}: has {len(test.classes)} classes, the model knows {len(classes)}: "
            f"{', '.join(classes[:10])}"
        )
    return test.labels

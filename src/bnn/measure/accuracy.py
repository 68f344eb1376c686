# SPDX-License-Identifier: BSD-3-Clause
"""A model's accuracy on a labelled test set."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.classifier import Classifier, logits
from bnn.data.folder import PictureFolder
from bnn.data.known import KNOWN
from bnn.data.look import Looks, Notebook, Reader, look_at_arrays
from bnn.data.report import ALL, DataReport, Finding, make_report
from bnn.data.sets import DataSet, Splits, load_test, notes_of, open_splits
from bnn.errors import DataError, InputError
from bnn.model.batch import no_pictures
from bnn.program.inputs import PictureInput

#: Pictures that are classified at a time.
CHUNK = 500


#: Wrong answers that are kept for a report.
MAX_WORST = 30


@dataclass(frozen=True, eq=False)
class Wrong:
    """A picture that was classified wrong.

    Attributes:
        picture: uint8 (height, width, channels), as the network sees it.
        label: index of the true class.
        answer: index of the class that the model gave.
        margin: logit of the answer minus logit of the true class.
        sure: probability of the answer; None if the model has no calibration.
    """

    picture: NDArray[np.uint8]
    label: int
    answer: int
    margin: float
    sure: float | None


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Result of :func:`evaluate`.

    Attributes:
        confusion: int64 (classes, classes), numbers of pictures. The row is the true class, the
            column is the class that the model gave.
        seconds: time spent on computing.
        data: what the pictures look like, and what looks wrong.
        labels: int64 (N,), the true classes, in the order of the set.
        answers: int64 (N,), the classes that the model gave.
        sure: float64 (N,), probabilities of the answers; None if the model has no calibration.
        classes: names of the model's classes.
        worst: at most 30 wrong answers, those with the highest probabilities, the highest first.
            Without probabilities, those with the largest margins.
    """

    confusion: NDArray[np.int64]
    seconds: float
    data: DataReport
    labels: NDArray[np.int64]
    answers: NDArray[np.int64]
    sure: NDArray[np.float64] | None = None
    classes: tuple[str, ...] = ()
    worst: tuple[Wrong, ...] = ()

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether each answer is right, bool (N,)."""
        right: NDArray[np.bool_] = self.labels == self.answers
        return right

    @property
    def images(self) -> int:
        """Number of images."""
        return int(self.confusion.sum())

    @property
    def correct(self) -> int:
        """Number of images classified correctly."""
        return int(np.trace(self.confusion))

    @property
    def accuracy(self) -> float:
        """Share of images classified correctly, 0 to 1."""
        return self.correct / self.images

    @property
    def us_per_image(self) -> float:
        """Microseconds of computing per image."""
        return 1e6 * self.seconds / self.images

    def as_json(self) -> dict[str, Any]:
        """Return the result as plain values, for JSON."""
        return {
            "images": self.images,
            "correct": self.correct,
            "accuracy": self.accuracy,
            "us": self.us_per_image,
            "confusion": self.confusion.tolist(),
            "data_report": self.data.as_json(),
        }


def evaluate(
    classifier: Classifier,
    data: str,
    advance: Callable[[int, int], None] | None = None,
    *,
    skip_broken: bool = False,
) -> Evaluation:
    """Classify the test part of ``data``, or all pictures of a folder that has no parts.

    Every picture is also examined, also the pictures of a folder's training part: the report says
    which of them are in the test part too.

    Args:
        classifier: the model on its runtime.
        data: see :func:`bnn.data.sets.load_test`.
        advance: called after every batch with the number of pictures done and of all pictures.
        skip_broken: leave out files that cannot be read, instead of raising an error.

    Raises:
        UnreadableError: pictures cannot be read; the error lists all of them.
        DataError: the data set is missing or damaged, or has classes that the model does not have.
        InputError: the model does not take pictures, or not pictures of the set's shape.
    """
    given = classifier.model.program.input
    if not isinstance(given, PictureInput):
        raise InputError(no_pictures(classifier.model))
    known = data in KNOWN  # published sets: their training part need not be read
    # Each part by the model's classes: a test part may have one that the training part lacks.
    classes = classifier.classes
    splits = Splits(data, None, test=load_test(data)) if known else open_splits(data, None, classes)
    part: str
    part, test = splits.evaluated()
    if splits.test is None and splits.validation is None:
        part = ALL
    if part == "validation":
        note = "there is no test part: this is measured on the validation part"
        splits = replace(splits, notes=(*splits.notes, note))
    if isinstance(test, DataSet):
        if skip_broken:
            raise InputError(f"{data}: holds arrays, not picture files; remove --skip-broken")
        return _of_arrays(classifier, splits, part, test, advance)
    return _of_pictures(classifier, splits, part, test, advance, skip_broken=skip_broken)


def _of_arrays(
    classifier: Classifier,
    splits: Splits,
    part: str,
    test: DataSet,
    advance: Callable[[int, int], None] | None,
) -> Evaluation:
    model = classifier.model
    shape = model.program.input.shape
    if test.images.shape[1:] != shape:
        raise InputError(
            f"{test.name}: pictures of {test.images.shape[1:]}, {model.name} takes {shape}"
        )
    there = (one for one in (splits.training, test) if isinstance(one, DataSet))
    used = {label for one in there for label in np.unique(one.labels).tolist()}
    match = test.match(classifier.classes, used)
    labels = match.indexes[test.labels]
    count = _Count(classifier.classes)
    for first in range(0, len(test), CHUNK):
        chunk = slice(first, min(first + CHUNK, len(test)))
        count.add(classifier, test.images[chunk], labels[chunk])
        if advance is not None:
            advance(chunk.stop, len(test))
    looks = {part: look_at_arrays(test, model.preprocess).relabelled(labels)}
    training = splits.training
    if part != ALL and isinstance(training, DataSet):
        seen = look_at_arrays(training, model.preprocess)
        looks = {"training": seen.relabelled(match.indexes[seen.labels]), **looks}
    sizes = "x".join(map(str, (shape[1], shape[0], *shape[2:])))
    origins = dict.fromkeys(looks, f"from {splits.name}")
    report = make_report(
        splits.name,
        "arrays",
        classifier.classes,
        looks,
        origins,
        f"as is, {sizes}",
        shape,
        [*splits.notes, *match.notes],
        judged=part,
    )
    return count.evaluation(report)


def _of_pictures(
    classifier: Classifier,
    splits: Splits,
    part: str,
    test: PictureFolder,
    advance: Callable[[int, int], None] | None,
    *,
    skip_broken: bool,
) -> Evaluation:
    model = classifier.model
    if model.preprocess is None:
        raise InputError("the model does not say how pictures become its input; give arrays")
    height, width, channels = model.program.input.shape
    shape = (height, width, channels)
    training = splits.training if part != ALL else None
    total = len(test) + (0 if training is None else len(training))
    reader = Reader(model.preprocess, shape, total, advance)
    count, notebook = _Count(classifier.classes), Notebook()
    for images, own in reader.batches(test, notebook, CHUNK):
        count.add(classifier, images, own)
    if not skip_broken:
        reader.check(splits.name)
    if not count.images:
        raise DataError(f"{test.name}: none of its pictures can be read")
    skipped = tuple(reader.unreadable)
    seen = notebook.looks()
    looks = {part: seen}
    none = " (it has no test part)" if part == ALL else ""
    origins = {part: f"from {test.name}{none}"}
    if isinstance(training, PictureFolder):
        looks = {"training": _looks_of(training, reader), **looks}
        left = len(reader.unreadable) - len(skipped)
        without = f", without {left} that cannot be read" if left else ""
        origins["training"] = f"from {training.name}, only to compare{without}"
    there = {"training": training, part: test}
    notes = [
        *splits.notes,
        *notes_of({name: one for name, one in there.items() if one is not None}),
    ]
    report = make_report(
        splits.name,
        "pictures in folders",
        classifier.classes,
        looks,
        origins,
        f"by {model.preprocess.kind}, to {width}x{height}x{channels}",
        shape,
        notes,
        skipped,
        judged=part,
    )
    if part == ALL and _same_folder(str(model.provenance.get("dataset", "")), test.name):
        report = report.with_finding(_TRAINED_ON)
    return count.evaluation(report)


_TRAINED_ON = Finding(
    "trained on",
    1,
    "the model was trained on most of these pictures: how it does on new ones is in the "
    "report of its training, not here",
)


def _looks_of(training: PictureFolder, reader: Reader) -> Looks:
    """Return the looks of the training part's pictures."""
    notebook = Notebook()
    for _ in reader.batches(training, notebook):
        pass
    return notebook.looks()


def _same_folder(one: str, other: str) -> bool:
    return bool(one) and os.path.realpath(one) == os.path.realpath(other)


class _Count:
    """Collects the answers of batches: confusion matrix, time, probabilities, worst answers."""

    def __init__(self, classes: tuple[str, ...]) -> None:
        self.confusion = np.zeros((len(classes), len(classes)), np.int64)
        self.seconds = 0.0
        self.images = 0
        self.labels: list[NDArray[np.int64]] = []
        self.answers: list[NDArray[np.int64]] = []
        self.sure: list[NDArray[np.float64]] = []
        self.classes = classes
        self.worst: list[Wrong] = []

    def evaluation(self, report: DataReport) -> Evaluation:
        """Return the result for all batches so far."""
        labels, answers = np.concatenate(self.labels), np.concatenate(self.answers)
        sure = np.concatenate(self.sure) if self.sure else None
        return Evaluation(
            self.confusion,
            self.seconds,
            report,
            labels,
            answers,
            sure,
            self.classes,
            tuple(self.worst),
        )

    def _keep_worst(
        self,
        values: NDArray[np.float64],
        images: NDArray[np.uint8],
        labels: NDArray[np.int64],
        answers: NDArray[np.int64],
        sure: NDArray[np.float64] | None,
    ) -> None:
        rows = np.arange(len(labels))
        margins = values[rows, answers] - values[rows, labels]
        for at in np.flatnonzero(labels != answers).tolist():
            own = None if sure is None else float(sure[at])
            # Copied: the whole batch need not stay in memory.
            one = images[at].copy(), int(labels[at]), int(answers[at]), float(margins[at]), own
            self.worst.append(Wrong(*one))
        self.worst.sort(key=lambda one: (-(one.sure or 0.0), -one.margin))
        del self.worst[MAX_WORST:]

    def add(
        self, classifier: Classifier, images: NDArray[np.uint8], labels: NDArray[np.int64]
    ) -> None:
        """Classify a batch, and add its result to the counts."""
        scores, answers = classifier.run(images)
        np.add.at(self.confusion, (labels, answers), 1)
        self.labels.append(labels)
        self.answers.append(answers)
        values, sure = logits(classifier.model.program, scores), None
        if classifier.model.calibration is not None:
            found = classifier.model.calibration.probabilities(values)
            sure = found[np.arange(len(found)), answers]
            self.sure.append(sure)
        self._keep_worst(values, images, labels, answers, sure)
        self.seconds += classifier.last_run.seconds
        self.images += len(images)

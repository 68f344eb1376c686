# SPDX-License-Identifier: BSD-3-Clause
"""How reliable a classifier's probabilities are on a test set, and what a limit rejects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.classifier import Classifier, chosen_of
from bnn.data.sets import DataSet, load_test
from bnn.errors import DataError
from bnn.measure.accuracy import CHUNK, Evaluation
from bnn.measure.calibration import Bin, Trade, calibration_error, noise, reliability, trade
from bnn.model.batch import as_batch
from bnn.program.inputs import PictureInput

#: Pictures of another data set that are tried.
MAX_OTHERS = 2000


@dataclass(frozen=True)
class Sureness:
    """How reliable a classifier's probabilities are.

    Attributes:
        error: the expected calibration error, 0 to 1.
        bins: the bins from which the error is computed.
        trades: for each limit of probability, how many answers are kept and rejected.
    """

    error: float
    bins: tuple[Bin, ...]
    trades: tuple[Trade, ...]

    def as_json(self) -> dict[str, Any]:
        """Return these figures as plain values, for JSON."""
        return {
            "calibration_error": self.error,
            "rejecting": [one.as_json() for one in self.trades],
        }


def sureness(
    classifier: Classifier,
    result: Evaluation,
    limits: Sequence[float] = (),
    against: Sequence[str] = (),
) -> Sureness | None:
    """Return how reliable a classifier's probabilities are; None if its model has no calibration.

    Args:
        classifier: the model on its runtime.
        result: the classifier's answers on a test set.
        limits: limits of probability: answers below a limit are rejected.
        against: names or folders of data sets whose pictures show no class of the model.

    Raises:
        DataError: a data set cannot be read.
    """
    if classifier.model.calibration is None or result.sure is None:
        return None
    others: dict[str, NDArray[np.float64]] = {}
    given = classifier.model.program.input
    if limits and isinstance(given, PictureInput):
        pictures = noise(given.shape)
        others["noise"] = chosen_of(classifier, pictures)
        others |= {name: _of_set(classifier, name) for name in against}
    bins = reliability(result.sure, result.right)
    trades = tuple(trade(limit, result.sure, result.right, others) for limit in limits)
    return Sureness(calibration_error(bins), bins, trades)


def _of_set(classifier: Classifier, name: str) -> NDArray[np.float64]:
    """Return the probabilities of the answers to the first pictures of a data set.

    A picture that the preparation refuses gets the probability 0.
    """
    given = load_test(name)
    pictures = given.images if isinstance(given, DataSet) else list(given.paths)
    found = []
    for first in range(0, min(len(pictures), MAX_OTHERS), CHUNK):
        prepared = [_prepared(classifier, one) for one in pictures[first : first + CHUNK]]
        there = [one for one in prepared if one is not None]
        found.append(np.zeros(len(prepared) - len(there)))
        if there:
            found.append(chosen_of(classifier, np.stack(there)))
    return np.concatenate(found)


def _prepared(classifier: Classifier, picture: Any) -> NDArray[np.uint8] | None:
    try:
        prepared: NDArray[np.uint8] = as_batch(classifier.model, [picture])[0]
    except DataError:  # a photo in which a digit's preparation finds no stroke
        return None
    return prepared

# SPDX-License-Identifier: BSD-3-Clause
"""Find a calibration, measure its error, and count what a limit of probability rejects.

Source: Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.model.calibration import MAX_TEMPERATURE, MIN_TEMPERATURE, Calibration

#: Pictures and wrong answers that a calibration is found on at least; fewer say too little.
MIN_PICTURES, MIN_WRONG = 100, 3
#: Bins of equal width, from probability 0 to 1.
BINS = 15
#: Noise that a classifier should not be sure about.
NOISE, NOISE_SEED = 1000, 20
#: Calibration error that a temperature alone may leave; above it these exponents are tried.
MAX_ERROR = 0.02
EXPONENTS = np.arange(5, 31) / 10
#: Halvings of the interval in which the temperature lies.
_HALVINGS = 80


def find_calibration(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> Calibration | None:
    """Return the calibration with the highest likelihood of the true classes, or None.

    The exponent is 1, unless the temperature alone leaves a calibration error of more than 2 %.

    Args:
        logits: float64 (N, classes), of pictures that were not trained on.
        labels: int64 (N,), the true classes.

    Returns:
        The calibration. None if there are fewer than 100 pictures or 3 wrong answers, or if the
        model is not better than chance: then nothing can be said about how sure it is.
    """
    right = logits.argmax(axis=1) == labels
    if len(labels) < MIN_PICTURES or len(labels) - int(right.sum()) < MIN_WRONG:
        return None
    found = _best_temperature(logits, labels, 1.0)
    if found is None or error_of(found, logits, labels) <= MAX_ERROR:
        return found
    tried = [_best_temperature(logits, labels, float(one)) for one in EXPONENTS]
    return min(
        (one for one in tried if one is not None), key=lambda one: _loss(one, logits, labels)
    )


def error_of(
    calibration: Calibration, logits: NDArray[np.float64], labels: NDArray[np.int64]
) -> float:
    """Return the expected calibration error, 0 to 1, on logits (N, classes) and labels (N,)."""
    sure = calibration.probabilities(logits).max(axis=1)
    return calibration_error(reliability(sure, logits.argmax(axis=1) == labels))


def _best_temperature(
    logits: NDArray[np.float64], labels: NDArray[np.int64], exponent: float
) -> Calibration | None:
    """Return the calibration with the best temperature for ``exponent``.

    The interval of temperatures is halved many times, which finds the minimum of the loss: the
    slope of the loss over 1 / temperature only rises. Return None if the interval has no minimum.
    """
    gaps = (logits.max(axis=1, keepdims=True) - logits) ** exponent
    low, high = MAX_TEMPERATURE**-exponent, MIN_TEMPERATURE**-exponent
    if _slope(gaps, labels, low) >= 0 or _slope(gaps, labels, high) <= 0:
        return None
    for _ in range(_HALVINGS):
        middle = float(np.sqrt(low * high))
        if _slope(gaps, labels, middle) < 0:
            low = middle
        else:
            high = middle
    return Calibration(float((low * high) ** (-0.5 / exponent)), exponent)


def _slope(gaps: NDArray[np.float64], labels: NDArray[np.int64], factor: float) -> float:
    """Return the derivative with respect to ``factor`` of the mean negative log likelihood.

    The probabilities are softmax(-factor * gaps).
    """
    shares = Calibration(1.0).probabilities(-factor * gaps)
    expected = (shares * gaps).sum(axis=1)
    return float((gaps[np.arange(len(labels)), labels] - expected).mean())


def _loss(
    calibration: Calibration, logits: NDArray[np.float64], labels: NDArray[np.int64]
) -> float:
    """Return the mean negative log likelihood of the true classes."""
    found = calibration.probabilities(logits)[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(found, np.finfo(float).tiny)).mean())


@dataclass(frozen=True)
class Bin:
    """The answers whose probability is in one interval.

    Attributes:
        images: number of answers in this bin.
        probability: mean of the probabilities of these answers.
        accuracy: share of these answers that are right, 0 to 1.
    """

    images: int
    probability: float
    accuracy: float


def reliability(sure: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[Bin, ...]:
    """Return 15 bins of equal width with the answers in each.

    ``sure`` has the probability of each answer, float64 (N,); ``right`` whether it is right, bool
    (N,).
    """
    places = np.minimum((sure * BINS).astype(int), BINS - 1)
    return tuple(_bin(sure[places == place], right[places == place]) for place in range(BINS))


def _bin(sure: NDArray[np.float64], right: NDArray[np.bool_]) -> Bin:
    if not len(sure):
        return Bin(0, 0.0, 0.0)
    return Bin(len(sure), float(sure.mean()), float(right.mean()))


def calibration_error(bins: tuple[Bin, ...]) -> float:
    """Return the expected calibration error of bins, 0 to 1.

    It is the mean distance between the probability and the accuracy of a bin; each bin has the
    weight of its number of answers.
    """
    images = sum(one.images for one in bins)
    apart = (one.images * abs(one.probability - one.accuracy) for one in bins)
    return sum(apart) / images if images else 0.0


@dataclass(frozen=True)
class Trade:
    """How many answers are kept and rejected with one limit; shares are from 0 to 1.

    Attributes:
        reject: the limit: answers with a lower probability are rejected.
        right_kept: share of the right answers that are kept; None if no answer is right.
        wrong_refused: share of the wrong answers that are rejected; None if none is wrong.
        refused: name of a set of other images, such as ``noise`` -> share of them that is rejected.
    """

    reject: float
    right_kept: float | None
    wrong_refused: float | None
    refused: dict[str, float]

    def as_json(self) -> dict[str, Any]:
        """Return these figures as plain values, for JSON."""
        return asdict(self)

    def text(self) -> str:
        """Return these figures as one line for a terminal or a page."""
        kept = "no answer is right"
        if self.right_kept is not None:
            kept = f"{100 * self.right_kept:.1f} % of the right answers kept"
        wrong = {} if self.wrong_refused is None else {"the wrong answers": self.wrong_refused}
        shares = {**wrong, **self.refused}
        told = ", ".join(f"{100 * share:.1f} % of {name}" for name, share in shares.items())
        return f"below {100 * self.reject:g} %: {kept}; refused: {told or 'nothing to refuse'}"


def trade(
    reject: float,
    sure: NDArray[np.float64],
    right: NDArray[np.bool_],
    others: dict[str, NDArray[np.float64]],
) -> Trade:
    """Return how many answers are kept and rejected with the limit ``reject``.

    Args:
        reject: the limit, 0 to 1.
        sure, right: probability of each answer on a test part, and whether it is right, (N,).
        others: name -> probabilities (M,) of the answers to images that show no class.
    """
    kept = sure >= reject
    return Trade(
        reject,
        float(kept[right].mean()) if right.any() else None,
        float(1 - kept[~right].mean()) if not right.all() else None,
        {name: float((found < reject).mean()) for name, found in others.items()},
    )


def noise(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return 1000 pictures of uniform noise, uint8 (1000, *shape); the same in every call."""
    return np.random.default_rng(NOISE_SEED).integers(0, 256, (NOISE, *shape), dtype=np.uint8)

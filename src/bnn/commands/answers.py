# SPDX-License-Identifier: BSD-3-Clause
"""A classifier's answers as JSON values; how reliable its probabilities are, as lines of text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bnn.classifier import Classifier, logits

if TYPE_CHECKING:
    from bnn.measure.sureness import Sureness


def answers(
    classifier: Classifier,
    scores: NDArray[np.int32],
    classes: NDArray[np.int64],
    top: int | None,
) -> Iterator[dict[str, Any]]:
    """Yield for each image a dictionary with its class, its scores and, if known, its probability.

    Probabilities are known if the model has a calibration. The class index of an image that was
    rejected is None. ``top``: how many of the most likely classes are added; None: none.
    """
    model = classifier.model
    values = logits(model.program, scores)
    sure = None if model.calibration is None else model.calibration.probabilities(values)
    for at, index in enumerate(classes.tolist()):
        own = None if sure is None else sure[at]
        known = index < len(model.classes)
        answer: dict[str, Any] = {
            "class_index": index if known else None,
            "class_name": classifier.classes[index],
            "scores": scores[at].tolist(),
        }
        if own is not None:
            answer["probability"] = float(own[index] if known else own.max())
        if top is not None:
            best = np.argsort(-values[at], kind="stable")[:top].tolist()
            answer["top"] = [
                {
                    "class_index": one,
                    "class_name": model.classes[one],
                    "probability": None if own is None else float(own[one]),
                }
                for one in best
            ]
        yield answer


def sureness_lines(found: Sureness | None) -> list[str]:
    """Return lines for a terminal: the calibration error, and how much each limit rejects.

    If ``found`` is None, the only line says that the model gives no probabilities.
    """
    if found is None:
        return ["no probabilities: the model file has no calibration"]
    error = f"expected calibration error {100 * found.error:.2f} % (15 bins of equal width)"
    return [f"probabilities: {error}", *(one.text() for one in found.trades)]

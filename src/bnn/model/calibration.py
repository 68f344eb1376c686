# SPDX-License-Identifier: BSD-3-Clause
"""From logits to probabilities.

They are calibrated: of all answers with a probability of 80 %, about 80 % are right. Source of the
temperature: Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017.
The exponent is an addition of this package: training with smoothed labels makes the differences
between the highest logits smaller, which a temperature alone cannot correct.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn._checked import Checked
from bnn.errors import ModelFileError, ProgramError

#: Ends of temperatures: logits of integer sums have up to 2^31 levels. Ends of exponents.
MIN_TEMPERATURE, MAX_TEMPERATURE = 1e-6, 1e9
MIN_EXPONENT, MAX_EXPONENT = 0.25, 4.0


#: Entry of a model's provenance: why it has no calibration.
NO_CALIBRATION = "no calibration"


@dataclass(frozen=True)
class Calibration(Checked):
    """How logits become probabilities. It changes no score, no class and no order of classes.

    A class whose logit is ``gap`` below the highest has a probability proportional to
    exp(-(gap / temperature)^exponent). If the exponent is 1, the probabilities are
    softmax(logits / temperature).
    """

    temperature: float
    exponent: float = 1.0

    def __post_init__(self) -> None:
        _check("temperature", self.temperature, MIN_TEMPERATURE, MAX_TEMPERATURE)
        _check("exponent", self.exponent, MIN_EXPONENT, MAX_EXPONENT)

    def probabilities(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return probabilities of logits (N, classes): float64 (N, classes), each row of sum 1."""
        if not len(logits):
            return logits.astype(np.float64)
        gaps = (logits.max(axis=1, keepdims=True) - logits) / self.temperature
        with np.errstate(under="ignore", over="ignore"):
            powers = np.exp(-(gaps if self.exponent == 1 else gaps**self.exponent))
            found: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
        return found

    def to_json(self) -> dict[str, float]:
        """Return the calibration as JSON values, for the model file."""
        return {"temperature": self.temperature, "exponent": self.exponent}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Calibration:
        """Return the calibration that :meth:`to_json` described.

        Raise `ModelFileError` if ``values`` do not describe a calibration.
        """
        if values.keys() != {"temperature", "exponent"}:
            raise ModelFileError(
                "calibration must have a temperature and an exponent, not "
                f"{', '.join(sorted(values))[:80] or 'nothing'}"
            )
        return cls(values["temperature"], values["exponent"])


def _check(name: str, value: object, low: float, high: float) -> None:
    if type(value) is not float or not low <= value <= high:
        raise ProgramError(f"{name} must be a real number from {low:g} to {high:g}, not {value!r}")

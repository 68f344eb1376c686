# SPDX-License-Identifier: BSD-3-Clause
"""A layer that only software has: a function of Python on integers, whose results are checked."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.errors import HostLayerError
from bnn.hw.host_tail import finish
from bnn.program.inputs import ready
from bnn.run import Outputs
from bnn.run.stages import HostFunction, Stage


class FunctionRuntime:
    """A layer that a function of Python computes; what it returns is checked."""

    def __init__(self, stage: Stage, function: HostFunction) -> None:
        self.stage = stage
        self.function = function

    def run(self, inputs: NDArray[Any]) -> Outputs:
        """Run a batch, see :meth:`bnn.run.Runtime.run`.

        Raises:
            HostLayerError: the function raised, or what it returned is not such a result.
        """
        stage = self.stage
        program = stage.program
        integers = program.input.integers(ready(program.input, inputs)).astype(np.int32)
        began = time.perf_counter()
        scores = self._called(integers) if len(integers) else self._none()
        seconds = time.perf_counter() - began
        # Of the last part the host also computes the arg max.
        device = stage.end if stage.is_last else program.scores
        return Outputs(*finish(program, device, scores), seconds)

    def _none(self) -> NDArray[np.int32]:
        return np.zeros((0, int(np.prod(self.stage.result.shape))), np.int32)

    def _called(self, integers: NDArray[np.int32]) -> NDArray[np.int32]:
        try:
            returned = self.function(integers)
        except Exception as reason:
            raise HostLayerError(f"{self._name}: the function raised {_told(reason)}") from reason
        return self._checked(returned, len(integers))

    @property
    def _name(self) -> str:
        return f"host layer {self.stage.layers[0]!r}"

    def _checked(self, returned: Any, images: int) -> NDArray[np.int32]:
        """Return the values as int32 (N, values); :class:`HostLayerError` for anything else."""
        edge = self.stage.result
        shape = edge.shape if edge.shape[:2] != (1, 1) else edge.shape[2:]
        wanted = (images, *shape)
        if type(returned) is not np.ndarray:  # a masked array would hide values
            raise HostLayerError(
                f"{self._name}: the function returned {type(returned).__name__}, not an array"
            )
        if returned.shape != wanted:
            raise HostLayerError(
                f"{self._name}: the function returned shape {returned.shape}, not {wanted}"
            )
        if returned.dtype.kind not in "iu":
            raise HostLayerError(
                f"{self._name}: the function returned {returned.dtype}, not integers"
            )
        low, high = int(returned.min()), int(returned.max())
        if low < edge.low or high > edge.high or not edge.precision.allows(returned):
            values = "-1 and +1" if edge.precision.kind == "bipolar" else f"{edge.low}..{edge.high}"
            raise HostLayerError(
                f"{self._name}: the function returned values from {low} to {high}; the layer has "
                f"{values}"
            )
        return returned.reshape(images, -1).astype(np.int32)


def _told(reason: Exception) -> str:
    """Return kind and text of an error, on one line."""
    text = " ".join(str(reason).split())
    return f"{type(reason).__name__}: {text}" if text else type(reason).__name__

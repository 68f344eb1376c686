# SPDX-License-Identifier: BSD-3-Clause
"""What the host does for a program on an accelerator: it packs inputs and unpacks scores."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.hw.design import Design
from bnn.hw.host_tail import device_edge, finish


class Accelerated:
    """Packing and unpacking for one design."""

    def __init__(self, design: Design) -> None:
        self.design = design
        self._edge = device_edge(design.program)

    def pack(self, inputs: NDArray[Any]) -> NDArray[np.uint64]:
        """Return the memory words uint64 (N, words_in) of inputs that ``input.check`` returned."""
        return self.design.source.pack(self.design.program.input.integers(inputs))

    def finish(
        self, words: NDArray[np.uint64]
    ) -> tuple[NDArray[np.int32], NDArray[np.int64] | None]:
        """Compute scores (N, classes) and decisions (N,) from the result words (N, words_out).

        The decisions are None if the program has no arg max that decides.
        """
        return finish(self.design.program, self._edge, self.design.target.unpack(words))

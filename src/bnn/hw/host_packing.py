# SPDX-License-Identifier: BSD-3-Clause
"""What the host does for a program on an accelerator: arrays for its memory, scores of results."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.hw.design import Design
from bnn.hw.host_tail import device_edge, finish
from bnn.hw.memory_layout import ByteLayout
from bnn.program.inputs import PictureInput


class Accelerated:
    """Images and results of one design."""

    def __init__(self, design: Design) -> None:
        self.design = design
        self._edge = device_edge(design.program)

    @property
    def reads_pictures(self) -> bool:
        """Whether the accelerator reads pictures as the host has them, byte by byte."""
        source = self.design.source
        return isinstance(source, ByteLayout) and isinstance(source.given, PictureInput)

    def pack(self, inputs: NDArray[Any]) -> NDArray[Any]:
        """Return inputs that ``input.check`` returned as the array that the accelerator reads.

        It is uint64 (N, words) if the design's images are packed. Else it has a byte per value,
        uint8 or int8 (N, *shape); pictures are returned as they are.
        """
        if isinstance(self.design.source, ByteLayout):
            return self.design.source.pack(inputs)
        return self.design.source.pack(self.design.program.input.integers(inputs))

    def finish(
        self, words: NDArray[np.uint64]
    ) -> tuple[NDArray[np.int32], NDArray[np.int64] | None]:
        """Compute scores (N, classes) and decisions (N,) from the result words (N, words_out).

        The decisions are None if the program has no arg max that decides.
        """
        return finish(self.design.program, self._edge, self.design.target.unpack(words))

# SPDX-License-Identifier: BSD-3-Clause
"""The sliding window whose output words have all taps of a kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bnn.hw.blocks.block import Generic, Words
from bnn.hw.blocks.window import SlidingWindow
from bnn.hw.blocks.words import unpack_rows


@dataclass(frozen=True)
class Patches(SlidingWindow):
    """``bnn_patches``: a sliding window whose output words have all taps of the kernel.

    An output word has ``lanes`` channels of each tap, so the next matrix has another order of
    columns, see :attr:`bnn.hw.blocks.matrix.Matrix.taps`. ``pixels`` divides the width of the map
    of positions.

    Attributes:
        take: an input word has ``take * lanes`` channels, those of ``take`` output words.
    """

    module: ClassVar[str] = "bnn_patches"
    take: int = 1

    @property
    def buffer_rows(self) -> int:
        """Map rows in the buffer: a power of two, so that addresses need no arithmetic."""
        return 1 << (super().buffer_rows - 1).bit_length()

    @property
    def input_words(self) -> int:
        """Number of input words per image."""
        return super().input_words // self.take

    @property
    def input_lanes(self) -> int:
        """Number of values in an input word."""
        return self.take * self.lanes

    @property
    def taps(self) -> int:
        """Number of kernel positions whose channels are in one word."""
        return self.kernel[0] * self.kernel[1]

    @property
    def output_steps(self) -> int:
        """Number of output words per group of positions."""
        return self.folds

    def generics(self) -> dict[str, Generic]:
        """Return the parameters of the module's instance, by name."""
        return {
            "BITS": self.bits,
            "LANES": self.lanes,
            "TAKE": self.take,
            "PARTS": self.folds // self.take,
            **self._geometry,
            "PAD": f"{self.bits}'h{self.pad_code:x}",
            "STYLE": self.style,
        }

    def golden(self, words: Words) -> list[int]:
        """Return the expected output: the patch words of one image."""
        views = self._views(unpack_rows(words, self.bits, self.take * self.lanes))
        height, width, _, *kernel = views.shape
        slices = views.reshape(height, width, self.folds, self.lanes, *kernel)
        patches = slices.transpose(0, 1, 2, 4, 5, 3)  # (y, x, slice, ky, kx, lane)
        return self._pack(patches.reshape(height * width, self.folds, -1))

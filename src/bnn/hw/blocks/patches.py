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

    A field of an output word has ``lanes`` channels of each tap. So the columns of the next matrix
    are not in the program's order, see :attr:`bnn.hw.blocks.matrix.Matrix.taps`. ``pixels`` must
    divide the width of the map of positions.

    Attributes:
        take: number of output words for which one input word is enough. An input word has
            ``take * lanes`` channels of one position; an output word needs ``lanes`` of them.
    """

    module: ClassVar[str] = "bnn_patches"
    take: int = 1

    @property
    def buffer_rows(self) -> int:
        """Number of map rows in the buffer: a power of two, so that an address is made of bits."""
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
        """Number of kernel positions whose channels are in one field of an output word: all."""
        return self.kernel[0] * self.kernel[1]

    @property
    def output_steps(self) -> int:
        """Number of output words per group."""
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
        """Return the expected output words, which have the patches of one image."""
        views = self._views(unpack_rows(words, self.bits, self.take * self.lanes))
        height, width, _, *kernel = views.shape
        slices = views.reshape(height, width, self.folds, self.lanes, *kernel)
        patches = slices.transpose(0, 1, 2, 4, 5, 3)  # (y, x, slice, ky, kx, lane)
        return self._pack(patches.reshape(height * width, self.folds, -1))

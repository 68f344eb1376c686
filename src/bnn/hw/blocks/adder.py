# SPDX-License-Identifier: BSD-3-Clause
"""The sum of two streams."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bnn.hw.blocks.block import Generic, WordPasser, Words
from bnn.hw.blocks.words import pack_rows, unpack_rows
from bnn.program.precision import Precision


@dataclass(frozen=True)
class Adder(WordPasser):
    """``bnn_add``: adds two edges, value by value.

    Attributes:
        first, second: precisions of the two edges.
        lanes: values per word, of both inputs and of the output; all are added in one cycle.
        bits: width of a sum in bits, two's complement.
        words: words of each input per image.
    """

    module: ClassVar[str] = "bnn_add"
    first: Precision
    second: Precision
    lanes: int
    bits: int
    words: int

    @property
    def output_bits(self) -> int:
        """Width of an output word in bits."""
        return self.lanes * self.bits

    def generics(self) -> dict[str, Generic]:
        # A bipolar code c means 2c - 1.
        """Return the parameters of the module's instance, by name."""
        shifts = [int(p.kind == "bipolar") for p in (self.first, self.second)]
        signed = [int(p.kind in ("signed", "narrow")) for p in (self.first, self.second)]
        return {
            "LANES": self.lanes,
            "A_BITS": self.first.bits,
            "A_SIGNED": signed[0],
            "A_SHIFT": shifts[0],
            "B_BITS": self.second.bits,
            "B_SIGNED": signed[1],
            "B_SHIFT": shifts[1],
            "OFFSET": -sum(shifts),
            "BITS": self.bits,
        }

    def golden(self, first: Words, second: Words) -> list[int]:
        """Return the expected output words: the sums of the values in ``first`` and ``second``."""
        a = self.first.decode(unpack_rows(first, self.first.bits, self.lanes))
        b = self.second.decode(unpack_rows(second, self.second.bits, self.lanes))
        return pack_rows((a.astype(np.int64) + b) & ((1 << self.bits) - 1), self.bits)

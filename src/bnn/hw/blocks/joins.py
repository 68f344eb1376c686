# SPDX-License-Identifier: BSD-3-Clause
"""Blocks that join two streams: products of their values, and channels one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bnn.hw.blocks.block import Generic, WordPasser, Words
from bnn.hw.blocks.words import pack_rows, unpack_rows
from bnn.program.precision import Precision


def flags(precision: Precision) -> tuple[int, int]:
    """Return whether values are two's complement, and whether they are bipolar, 0 or 1 each."""
    return int(precision.kind in ("signed", "narrow")), int(precision.kind == "bipolar")


def _values(words: Words, precision: Precision, lanes: int) -> NDArray[np.int64]:
    """Return the integers (words, lanes) in the words of a stream."""
    return precision.decode(unpack_rows(words, precision.bits, lanes)).astype(np.int64)


@dataclass(frozen=True)
class Multiplier(WordPasser):
    """``bnn_multiply``: multiplies two edges, value by value.

    Attributes:
        first, second: precisions of the two edges.
        used: low bits of a value of each edge that the circuit reads; they have all values that may
            occur.
        lanes: values per word, of both inputs and of the output; all are multiplied in one cycle.
        bits: width of a product in bits, two's complement.
        words: words of each input per image.
    """

    module: ClassVar[str] = "bnn_multiply"
    first: Precision
    second: Precision
    used: tuple[int, int]
    lanes: int
    bits: int
    words: int

    @property
    def output_bits(self) -> int:
        """Width of an output word in bits."""
        return self.lanes * self.bits

    def generics(self) -> dict[str, Generic]:
        """Return the parameters of the module's instance, by name."""
        (a_signed, a_bipolar), (b_signed, b_bipolar) = flags(self.first), flags(self.second)
        return {
            "LANES": self.lanes,
            "A_BITS": self.first.bits,
            "A_USED": self.used[0],
            "A_SIGNED": a_signed,
            "A_BIPOLAR": a_bipolar,
            "B_BITS": self.second.bits,
            "B_USED": self.used[1],
            "B_SIGNED": b_signed,
            "B_BIPOLAR": b_bipolar,
            "BITS": self.bits,
        }

    def golden(self, first: Words, second: Words) -> list[int]:
        """Return the expected output: the products of the values in ``first`` and ``second``."""
        a = _values(first, self.first, self.lanes)
        b = _values(second, self.second, self.lanes)
        return pack_rows((a * b) & ((1 << self.bits) - 1), self.bits)


@dataclass(frozen=True)
class Joiner:
    """``bnn_concat``: the channels of one edge, then those of the other, for each position.

    Attributes:
        first, second: precisions of the two edges.
        output: precision of the result.
        lanes: values per word, of both inputs and of the output.
        parts: words of each input per position.
        positions: positions per image.
    """

    module: ClassVar[str] = "bnn_concat"
    has_fill: ClassVar[bool] = False
    first: Precision
    second: Precision
    output: Precision
    lanes: int
    parts: tuple[int, int]
    positions: int

    @property
    def cycles(self) -> int:
        """Cycles per image if neither an input nor the output stream stalls."""
        return self.output_words

    @property
    def output_bits(self) -> int:
        """Width of an output word in bits."""
        return self.lanes * self.output.bits

    @property
    def output_words(self) -> int:
        """Number of output words per image."""
        return self.positions * sum(self.parts)

    def generics(self) -> dict[str, Generic]:
        """Return the parameters of the module's instance, by name."""
        (a_signed, a_bipolar), (b_signed, b_bipolar) = flags(self.first), flags(self.second)
        both = self.output.kind == "bipolar"  # then both edges are, and codes stay
        return {
            "LANES": self.lanes,
            "A_WORDS": self.parts[0],
            "A_BITS": self.first.bits,
            "A_SIGNED": a_signed,
            "A_BIPOLAR": int(a_bipolar and not both),
            "B_WORDS": self.parts[1],
            "B_BITS": self.second.bits,
            "B_SIGNED": b_signed,
            "B_BIPOLAR": int(b_bipolar and not both),
            "BITS": self.output.bits,
        }

    def golden(self, first: Words, second: Words) -> list[int]:
        """Return the expected output: the words of ``first`` and ``second``, position by position.

        Values that the output's precision does not have lose their high bits.
        """
        a = self._codes(_values(first, self.first, self.lanes), self.parts[0])
        b = self._codes(_values(second, self.second, self.lanes), self.parts[1])
        joined = np.concatenate([a, b], axis=1).reshape(-1, self.lanes)
        return pack_rows(joined, self.output.bits)

    def _codes(self, values: NDArray[np.int64], parts: int) -> NDArray[np.int64]:
        """Return the output's codes of ``values``, (positions, words, lanes)."""
        shaped = values.reshape(-1, parts, self.lanes)
        if self.output.kind == "bipolar":
            return (shaped > 0).astype(np.int64)
        return shaped & ((1 << self.output.bits) - 1)

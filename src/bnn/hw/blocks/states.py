# SPDX-License-Identifier: BSD-3-Clause
"""Blocks of sequences: a vector that is carried to the next column, and columns of two ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bnn.hw.blocks.block import Generic, WordPasser
from bnn.hw.blocks.joins import flags
from bnn.program.precision import Precision


@dataclass(frozen=True)
class StateUnit(WordPasser):
    """``bnn_state``: gives the words that arrived for the previous column.

    For the first column of a sequence it gives the start value.

    Attributes:
        source, output: precisions of what arrives, and of what is carried.
        lanes: values per word.
        words: words per column.
        start: code of every value at the first column.
    """

    module: ClassVar[str] = "bnn_state"
    source: Precision
    output: Precision
    lanes: int
    words: int
    start: int

    @property
    def output_bits(self) -> int:
        """Width of an output word in bits."""
        return self.lanes * self.output.bits

    def generics(self) -> dict[str, Generic]:
        """Return the parameters of the module's instance, by name."""
        signed, bipolar = flags(self.source)
        both = self.output.kind == "bipolar"  # then what arrives is, and codes stay
        return {
            "LANES": self.lanes,
            "I_BITS": self.source.bits,
            "I_SIGNED": signed,
            "I_BIPOLAR": int(bipolar and not both),
            "BITS": self.output.bits,
            "WORDS": self.words,
            "START": self.start,
        }


@dataclass(frozen=True)
class Deal(WordPasser):
    """``bnn_deal``: gives words to two consumers in turn.

    Attributes:
        bits: bits of a word.
        parts: words in a row for each consumer.
        words: input words per image.
    """

    module: ClassVar[str] = "bnn_deal"
    bits: int
    parts: tuple[int, int]
    words: int

    @property
    def copies(self) -> int:
        """Number of consumers."""
        return 2

    def generics(self) -> dict[str, Generic]:
        """Return the parameters of the module's instance, by name."""
        return {"BITS": self.bits, "A_WORDS": self.parts[0], "B_WORDS": self.parts[1]}

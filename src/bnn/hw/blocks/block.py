# SPDX-License-Identifier: BSD-3-Clause
"""A hardware block in Python: its parameters, expected output (``golden``) and cycle count.

A block's circuit is one file of ``bnn/hw/rtl``. Its Python object has the parameters of the
instance, the expected output words, and the cycles per image if no stream stalls. Blocks are joined
only by valid/ready streams. A *word* is what a stream moves in one cycle; its *lanes* are the
values in it. If several positions are computed at once, they are a *group*, and a word has one
*field* per position of the group (docs/vocabulary.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol

Generic = int | str
Words = Sequence[int]


class Block(Protocol):
    """A circuit with its parameters: one instance of a SystemVerilog module."""

    #: Name of the SystemVerilog module.
    module: ClassVar[str]
    #: Whether the module has a ``fill`` port (words in its output FIFO).
    has_fill: ClassVar[bool]

    @property
    def cycles(self) -> int:
        """Cycles per image if neither the input nor the output stream stalls."""
        ...

    @property
    def output_bits(self) -> int:
        """Width of an output word in bits."""
        ...

    @property
    def output_words(self) -> int:
        """Number of output words per image."""
        ...

    def generics(self) -> dict[str, Generic]:
        """Return the parameters of the module's instance, by name."""
        ...


class WordPasser:
    """Base class of blocks that read and write at most one word per cycle.

    Attributes:
        bits: bits of an input word.
        words: number of input words per image.
    """

    has_fill: ClassVar[bool] = False
    bits: int
    words: int

    @property
    def cycles(self) -> int:
        """Cycles per image: the larger of the numbers of input words and of output words."""
        return max(self.words, self.output_words)

    @property
    def output_bits(self) -> int:
        """Width of an output word in bits."""
        return self.bits

    @property
    def output_words(self) -> int:
        """Number of output words per image."""
        return self.words


def divisors(number: int) -> list[int]:
    """Return all divisors of ``number``, ascending."""
    return [d for d in range(1, number + 1) if number % d == 0]

# SPDX-License-Identifier: BSD-3-Clause
"""The block that turns bytes in memory into codes: the accelerator's own input quantization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bnn.hw.blocks.block import Generic, Words, divisors
from bnn.hw.blocks.words import pack

#: Bytes of an input word, and the most values of an output word.
WORD = 8


def lanes_of(values: int) -> int:
    """Return how many values a beat has: the largest divisor of ``values`` that is at most 8."""
    return max(n for n in divisors(values) if n <= WORD)


@dataclass(frozen=True)
class Unpack:
    """``bnn_unpack``: cuts words of eight bytes into beats, and looks up each byte's code.

    Images follow each other without gaps, so that one may begin within a word. Codes 0 fill the
    last beat of an image.

    Attributes:
        values: bytes of an image, at least 8.
        lanes: codes of a beat, 1 to 8.
        bits: bits of a code, 1 to 8.
        codes: the code of each of the 256 bytes.
    """

    module: ClassVar[str] = "bnn_unpack"
    has_fill: ClassVar[bool] = False
    values: int
    lanes: int
    bits: int
    codes: tuple[int, ...]

    @property
    def words(self) -> int:
        """Number of words that one image needs; some of them have bytes of other images too."""
        return -(-self.values // WORD)

    @property
    def aligned(self) -> bool:
        """Whether every image begins with a word."""
        return self.values % WORD == 0

    @property
    def cycles(self) -> int:
        """Cycles per image: the larger of the numbers of input words and of beats."""
        return max(self.words, self.output_words)

    @property
    def output_bits(self) -> int:
        """Width of a beat in bits."""
        return self.lanes * self.bits

    @property
    def output_words(self) -> int:
        """Number of beats per image."""
        return -(-self.values // self.lanes)

    def generics(self) -> dict[str, Generic]:
        """Return the parameters of the module's instance, by name."""
        return {
            "OBITS": self.bits,
            "LANES": self.lanes,
            "VALUES": self.values,
            "TABLE": f"{256 * self.bits}'h{pack(self.codes, self.bits):x}",
        }

    def golden(self, words: Words) -> list[int]:
        """Return the expected output for the words of a batch: the beats of all whole images."""
        octets = b"".join(word.to_bytes(WORD, "little") for word in words)
        beats = []
        for first in range(0, len(octets) - self.values + 1, self.values):
            codes = [self.codes[octet] for octet in octets[first : first + self.values]]
            parts = (codes[at : at + self.lanes] for at in range(0, self.values, self.lanes))
            beats += [pack(part, self.bits) for part in parts]
        return beats

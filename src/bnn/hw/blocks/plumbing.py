# SPDX-License-Identifier: BSD-3-Clause
"""Blocks that move words and keep values: FIFO, converters, trim, pad, resize, fork, serializer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bnn.hw.blocks.block import Generic, WordPasser, Words
from bnn.hw.blocks.words import pack, unpack


@dataclass(frozen=True)
class Fifo(WordPasser):
    """``bnn_fifo``: a FIFO of ``depth`` words in memory and one word in its output register.

    A word needs at least 2 cycles from input to output.
    """

    module: ClassVar[str] = "bnn_fifo"
    has_fill: ClassVar[bool] = True
    bits: int
    depth: int
    words: int
    style: str = "auto"

    def generics(self) -> dict[str, Generic]:
        """Return the parameters of the module's instance, by name."""
        return {"BITS": self.bits, "DEPTH": self.depth, "STYLE": self.style}

    def golden(self, words: Words) -> list[int]:
        """Return the expected output: the input words."""
        return list(words)


@dataclass(frozen=True)
class _Converter(WordPasser):
    """Converter between narrow words and wide words.

    Both have ``groups`` fields. A field of a narrow word is one part of ``bits`` bits; a field of a
    wide word is ``ratio`` parts.

    Attributes:
        bits: bits of a part.
        ratio: parts per field of a wide word.
        words: input words per image.
        groups: fields per word, one for each position of a group.
    """

    bits: int
    ratio: int
    words: int
    groups: int = 1

    def generics(self) -> dict[str, Generic]:
        """Return the parameters of the module's instance, by name."""
        return {"BITS": self.bits, "RATIO": self.ratio, "GROUPS": self.groups}


@dataclass(frozen=True)
class Widen(_Converter):
    """``bnn_widen``: joins ``ratio`` narrow words into one wide word, field by field."""

    module: ClassVar[str] = "bnn_widen"

    @property
    def output_bits(self) -> int:
        """Width of an output word in bits."""
        return self.bits * self.ratio * self.groups

    @property
    def output_words(self) -> int:
        """Number of output words per image."""
        return self.words // self.ratio

    def golden(self, words: Words) -> list[int]:
        """Return the expected output: each output word joins ``ratio`` input words.

        Field g of an output word consists of the fields g of these input words; the field of the
        first input word has the lowest bits.
        """
        joined = []
        for start in range(0, len(words), self.ratio):
            parts = [unpack(w, self.bits, self.groups) for w in words[start : start + self.ratio]]
            fields = [pack((part[g] for part in parts), self.bits) for g in range(self.groups)]
            joined.append(pack(fields, self.bits * self.ratio))
        return joined


@dataclass(frozen=True)
class Narrow(_Converter):
    """``bnn_narrow``: splits one wide word into ``ratio`` narrow words.

    Each narrow word has one part of every field.
    """

    module: ClassVar[str] = "bnn_narrow"

    @property
    def output_bits(self) -> int:
        """Width of an output word in bits."""
        return self.bits * self.groups

    @property
    def output_words(self) -> int:
        """Number of output words per image."""
        return self.words * self.ratio

    def golden(self, words: Words) -> list[int]:
        """Return the expected output: ``ratio`` narrow words for each input word.

        The first of them has the lowest ``bits`` bits of every field, the second the next bits.
        """
        split = []
        for word in words:
            fields = unpack(word, self.bits * self.ratio, self.groups)
            parts = [unpack(field, self.bits, self.ratio) for field in fields]
            split += [pack((part[r] for part in parts), self.bits) for r in range(self.ratio)]
        return split


@dataclass(frozen=True)
class _Framed(WordPasser):
    """Block that reads and writes different numbers of words of one width.

    Attributes:
        bits: bits of a word.
        keep: words per image on the stream with fewer words.
        total: words per image on the stream with more words.
    """

    bits: int
    keep: int
    total: int

    @property
    def cycles(self) -> int:
        """Cycles per image if neither the input nor the output stream stalls."""
        return self.total

    def generics(self) -> dict[str, Generic]:
        """Return the parameters of the module's instance, by name."""
        return {"BITS": self.bits, "KEEP": self.keep, "TOTAL": self.total}


@dataclass(frozen=True)
class Trim(_Framed):
    """``bnn_trim``: keeps the first ``keep`` of every ``total`` words."""

    module: ClassVar[str] = "bnn_trim"

    @property
    def output_words(self) -> int:
        """Number of output words per image."""
        return self.keep

    def golden(self, words: Words) -> list[int]:
        """Return the expected output: the first ``keep`` of every ``total`` input words."""
        return [word for at, word in enumerate(words) if at % self.total < self.keep]


@dataclass(frozen=True)
class Pad(_Framed):
    """``bnn_pad``: adds zero words after every ``keep`` words, up to ``total`` words."""

    module: ClassVar[str] = "bnn_pad"

    @property
    def output_words(self) -> int:
        """Number of output words per image."""
        return self.total

    def golden(self, words: Words) -> list[int]:
        """Return the expected output: every ``keep`` input words, then zeros up to ``total``."""
        padded: list[int] = []
        for start in range(0, len(words), self.keep):
            padded += [*words[start : start + self.keep], *[0] * (self.total - self.keep)]
        return padded


@dataclass(frozen=True)
class Resize(WordPasser):
    """``bnn_resize``: removes the top bits of each word, or adds bits at the top.

    The added bits are zeros, or copies of the sign if a word is a signed number. The circuit
    consists of wires only.
    """

    module: ClassVar[str] = "bnn_resize"
    bits: int
    to: int
    words: int
    signed: bool = False

    @property
    def output_bits(self) -> int:
        """Width of an output word in bits."""
        return self.to

    def generics(self) -> dict[str, Generic]:
        """Return the parameters of the module's instance, by name."""
        signed: dict[str, Generic] = {"SIGNED": 1} if self.signed else {}
        return {"FROM": self.bits, "TO": self.to, **signed}

    def golden(self, words: Words) -> list[int]:
        """Return the expected output: each word cut or extended to ``to`` bits."""
        sign = 1 << (self.bits - 1) if self.signed else 0
        return [((word ^ sign) - sign) & ((1 << self.to) - 1) for word in words]


@dataclass(frozen=True)
class Fork(WordPasser):
    """``bnn_fork``: gives the same words to each of ``copies`` consumers."""

    module: ClassVar[str] = "bnn_fork"
    bits: int
    copies: int
    words: int

    def generics(self) -> dict[str, Generic]:
        """Return the parameters of the module's instance, by name."""
        return {"BITS": self.bits, "COPIES": self.copies}

    def golden(self, words: Words) -> list[int]:
        """Return the expected output of each copy: the input words."""
        return list(words)


@dataclass(frozen=True)
class Serialize:
    """``bnn_serialize``: makes one word per position from words with one field per position.

    Attributes:
        bits: bits of a field of an input word.
        pixels: positions per group, so fields per input word.
        folds: input words per group: row folds of the matrix before this block.
        positions: positions per image.
    """

    module: ClassVar[str] = "bnn_serialize"
    has_fill: ClassVar[bool] = False
    bits: int
    pixels: int
    folds: int
    positions: int

    @property
    def groups(self) -> int:
        """Number of groups per image; the last one may be incomplete."""
        return -(-self.positions // self.pixels)

    @property
    def cycles(self) -> int:
        """Cycles per image if neither the input nor the output stream stalls."""
        return self.groups * max(self.folds, self.pixels)

    @property
    def output_bits(self) -> int:
        """Width of an output word in bits."""
        return self.bits * self.folds

    @property
    def output_words(self) -> int:
        """Number of output words per image."""
        return self.positions

    def generics(self) -> dict[str, Generic]:
        """Return the parameters of the module's instance, by name."""
        return {
            "BITS": self.bits,
            "PIXELS": self.pixels,
            "NF": self.folds,
            "GROUPS": self.groups,
            "TAIL": self.positions - (self.groups - 1) * self.pixels,
        }

    def golden(self, words: Words) -> list[int]:
        """Return the expected output: one word per position, row by row."""
        out: list[int] = []
        per_image = self.groups * self.folds
        for start in range(0, len(words), self.folds):
            parts = [unpack(w, self.bits, self.pixels) for w in words[start : start + self.folds]]
            last = (start // self.folds) % self.groups == self.groups - 1
            real = self.positions - (self.groups - 1) * self.pixels if last else self.pixels
            out += [pack((part[p] for part in parts), self.bits) for p in range(real)]
        assert len(words) % per_image == 0
        return out

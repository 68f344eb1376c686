# SPDX-License-Identifier: BSD-3-Clause
"""How images and results are stored in memory, and what the host does to them before and after.

Images are stored in one of two ways:

- *bytes*: as NumPy has an array of 8-bit integers, a byte per value, image after image without
  gaps. The circuit turns bytes into codes.
- *packed*: the host packs the codes. Every image begins at a new 64-bit word. The values of an
  image follow each other without gaps, each with its lowest bit first. One exception: the circuit
  makes stream words from memory words in a register. If this register would exceed 576 bits, each
  stream word gets a *slot* in memory with unused bits at its end. The bits of a slot are a power
  of two, or a multiple of 64.

Every result begins at a new 64-bit word. If results are *int32*, a score takes 32 bits, as NumPy
has it. If they are *packed*, a value takes 1, 2, 4, 8, 16 or 32 bits, values of padding rows
included; so no value is in two memory words.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.program.inputs import Input, PictureInput
from bnn.program.precision import BIPOLAR, Precision

MEMORY_BITS = 64
#: Bytes of a memory word.
WORD_BYTES = MEMORY_BITS // 8
#: Most bits of the register that splits memory words; if it needed more, slots are used.
MAX_CONVERTER_BITS = 576
#: Bits that are unpacked at a time, to bound memory.
_CHUNK = 1 << 22


@dataclass(frozen=True, eq=False)
class ByteLayout:
    """Images are stored as bytes: the array that the host has, without packing.

    Attributes:
        given: the program's input; its precision has at most 8 bits, an image at least 8 values.
    """

    given: Input

    @property
    def image_bytes(self) -> int:
        """Bytes of an image: the number of its values."""
        return math.prod(self.given.shape)

    @property
    def memory_words(self) -> int:
        """Number of 64-bit words that one image needs."""
        return -(-self.image_bytes // WORD_BYTES)

    @property
    def dtype(self) -> np.dtype[Any]:
        """What NumPy calls a byte of this input: ``uint8``, or ``int8`` if values are signed."""
        low = 0 if isinstance(self.given, PictureInput) else self.given.precision.low
        return np.dtype(np.int8 if low < 0 else np.uint8)

    def pack(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return checked inputs (N, *shape) as bytes of :attr:`dtype`; pictures unchanged."""
        return values.astype(self.dtype, copy=False)

    @property
    def codes(self) -> NDArray[np.uint32]:
        """The code, uint32 (256,), of each byte."""
        precision = self.given.precision
        if isinstance(self.given, PictureInput):
            return precision.encode(self.given.table)
        byte = np.arange(256, dtype=np.uint32)
        # Other bytes than those of the precision do not occur.
        codes = byte >> 7 ^ 1 if precision == BIPOLAR else byte & (1 << precision.bits) - 1
        return codes.astype(np.uint32)


@dataclass(frozen=True)
class InputLayout:
    """Images are packed by the host.

    Attributes:
        values: number of values per image; codes 0 fill the last stream word.
        lanes: values per stream word.
        precision: precision of a value.
    """

    values: int
    lanes: int
    precision: Precision

    @property
    def word_bits(self) -> int:
        """Bits of one stream word."""
        return self.lanes * self.precision.bits

    @property
    def stream_words(self) -> int:
        """Number of stream words per image."""
        return -(-self.values // self.lanes)

    @property
    def slot_bits(self) -> int:
        """Bits of memory that a stream word takes."""
        if math.lcm(self.word_bits, MEMORY_BITS) <= max(MAX_CONVERTER_BITS, self.word_bits):
            return self.word_bits
        if self.word_bits > MEMORY_BITS:
            return -(-self.word_bits // MEMORY_BITS) * MEMORY_BITS
        return 1 << (self.word_bits - 1).bit_length()

    @property
    def gear_bits(self) -> int:
        """Bits of the register that collects memory words and is then cut into slots."""
        return math.lcm(self.slot_bits, MEMORY_BITS)

    @property
    def memory_words(self) -> int:
        """Number of 64-bit words per image."""
        gears = -(-self.stream_words * self.slot_bits // self.gear_bits)
        return gears * self.gear_bits // MEMORY_BITS

    @property
    def image_bytes(self) -> int:
        """Bytes of an image, a multiple of 8."""
        return self.memory_words * WORD_BYTES

    def pack(self, values: NDArray[Any]) -> NDArray[np.uint64]:
        """Return the memory words uint64 (N, memory_words) of the integers ``values`` (N, ...)."""
        flat = values.reshape(len(values), self.values)
        out = np.zeros((len(flat), self.memory_words), np.uint64)
        step = max(1, _CHUNK // (self.values * self.precision.bits))
        for at in range(0, len(flat), step):
            out[at : at + step] = self._pack(flat[at : at + step])
        return out

    def _pack(self, values: NDArray[Any]) -> NDArray[np.uint64]:
        bits, count = self.precision.bits, len(values)
        codes = self.precision.encode(values)
        size = self.memory_words * 8
        if bits == 8 and self.slot_bits == self.word_bits:
            raw = np.zeros((count, size), np.uint8)
            raw[:, : codes.shape[1]] = codes
        else:
            planes = (codes[:, :, None] >> np.arange(bits, dtype=np.uint32) & 1).astype(np.uint8)
            slots = np.zeros((count, self.stream_words, self.slot_bits), np.uint8)
            full = np.zeros((count, self.stream_words * self.lanes, bits), np.uint8)
            full[:, : self.values] = planes
            slots[:, :, : self.word_bits] = full.reshape(count, self.stream_words, self.word_bits)
            packed = np.packbits(slots.reshape(count, -1), axis=1, bitorder="little")
            raw = np.zeros((count, size), np.uint8)
            raw[:, : packed.shape[1]] = packed
        return raw.view("<u8")


@dataclass(frozen=True)
class OutputLayout:
    """How results are stored in memory.

    Attributes:
        values: number of values per image.
        rows: number of values per image, values of padding rows included.
        bits: bits of a value in the circuit.
        precision: precision of a value; not bipolar if results are int32.
        is_int32: whether results are int32, not packed.
    """

    values: int
    rows: int
    bits: int
    precision: Precision
    is_int32: bool = False

    @property
    def element_bits(self) -> int:
        """Bits of one value in memory: a power of two of at least :attr:`bits`."""
        return 32 if self.is_int32 else 1 << (self.bits - 1).bit_length()

    @property
    def elements(self) -> int:
        """Number of values in a memory word."""
        return MEMORY_BITS // self.element_bits

    @property
    def memory_words(self) -> int:
        """Number of 64-bit words per image."""
        return -(-(self.values if self.is_int32 else self.rows) // self.elements)

    def unpack(self, words: NDArray[np.uint64]) -> NDArray[np.int32]:
        """Return the integers int32 (N, values) in ``words`` (N, memory_words), without padding."""
        if not len(words):
            return np.zeros((0, self.values), np.int32)
        raw = np.ascontiguousarray(words).astype("<u8", copy=False)
        if self.is_int32:
            return raw.view("<i4").reshape(len(words), -1)[:, : self.values]
        if self.element_bits >= 8:
            kind = np.dtype(f"<u{self.element_bits // 8}")
            codes = raw.view(kind).reshape(len(words), -1)[:, : self.values].astype(np.int64)
        else:
            octets = raw.view(np.uint8).reshape(len(words), -1)
            planes = np.unpackbits(octets, axis=1, bitorder="little")
            weights = 1 << np.arange(self.element_bits, dtype=np.int64)
            codes = planes.reshape(len(words), -1, self.element_bits).astype(np.int64) @ weights
            codes = codes[:, : self.values]
        codes = codes & ((1 << self.bits) - 1)
        if self.precision.kind == "bipolar":
            return (2 * codes - 1).astype(np.int32)
        if self.precision.kind != "unsigned":
            codes = codes - ((codes >> (self.bits - 1)) << self.bits)
        return codes.astype(np.int32)

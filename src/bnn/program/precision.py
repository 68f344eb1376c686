# SPDX-License-Identifier: BSD-3-Clause
"""The precision of one number: how many bits it has, and which values the bits mean.

Use the properties and methods of a precision (``low``, ``high``, ``allows``); do not compare names.
A precision does not depend on any runtime.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bnn.errors import ProgramError

Kind = Literal["bipolar", "unsigned", "signed", "narrow"]

#: Widest precision of any edge: an accumulator is at most a 32-bit integer.
MAX_BITS = 32


@dataclass(frozen=True)
class Precision:
    """Precision of an integer of ``bits`` bits (1 to 32), whose bits are read as ``kind``.

    ========== ============================ =====================================
    kind       values                       code of value v
    ========== ============================ =====================================
    bipolar    -1, +1 (one bit)             0, 1
    unsigned   0 .. 2^b - 1                 v
    signed     -2^(b-1) .. 2^(b-1) - 1      two's complement
    narrow     -2^(b-1) + 1 .. 2^(b-1) - 1  two's complement; -2^(b-1) never occurs
    ========== ============================ =====================================

    Raises:
        ProgramError: the kind is unknown, or cannot have so many bits.
    """

    bits: int
    kind: Kind

    def __post_init__(self) -> None:
        fewest = {"bipolar": 1, "unsigned": 1, "signed": 1, "narrow": 2}.get(self.kind)
        if fewest is None or type(self.bits) is not int:
            raise ProgramError(f"no such precision: {self.kind!r} of {self.bits!r} bits")
        limit = 1 if self.kind == "bipolar" else MAX_BITS
        if not fewest <= self.bits <= limit:
            raise ProgramError(f"{self.kind} precision cannot have {self.bits} bits")

    @property
    def low(self) -> int:
        """Smallest value of the precision."""
        match self.kind:
            case "bipolar":
                return -1
            case "unsigned":
                return 0
            case "signed":
                return -(1 << (self.bits - 1))
            case "narrow":
                return 1 - (1 << (self.bits - 1))

    @property
    def high(self) -> int:
        """Largest value of the precision."""
        match self.kind:
            case "bipolar":
                return 1
            case "unsigned":
                return (1 << self.bits) - 1
            case "signed" | "narrow":
                return (1 << (self.bits - 1)) - 1

    @property
    def name(self) -> str:
        """Name that :func:`parse` reads: such as ``bipolar``, ``uint4``, ``int4`` or ``int2n``."""
        match self.kind:
            case "bipolar":
                return "bipolar"
            case "unsigned":
                return f"uint{self.bits}"
            case "signed":
                return f"int{self.bits}"
            case "narrow":
                return f"int{self.bits}n"

    @property
    def range_text(self) -> str:
        """Name and values, for messages: ``uint2 (0..3)``, ``bipolar (-1, +1)``."""
        return f"{self.name} ({self._values})"

    @property
    def _values(self) -> str:
        return "-1, +1" if self.kind == "bipolar" else f"{self.low}..{self.high}"

    def __str__(self) -> str:
        return self.name

    def allows(self, values: NDArray[Any] | int) -> bool:
        """Whether each of the integers ``values`` has a code."""
        array = np.asarray(values)
        if array.size == 0:
            return True
        if self.kind == "bipolar" and (array.dtype.kind not in "iu" or not array.all()):
            return bool(((array == -1) | (array == 1)).all())
        return bool(array.min() >= self.low and array.max() <= self.high)

    def covers(self, low: int, high: int) -> bool:
        """Whether all integers from ``low`` to ``high`` have a code."""
        if self.kind == "bipolar":
            return low in (-1, 1) and high in (-1, 1) and low == high
        return self.low <= low and high <= self.high

    def encode(self, values: NDArray[Any]) -> NDArray[np.uint32]:
        """Return the codes, uint32, of the integers ``values`` (any shape).

        A code is in the low ``bits`` bits; the other bits are 0.

        Raises:
            ProgramError: a value is outside this precision.
        """
        if not self.allows(values):
            raise ProgramError(f"values are outside {self.range_text}")
        wide = np.asarray(values).astype(np.int64)
        if self.kind == "bipolar":
            return (wide > 0).astype(np.uint32)
        return (wide & ((1 << self.bits) - 1)).astype(np.uint32)

    def decode(self, codes: NDArray[Any]) -> NDArray[np.int32]:
        """Return the integers, int32, that ``codes`` (any shape) mean.

        Bits above the low ``bits`` bits must be 0.

        Raises:
            ProgramError: this precision has no value for a code, such as -2^(b-1) if narrow.
        """
        wide = np.asarray(codes).astype(np.int64)
        if self.kind == "bipolar":
            wide = 2 * wide - 1
        elif self.kind != "unsigned":
            wide = wide - ((wide >> (self.bits - 1)) << self.bits)
        if not self.allows(wide):
            raise ProgramError(f"a code has no value in {self.name}")
        return wide.astype(np.int32)


BIPOLAR = Precision(1, "bipolar")


def UINT(bits: int) -> Precision:
    """Return the precision of an unsigned integer of ``bits`` bits."""
    return Precision(bits, "unsigned")


def INT(bits: int, *, narrow: bool = False) -> Precision:
    """Return the precision of a two's complement integer of ``bits`` bits.

    ``narrow``: without the lowest value, so that the range is symmetric around zero.
    """
    return Precision(bits, "narrow" if narrow else "signed")


#: -1, 0, +1 in two bits: what BNN-PYNQ calls 2-bit weights and activations.
TERNARY = INT(2, narrow=True)

_NAME = re.compile(r"(u?)int([1-9][0-9]?)(n?)")


def parse(name: str) -> Precision:
    """Return the precision called ``name``, such as ``bipolar``, ``uint4``, ``int4`` or ``int2n``.

    Raises:
        ProgramError: there is no such precision.
    """
    if name == "bipolar":
        return BIPOLAR
    match = _NAME.fullmatch(name) if isinstance(name, str) else None
    if match is None or (match[1] and match[3]):
        raise ProgramError(f"no such precision: {name!r}")
    return UINT(int(match[2])) if match[1] else INT(int(match[2]), narrow=bool(match[3]))

# SPDX-License-Identifier: BSD-3-Clause
"""Arrays as C constants; a matrix of few bits as bit planes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.model.file import pack_planes
from bnn.program.operations import Dot
from bnn.program.precision import Precision

#: Products of bit planes of a dot; above, weights are stored as numbers and multiplied.
MAX_PLANES = 16
_PER_LINE = 8


@dataclass(frozen=True)
class Planes:
    """How a value is computed from the bits of its code: ``low + sum(factor * bit)``.

    Attributes:
        factors: a factor for each bit of the code, from the lowest bit to the highest.
        low: the value whose code has only zeros.
    """

    factors: tuple[int, ...]
    low: int


def planes_of(precision: Precision) -> Planes:
    """Return how a value of ``precision`` is the sum of the bits of its code."""
    if precision.kind == "bipolar":
        return Planes((2,), -1)
    factors = [1 << bit for bit in range(precision.bits)]
    if precision.kind != "unsigned":
        factors[-1] = -factors[-1]
    return Planes(tuple(factors), 0)


def is_counted(op: Dot, source: Precision) -> bool:
    """Return whether the dot is computed with AND and popcount of bit planes."""
    return source.bits * op.precision.bits <= MAX_PLANES


def packed(op: Dot) -> NDArray[np.uint32]:
    """Return the weights' bit planes, uint32 (rows, planes, words); bits past the end are 0."""
    planes = pack_planes(op.weights, op.precision).transpose(1, 0, 2)
    padded = np.pad(planes, ((0, 0), (0, 0), (0, -planes.shape[2] % 4)))
    words: NDArray[np.uint32] = np.ascontiguousarray(padded).view("<u4")
    return words


def array(c: str, name: str, values: NDArray[Any], *, hexadecimal: bool = False) -> str:
    """Return C text that defines the constant array ``name`` of type ``c``, with one dimension."""
    flat = [int(value) for value in values.reshape(-1)]
    if hexadecimal:
        texts = [f"0x{value:08x}u" for value in flat]
    else:
        texts = [_number(value) for value in flat]
    lines = [", ".join(texts[i : i + _PER_LINE]) for i in range(0, len(texts), _PER_LINE)]
    body = ",\n    ".join(lines)
    return f"static const {c} {name}[{len(flat)}] = {{\n    {body}\n}};\n"


def _number(value: int) -> str:
    """Return a C expression for an integer.

    C has no negative constants: ``-2147483648`` is minus of a number that does not fit in 32 bits.
    Therefore -2^31 and -2^63 are written as differences.
    """
    if value == -(1 << 63):
        return "(-INT64_C(9223372036854775807) - 1)"
    if not -(1 << 31) < value < 1 << 31:
        return "(-2147483647 - 1)" if value == -(1 << 31) else f"INT64_C({value})"
    return str(value)

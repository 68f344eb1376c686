# SPDX-License-Identifier: BSD-3-Clause
"""Split numbers of many bits into sums of shorter numbers, which operations can take.

Weights that are not quantized have 24 bits. A layer with such weights becomes a few layers with
short weights; their sums are added in fixed point (:mod:`bnn.lower.affine`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Bits of accumulators, without the sign; most bits of a part of a weight.
SUM_BITS, PART_BITS = 30, 14
#: Fewest bits of a part: with fewer bits, there would be too many parts.
MIN_PART_BITS = 4
#: Bits of weights that are not split, without the sign.
WEIGHT_BITS = 23


@dataclass(frozen=True, eq=False)
class Part:
    """A part of real weights, which are the sum of ``factor[row] * integers[row]`` of all parts.

    Attributes:
        integers: int16, the shape of the weights.
        factor: float64 (out,).
    """

    integers: NDArray[np.int16]
    factor: NDArray[np.float64]


def parts(real: NDArray[np.float64], largest: int) -> list[Part] | None:
    """Return the parts of real weights (out, ...), with falling factors.

    Return None if the parts would have too few bits, so that there would be too many parts.

    Args:
        real: the weights, float64.
        largest: the largest magnitude of the values that the weights multiply.
    """
    rows = np.abs(real).reshape(len(real), -1)
    taps = max(1, int(np.count_nonzero(rows, axis=1).max()))
    bits = min(PART_BITS, SUM_BITS + 1 - _bits(taps) - _bits(largest))
    if bits < MIN_PART_BITS:
        return None
    most = rows.max(axis=1)
    unit = np.where(most > 0, most, 1.0) / 2.0**WEIGHT_BITS
    rest = np.rint(real / unit.reshape(-1, *[1] * (real.ndim - 1))).astype(np.int64)
    count, half = math.ceil((WEIGHT_BITS + 1) / bits), 1 << (bits - 1)
    found = []
    for number in range(count):
        short = rest if number == count - 1 else (rest + half) % (2 * half) - half
        rest = (rest - short) >> bits
        found.append(Part(short.astype(np.int16), unit * 2.0 ** (bits * number)))
    return found[::-1]


def _bits(value: int) -> int:
    return math.ceil(math.log2(max(1, value)))


def halves(least: int, most: int) -> int:
    """Return how many low bits to split off from integers from ``least`` to ``most``.

    Return 0 if the integers fit in 16 bits.
    """
    largest = max(abs(least), abs(most))
    return 0 if largest < 1 << 15 else (largest.bit_length() + 1) // 2


def whole_weights(real: NDArray[Any], scale: Any) -> NDArray[np.float64]:
    """Return the weights, each multiplied by the scale of its row, float64."""
    rows = np.asarray(scale, np.float64).reshape(-1, *[1] * (real.ndim - 1))
    return np.asarray(real.astype(np.float64) * rows)

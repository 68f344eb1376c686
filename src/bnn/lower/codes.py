# SPDX-License-Identifier: BSD-3-Clause
"""Choose the integers that an activation's edge has for the activation's values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bnn.errors import NetworkError
from bnn.network.network import Activation
from bnn.program.operations import MAX_VALUE_BITS, NARROW_VALUE_BITS
from bnn.program.precision import BIPOLAR, INT, UINT, Precision


@dataclass(frozen=True)
class Coding:
    """The integers ``q = base + step * level`` of a threshold, and what they stand for.

    Attributes:
        precision: precision of q.
        base, step: base and step of the threshold.
        unit, shift: q stands for the activation's whole number ``v = unit * q + shift``.
    """

    precision: Precision
    base: int
    step: int
    unit: int = 1
    shift: int = 0


def coding(layer: Activation, pads: Iterable[int]) -> Coding:
    """Return which integers stand for the whole numbers of ``layer`` and the pad values ``pads``.

    It is the first of these that is possible: the whole numbers themselves in 8 bits, the numbers
    of the levels (from 0) in 8 bits, the whole numbers in 16 bits, the numbers of the levels in 16
    bits. The hardware takes 8 bits only.

    Raises:
        NetworkError: 16 bits are too few, or a pad value is between two levels.
    """
    pads = list(pads)
    top = layer.base + layer.step * layer.levels
    plain = tightest([layer.base, top, *pads], layer.levels == 1)
    if plain.bits <= NARROW_VALUE_BITS:
        return Coding(plain, layer.base, layer.step)
    levels = _levels(layer, pads)
    if levels is not None and levels.precision.bits <= NARROW_VALUE_BITS:
        return levels
    if plain.bits <= MAX_VALUE_BITS:
        return Coding(plain, layer.base, layer.step)
    if levels is None:
        raise NetworkError(
            f"{layer.name}: the next convolution's pad value must be one of its values"
        )
    if levels.precision.bits > MAX_VALUE_BITS:
        raise NetworkError(f"{layer.name}: its values need more than {MAX_VALUE_BITS} bits")
    return levels


def _levels(layer: Activation, pads: list[int]) -> Coding | None:
    """Return the coding whose integers are the numbers of the levels, from 0.

    Return None if a pad value is between two levels.
    """
    counts = [0, layer.levels]
    for pad in pads:
        count, rest = divmod(pad - layer.base, layer.step)
        if rest:
            return None
        counts.append(count)
    return Coding(tightest(counts, False), 0, 1, layer.step, layer.base)


def tightest(values: list[int], two_values: bool) -> Precision:
    """Return the narrowest precision that has all integers from min to max of ``values``.

    ``two_values``: no other integers than ``values`` occur; then -1 and +1 are ``bipolar``.
    """
    if two_values and set(values) == {-1, 1}:
        return BIPOLAR
    low, high = min(values), max(values)
    if low >= 0:
        return UINT(max(1, high.bit_length()))
    bits = signed_bits(low, high)
    return INT(bits, narrow=bits > 1 and low > -(1 << (bits - 1)))


def signed_bits(low: int, high: int) -> int:
    """Return how many bits two's complement needs for ``low`` to ``high``."""
    return max((low if low >= 0 else ~low).bit_length(), high.bit_length()) + 1

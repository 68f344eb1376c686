# SPDX-License-Identifier: BSD-3-Clause
"""The block of a rescale: product, sum, rounded quotient and bound, channel by channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bnn.hw.blocks.block import Generic, Words
from bnn.hw.blocks.thresholds import least_signed_bits
from bnn.hw.blocks.words import pack_rows, unpack_rows
from bnn.program import semantics
from bnn.program.operations import Rescale
from bnn.program.precision import Precision

#: Numbers of the roundings, see ``bnn_rescale.sv``.
_ROUNDINGS = {"floor": 0, "up": 1, "even": 2, "zero": 3}


@dataclass(frozen=True)
class Scaling:
    """``bnn_rescale_lane``: how one value becomes a result; parameters of the circuit.

    Attributes:
        source, output: precisions of a value and of a result.
        used: low bits of a value that the circuit reads; they have all values that may occur.
        multiplier: bits of a channel's multiplier, two's complement; 0: all are ``factor``.
        factor: multiplier of all channels, if ``multiplier`` is 0.
        offset: bits of a channel's offset, two's complement; 0: there are no offsets.
        wide: bits of the sum of product and offset, with one for the rounding.
        shift, rounding: as in :class:`bnn.program.operations.Rescale`.
        low, high: least and largest result.
        clips: whether quotients may be below ``low``, and above ``high``.
        wraps: whether such quotients wrap around.
    """

    source: Precision
    output: Precision
    used: int
    multiplier: int
    factor: int
    offset: int
    wide: int
    shift: int
    rounding: str
    low: int
    high: int
    clips: tuple[bool, bool]
    wraps: bool

    @property
    def word_bits(self) -> int:
        """Bits of the parameter word of one channel: its multiplier, then its offset."""
        return self.multiplier + self.offset

    @property
    def multiplies(self) -> bool:
        """Whether the product is more than a shift."""
        factor = self.factor
        return self.multiplier > 0 or factor <= 0 or factor & (factor - 1) != 0

    @property
    def latency(self) -> int:
        """Cycles from an input word until the output FIFO contains the result."""
        return 2 + self.multiplies + (self.offset > 0) + (self._rounds > 0)

    @property
    def _rounds(self) -> int:
        return _ROUNDINGS[self.rounding] if self.shift else 0

    def generics(self) -> dict[str, Generic]:
        """Return the parameters of ``bnn_rescale`` that describe the arithmetic, by name."""
        return {
            "IBITS": self.source.bits,
            "USED": self.used,
            "ISIGNED": int(self.source.kind in ("signed", "narrow")),
            "IBIPOLAR": int(self.source.kind == "bipolar"),
            "MBITS": self.multiplier,
            "FACTOR": _number(self.factor),
            "ABITS": self.offset,
            "WIDE": self.wide,
            "SHIFT": self.shift,
            "ROUNDING": self._rounds,
            "LOW": _number(self.low),
            "HIGH": _number(self.high),
            "CLIP_LOW": int(self.clips[0]),
            "CLIP_HIGH": int(self.clips[1]),
            "WRAP": int(self.wraps),
            "OBITS": self.output.bits,
        }


def _number(value: int) -> Generic:
    """Return a parameter of 32 bits with a sign; decimal literals have no -2^31."""
    return f"32'h{value & 0xFFFF_FFFF:08x}" if value == -(1 << 31) else value


def scaling(op: Rescale, source: Precision, low: int, high: int) -> Scaling:
    """Return the parameters of the circuit that computes ``op``.

    Args:
        op: the operation.
        source: precision of its input.
        low, high: bounds of the values that occur.
    """
    multipliers = op.multipliers.astype(np.int64)
    offsets = np.zeros_like(multipliers) if op.offsets is None else op.offsets
    same = bool((multipliers == multipliers[0]).all())
    ends = np.stack([multipliers * low + offsets, multipliers * high + offsets])
    quotients = semantics.shifted(ends, op.shift, op.rounding)
    outside = bool(quotients.min() < op.low), bool(quotients.max() > op.high)
    products = multipliers * low, multipliers * high
    parts = [*(int(v) for each in products for v in (each.min(), each.max()))]
    parts += [int(offsets.min()), int(offsets.max()), int(ends.min()), int(ends.max())]
    wide = 1 + least_signed_bits(min(parts), max(parts))
    return Scaling(
        source=source,
        output=op.precision,
        used=used_bits(source, low, high),
        multiplier=0 if same else _bits_of(multipliers),
        factor=int(multipliers[0]) if same else 0,
        offset=_bits_of(offsets) if offsets.any() else 0,
        wide=max(wide, op.shift + 2),
        shift=op.shift,
        rounding=op.rounding,
        low=op.low,
        high=op.high,
        clips=(False, False) if op.overflow == "wrap" else outside,
        wraps=op.overflow == "wrap" and any(outside),
    )


def used_bits(source: Precision, low: int, high: int) -> int:
    """Return how many low bits of a code of ``source`` have all values from ``low`` to ``high``."""
    match source.kind:
        case "bipolar":
            return 1
        case "unsigned":
            return min(source.bits, max(1, high.bit_length()))
        case "signed" | "narrow":
            return min(source.bits, least_signed_bits(low, high))


def _bits_of(values: NDArray[np.int64]) -> int:
    return least_signed_bits(int(values.min()), int(values.max()))


@dataclass(frozen=True)
class RescaleUnit:
    """``bnn_rescale``: a rescale of a stream.

    Attributes:
        channels, positions: channels per position, positions per image.
        lanes: channels per word; divides ``channels``.
        scaling: the arithmetic.
        loadable: whether multipliers and offsets are written at run time.
    """

    module: ClassVar[str] = "bnn_rescale"
    has_fill: ClassVar[bool] = True
    channels: int
    positions: int
    lanes: int
    scaling: Scaling
    loadable: bool = False
    name: str = "rescale"

    @property
    def folds(self) -> int:
        """Number of input words, and of output words, per position."""
        return self.channels // self.lanes

    @property
    def cycles(self) -> int:
        """Cycles per image if neither the input nor the output stream stalls."""
        return self.output_words

    @property
    def output_bits(self) -> int:
        """Width of an output word in bits."""
        return self.lanes * self.scaling.output.bits

    @property
    def output_words(self) -> int:
        """Number of output words per image."""
        return self.positions * self.folds

    @property
    def depth(self) -> int:
        """Words of the output FIFO: what one result per cycle needs."""
        return self.scaling.latency + 5

    @property
    def word_bits(self) -> int:
        """Bits of the parameter word of one channel; 0 if the unit has no parameter memory."""
        return self.scaling.word_bits

    def generics(self) -> dict[str, Generic]:
        """Return the parameters of the module's instance, by name."""
        constant = not self.loadable and self.word_bits > 0
        return {
            "LANES": self.lanes,
            "FOLDS": self.folds,
            **self.scaling.generics(),
            "DEPTH": self.depth,
            "LOADABLE": int(self.loadable),
            "TFILE": f"{self.name}_thresholds.mem" if constant else "",
        }

    def contents(self, op: Rescale) -> list[list[int]]:
        """Return the parameter words [fold][lane]: one word for each channel of ``op``."""
        first, second = self.scaling.multiplier, self.scaling.offset
        words = [0] * self.channels
        if first:
            words = [int(value) & ((1 << first) - 1) for value in op.multipliers]
        if second and op.offsets is not None:
            mask = (1 << second) - 1
            words = [w | (int(v) & mask) << first for w, v in zip(words, op.offsets, strict=True)]
        return [words[at : at + self.lanes] for at in range(0, len(words), self.lanes)]

    def golden(self, words: Words, op: Rescale) -> list[int]:
        """Return the expected output words for ``words``, the input words of an image."""
        scaling = self.scaling
        codes = unpack_rows(words, scaling.source.bits, self.lanes)
        values = scaling.source.decode(codes).astype(np.int64).reshape(-1, self.channels)
        out = scaling.output.encode(semantics.rescale(values, op))
        return pack_rows(out.reshape(-1, self.lanes).astype(np.int64), scaling.output.bits)

# SPDX-License-Identifier: BSD-3-Clause
"""Thresholds (or a bias) of a matrix unit, and the block that only compares with thresholds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bnn.hw.blocks.block import Generic, Words
from bnn.hw.blocks.words import pack, pack_rows, unpack_rows
from bnn.program import semantics
from bnn.program.operations import Threshold
from bnn.program.precision import Precision


def least_signed_bits(low: int, high: int) -> int:
    """Return how many bits two's complement needs for ``low`` to ``high``; at least 2."""
    bits = 2
    while not (-(1 << (bits - 1)) <= low and high < 1 << (bits - 1)):
        bits += 1
    return bits


@dataclass(frozen=True)
class Thresholds:
    """``bnn_threshold_compare``: turns one accumulator A into an output code.

    Attributes:
        acc: width of A in bits, enough for ``low`` to ``high + 1``.
        low, high: least and largest value of A; a threshold of ``high + 1`` is never reached.
        count: thresholds per channel; 0: none, and the output is ``(A << shift) + bias``.
        falling: whether the circuit supports channels with sign -1.
        base, step: as in :class:`bnn.program.operations.Threshold`.
        shift: bits by which A is shifted to the left if ``count`` is 0.
        bits: width of the output in bits.
        output: precision of the output; may be None if ``count`` is 0.
    """

    acc: int
    low: int
    high: int
    count: int
    falling: bool
    base: int
    step: int
    shift: int
    bits: int
    output: Precision | None

    @property
    def word_bits(self) -> int:
        """Bits of the parameter word of one channel: its thresholds and sign, or its bias."""
        return self.count * self.acc + self.falling if self.count else self.bits

    @property
    def pad_code(self) -> int:
        """Output code of a padding row, where no threshold is reached; 0 if ``count`` is 0."""
        return self._code if self.count else 0

    @property
    def _bipolar(self) -> bool:
        return self.output is not None and self.output.kind == "bipolar"

    @property
    def _code(self) -> int:
        code = (self.base + 1) // 2 if self._bipolar else self.base
        return code & ((1 << self.bits) - 1)

    @property
    def _step(self) -> int:
        step = self.step // 2 if self._bipolar else self.step
        return step & ((1 << self.bits) - 1)

    def generics(self) -> dict[str, Generic]:
        """Return the parameters of ``bnn_matrix`` that describe the thresholds, by name."""
        return {
            "ACC": self.acc,
            "LEVELS": self.count,
            "FALLING": int(self.falling),
            "CODE": self._code if self.count else 0,
            "STEP": self._step if self.count else 1,
            "SHIFT": self.shift,
            "OBITS": self.bits,
        }

    def words(
        self,
        threshold: Threshold | None,
        alpha: int,
        beta: NDArray[np.int64],
        rows: int,
        *,
        scale: int = 1,
        negative: bool = False,
    ) -> list[int]:
        """Return one parameter word per row; rows after the last channel are padding.

        Args:
            threshold: the thresholds; None: the words are ``beta``, the biases.
            alpha, beta, scale: numbers with ``scale * accumulator = alpha * A + beta``.
            rows: number of rows, padding included.
            negative: whether to store each threshold with the opposite sign, for a circuit that
                adds the stored number to A.
        """
        if threshold is None:
            biases = np.zeros(rows, np.int64)
            biases[: len(beta)] = beta
            return [int(bias) & ((1 << self.bits) - 1) for bias in biases]
        real = scale * threshold.thresholds.astype(np.int64)
        signs = np.ones(len(real), np.int64)
        if threshold.signs is not None:
            signs = threshold.signs.astype(np.int64)
        rising = -((beta[:, None] - real) // alpha)  # ceil((T - beta) / alpha)
        falling = (-real - beta[:, None]) // alpha + 1
        moved = np.where(signs[:, None] > 0, rising, falling)
        thresholds = np.full((rows, self.count), self.high + 1, np.int64)
        thresholds[: len(real)] = np.clip(moved, self.low, self.high + 1)
        if negative:
            thresholds = -thresholds
        mask = (1 << self.acc) - 1
        words = [pack((int(one) & mask for one in row), self.acc) for row in thresholds]
        if self.falling:
            for row in np.flatnonzero(signs < 0):
                words[row] |= 1 << (self.count * self.acc)
        return words


def of_threshold(
    threshold: Threshold, acc: int, low: int, high: int, *, falling: bool | None = None
) -> Thresholds:
    """Return the parameters of the circuit that compares accumulators with ``threshold``.

    Args:
        threshold: the operation.
        acc: bits of A; the circuit may get more bits if there is one threshold per channel.
        low, high: least and largest value of A.
        falling: whether to support channels with sign -1; None: only if a channel has this sign.
    """
    count = threshold.thresholds.shape[1]
    if count == 1:  # the difference of accumulator and threshold must fit too
        acc = max(acc, least_signed_bits(low - high - 1, high - low))
    return Thresholds(
        acc=acc,
        low=low,
        high=high,
        count=count,
        falling=has_falling(threshold) if falling is None else falling,
        base=threshold.base,
        step=threshold.step,
        shift=0,
        bits=threshold.precision.bits,
        output=threshold.precision,
    )


def is_shared(threshold: Threshold) -> bool:
    """Return whether all channels have the same thresholds and the same sign."""
    signs = threshold.signs
    same = bool((threshold.thresholds == threshold.thresholds[0]).all())
    return same and (signs is None or bool((signs == signs[0]).all()))


def has_falling(threshold: Threshold) -> bool:
    """Return whether any channel has sign -1."""
    return threshold.signs is not None and bool((threshold.signs < 0).any())


@dataclass(frozen=True)
class ThresholdUnit:
    """``bnn_threshold``: thresholds on a stream that is not the output of a matrix.

    Attributes:
        shared: whether all channels have the same thresholds, and these are constants: then there
            is one parameter word for all.
    """

    module: ClassVar[str] = "bnn_threshold"
    has_fill: ClassVar[bool] = True
    channels: int
    positions: int
    lanes: int
    source: Precision
    thresholds: Thresholds
    depth: int = 0
    loadable: bool = False
    name: str = "threshold"
    shared: bool = False

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
        return self.lanes * self.thresholds.bits

    @property
    def output_words(self) -> int:
        """Number of output words per image."""
        return self.positions * self.folds

    def generics(self) -> dict[str, Generic]:
        """Return the parameters of the module's instance, by name."""
        passed = self.thresholds.generics()
        del passed["SHIFT"]
        return {
            "LANES": self.lanes,
            "FOLDS": 1 if self.shared else self.folds,
            "IBITS": self.source.bits,
            "ISIGNED": int(self.source.kind in ("signed", "narrow")),
            **passed,
            "DEPTH": max(self.depth, 8),
            "LOADABLE": int(self.loadable),
            "TFILE": "" if self.loadable else f"{self.name}_thresholds.mem",
        }

    def contents(self, threshold: Threshold) -> list[list[int]]:
        """Return the parameter words [fold][lane]: one word for each channel of ``threshold``."""
        alpha, offset = (2, -1) if self.source.kind == "bipolar" else (1, 0)
        beta = np.full(self.channels, offset, np.int64)
        words = self.thresholds.words(threshold, alpha, beta, self.channels)
        kept = words[: self.lanes] if self.shared else words
        return [kept[at : at + self.lanes] for at in range(0, len(kept), self.lanes)]

    def golden(self, words: Words, threshold: Threshold) -> list[int]:
        """Return the expected output words for ``words``, the input words of an image."""
        codes = unpack_rows(words, self.source.bits, self.lanes)
        values = self.source.decode(codes).astype(np.int64).reshape(-1, self.channels)
        out = threshold.precision.encode(semantics.threshold(values, threshold))
        return pack_rows(out.reshape(-1, self.lanes).astype(np.int64), self.thresholds.bits)


def threshold_bounds(source: Precision) -> tuple[int, int, int]:
    """Return width in bits, minimum and maximum of the numbers that a unit compares.

    ``source``: precision of the unit's input. The numbers are codes for unsigned and bipolar
    inputs, and values for signed inputs; the width also holds maximum + 1.
    """
    if source.kind in ("signed", "narrow"):
        low, high = -(1 << (source.bits - 1)), (1 << (source.bits - 1)) - 1
    else:
        low, high = 0, (1 << source.bits) - 1
    return max(least_signed_bits(low, high + 1), source.bits + 1), low, high

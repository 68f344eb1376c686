# SPDX-License-Identifier: BSD-3-Clause
"""Thresholds that all channels share, as a table of their results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bnn.hw.blocks.block import Generic, Words
from bnn.hw.blocks.thresholds import is_shared, threshold_bounds
from bnn.hw.blocks.words import pack_rows, unpack_rows
from bnn.program import semantics
from bnn.program.operations import Threshold
from bnn.program.precision import Precision

#: Fewest thresholds for which a table takes fewer cells than comparisons; most entries of a table.
LEAST_LEVELS, MOST_ENTRIES = 16, 1 << 13


def table_range(threshold: Threshold, source: Precision) -> tuple[int, int] | None:
    """Return the first input of the table, and its number of entries; None if a table is no use.

    ``source``: precision of the input. Below the first input the result is that of the first entry,
    above the last entry that of the last.
    """
    levels = threshold.thresholds.shape[1]
    if levels < LEAST_LEVELS or source.kind == "bipolar" or not is_shared(threshold):
        return None
    _, low, high = threshold_bounds(source)
    signed = threshold.thresholds[0].astype(np.int64)
    ends = int(signed[0]), int(signed[-1])
    if threshold.signs is not None and threshold.signs[0] < 0:  # t <= -x: changes after x = -t
        ends = 1 - ends[1], 1 - ends[0]
    first, last = min(max(ends[0] - 1, low), high), min(max(ends[1], low), high)
    entries = max(2, last - first + 1)
    return (first, entries) if entries <= MOST_ENTRIES else None


@dataclass(frozen=True)
class TableUnit:
    """``bnn_table``: a function of a stream's values, in a table.

    Attributes:
        channels, positions: channels per position, positions per image.
        lanes: channels per word; divides ``channels``.
        source, output: precisions of a value and of a result.
        first, entries: input of the first entry, and number of entries.
    """

    module: ClassVar[str] = "bnn_table"
    has_fill: ClassVar[bool] = True
    #: Words of the output FIFO.
    depth: ClassVar[int] = 8
    channels: int
    positions: int
    lanes: int
    source: Precision
    output: Precision
    first: int
    entries: int
    name: str = "table"

    @property
    def cycles(self) -> int:
        """Cycles per image if neither the input nor the output stream stalls."""
        return self.output_words

    @property
    def output_bits(self) -> int:
        """Width of an output word in bits."""
        return self.lanes * self.output.bits

    @property
    def output_words(self) -> int:
        """Number of output words per image."""
        return self.positions * self.channels // self.lanes

    def generics(self) -> dict[str, Generic]:
        """Return the parameters of the module's instance, by name."""
        return {
            "LANES": self.lanes,
            "IBITS": self.source.bits,
            "ISIGNED": int(self.source.kind in ("signed", "narrow")),
            "BASE": self.first,
            "ENTRIES": self.entries,
            "OBITS": self.output.bits,
            "DEPTH": self.depth,
            "TFILE": f"{self.name}_thresholds.mem",
        }

    def contents(self, threshold: Threshold) -> list[list[int]]:
        """Return the entries, [entry][0]: the codes of the results."""
        inputs = np.repeat(np.arange(self.entries)[:, None] + self.first, self.channels, axis=1)
        codes = self.output.encode(semantics.threshold(inputs, threshold)[:, 0])
        return [[int(code)] for code in codes]

    def golden(self, words: Words, threshold: Threshold) -> list[int]:
        """Return the expected output words for ``words``, the input words of an image."""
        codes = unpack_rows(words, self.source.bits, self.lanes)
        values = self.source.decode(codes).astype(np.int64).reshape(-1, self.channels)
        out = self.output.encode(semantics.threshold(values, threshold))
        return pack_rows(out.reshape(-1, self.lanes).astype(np.int64), self.output.bits)

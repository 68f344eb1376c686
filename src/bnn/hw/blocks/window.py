# SPDX-License-Identifier: BSD-3-Clause
"""The sliding window, and the maximum over a window, which follows it in a max pool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bnn.hw.blocks.block import Generic, WordPasser, Words
from bnn.hw.blocks.words import pack, pack_rows, unpack_rows
from bnn.program.operations import Borders, Pair


@dataclass(frozen=True)
class SlidingWindow:
    """``bnn_window``: makes the patches of a map, for a group of positions at once.

    An output word has one field per position of a group. The words of a group have one kernel
    position after the other.

    Attributes:
        shape: shape of the map, (height, width, channels).
        bits: bits of a value.
        lanes: values of an input word, and of a field of an output word; divides the channels.
        pad_code: code of the padding around the map.
        pixels: positions per group.
        rows: number of map rows in the circular buffer; 0: :attr:`least_rows` plus one stride.
    """

    module: ClassVar[str] = "bnn_window"
    has_fill: ClassVar[bool] = False
    shape: tuple[int, int, int]
    bits: int
    lanes: int
    kernel: Pair
    stride: Pair
    padding: Borders
    pad_code: int
    pixels: int = 1
    rows: int = 0
    style: str = "auto"

    @property
    def folds(self) -> int:
        """Number of input words per pixel of the map."""
        return self.shape[2] // self.lanes

    @property
    def out_shape(self) -> Pair:
        """Height and width of the map of positions."""
        top, left, bottom, right = self.padding
        return (
            (self.shape[0] + top + bottom - self.kernel[0]) // self.stride[0] + 1,
            (self.shape[1] + left + right - self.kernel[1]) // self.stride[1] + 1,
        )

    @property
    def groups(self) -> int:
        """Number of groups per image: positions / pixels, rounded up."""
        height, width = self.out_shape
        return -(-height * width // self.pixels)

    @property
    def least_rows(self) -> int:
        """Number of map rows that the buffer must have at least: as many as a group can need."""
        crosses = self.out_shape[1] % self.pixels != 0
        return self.kernel[0] + (self.stride[0] if crosses else 0)

    @property
    def buffer_rows(self) -> int:
        """Number of map rows in the buffer: new rows are written while a group is read."""
        return self.rows or self.least_rows + self.stride[0]

    @property
    def taps(self) -> int:
        """Number of kernel positions whose channels are in one field of an output word: 1."""
        return 1

    @property
    def input_lanes(self) -> int:
        """Number of values in an input word."""
        return self.lanes

    @property
    def output_lanes(self) -> int:
        """Number of values in one field of an output word."""
        return self.lanes * self.taps

    @property
    def input_words(self) -> int:
        """Number of input words per image."""
        return self.shape[0] * self.shape[1] * self.folds

    @property
    def cycles(self) -> int:
        """Cycles per image if neither the input nor the output stream stalls."""
        return max(self.input_words, self.output_words)

    @property
    def output_bits(self) -> int:
        """Width of an output word in bits."""
        return self.pixels * self.output_lanes * self.bits

    @property
    def output_words(self) -> int:
        """Number of output words per image."""
        return self.groups * self.output_steps

    def generics(self) -> dict[str, Generic]:
        """Return the parameters of the module's instance, by name."""
        word = self.lanes * self.bits
        pad = pack([self.pad_code] * self.lanes, self.bits)
        return {
            "BITS": word,
            "FOLDS": self.folds,
            **self._geometry,
            "PAD": f"{word}'h{pad:x}",
            "STYLE": self.style,
        }

    @property
    def _geometry(self) -> dict[str, Generic]:
        return {
            "IN_H": self.shape[0],
            "IN_W": self.shape[1],
            "K_H": self.kernel[0],
            "K_W": self.kernel[1],
            "S_H": self.stride[0],
            "S_W": self.stride[1],
            "P_T": self.padding[0],
            "P_L": self.padding[1],
            "OUT_H": self.out_shape[0],
            "OUT_W": self.out_shape[1],
            "PIXELS": self.pixels,
            "ROWS": self.buffer_rows,
        }

    def golden(self, words: Words) -> list[int]:
        """Return the expected output words, which have the patches of one image.

        If the last group is incomplete, its unused fields are 0 in these words; in the circuit they
        are undefined.
        """
        views = self._views(unpack_rows(words, self.bits, self.lanes))
        patches = views.transpose(0, 1, 3, 4, 2).reshape(-1, self.output_steps, self.lanes)
        return self._pack(patches)

    def _views(self, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the patches (out y, out x, channel, kernel y, kernel x) of an image's codes."""
        top, left, bottom, right = self.padding
        padded = np.pad(
            codes.reshape(self.shape),
            ((top, bottom), (left, right), (0, 0)),
            constant_values=self.pad_code,
        )
        views = np.lib.stride_tricks.sliding_window_view(padded, self.kernel, axis=(0, 1))
        return views[:: self.stride[0], :: self.stride[1]]

    def _pack(self, patches: NDArray[np.int64]) -> list[int]:
        """Return the output words, group by group.

        ``patches`` has the shape (positions, words per group, values per field).
        """
        values = patches.shape[2]
        short = self.groups * self.pixels - len(patches)
        patches = np.pad(patches, ((0, short), (0, 0), (0, 0)))
        grouped = patches.reshape(self.groups, self.pixels, self.output_steps, values)
        flat = grouped.transpose(0, 2, 1, 3).reshape(self.output_words, self.pixels * values)
        return pack_rows(flat, self.bits)

    @property
    def output_steps(self) -> int:
        """Number of output words per group: one for each kernel position and fold."""
        return self.kernel[0] * self.kernel[1] * self.folds


@dataclass(frozen=True)
class Maximum(WordPasser):
    """``bnn_max``: the maximum over ``positions`` positions, channel by channel.

    Attributes:
        lanes: channels per word.
        bits, signed: bits of a value, and whether it is signed.
        folds: words per position.
        positions: positions of a window.
        words: number of input words per image.
    """

    module: ClassVar[str] = "bnn_max"
    lanes: int
    bits: int
    signed: bool
    folds: int
    positions: int
    words: int

    @property
    def output_bits(self) -> int:
        """Width of an output word in bits."""
        return self.lanes * self.bits

    @property
    def output_words(self) -> int:
        """Number of output words per image."""
        return self.words // self.positions

    def generics(self) -> dict[str, Generic]:
        """Return the parameters of the module's instance, by name."""
        return {
            "LANES": self.lanes,
            "BITS": self.bits,
            "SIGNED": int(self.signed),
            "FOLDS": self.folds,
            "POSITIONS": self.positions,
        }

    def golden(self, words: Words) -> list[int]:
        """Return the expected output: ``folds`` words with the maxima of each window."""
        codes = unpack_rows(words, self.bits, self.lanes)
        flip = 1 << (self.bits - 1) if self.signed else 0
        windows = (codes ^ flip).reshape(-1, self.positions, self.folds, self.lanes)
        return pack_rows(windows.max(axis=1).reshape(-1, self.lanes) ^ flip, self.bits)

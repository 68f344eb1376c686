# SPDX-License-Identifier: BSD-3-Clause
"""Lines of text: how a picture becomes columns, and how class sums become characters.

The rules are those of LSTM-PYNQ. How it finds the characters is not the usual CTC rule: of each run
of columns without a blank it takes one class, the one with the greatest value.
"""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bnn.errors import DataError, InputError
from bnn.program.operations import MAX_COLUMNS
from bnn.system.files import read_file
from bnn.system.kinds import of_kind

if TYPE_CHECKING:
    from bnn.data.pictures.lines import Line

#: Most bytes of a text file of prepared pixels.
MAX_TEXT_BYTES = 1 << 27
BLANK = 0

Peaks = tuple[NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True)
class Lines(ABC):
    """Base of the rules of the plain and the Fraktur networks; stored as JSON in the model file."""

    kind: ClassVar[str]

    @abstractmethod
    def columns(self, line: Line, rows: int, *, original: bool = False) -> NDArray[np.int16]:
        """Return a picture as columns int16 (columns, rows), which the model's program takes.

        Args:
            line: the picture, dark text on light paper.
            rows: height of a column.
            original: the picture is read as the original reads it: alpha is not used, the picture
                is not turned, light text on dark is not inverted, and nothing is checked.
        """

    @abstractmethod
    def _codes(self, values: NDArray[np.float64], name: str) -> NDArray[np.int16]:
        """Return prepared real values (columns, rows) as the program's integers."""

    @abstractmethod
    def _values(self, sums: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return values (columns, classes); the greatest of a column decides its class."""

    def prepared(self, path: str | os.PathLike[str], rows: int) -> NDArray[np.int16]:
        """Return the columns in a text file of prepared pixels, column by column.

        Raises:
            DataError: the file cannot be read, has anything else than numbers, has an incomplete
                last column, or has too many columns.
        """
        try:
            words = read_file(path, MAX_TEXT_BYTES, DataError).decode("ascii").split()
            values = np.array(words, np.float64)
        except ValueError:
            raise DataError(f"{path}: does not contain numbers only") from None
        if not np.isfinite(values).all():
            raise DataError(f"{path}: has a value that is not finite")
        if not len(values) or len(values) % rows:
            raise DataError(f"{path}: has {len(values)} pixels, not a multiple of {rows}")
        if len(values) > MAX_COLUMNS * rows:
            raise DataError(f"{path}: has more than {MAX_COLUMNS} columns")
        return self._codes(values.reshape(-1, rows), str(path))

    def peaks(self, scores: NDArray[np.integer]) -> Peaks:
        """Return the class of each column, int64 (columns,), and its value, int64 (columns,).

        ``scores`` are the class sums (columns, classes). The columns are visited from the middle
        outwards; a column without a positive value gets the class of the column that was visited
        before it. If the number of columns is odd, which is possible only with a file of prepared
        pixels, the columns are read from right to left, as by the original's hardware.
        """
        values = self._values(_mirrored(scores.astype(np.int64)))
        best = values.argmax(axis=1) if len(values) else np.zeros(0, np.int64)
        tops = np.maximum(values.max(axis=1), 0) if len(values) else best
        labels = np.zeros(len(values), np.int64)
        last = BLANK
        for column in _visits(len(values)):
            last = int(best[column]) if tops[column] > 0 else last
            labels[column] = last
        return labels, tops

    def text(self, scores: NDArray[np.integer], alphabet: Sequence[str]) -> str:
        """Return the characters of a line.

        Args:
            scores: class sums, integers (columns, classes): the scores of the program.
            alphabet: a character for each class; class 0 is the blank.
        """
        wanted = f"scores are integers (columns, {len(alphabet)})"
        if not isinstance(scores, np.ndarray) or scores.dtype.kind not in "iu":
            kind = scores.dtype if isinstance(scores, np.ndarray) else type(scores).__name__
            raise InputError(f"{wanted}, not {kind}")
        if scores.ndim != 2 or scores.shape[1] != len(alphabet):
            raise InputError(f"{wanted}, not {scores.shape}")
        return "".join(alphabet[label] for label in self._labels(*self.peaks(scores)))

    @abstractmethod
    def _labels(self, labels: NDArray[np.int64], tops: NDArray[np.int64]) -> list[int]:
        """Return the classes of the characters, from left to right."""

    def to_json(self) -> dict[str, Any]:
        """Return JSON values, from which :func:`lines_from_json` makes an equal object."""
        return {"kind": self.kind, **{item.name: getattr(self, item.name) for item in fields(self)}}


def _mirrored(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return ``values`` with the columns from right to left if their number is odd.

    The original does so too. Only a file of prepared pixels can have an odd number of columns; the
    characters of its text then come in the reverse order.
    """
    return values[::-1] if len(values) % 2 else values


def _visits(count: int) -> list[int]:
    """Return the order in which columns are visited: m, m-1, m+1, m-2, ... with m = count // 2.

    Positions outside the line are left out.
    """
    middle = count // 2
    order = [middle]
    for distance in range(1, middle + 1):
        order += [middle - distance, middle + distance]
    return [column for column in order if 0 <= column < count]


def _runs(labels: NDArray[np.int64], tops: NDArray[np.int64], replaces: bool) -> list[int]:
    """Return one class for each run of columns between blanks: the class of its greatest value.

    Args:
        labels: class of each column.
        tops: value of each column.
        replaces: whether the first column after a blank is taken even if its value is 0.
    """
    found: list[int] = []
    best, value = BLANK, 0
    for label, top in zip(labels.tolist(), tops.tolist(), strict=True):
        if label == BLANK:
            found += [best] if best != BLANK else []
            best, value = BLANK, 0
        elif top > value or (replaces and best == BLANK):
            best, value = label, top
    return found  # a run that the last column does not end is dropped, as in the original


@dataclass(frozen=True)
class PlainLines(Lines):
    """The rules of the plain networks.

    Pictures are scaled to the network's height. The greatest class sum of a column decides.

    Attributes:
        bits: number of bits of a pixel, 2 to 8.
    """

    kind: ClassVar[str] = "plain"
    bits: int

    def __post_init__(self) -> None:
        if type(self.bits) is not int or not 2 <= self.bits <= 8:
            raise InputError(f"bits of a pixel must be 2 to 8, not {self.bits!r}")

    def columns(self, line: Line, rows: int, *, original: bool = False) -> NDArray[np.int16]:
        """Return a picture as columns; see :func:`bnn.data.pictures.lines.plain_columns`."""
        from bnn.data.pictures.lines import plain_columns

        return plain_columns(line, rows, self.bits, MAX_COLUMNS, original=original)

    def _codes(self, values: NDArray[np.float64], name: str) -> NDArray[np.int16]:
        from bnn.data.pictures.lines import plain_codes

        del name
        return plain_codes(values.astype(np.float32), self.bits)

    def _values(self, sums: NDArray[np.int64]) -> NDArray[np.int64]:
        return sums

    def _labels(self, labels: NDArray[np.int64], tops: NDArray[np.int64]) -> list[int]:
        return _runs(labels, tops, replaces=False)


@dataclass(frozen=True)
class FrakturLines(Lines):
    """The rules of the Fraktur network.

    Pictures are not scaled. The greatest value of the soft-max of a column's class sums decides.

    Attributes:
        mean, deviation: mean and standard deviation of each row of pixels.
        exponentials: the original's table of the exponential function, 256 whole numbers.
    """

    kind: ClassVar[str] = "fraktur"
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    exponentials: tuple[int, ...]

    def __post_init__(self) -> None:
        numbers = (*self.mean, *self.deviation)
        if any(type(n) is not float or not math.isfinite(n) for n in numbers):
            raise InputError("mean and deviation must be finite real numbers")
        if len(self.mean) != len(self.deviation) or not all(n > 0 for n in self.deviation):
            raise InputError("there must be one mean and one positive deviation for each row")
        table = self.exponentials
        if len(table) != 256 or any(type(n) is not int or not 0 <= n < 1 << 24 for n in table):
            raise InputError("exponentials must be 256 whole numbers of 24 bits")
        if list(table) != sorted(table) or not table[-1]:
            raise InputError("exponentials must ascend")

    def columns(self, line: Line, rows: int, *, original: bool = False) -> NDArray[np.int16]:
        """Return a picture as columns; see :func:`bnn.data.pictures.lines.fraktur_columns`."""
        from bnn.data.pictures.lines import fraktur_columns

        del rows
        mean, deviation = self.mean, self.deviation
        return fraktur_columns(line, mean, deviation, MAX_COLUMNS, original=original)

    def _codes(self, values: NDArray[np.float64], name: str) -> NDArray[np.int16]:
        from bnn.data.pictures.lines import FRAKTUR_ENDS, even_pixels

        codes = np.rint(4 * values)
        if (codes != 4 * values).any() or values.min() < -4 or values.max() > FRAKTUR_ENDS[1]:
            raise DataError(f"{name}: prepared pixels are -4 to 3.75 in steps of 0.25")
        return even_pixels(codes.astype(np.int16))

    def _values(self, sums: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the soft-max of the class sums (LSTM-PYNQ, section 7).

        The sums have 5 bits after the point, the soft-max has 7.
        """
        scaled = 32 * sums
        moved = _to_zero(scaled + 6437, 1) * 116
        places = np.where(scaled <= -6437, 0, np.where(scaled >= 11519, 255, _to_zero(moved, 12)))
        raised = np.array(self.exponentials, np.int64)[places]
        totals = np.maximum(raised.sum(axis=1, keepdims=True), 1)
        values: NDArray[np.int64] = 128 * raised // totals
        return values

    def _labels(self, labels: NDArray[np.int64], tops: NDArray[np.int64]) -> list[int]:
        return _runs(labels, tops, replaces=True)


def _to_zero(values: NDArray[np.int64], shift: int) -> NDArray[np.int64]:
    """Return ``values / 2**shift`` to the nearest integer, halves towards zero."""
    rounded: NDArray[np.int64] = (values + (1 << (shift - 1)) - 1 + (values < 0)) >> shift
    return rounded


_KINDS: dict[str, type[Lines]] = {cls.kind: cls for cls in (PlainLines, FrakturLines)}


def lines_from_json(value: object) -> Lines:
    """Return the lines that :meth:`Lines.to_json` described.

    Raise :class:`ModelFileError` if ``values`` describe anything else.
    """
    return of_kind("lines", value, _KINDS)

# SPDX-License-Identifier: BSD-3-Clause
"""What can be seen of a picture of a text line before a network reads it.

A network of lines answers for any picture. So pictures that it cannot read right are refused, or
told in a notice: blank ones, light text on dark, text that is small in its picture, several lines.
"""

from __future__ import annotations

import warnings
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bnn.errors import BnnWarning, DataError

#: A picture whose levels differ by less has no text.
MIN_CONTRAST = 16
#: Text that takes less of the height is told: the picture is not cut to the line.
MIN_HEIGHT = 0.4
#: A row of letters has at least this share of the height of all text, and this gap to the next.
_BAND, _GAP = 0.2, 0.04
#: Text of several lines is at least this much wider than high (":" and "=" are not).
_WIDE = 2


def dark_on_light(levels: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    """Return a line's grey levels, uint8 (height, width), as dark text on light paper.

    Light text on dark is inverted. This, text that is small in its picture and several lines are
    told in a notice (`BnnWarning`).

    Raises:
        DataError: the picture is blank.
    """
    low, high = int(levels.min()), int(levels.max())
    if high - low < MIN_CONTRAST:
        raise DataError(f"{name}: is blank (grey levels {low} to {high}): there is no text")
    ink = levels < (low + high) / 2
    if ink.mean() > 0.5:
        _tell(f"{name}: is light text on dark; it is read inverted")
        levels, ink = 255 - levels, ~ink
    rows: NDArray[np.bool_] = np.asarray(ink.any(axis=1))
    inked = np.flatnonzero(rows)
    height = int(inked[-1] - inked[0]) + 1
    if height < MIN_HEIGHT * len(rows):
        share = 100 * height // len(rows)
        _tell(f"{name}: the text takes {share} % of the height; cut the picture to the line")
    if levels.shape[1] >= _WIDE * height and _lines(rows[inked[0] : inked[-1] + 1]) > 1:
        _tell(f"{name}: seems to have several lines of text; give a picture of each line")
    return levels


def _lines(rows: NDArray[np.bool_]) -> int:
    """Return the number of lines of text, of rows with ink (True) from the first to the last."""
    edges = np.flatnonzero(np.diff(rows.astype(np.int8), prepend=0, append=0))
    bands = [
        (first, last)
        for first, last in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
        if last - first >= _BAND * len(rows)
    ]
    gaps = [after[0] - before[1] for before, after in pairwise(bands)]
    return 1 + len([gap for gap in gaps if gap >= _GAP * len(rows)])


def _tell(text: str) -> None:
    warnings.warn(text, BnnWarning, stacklevel=1)

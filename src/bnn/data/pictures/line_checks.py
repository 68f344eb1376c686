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
#: A line of text has at least this share of the height of the highest, and this gap to the next.
_BAND, _GAP = 0.5, 0.1
#: Two lines of text are at least this much wider than high together (":" and "=" are not).
_WIDE = 2
#: Share of a row's pixels that are ink where a frame or the edge of a scan lies.
_FRAME = 0.5
#: Places along a line at which its paper is measured, as this percentile of the levels; and the
#: share of the contrast by which it may change.
_PLACES, _PAPER, _UNEVEN = 8, 90, 0.2
#: Share of the height that text takes in the lines of LSTM-PYNQ's plain networks (0.86 to 0.883),
#: and the shares that are taken as they are. So are its margins, 3 pixels above and below any text.
FILL, _FILLED, _MARGIN = 0.87, (0.83, 0.91), 3


def dark_on_light(levels: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    """Return a line's grey levels, uint8 (height, width), as dark text on light paper.

    Light text on dark is inverted. This, text that is small in its picture, several lines, and ink
    at the edge that is not of the line are told in a notice (`BnnWarning`).

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
    bands = _bands(rows)
    count = _lines(bands)
    if count > 2 or (count == 2 and levels.shape[1] >= _WIDE * height):
        _tell(f"{name}: seems to have several lines of text; give a picture of each line")
    elif levels.shape[1] > height and _has_other_ink(ink, bands):
        _tell(f"{name}: has ink at an edge that is not of the line; cut the picture to the line")
    if _is_uneven(levels, high - low):
        _tell(f"{name}: the light on the paper is uneven; the text may be read wrong")
    return levels


def fitted(levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a line as the plain networks learned them: black on white, with a narrow margin.

    The paper (the median of what is not ink) becomes 255, and the ink (the median of the ink, if it
    is lighter than that) 0. Above and below the text, paper is cut or added so that the text takes
    `FILL` of the height; a line that is nearly so already is not cut.

    Args:
        levels: uint8 (height, width), dark text on light, as `dark_on_light` returns it.
    """
    low, high = int(levels.min()), int(levels.max())
    ink = levels < (low + high) / 2
    black, white = int(np.median(levels[ink])), int(np.median(levels[~ink]))
    if (black, white) != (0, 255):
        scaled = (levels.astype(np.int32) - black) * 255 // (white - black)
        levels = np.clip(scaled, 0, 255).astype(np.uint8)
    inked = np.flatnonzero(ink.any(axis=1))
    top, bottom = int(inked[0]), int(inked[-1]) + 1
    if top == len(levels) - bottom == _MARGIN:
        return levels
    if _FILLED[0] <= (bottom - top) / len(levels) <= _FILLED[1]:
        return levels
    margin = round((bottom - top) * (1 / FILL - 1) / 2)
    above, below = min(margin, top), min(margin, len(levels) - bottom)
    around = (margin - above, margin - below), (0, 0)
    return np.pad(levels[top - above : bottom + below], around, constant_values=255)


def _is_uneven(levels: NDArray[np.uint8], contrast: int) -> bool:
    """Return whether the paper is clearly darker at some place along the line than at another."""
    parts = np.array_split(levels, _PLACES, axis=1)
    paper = [float(np.percentile(part, _PAPER)) for part in parts if part.size]
    return max(paper) - min(paper) > _UNEVEN * contrast


def _bands(rows: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the first row, and the row after the last, of each run of rows with ink (True)."""
    edges = np.flatnonzero(np.diff(rows.astype(np.int8), prepend=0, append=0))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _lines(bands: list[tuple[int, int]]) -> int:
    """Return the number of lines of text in runs of rows with ink."""
    highest = max(last - first for first, last in bands)
    lines = [band for band in bands if band[1] - band[0] >= _BAND * highest]
    gaps = [after[0] - before[1] for before, after in pairwise(lines)]
    return 1 + len([gap for gap in gaps if gap >= _GAP * highest])


def _has_other_ink(ink: NDArray[np.bool_], bands: list[tuple[int, int]]) -> bool:
    """Return whether a frame, or a strip of another line, lies at the upper or lower edge."""
    if max(ink[0].mean(), ink[-1].mean()) >= _FRAME:
        return True
    main = max(bands, key=lambda band: band[1] - band[0])
    return any(band != main and (band[0] == 0 or band[1] == len(ink)) for band in bands)


def _tell(text: str) -> None:
    warnings.warn(text, BnnWarning, stacklevel=1)

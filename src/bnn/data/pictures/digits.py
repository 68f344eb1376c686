# SPDX-License-Identifier: BSD-3-Clause
"""The preparation `Digit` (`preprocess`): the original's rule, and another one if it fails."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bnn.data.pictures.parts import are_several, is_hole, on_table, thickened, within_frame
from bnn.data.pictures.rules import grey_levels, ink_sheet, sheet_array
from bnn.data.pictures.strokes import (
    Mask,
    find_stroke,
    inside,
    is_cut,
    is_solid,
    is_stroke,
    on_edge,
    spans,
)
from bnn.errors import BnnWarning, DataError

if TYPE_CHECKING:
    from bnn.data.pictures.preprocess import Digit
    from bnn.data.pictures.seen import Seen


def digit_pixels(
    look: Seen, shape: tuple[int, int], options: Digit, name: str
) -> NDArray[np.uint8]:
    """Return a picture of the stroke, uint8 (height, width) of ``shape``: 255, background 1.

    A picture that has the size already is converted to grey levels only, unless it has
    transparent pixels (it was drawn on a transparent canvas).

    Raises:
        DataError: there is no stroke (with ``options.adaptive``); the message begins with ``name``.
    """
    grey = grey_levels(look.image)
    if grey.size == shape[::-1] and not look.transparent:
        return np.array(grey)
    if not options.adaptive:
        return sheet_array(_fixed(grey, options), shape)
    return sheet_array(_one_stroke(grey, shape, options, name), shape)


def _fixed(grey: Image.Image, options: Digit) -> Image.Image:
    return ink_sheet(grey, options.contrast, options.brightness, options.cut, options.border)


def _one_stroke(
    grey: Image.Image, shape: tuple[int, int], options: Digit, name: str, framed: bool = False
) -> Image.Image:
    """Return black ink on white: by the fixed rule if it finds a stroke, else by the adaptive one.

    ``framed``: whether this is the inside of a frame.
    """
    border = options.border
    sheet = _fixed(grey, options)
    levels = np.asarray(sheet)[border : border + grey.height, border : border + grey.width]
    ink = _better(np.asarray(grey), levels, name)
    if ink is not None:
        sheet = _black_on_white(ink)
    else:
        ink = levels == 0
    if not framed and (frame := within_frame(ink)) is not None:
        across, down = grey.width / ink.shape[1], grey.height / ink.shape[0]
        inside_it = (frame.left * across, frame.top * down)
        end = (frame.right * across, frame.bottom * down)
        part = grey.crop(tuple(map(round, (*inside_it, *end))))
        return _one_stroke(part, shape, options, name, framed=True)
    if is_cut(ink):
        warnings.warn(
            f"{name}: the ink touches the border of the picture: if a part of the digit is cut "
            "off, the answer is wrong",
            BnnWarning,
            stacklevel=1,
        )
    if are_several(ink):
        raise DataError(f"{name}: more than one digit: crop the picture to one")
    thick = thickened(ink, shape)
    return sheet if thick is None else _black_on_white(thick)


def _better(grey: NDArray[np.uint8], fixed: NDArray[np.uint8], name: str) -> Mask | None:
    """Return a better mask of the ink if the fixed rule's result is not a stroke; else None."""
    ink = fixed == 0
    if is_stroke(grey, ink, fixed < 255):
        if is_solid(ink):
            return inside(grey, ink)
        sheet = on_table(grey, whole_side=True) if on_edge(ink) else None
        return None if sheet is None else find_stroke(sheet)
    found = _on_any_ground(grey)
    if found is None:
        raise DataError(
            f"{name}: no stroke found; draw one dark stroke on light, even paper, with paper on "
            "all sides of it"
        )
    return found


def _on_any_ground(grey: NDArray[np.uint8]) -> Mask | None:
    """Return the stroke in a picture with any light, also on a sheet on a table."""
    found = find_stroke(grey)
    sheet = on_table(grey)
    if sheet is None or (on_sheet := find_stroke(sheet)) is None:
        return found
    # Chalk on a board: its strokes are not a sheet, nor their holes ink.
    if found is not None and _is_light(grey, found) and not spans(found):
        ratio = (sheet.shape[0] / on_sheet.shape[0]) / (grey.shape[0] / found.shape[0])
        if is_hole(on_sheet, found, ratio):
            return found
    return on_sheet


def _is_light(grey: NDArray[np.uint8], ink: Mask) -> bool:
    """Whether ink is lighter than its surroundings."""
    factor = -(-max(grey.shape) // max(ink.shape))
    levels = np.asarray(Image.fromarray(grey).reduce(factor)) if factor > 1 else grey
    return bool(levels[ink].mean() > levels[~ink].mean())


def _black_on_white(ink: Mask) -> Image.Image:
    return Image.fromarray(np.where(ink, 0, 255).astype(np.uint8))

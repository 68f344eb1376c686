# SPDX-License-Identifier: BSD-3-Clause
"""The preparation `Digit` (`preprocess`): the original's rule, and what is done where it fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bnn.data.pictures.rules import grey_levels, ink_sheet, sheet_array
from bnn.data.pictures.strokes import find_stroke, inside, is_solid, is_stroke
from bnn.errors import DataError

if TYPE_CHECKING:
    from bnn.data.pictures.preprocess import Digit
    from bnn.data.pictures.seen import Seen


def digit_pixels(
    look: Seen, shape: tuple[int, int], options: Digit, name: str
) -> NDArray[np.uint8]:
    """A stroke, white on black: uint8 (height, width) of ``shape``, 255 on 1.

    A picture that has the size already is taken as it is, as grey levels, unless paper shows
    through it: then somebody drew on a transparent canvas.

    Raises:
        DataError: with ``options.adaptive``, there is no stroke; ``name`` is the picture's.
    """
    grey = grey_levels(look.image)
    if grey.size == shape[::-1] and not look.transparent:
        return np.array(grey)
    border = options.border
    sheet = ink_sheet(grey, options.contrast, options.brightness, options.cut, border)
    if options.adaptive:
        levels = np.asarray(sheet)
        fixed = levels[border : border + grey.height, border : border + grey.width]
        better = _better(np.asarray(grey), fixed, name)
        sheet = sheet if better is None else better
    return sheet_array(sheet, shape)


def _better(grey: NDArray[np.uint8], fixed: NDArray[np.uint8], name: str) -> Image.Image | None:
    """Ink black on white where the fixed rule's result (``fixed``) is none; None where it is."""
    ink = fixed == 0
    if is_stroke(grey, ink, fixed < 255):
        found = inside(grey, ink) if is_solid(ink) else None
        if found is None:
            return None
    else:
        found = find_stroke(grey)
    if found is None:
        raise DataError(
            f"{name}: no stroke found; draw one dark stroke on light, even paper, with paper on "
            "all sides of it"
        )
    return Image.fromarray(np.where(found, 0, 255).astype(np.uint8))

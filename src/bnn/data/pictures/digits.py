# SPDX-License-Identifier: BSD-3-Clause
"""The preparation `Digit` (`preprocess`): the original's rule, and an adaptive rule if it fails."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bnn.data.pictures.parts import (
    are_several,
    is_all_light,
    is_hole,
    is_panel,
    is_rectangle,
    is_ringed,
    is_ruled,
    marks_beside,
    on_table,
    pieces,
    thickened,
    within_frame,
)
from bnn.data.pictures.polarity import changed, settled
from bnn.data.pictures.rules import grey_levels, in_box, ink_sheet, mnist_array, sheet_array
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

_NO_STROKE = (
    "{}: no stroke found; draw one dark stroke on light, even paper without lines, with paper on "
    "all sides of it"
)


def digit_pixels(
    look: Seen, shape: tuple[int, int], options: Digit, name: str
) -> NDArray[np.uint8]:
    """Return a picture of the stroke, uint8 (height, width) of ``shape``, light on dark.

    The stroke is 255 and the background 1; with ``options.like_mnist`` the picture is as in MNIST.

    A picture that has this size already is not searched for a stroke, unless it has transparent
    pixels (then it was drawn on a transparent canvas). It is converted to grey levels and, with
    ``options.like_mnist``, becomes light on black (`bnn.data.pictures.polarity`). If it is unclear
    which of its pixels are the background, it is searched like pictures of other sizes.

    Raises:
        DataError: only with ``options.adaptive``: the picture has no stroke, several digits, or
            lines through the digit; the message begins with ``name``.
    """
    grey = grey_levels(look.image)
    if grey.size == shape[::-1] and not look.transparent:
        levels = np.array(grey)
        if not options.like_mnist:
            say_if_not_light(levels[None])
            return levels
        ready = settled(levels)
        if ready is not None or not options.adaptive:
            return levels if ready is None else ready
    box = in_box(shape) if options.like_mnist else shape
    sheet = _one_stroke(grey, box, options, name) if options.adaptive else _fixed(grey, options)
    return mnist_array(sheet, shape) if options.like_mnist else sheet_array(sheet, shape)


def is_turned(look: Seen, shape: tuple[int, int], options: Digit) -> bool:
    """Return whether `digit_pixels` changes a picture of the input's size to light on black."""
    if not options.like_mnist or look.image.size != shape[::-1] or look.transparent:
        return False
    return bool(changed(np.array(grey_levels(look.image))[None])[0])


def say_if_not_light(pictures: NDArray[np.uint8]) -> None:
    """Warn if pictures (N, height, width) are not light on black; they are used as they are."""
    count = int(changed(pictures).sum())
    if count:
        many = "a picture" if count == 1 else f"{count} pictures"
        warnings.warn(
            f"{many} of the model's own size: dark on light or pale, and taken as is, as the "
            "preparation in the model file says; if the network was trained on light strokes on "
            "black, its answers are wrong: invert the pictures",
            BnnWarning,
            stacklevel=1,
        )


def _fixed(grey: Image.Image, options: Digit) -> Image.Image:
    return ink_sheet(grey, options.contrast, options.brightness, options.cut, options.border)


def _one_stroke(
    grey: Image.Image, shape: tuple[int, int], options: Digit, name: str, framed: bool = False
) -> Image.Image:
    """Return the stroke of a picture as black ink on white.

    The fixed rule finds the ink; if what it finds is not a stroke, the adaptive rule does.
    ``framed``: whether ``grey`` is the inside of a printed frame that was found before.
    """
    border = options.border
    sheet = _fixed(grey, options)
    levels = np.asarray(sheet)[border : border + grey.height, border : border + grey.width]
    ink = _better(np.asarray(grey), levels, name)
    if ink is not None:
        sheet = _black_on_white(ink)
    else:
        ink = levels == 0
    found = pieces(ink)
    if not framed and (frame := within_frame(found)) is not None:
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
    if is_ruled(ink):
        raise DataError(
            f"{name}: a line runs through the digit, or along it; draw on plain paper, or crop the "
            "picture"
        )
    if are_several(found):
        raise DataError(f"{name}: more than one digit: crop the picture to one")
    if is_ringed(found):
        raise DataError(f"{name}: a line is drawn around the digit: crop the picture to the digit")
    if marks_beside(found):
        warnings.warn(
            f"{name}: there is ink beside the digit, which is taken as a part of it: if it is not, "
            "crop the picture",
            BnnWarning,
            stacklevel=1,
        )
    thick = thickened(ink, shape)
    return sheet if thick is None else _black_on_white(thick)


def _better(grey: NDArray[np.uint8], fixed: NDArray[np.uint8], name: str) -> Mask | None:
    """Return a mask of the ink found by the adaptive rule, if the fixed rule's ink is not a stroke.

    Return None if the fixed rule's ink is a stroke.
    """
    ink = fixed == 0
    if is_stroke(grey, ink, fixed < 255):
        if is_solid(ink) or is_panel(ink):
            if (light := inside(grey, ink)) is None:
                raise DataError(_NO_STROKE.format(name))
            return light
        sheet = on_table(grey, whole_side=True) if on_edge(ink) else None
        return None if sheet is None else find_stroke(sheet)
    found = _on_any_ground(grey)
    if found is None:
        raise DataError(_NO_STROKE.format(name))
    return found


def _on_any_ground(grey: NDArray[np.uint8]) -> Mask | None:
    """Return a mask of the stroke in a picture; None if there is none.

    The light may be uneven, and the stroke may be on a sheet of paper that lies on a table.
    """
    found = find_stroke(grey)
    sheet = on_table(grey)
    if sheet is None or (on_sheet := find_stroke(sheet)) is None:
        return found
    # Chalk on a board: its strokes are not a sheet, nor their holes ink.
    if found is not None and _is_light(grey, found):
        if is_all_light(grey, found) and not is_rectangle(found):
            return found
        if spans(found):
            return on_sheet
        ratio = (sheet.shape[0] / on_sheet.shape[0]) / (grey.shape[0] / found.shape[0])
        if is_hole(on_sheet, found, ratio):
            return found
    return on_sheet


def _is_light(grey: NDArray[np.uint8], ink: Mask) -> bool:
    """Return whether the ink is on average lighter than the rest of the picture."""
    factor = -(-max(grey.shape) // max(ink.shape))
    levels = np.asarray(Image.fromarray(grey).reduce(factor)) if factor > 1 else grey
    return bool(levels[ink].mean() > levels[~ink].mean())


def _black_on_white(ink: Mask) -> Image.Image:
    return Image.fromarray(np.where(ink, 0, 255).astype(np.uint8))

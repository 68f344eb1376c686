# SPDX-License-Identifier: BSD-3-Clause
"""Dark parts that are not one stroke: a table around the sheet, a frame, a second digit.

The module `strokes` finds dark parts on light paper. This module decides what they are together.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from bnn.data.pictures.strokes import Box, Mask, box_of, parts, pooled

#: Largest size of the grid on which parts are separated.
_GRID = 150
#: Least difference between the levels of paper and table.
_MIN_APART = 30
#: The table is at least the share `_MIN_RIM` of the picture's edge; the sheet is at least
#: `_MIN_SHEET` of the picture. At least `_MIN_PAPER` of the sheet is far from strokes: in squares
#: without ink whose side is the share `_SQUARE` of the sheet's shorter side.
_MIN_RIM, _MIN_SHEET, _MIN_PAPER, _SQUARE = 0.02, 0.06, 0.02, 0.2
#: A side of the picture is covered completely if at least this share of it is.
_WHOLE = 0.9
#: At a table's edge the light changes by at least this share of the difference.
_SHARP = 0.5
#: A frame covers the share `_SIDE` of each side of its rectangle, in a band with the share `_BAND`
#: of the other side; its contents have at least the share `_INNER` of its height or width.
_SIDE, _BAND, _INNER = 0.75, 0.06, 0.25
#: Height of a ruled line, at most, as a share of its width.
_FLAT = 0.06
#: A ruled line through the ink covers the share `_RULE` of its whole width, is not thicker than
#: `_THICK_RULE` of its height and longer than `_LONG_RULE` times it; other ink has at most the
#: share `_BESIDE_RULE` of the width. From `_RULES` lines on, they are a pattern.
_RULE, _THICK_RULE, _LONG_RULE, _BESIDE_RULE, _RULES = 0.9, 0.25, 1.3, 0.75, 4
#: Parts of less than this share of all ink are not digits.
_SPECK = 0.05
#: Two parts side by side are two digits if the gap is at least the share `_GAP` of the whole height
#: and each part at least `_TALL`; one above the other, if each is at least `_STACKED`.
_GAP, _TALL, _STACKED = 0.08, 0.55, 0.34
#: Two parts are two digits if their distance is `_FAR` of the larger's size, and one is `_ALIKE`.
_FAR, _ALIKE = 0.5, 0.4
#: A stroke narrower than `_THIN` pixels of the result is made `_THICKER` pixels wide.
_THIN, _THICKER = 1.0, 3.5
#: A dark panel fills more than the share `_PANEL` of its rectangle, and `_FULL` of each side.
#: Narrow ones are strokes.
_PANEL, _FULL, _WIDE = 0.7, 0.95, 2.0
#: A stroke is the only light thing if it has this share of all light pixels; a sheet fills more
#: than `_FILLED` of a rectangle, and is not longer than `_LONG` times its width.
_ALL_LIGHT, _FILLED, _LONG = 0.9, 0.86, 2.5
#: Grid cells per pixel of the result while a stroke is made thicker.
_FINE = 4


def on_table(grey: NDArray[np.uint8], *, whole_side: bool = False) -> NDArray[np.uint8] | None:
    """Return the sheet of paper in a picture of a sheet that lies on a darker table.

    Args:
        grey: uint8 (height, width).
        whole_side: whether the table must cover a whole side of the picture.

    Returns:
        The sheet, uint8 (height, width). Corners in which the table is seen are filled with the
        grey of the paper. None if there is no table; a table is a dark area that reaches the
        picture's edge.
    """
    cell = -(-max(grey.shape) // _GRID)
    small = np.asarray(Image.fromarray(grey).reduce(cell)) if cell > 1 else grey
    if min(small.shape) < 8:
        return None
    limit = _between(small)
    dark = small <= limit
    if dark.all() or not dark.any():
        return None
    paper = int(np.median(small[~dark]))
    if paper - float(np.median(small[dark])) < _MIN_APART:
        return None
    labels = parts(dark)
    rim = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    names = np.unique(rim[rim > 0])
    if not len(names) or (rim > 0).mean() < _MIN_RIM:
        return None
    ground = np.isin(labels, names)
    sides = ground[0], ground[-1], ground[:, 0], ground[:, -1]
    if whole_side and max(float(side.mean()) for side in sides) < _WHOLE:
        return None
    if _step(small, ground) < _SHARP * (paper - float(np.median(small[ground]))):
        return None  # light that falls off
    ground = _grown(ground, 5)
    if ground.all() or (~ground).mean() < _MIN_SHEET or not _has_room(dark | ground, ground):
        return None
    box = box_of(~ground)
    whole = np.repeat(np.repeat(ground, cell, axis=0), cell, axis=1)
    whole = whole[: grey.shape[0], : grey.shape[1]]
    cleaned = np.where(whole, np.uint8(paper), grey)
    return cleaned[box.top * cell : box.bottom * cell, box.left * cell : box.right * cell]


def _between(values: NDArray[np.uint8]) -> int:
    """Return the level that separates dark and light values best (Otsu's method)."""
    counts = np.bincount(values.ravel(), minlength=256).astype(np.float64)
    below = np.cumsum(counts)
    sums = np.cumsum(counts * np.arange(256))
    above = below[-1] - below
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return int(np.argmax(np.nan_to_num(apart)))


def _step(levels: NDArray[np.uint8], ground: Mask) -> float:
    """Return how much the brightness typically changes within 5 pixels at the edge of ``ground``.

    ``ground`` is the mask of the table.
    """
    image = Image.fromarray(levels)
    most, least = (
        np.asarray(image.filter(kind(5)), np.float32)
        for kind in (ImageFilter.MaxFilter, ImageFilter.MinFilter)
    )
    edge = ground & _grown(~ground, 3)
    return float(np.percentile((most - least)[edge], 15)) if edge.any() else 0.0


def _grown(mask: Mask, size: int) -> Mask:
    """Return a mask grown by a square of ``size`` (odd) around each of its pixels."""
    image = Image.fromarray(mask.astype(np.uint8)).filter(ImageFilter.MaxFilter(size))
    return np.asarray(image) > 0


def _has_room(covered: Mask, ground: Mask) -> bool:
    """Return whether a sheet has areas without ink, as paper has.

    Strokes of chalk on a board, which may be taken for a sheet, have no such areas.
    """
    sheet = box_of(~ground)
    side = max(int(_SQUARE * min(sheet.sides)) // 2 * 2 + 1, 3)
    padded = np.pad(covered, side, constant_values=True)
    free = ~_grown(padded, side)
    return bool(free.sum() > _MIN_PAPER * (~ground).sum() / 2)


#: Size of a grid cell in pixels, and the box and the mask of each part of the ink on the grid.
Pieces = tuple[int, list[Box], list[Mask]]


def pieces(ink: Mask) -> Pieces:
    """Return the parts of the ink on a grid, without dust (very small parts).

    The questions below ask about them; finding them takes longer than the questions.
    """
    cell = -(-max(ink.shape) // _GRID)
    amounts = pooled(ink, cell)
    labels = parts(amounts > 0)
    sizes = np.bincount(labels.ravel(), amounts.ravel())
    sizes[0] = 0
    kept = np.flatnonzero(sizes >= max(_SPECK * float(sizes.max()), 1))
    masks = [labels == name for name in kept]
    return cell, [box_of(mask) for mask in masks], masks


def within_frame(found: Pieces) -> Box | None:
    """Return the inside of a printed frame that has ink in it, in pixels; None if there is none.

    A frame is a rectangle of four lines, or ruled lines above or below the ink. The ink in a
    rectangle must be large enough to be a digit.
    """
    cell, boxes, masks = found
    for index, (box, mask) in enumerate(zip(boxes, masks, strict=True)):
        inside = _lines(mask, box)
        if inside is None:
            continue
        lines, room = inside
        others = [b for place, b in enumerate(boxes) if place != index and b.within(room, 0)]
        if not others:
            continue
        height, width = (max(b.sides[axis] for b in others) for axis in (0, 1))
        if height < _INNER * box.sides[0] and width < _INNER * box.sides[1]:
            continue
        inner = Box(  # with paper around the ink, where there is any
            max(min(lines.top, *(b.top - 1 for b in others)), room.top),
            min(max(lines.bottom, *(b.bottom + 1 for b in others)), room.bottom),
            max(min(lines.left, *(b.left - 1 for b in others)), room.left),
            min(max(lines.right, *(b.right + 1 for b in others)), room.right),
        )
        return inner.scaled(cell)
    between = _between_rules(boxes)
    return None if between is None else between.scaled(cell)


def _between_rules(boxes: list[Box]) -> Box | None:
    """Return the area above, below or between ruled lines that has all the other ink in it.

    Return None if there are no ruled lines, or if they run through the other ink.
    """
    rules = [b for b in boxes if b.sides[0] <= max(_FLAT * b.sides[1], 2)]
    others = [b for b in boxes if b not in rules]
    if not rules or not others:
        return None
    top, bottom = min(b.top for b in others), max(b.bottom for b in others)
    left, right = min(b.left for b in others), max(b.right for b in others)
    longest = max(bottom - top, right - left)
    if any(b.sides[1] < longest or b.left > left or b.right < right for b in rules):
        return None
    if any(b.bottom > top and b.top < bottom for b in rules):
        return None
    upper = max((b.bottom + 1 for b in rules if b.bottom <= top), default=top)
    lower = min((b.top - 1 for b in rules if b.top >= bottom), default=bottom)
    edges = [(b.left, b.right) for b in rules]
    return Box(upper, lower, min(e[0] for e in edges), max(e[1] for e in edges))


def _lines(mask: Mask, box: Box) -> tuple[Box, Box] | None:
    """Return two boxes of the inside of a frame; None if the part is not a frame.

    The first box is surely inside the frame. The second is larger: it is inside the lines if these
    are straight.
    """
    part = mask[box.top : box.bottom, box.left : box.right]
    height, width = part.shape
    if min(height, width) < 8:
        return None
    rows, columns = (max(int(_BAND * side), 1) for side in (height, width))
    sides = (
        part[:rows].any(axis=0).mean(),
        part[-rows:].any(axis=0).mean(),
        part[:, :columns].any(axis=1).mean(),
        part[:, -columns:].any(axis=1).mean(),
    )
    if sum(side >= _SIDE for side in sides) < 4:
        return None
    # A frame has no ink in its middle; a letter has.
    down, across = 2 * rows + 1, 2 * columns + 1
    if part[down:-down, across:-across].any():
        return None
    inside = Box(box.top + down, box.bottom - down, box.left + across, box.right - across)
    room = Box(
        box.top + rows + 1, box.bottom - rows - 1, box.left + columns + 1, box.right - columns - 1
    )
    return inside, room


def is_ruled(ink: Mask) -> bool:
    """Return whether ruled lines of the paper run through the ink, so that no digit can be read.

    One line is a ruled line if it is as long as all ink together, longer than a digit is wide, and
    the other ink is narrower. Many parallel lines are always ruled lines.
    """
    box = box_of(ink)
    part = ink[box.top : box.bottom, box.left : box.right]
    height, width = part.shape
    full = part.mean(axis=1) >= _RULE
    if max(_runs(full), _runs(part.mean(axis=0) >= _RULE)) >= _RULES:
        return True
    if not full.any() or full.sum() > _THICK_RULE * height or width < _LONG_RULE * height:
        return False
    columns = np.flatnonzero(part[~full].any(axis=0))
    return bool(len(columns) and np.ptp(columns) + 1 <= _BESIDE_RULE * width)


def _runs(mask: NDArray[np.bool_]) -> int:
    """Return the number of runs of successive true values."""
    return int(np.count_nonzero(mask & ~np.concatenate([[False], mask[:-1]])))


def are_several(found: Pieces) -> bool:
    """Whether ink shows more than one digit or letter.

    Strokes of one digit are close together: a bar above a 5, a dot on an i, the two strokes of a
    4. Parts are several digits in three cases: they are side by side with a gap, and each is
    nearly as tall as all ink together; they are one above the other, and each is tall; or they are
    far apart.
    """
    _, boxes, _ = found
    height = _height(boxes)
    across = _joined([(b.left, b.right, b) for b in boxes], _GAP * height)
    if sum(_height(group) >= _TALL * height for group in across) > 1:
        return True
    down = _joined([(b.top, b.bottom, b) for b in boxes], 1)
    if sum(_height(group) >= _STACKED * height for group in down) > 1:
        return True
    return _are_far(boxes)


def is_ringed(found: Pieces) -> bool:
    """Whether a closed line is drawn around the ink, such as a circle around a digit.

    What is inside must be large enough to be a digit: a zero may have a dot in it.
    """
    _, boxes, masks = found
    return len(boxes) > 1 and any(
        _encloses(masks[ring], masks[other])
        for ring, box in enumerate(boxes)
        for other, inner in enumerate(boxes)
        if other != ring
        and inner.within(box, 0)
        and any(inner.sides[axis] >= _INNER * box.sides[axis] for axis in (0, 1))
    )


def _encloses(ring: Mask, other: Mask) -> bool:
    """Return whether no way leads from ``other`` to the edge that does not cross ``ring``."""
    line = _grown(ring, 3)  # without gaps at corners
    areas = parts(~np.pad(line, 1))
    seen = other & ~line
    return bool(seen.any() and (areas[1:-1, 1:-1][seen] != areas[0, 0]).all())


def marks_beside(found: Pieces) -> bool:
    """Whether there is ink beside the digit that is not close to it, such as a decimal point."""
    _, boxes, _ = found
    return len(_joined([(b.left, b.right, b) for b in boxes], _GAP * _height(boxes))) > 1


def _joined(spans: list[tuple[int, int, Box]], gap: float) -> list[list[Box]]:
    """Return the boxes in groups; between two groups there is a distance of at least ``gap``.

    ``spans`` has the first and the last position of each box along an axis.
    """
    groups: list[list[Box]] = []
    end = 0
    for start, stop, box in sorted(spans, key=lambda span: span[:2]):
        if not groups or start - end >= gap:
            groups.append([])
            end = stop
        groups[-1].append(box)
        end = max(end, stop)
    return groups


def _height(group: list[Box]) -> int:
    return max(b.bottom for b in group) - min(b.top for b in group)


def _are_far(boxes: list[Box]) -> bool:
    largest = max(boxes, key=lambda b: max(b.sides))
    size = max(largest.sides)
    for box in boxes:
        gap = max(
            largest.left - box.right,
            box.left - largest.right,
            largest.top - box.bottom,
            box.top - largest.bottom,
        )
        if gap >= _FAR * size and max(box.sides) >= _ALIKE * size:
            return True
    return False


def thickened(ink: Mask, shape: tuple[int, int]) -> Mask | None:
    """Return thin ink made thicker, so that its lines stay connected when it shrinks to ``shape``.

    Shrinking takes one of several pixels: a line that is narrower than the distance between these
    would break or vanish. The result is bool (height, width) at a reduced size; None if the ink is
    not thin.
    """
    box = box_of(ink)
    part = ink[box.top : box.bottom, box.left : box.right]
    step = max(part.shape[0] / shape[0], part.shape[1] / shape[1])
    if step <= 1 or _stroke_width(part) >= _THIN * step:
        return None
    cell = max(int(step / _FINE), 1)
    coarse = pooled(part, cell) > 0
    wanted = round(_THICKER * step / cell) - 1
    size = max(wanted // 2 * 2 + 1, 3)
    return _grown(np.pad(coarse, size), size)


def _stroke_width(ink: Mask) -> float:
    """Return the mean width of strokes in pixels: the area divided by half the outline."""
    padded = np.pad(ink, 1)
    outline = np.count_nonzero(padded[1:] != padded[:-1])
    outline += np.count_nonzero(padded[:, 1:] != padded[:, :-1])
    # Outlines of squares are longer than those of the lines, by 4 / pi on average.
    return float(2 * ink.sum() / (outline * np.pi / 4))


def is_hole(inner: Mask, outer: Mask, ratio: float) -> bool:
    """Return whether dark ink may be the hole in a light stroke.

    It may if the box around the ink is not larger than the box around the stroke.

    Args:
        inner: mask of the ink that is dark on light.
        outer: mask of the stroke that is light on dark.
        ratio: how many pixels of ``outer`` are as long as one pixel of ``inner``.
    """
    small, large = box_of(inner).sides, box_of(outer).sides
    return max(small) * ratio <= max(large)


def is_panel(ink: Mask) -> bool:
    """Return whether the ink is not a digit, but a dark rectangle (maybe with light parts)."""
    box = box_of(ink)
    part = ink[box.top : box.bottom, box.left : box.right]
    sides = part[0], part[-1], part[:, 0], part[:, -1]
    short, long = sorted(part.shape)
    full = min(float(side.mean()) for side in sides) > _FULL
    return bool(full and part.mean() > _PANEL and long < _WIDE * short)


def is_all_light(grey: NDArray[np.uint8], found: Mask) -> bool:
    """Return whether the light stroke ``found`` has nearly all light pixels of the picture."""
    factor = -(-max(grey.shape) // max(found.shape))
    levels = np.asarray(Image.fromarray(grey).reduce(factor)) if factor > 1 else grey
    light = levels > _between(levels)
    return bool((light & found).sum() >= _ALL_LIGHT * light.sum())


def is_rectangle(mask: Mask) -> bool:
    """Whether a mask with its holes filled is a rectangle at any angle, as a sheet of paper is."""
    cell = -(-max(mask.shape) // _GRID)
    covered = np.pad(2 * pooled(mask, cell) >= cell * cell, 1)
    if not covered.any():
        return False
    outside = parts(~covered)
    rows, columns = np.nonzero(outside != outside[0, 0])
    least = np.inf
    narrow = False
    for turn in np.arange(0, np.pi / 2, np.pi / 60):
        across = np.ptp(columns * np.cos(turn) + rows * np.sin(turn)) + 1
        down = np.ptp(rows * np.cos(turn) - columns * np.sin(turn)) + 1
        if across * down < least:
            least, narrow = across * down, max(across, down) > _LONG * min(across, down)
    return bool(len(rows) > _FILLED * least and not narrow)

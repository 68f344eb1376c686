# SPDX-License-Identifier: BSD-3-Clause
"""A stroke on a sheet: whether a fixed threshold found it, and how to find it otherwise.

In the original's rule for handwritten digits (`rules.digit_array`), ink is what is darker than two
thirds of the picture's mean. This is right for a black pen on evenly lit white paper. For pencil,
chalk, shadows and uneven light, a pixel must be compared with the paper around it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from bnn.data.pictures.pillow import Resampling

Mask = NDArray[np.bool_]

#: Largest size (longer side, pixels) at which pictures are searched, and largest size of the grid
#: on which connected parts of the ink are separated.
_SEARCHED, _GRID = 600, 150
#: Number of steps along the shorter side in which the light of the paper is estimated; strokes may
#: be up to `_MAX_WIDTH` steps wide.
_STEPS, _MAX_WIDTH = 48, 13
#: Ink is darker than its paper by at least this share, and by so many times the paper's noise:
#: in the middle of a stroke (first line), and at all its pixels (second line).
_MIN_CONTRAST, _NOISES = 0.06, 5.0
_MIN_DARKER, _NOISES_DARKER = 0.03, 2.5
#: Parts smaller than this share of the largest are dust.
_DUST = 0.05
#: Ink in more parts than this is noise, not a digit or letter.
_MAX_PARTS = 12
#: Least length of a stroke, in pixels and as a share of the picture's longer side.
_MIN_PIXELS, _MIN_SHARE = 4, 0.02
#: Ink of the fixed threshold is a stroke if it is at least this share of all that is not white; if
#: it reaches the picture's edge, this share of it must also be found by the adaptive method.
_MIN_INK, _AGREEING = 0.5, 0.7
#: Most of a picture that ink may cover, as a share.
_MAX_INK = 0.8
#: Most that a stroke may cover: of one side, of the shorter side (width), of the whole edge.
_MAX_OF_SIDE, _THICK, _MAX_OF_EDGE = 0.85, 0.25, 0.6
#: Levels that differ by less than this share of the paper's level count as equal.
_EVEN = 0.05
#: Ink that was removed belongs to the stroke if it is as dark, and at least this share of it.
_MIN_REST = 0.25
#: Ink that spans more than this share of a side may be the rim of an object.
_SPAN = 0.7
#: Most of a blackboard's edge that may be light, as a share.
_MAX_OF_BOARD = 0.2
#: Beyond this skewness, the rarer values are certainly ink.
_LOPSIDED = 0.5
#: Ink that fills more of its rectangle than this, and is not narrow, is an area, not a stroke.
_SOLID, _NARROW = 0.8, 2.0


@dataclass(frozen=True)
class Box:
    """A rectangle of pixels; ``bottom`` and ``right`` are the first row and column outside it."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.bottom - self.top, self.right - self.left

    def scaled(self, factor: int) -> Box:
        """Return the same rectangle on a finer grid."""
        return Box(self.top * factor, self.bottom * factor, self.left * factor, self.right * factor)

    def within(self, other: Box, margin: float) -> bool:
        """Return whether this box is inside ``other``, if ``other`` grows by ``margin`` pixels."""
        return (
            self.top >= other.top - margin
            and self.left >= other.left - margin
            and self.bottom <= other.bottom + margin
            and self.right <= other.right + margin
        )


def is_stroke(grey: NDArray[np.uint8], ink: Mask, dirty: Mask) -> bool:
    """Return whether the ink that a threshold found is a stroke.

    Args:
        grey: the picture, uint8 (height, width).
        ink: bool (height, width), the ink that was found.
        dirty: bool (height, width), the pixels that are not white after the threshold.

    The ink is a stroke if it is in a few parts and the rest of the sheet is white. If it reaches
    the edge of the picture (shadows and dark boards do, but also a digit in a cropped picture), the
    adaptive method must find the same ink, or ink and paper must have one grey level each.
    """
    if dirty.mean() > _MAX_INK or ink.sum() < _MIN_INK * dirty.sum():
        return False
    clean = _clean(ink, edges=True)
    if clean is None:
        return False
    box = box_of(clean)
    if not box_of(dirty).within(box, 2 + 0.1 * max(box.sides)):
        return False
    if not on_edge(ink):
        return True
    return _is_cut_out(grey, ink, dirty) or (_reaches_out(ink) and _agrees(grey, ink))


def _is_cut_out(grey: NDArray[np.uint8], ink: Mask, dirty: Mask) -> bool:
    """Return whether this is a picture cropped to its stroke.

    Its ink reaches all four edges, and ink and paper have one grey level each.
    """
    sides = _sides(ink)
    if dirty.all() or not all(side.any() for side in sides):
        return False
    if float(np.concatenate(sides).mean()) > _MAX_OF_EDGE:
        return False
    paper = grey[~dirty]
    return max(_deviation(paper), _deviation(grey[ink])) < _EVEN * float(paper.mean())


def _deviation(levels: NDArray[np.uint8]) -> float:
    """Return the standard deviation, computed from the count of each level.

    NumPy's `std` would need more memory.
    """
    counts = np.bincount(levels, minlength=256).astype(np.float64)
    values = np.arange(256) - float((counts * np.arange(256)).sum() / counts.sum())
    return float(np.sqrt((counts * values**2).sum() / counts.sum()))


def _reaches_out(ink: Mask) -> bool:
    """Return whether ink at the edge of the picture can be a stroke that continues outside.

    It can if there is no other ink in the picture, and if it neither covers a whole side nor is
    thick like a shadow.
    """
    if max(float(side.mean()) for side in _sides(ink)) > _MAX_OF_SIDE:
        return False
    if (free := _clean(ink)) is not None and free.sum() > _DUST * ink.sum():
        return False
    cell = -(-max(ink.shape) // _GRID)
    full = np.pad(pooled(ink, cell) == cell * cell, 1)
    thick = int(_THICK * min(full.shape)) // 2 * 2 + 1
    rest = Image.fromarray(full.astype(np.uint8)).filter(ImageFilter.MinFilter(max(thick, 3)))
    return not np.asarray(rest).any()


def _agrees(grey: NDArray[np.uint8], ink: Mask) -> bool:
    """Return whether the adaptive method finds the same ink after paper is added on all sides."""
    height, width = ink.shape
    if ink.all() or max(height, width) < _MIN_PIXELS:
        return False
    margin = max(max(ink.shape) // 3, 3)
    factor = max(-(-(max(ink.shape) + 2 * margin) // _SEARCHED), 1)
    wider = _widened(grey, margin, factor, _median(grey[~ink]))
    if (found := _darker(wider)) is None:
        return False
    wanted = _widened(ink, margin, factor, 0)
    return bool((found & wanted).sum() >= _AGREEING * (found | wanted).sum())


def _median(levels: NDArray[np.uint8]) -> int:
    """Return the median of ``levels``, truncated; it is found from the count of each level."""
    reached = np.cumsum(np.bincount(levels, minlength=256))
    middle = ((len(levels) - 1) // 2 + 1, len(levels) // 2 + 1)
    return int(np.searchsorted(reached, middle).sum()) // 2


def _widened(values: NDArray[Any], margin: int, factor: int, around: int) -> NDArray[Any]:
    """Return ``np.pad(values, margin, constant_values=around)[::factor, ::factor]``.

    It needs less memory than this expression.
    """
    rows, columns = (np.arange(0, side + 2 * margin, factor) - margin for side in values.shape)
    within = [(i >= 0) & (i < n) for i, n in zip((rows, columns), values.shape, strict=True)]
    wider = np.full((len(rows), len(columns)), around, values.dtype)
    wider[np.ix_(*within)] = values[np.ix_(rows[within[0]], columns[within[1]])]
    return wider


def is_solid(ink: Mask) -> bool:
    """Whether ink fills an area, as a blot does."""
    box = box_of(ink)
    short, long = sorted(box.sides)
    return bool(ink.sum() > _SOLID * short * long and long < _NARROW * short)


def inside(grey: NDArray[np.uint8], ink: Mask) -> Mask | None:
    """Return a stroke inside the area ``ink``, which may be a shadow; None if there is none."""
    box = box_of(ink)
    trim = [max(side // 10, 1) for side in box.sides]
    part = grey[box.top + trim[0] : box.bottom - trim[0], box.left + trim[1] : box.right - trim[1]]
    return find_stroke(part) if min(part.shape) > _MIN_PIXELS else None


def find_stroke(grey: NDArray[np.uint8]) -> Mask | None:
    """Find the stroke in a picture with any light, uint8 (height, width).

    The stroke may be dark on light or light on dark. The result is bool (height, width), True
    where the stroke is, at a reduced size for large pictures. It is None if nothing in the picture
    looks like a stroke.
    """
    image = Image.fromarray(np.ascontiguousarray(grey))
    if (factor := -(-max(image.size) // _SEARCHED)) > 1:
        image = image.reduce(factor)
    dark = np.asarray(image)
    sheets = dark, 255 - dark
    # Ink is the smaller part of a picture, so values far from the local mean are ink.
    skew = _skew(image)
    for sheet, likely in zip(sheets, (skew < _LOPSIDED, skew > -_LOPSIDED), strict=True):
        edge = 1.0 if sheet is dark else _MAX_OF_BOARD
        for fading in (False, True) if likely else ():
            if (found := _darker(sheet, edge, fading)) is not None:
                return found
    return None


def _skew(image: Image.Image) -> float:
    """Return the skewness of the differences between each pixel and the mean around it.

    It is negative if few pixels are darker than their surroundings, positive if few are lighter.
    """
    values = np.asarray(image, np.float32)
    reach = max(min(image.size) / 6, 1)
    light = np.asarray(image.filter(ImageFilter.BoxBlur(reach)), np.float32)
    beside = values - light
    return float((beside**3).mean() / max(float((beside**2).mean()) ** 1.5, 1e-9))


def _darker(sheet: NDArray[np.uint8], edge: float = 1.0, fading: bool = False) -> Mask | None:
    """Return the pixels that are darker than the paper around them, as a mask.

    Return None if they do not look like a stroke. ``edge`` is the largest share of the picture's
    edge that the stroke may cover. For ``fading`` see `_paper`.
    """
    light = np.maximum(_paper(sheet, fading), 8.0)
    share = sheet / light
    paper = float(np.median(share))
    beside = sheet - paper * light
    noise = 1.4826 * float(np.median(np.abs(beside - np.median(beside)))) / light
    surely = paper - np.maximum(_MIN_CONTRAST, _NOISES * noise)
    barely = paper - np.maximum(_MIN_DARKER, _NOISES_DARKER * noise)
    ink, limit = share < surely, 0.0
    for _ in range(10):  # halfway between paper and ink, until it does not change
        if not ink.any():
            return None
        contrast = paper - share[ink]
        before, limit = limit, paper - float((contrast**2).sum() / contrast.sum()) / 2
        if abs(before - limit) < 1e-3:
            break
        ink = share < np.minimum(limit, barely)
    found = _clean(ink) if np.concatenate(_sides(ink)).mean() <= edge else None
    if found is None or is_solid(found) or np.median(share[found] - surely[found]) > 0:
        return None
    if _is_rest(sheet, ink, found) or (fading and spans(found)):
        return None
    return found


def spans(found: Mask) -> bool:
    """Return whether the ink extends from one side of the picture to the opposite side.

    The rim of a table does so.
    """
    height, width = box_of(found).sides
    return bool(height > _SPAN * found.shape[0] or width > _SPAN * found.shape[1])


def _is_rest(sheet: NDArray[np.uint8], ink: Mask, found: Mask) -> bool:
    """Return whether the ink that is not in ``found`` belongs to the same stroke.

    It was removed because it reaches the edge; it belongs to the stroke if it is as dark.
    """
    other = ink & ~found
    if other.sum() < _MIN_REST * found.sum():
        return False
    levels = float(np.median(sheet[other])), float(np.median(sheet[found]))
    return abs(levels[0] - levels[1]) < 255 * _EVEN


def _paper(sheet: NDArray[np.uint8], fading: bool) -> NDArray[np.float32]:
    """Return the estimated level of the paper at every pixel, also under the ink.

    The result is float32 (height, width). A dark and narrow area along the edge of the picture is
    taken to be a table; with ``fading`` it is taken to be paper with less light.
    """
    image = Image.fromarray(np.ascontiguousarray(sheet))
    step = max(min(image.size) / _STEPS, 1.0)
    steps = (max(round(image.width / step), 1), max(round(image.height / step), 1))
    beyond = _MAX_WIDTH if fading else 0
    coarse = np.pad(np.asarray(image.resize(steps, Resampling.BOX)), beyond, mode="edge")
    closed = Image.fromarray(coarse).filter(ImageFilter.MaxFilter(_MAX_WIDTH))
    closed = closed.filter(ImageFilter.MinFilter(_MAX_WIDTH)).filter(ImageFilter.BoxBlur(2))
    box = (beyond, beyond, beyond + steps[0], beyond + steps[1])
    smooth = closed.crop(box).convert("F")
    return np.asarray(smooth.resize(image.size, Resampling.BILINEAR), np.float32)


def _clean(ink: Mask, edges: bool = False) -> Mask | None:
    """Return the ink without dust, and without the parts that reach the picture's edge.

    With ``edges`` the parts that reach the edge are kept. Return None if what is left is too small
    for a stroke, or has too many parts.
    """
    if not ink.any():
        return None
    cell = -(-max(ink.shape) // _GRID)
    amounts = pooled(ink, cell)
    labels = parts(amounts > 0)
    sizes = np.bincount(labels.ravel(), amounts.ravel())
    if not edges:
        sizes[np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])] = 0
    kept = sizes >= max(_DUST * float(sizes.max()), 1)
    kept[0] = False
    if not 0 < kept.sum() <= _MAX_PARTS:
        return None
    whole = np.repeat(np.repeat(kept[labels], cell, axis=0), cell, axis=1)
    cleaned: Mask = ink & whole[: ink.shape[0], : ink.shape[1]]
    least = max(_MIN_PIXELS, _MIN_SHARE * max(ink.shape))
    return cleaned if max(box_of(cleaned).sides) >= least else None


def pooled(ink: Mask, cell: int) -> NDArray[np.int64]:
    """Return the number of pixels of ink in each square of ``cell`` by ``cell``."""
    height, width = (-(-side // cell) for side in ink.shape)
    amounts = np.zeros((height, width), np.int64)
    starts = np.arange(0, ink.shape[1], cell)
    for row in range(height):  # in strips, to use little memory
        strip = ink[row * cell : (row + 1) * cell]
        amounts[row] = np.add.reduceat(strip.sum(axis=0), starts)
    return amounts


def parts(mask: Mask) -> NDArray[np.int64]:
    """Return for each pixel of a mask the number of its connected part, from 1; 0 elsewhere.

    Pixels that touch at a corner are connected.
    """
    numbers = np.zeros((mask.shape[0] + 2, mask.shape[1] + 2), np.int64)
    inner = numbers[1:-1, 1:-1]
    inner[mask] = np.arange(1, mask.sum() + 1)
    while True:  # every cell takes the largest number around it, until none changes
        rows = np.maximum(np.maximum(numbers[:-2], numbers[1:-1]), numbers[2:])
        spread = np.maximum(np.maximum(rows[:, :-2], rows[:, 1:-1]), rows[:, 2:])
        spread[~mask] = 0
        # A number is also a cell's index: take that cell's current number (fewer rounds).
        spread = np.concatenate([[0], spread[mask]])[spread]
        if np.array_equal(spread, inner):
            break
        inner[:] = spread
    names = np.unique(inner[mask])
    found: NDArray[np.int64] = np.where(mask, np.searchsorted(names, inner) + 1, 0)
    return found


def on_edge(ink: Mask) -> bool:
    """Whether ink reaches the edge of the picture."""
    return any(bool(side.any()) for side in _sides(ink))


def is_cut(ink: Mask) -> bool:
    """Whether ink reaches at least one edge of the picture, but not all four."""
    return on_edge(ink) and not all(bool(side.any()) for side in _sides(ink))


def _sides(ink: Mask) -> tuple[Mask, Mask, Mask, Mask]:
    return ink[0], ink[-1], ink[:, 0], ink[:, -1]


def box_of(ink: Mask) -> Box:
    """Return the rectangle around ink, which must not be empty."""
    rows: NDArray[Any] = np.flatnonzero(ink.any(axis=1))
    columns: NDArray[Any] = np.flatnonzero(ink.any(axis=0))
    return Box(int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)

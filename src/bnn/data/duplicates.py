# SPDX-License-Identifier: BSD-3-Clause
"""Find pictures that occur more than once: in a class, in two classes, in two parts of a set.

Equal pictures have equal digests. Nearly equal pictures (saved again, a little brighter) have
similar fingerprints: these are sorted by random projections, and neighbours are compared. The
time grows with the number of pictures, not with its square.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bnn.data.look import Looks, Mark

#: Two fingerprints are nearly equal if they differ by at most so many levels (root mean square;
#: the standard deviation of a picture is 24 levels), and their contrasts by at most a tenth.
NEAR_LEVELS = 2.0
NEAR_CONTRAST = 0.1
#: Fingerprints of fewer cells (inputs below 6x6) are not compared.
_CELLS = 36
#: Standard deviation in levels below which a picture is too flat to be compared.
_FLAT = 1.0
_TABLES, _PROJECTIONS, _WIDTH, _NEIGHBOURS = 6, 8, 20.0, 4
_EXAMPLES = 3


@dataclass(frozen=True)
class Repeated:
    """Pictures that occur more than once: all repetitions of one kind.

    Attributes:
        where: where an equal picture was found: in another part (``parts``), in another class
            (``classes``) or in the same class (``class``).
        nearly: True if the pictures are nearly equal, False if they are equal.
        count: number of pictures that repeat an earlier picture.
        examples: texts "name = name", with the parts of both pictures.
        parts: only if ``where`` is ``parts``: the part of the repeating pictures, and the part of
            the earlier pictures.
    """

    where: str
    nearly: bool
    count: int
    examples: tuple[str, ...]
    parts: tuple[str, str] = ("", "")


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Pairs of pictures: ``later[i]`` repeats ``earlier[i]`` (indexes)."""

    later: NDArray[np.int64]
    earlier: NDArray[np.int64]


def repeated(looks: dict[str, Looks]) -> tuple[Repeated, ...]:
    """Return which pictures of a data set occur more than once.

    ``looks`` has the name of each part -> the looks of its pictures. Of two equal pictures the
    later one counts as the repetition, so the training part must be the first.
    """
    looks = {part: one for part, one in looks.items() if len(one)}
    if not looks:
        return ()
    parts = np.repeat(np.arange(len(looks)), [len(one) for one in looks.values()])
    labels = np.concatenate([one.labels for one in looks.values()])
    names = [
        f"{name} ({part})" if len(looks) > 1 else str(name)
        for part, one in looks.items()
        for name in one.names
    ]
    digests = np.concatenate([one.digests for one in looks.values()])
    equal, first = _equal(digests, parts, labels)
    found = list(_told(equal, tuple(looks), parts, labels, names, nearly=False))
    near = _near(looks, first)
    return (*found, *_told(near, tuple(looks), parts, labels, names, nearly=True))


def _told(
    pairs: _Pairs,
    looks: tuple[str, ...],
    parts: NDArray[np.int64],
    labels: NDArray[np.int64],
    names: Sequence[str],
    *,
    nearly: bool,
) -> Iterator[Repeated]:
    def one(where: str, chosen: NDArray[np.bool_], between: tuple[str, str]) -> Iterator[Repeated]:
        later, places = np.unique(pairs.later[chosen], return_index=True)
        earlier = pairs.earlier[chosen][places]
        if len(later):
            examples = tuple(
                f"{names[a]} = {names[b]}"
                for a, b in zip(later[:_EXAMPLES], earlier[:_EXAMPLES], strict=True)
            )
            yield Repeated(where, nearly, len(later), examples, between)

    same_label = labels[pairs.later] == labels[pairs.earlier]
    same_part = parts[pairs.later] == parts[pairs.earlier]
    yield from one("classes", ~same_label, ("", ""))
    for a in range(len(looks)):
        for b in range(a + 1, len(looks)):
            across = (parts[pairs.earlier] == a) & (parts[pairs.later] == b)
            yield from one("parts", across, (looks[b], looks[a]))
    yield from one("class", same_label & same_part, ("", ""))


def _equal(
    digests: NDArray[np.uint8], parts: NDArray[np.int64], labels: NDArray[np.int64]
) -> tuple[_Pairs, NDArray[np.int64]]:
    """Return the pairs of equal pictures, and the indexes of the pictures that repeat no other.

    The indexes are int64, ascending; of equal pictures they have the first. In a group of equal
    pictures, each picture is paired only with the first picture of each part and label, because
    all pairs would be too many.
    """
    keys = np.ascontiguousarray(digests).view(np.uint64).reshape(len(digests), -1)
    order = np.lexsort((np.arange(len(keys)), keys[:, 1], keys[:, 0]))
    ordered = keys[order]
    starts = np.ones(len(order), np.bool_)
    starts[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    groups = np.cumsum(starts) - 1
    later, earlier = [], []
    sizes = np.bincount(groups)
    for group in np.flatnonzero(sizes > 1):
        begin = int(np.searchsorted(groups, group))
        members = order[begin : begin + int(sizes[group])]
        firsts = _firsts(members, parts, labels)
        for original in firsts:
            rest = members[members > original]
            later.append(rest)
            earlier.append(np.full(len(rest), original))
    first = np.sort(order[starts])
    if not later:
        return _Pairs(np.empty(0, np.int64), np.empty(0, np.int64)), first
    return _Pairs(np.concatenate(later), np.concatenate(earlier)), first


def _firsts(
    members: NDArray[np.int64], parts: NDArray[np.int64], labels: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return, among the indexes ``members``, the first of each part and label.

    ``members`` are ascending, and so is the result.
    """
    kinds = parts[members] * (labels.max() + 1) + labels[members]
    _, places = np.unique(kinds, return_index=True)
    return members[np.sort(places)]


def _near(looks: dict[str, Looks], first: NDArray[np.int64]) -> _Pairs:
    """Return the pairs of nearly equal pictures among those with the indexes ``first``."""
    prints = np.concatenate([one.prints for one in looks.values()])[first]
    contrast = np.concatenate([one.contrast for one in looks.values()])[first]
    blank = np.concatenate([one.marks for one in looks.values()])[first] & Mark.BLANK
    usable = np.flatnonzero((contrast >= _FLAT) & (blank == 0))
    pairs: set[tuple[int, int]] = set()
    if prints.shape[1] >= _CELLS and len(usable) > 1:
        levels, spread = prints[usable].astype(np.float32), contrast[usable]
        for one, other in _candidates(levels):
            square = np.square(levels[one] - levels[other]).mean(axis=1)
            ratio = np.abs(spread[one] - spread[other]) / np.maximum(spread[one], spread[other])
            hits = (square <= NEAR_LEVELS**2) & (ratio <= NEAR_CONTRAST)
            low, high = np.minimum(one, other)[hits], np.maximum(one, other)[hits]
            pairs |= set(zip(low.tolist(), high.tolist(), strict=True))
    made = np.array(sorted(pairs), np.int64).reshape(-1, 2)
    where = first[usable] if len(usable) else first
    return _Pairs(where[made[:, 1]], where[made[:, 0]])


def _candidates(
    levels: NDArray[np.float32],
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield pairs that may be nearly equal: neighbours in sorted tables of projections."""
    rng = np.random.default_rng(1)
    for _ in range(_TABLES):
        directions = rng.standard_normal((levels.shape[1], _PROJECTIONS)).astype(np.float32)
        directions /= np.linalg.norm(directions, axis=0)
        projected = levels @ directions
        steps = projected / _WIDTH + rng.random(_PROJECTIONS)
        cells = np.floor(steps).astype(np.int64)
        factors = rng.integers(1, 1 << 62, _PROJECTIONS, np.int64) | 1
        keys = (cells * factors).sum(axis=1)  # may overflow: it is a hash
        order = np.lexsort((projected[:, 0], keys))
        for step in range(1, _NEIGHBOURS + 1):
            one, other = order[:-step], order[step:]
            same = keys[one] == keys[other]
            yield one[same], other[same]

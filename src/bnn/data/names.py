# SPDX-License-Identifier: BSD-3-Clause
"""Names of classes: their order, and which folder or label is which class of a model.

Order: if all names are numbers, they are sorted as numbers (2 before 10). Otherwise they are
sorted as text, but numbers in them count as numbers (class2 before class10).
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from bnn.errors import DataError

_NUMBER = re.compile(r"[+-]?[0-9]{1,40}(\.[0-9]{1,40})?")
_DIGITS = re.compile(r"([0-9]+)")
#: Most names in a message.
_SHOWN = 10

_Key = Callable[[str], Hashable]


@dataclass(frozen=True, eq=False)
class Match:
    """The class of each name.

    Attributes:
        indexes: int64 (names,), indexes into the classes.
        notes: sentences on names that do not equal the class that they were matched with: they
            differ in upper and lower case or leading zeros, or are positions.
    """

    indexes: NDArray[np.int64]
    notes: tuple[str, ...] = ()


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Return ``names`` sorted.

    If all names are numbers, they are sorted as numbers. Otherwise they are sorted as text, but
    numbers inside them count as numbers: class2 comes before class10.
    """
    found = sorted(names)
    if all(_NUMBER.fullmatch(name) for name in found):
        return tuple(sorted(found, key=Decimal))
    return tuple(sorted(found, key=_natural))


def _natural(name: str) -> list[tuple[str, Decimal]]:
    # re.split gives text and digits alternately, so texts are compared with texts.
    parts = _DIGITS.split(_composed(name))
    return [
        (text, Decimal(digits or "-1"))
        for text, digits in zip(parts[::2], [*parts[1::2], ""], strict=True)
    ]


def _composed(name: str) -> str:
    """Return a name in Unicode's composed form (NFC).

    Names in zip files of macOS are in the decomposed form (NFD).
    """
    return unicodedata.normalize("NFC", name)


def _folded(name: str) -> str:
    return _composed(_composed(name).casefold())


def _number(name: str) -> Decimal | None:
    return Decimal(name) if _NUMBER.fullmatch(name) else None


def twins(root: str, names: Sequence[str]) -> tuple[str, ...]:
    """Return notes on classes whose names differ in upper and lower case only.

    Raises:
        DataError: two names look the same (they differ in how accents are stored), or are
            the same number.
    """
    for key in (_composed, _number):
        if pair := _first_pair(names, key):
            how = "look the same" if key is _composed else "are the same number"
            raise DataError(f"{root}: the subfolders {_listed(pair)} {how}; merge or rename them")
    if pair := _first_pair(names, _folded):
        return (f"the classes {_listed(pair)} differ in upper and lower case only",)
    return ()


def _first_pair(names: Sequence[str], key: _Key) -> list[str]:
    seen = defaultdict(list)
    for name in names:
        seen[key(name)].append(name)
    return next((same for value, same in seen.items() if value is not None and len(same) > 1), [])


def match(
    root: str, names: Sequence[str], classes: Sequence[str], what: str = "subfolder"
) -> Match:
    """Return which of ``classes`` each subfolder of ``root`` is, by its name.

    A subfolder is the class of the same name; if there is none, the class whose name differs only
    in how accents are stored, in upper and lower case, or in leading zeros (01 for 1). Names that
    are numbers are taken as positions of classes, counted from 0, only if no name fits a class and
    no class is a number.

    Args:
        root: the folder, for messages.
        names: names of the folder's subfolders.
        classes: names of the classes.
        what: what the names are names of, for messages, such as ``subfolder``.

    Raises:
        DataError: a name fits no class or several classes, or two names fit the same class.
    """
    found = [_meant(root, name, classes) for name in names]
    if any(index is None for index in found):
        by_position = _positions(names, classes, found)
        if by_position is None:
            raise DataError(_unknown(f"{root}: {what}", names, classes, found))
        return by_position
    indexes = [index for index in found if index is not None]
    for index in set(indexes):
        if indexes.count(index) > 1:
            same = [name for name, own in zip(names, indexes, strict=True) if own == index]
            raise DataError(
                f"{root}: the {_plural(what)} {_listed(same)} all mean class {classes[index]}; "
                "merge or rename them"
            )
    other = [
        f"{name} for {classes[index]}"
        for name, index in zip(names, indexes, strict=True)
        if _composed(name) != _composed(classes[index])
    ]
    notes = (f"names that differ a little are taken as equal: {_listed(other)}",) if other else ()
    return Match(np.array(indexes, np.int64), notes)


def _meant(root: str, name: str, classes: Sequence[str]) -> int | None:
    """Return the index of the class that ``name`` is, or None.

    The rules of :func:`match` are tried in their order; the first one that finds a class decides.
    """
    keys: tuple[_Key, ...] = (str, _composed, _folded, _number)
    for key in keys:
        wanted = key(name)
        hits = [i for i, one in enumerate(classes) if wanted is not None and key(one) == wanted]
        if len(hits) > 1:
            several = _listed([classes[i] for i in hits])
            raise DataError(f"{root}: {name} can mean {len(hits)} classes of the model: {several}")
        if hits:
            return hits[0]
    return None


def _positions(
    names: Sequence[str], classes: Sequence[str], found: Sequence[int | None]
) -> Match | None:
    """Return the match in which ``names`` are the positions of classes, counted from 0.

    Return None if a name is not such a position, if a name fits a class, or if the names of the
    classes have numbers that are not their positions.
    """
    numbers = [int(name) for name in names if re.fullmatch("[0-9]{1,9}", name)]
    if len(numbers) < len(names) or any(index is not None for index in found):
        return None
    if max(numbers) >= len(classes) or len(set(numbers)) < len(numbers):
        return None
    if any(_number(one) is not None for one in classes) or not _in_their_places(classes):
        return None
    shown = [f"{name} for {classes[i]}" for name, i in zip(names, numbers, strict=True)]
    note = f"numbers are taken as positions, counted from 0: {_listed(shown, 4)}"
    return Match(np.array(numbers, np.int64), (note,))


def _in_their_places(classes: Sequence[str]) -> bool:
    """Return whether the number in the name of each class is its position: class0, class1, class2.

    Return True too if the names are not all of this form (the same text with one number).
    """
    parts = [_DIGITS.split(_folded(one)) for one in classes]
    numbered = len({(one[0], one[2]) for one in parts if len(one) == 3}) == 1
    if not numbered or any(len(one) != 3 for one in parts):
        return True
    return [one[1].lstrip("0") or "0" for one in parts] == [str(n) for n in range(len(classes))]


def _plural(what: str) -> str:
    return f"{what}es" if what.endswith("s") else f"{what}s"


def _unknown(
    root: str, names: Sequence[str], classes: Sequence[str], found: Sequence[int | None]
) -> str:
    missing = [name for name, index in zip(names, found, strict=True) if index is None]
    nor = (
        f", nor {'is' if len(missing) == 2 else 'are'} {_listed(missing[1:])}"
        if missing[1:]
        else ""
    )
    text = f"{root} {missing[0]} is not one of the {len(classes)} classes ({_listed(classes)}){nor}"
    close = [
        f"{name} like {near[0]}"
        for name in missing
        if _number(name) is None and (near := difflib.get_close_matches(name, classes, 1))
    ]
    return f"{text}; rename {_listed(close)}?" if close else text


def match_numbers(name: str, labels: Iterable[int], classes: Sequence[str]) -> Match:
    """Return which of ``classes`` each of the ``labels`` of a data set is.

    If the names of the classes are numbers, a label is the class with this number. Otherwise a
    label is the position of its class.

    Args:
        name: name of the data set, for messages.
        labels: the labels that occur, counted from 0.
        classes: names of the classes.

    Returns:
        The match: ``indexes[label]`` is the class of ``label``, -1 for labels that do not occur.

    Raises:
        DataError: a label is not one of the classes.
    """
    used = sorted(set(labels))
    indexes = np.full(used[-1] + 1, -1, np.int64)
    values = [_number(one) for one in classes]
    if all(value is None for value in values):
        if used[-1] >= len(classes):
            raise DataError(
                f"{name}: label {used[-1]} is too large, the model has {len(classes)} classes: "
                f"{_listed(classes)}"
            )
        indexes[used] = used
        note = f"labels are taken as positions, counted from 0: {used[0]} for {classes[used[0]]}"
        return Match(indexes, (note,))
    places = {value: index for index, value in reversed(list(enumerate(values)))}
    missing = [str(label) for label in used if Decimal(label) not in places]
    if missing:
        raise DataError(
            f"{name}: label {missing[0]} is not one of the model's classes ({_listed(classes)})"
        )
    indexes[used] = [places[Decimal(label)] for label in used]
    return Match(indexes)


def _listed(names: Sequence[str], most: int = _SHOWN) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more

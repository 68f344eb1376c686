# SPDX-License-Identifier: BSD-3-Clause
"""A folder of pictures with one subfolder per class: names are listed, files opened when needed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bnn.data.names import in_order, match, twins
from bnn.data.walk import SUFFIXES, Found, Unreadable, entries, is_folder, sort_in, walk
from bnn.errors import DataError

if TYPE_CHECKING:
    from bnn.data.pictures.preprocess import Preprocess, Shape

__all__ = ["SUFFIXES", "PictureFolder", "class_names", "open_folder", "subfolders"]

#: Most names in a note.
_SHOWN = 5


@dataclass(frozen=True, eq=False)
class PictureFolder:
    """Pictures and their classes; iterating yields (path, label) and reads nothing.

    Attributes:
        name: path of the folder, as text.
        classes: names of the subfolders with pictures, in the order of
            :func:`bnn.data.names.in_order`; or the classes that the caller gave.
        paths: path of each picture; ``labels[i]`` is the class of ``paths[i]``.
        labels: int64 (N,), indexes into ``classes``.
        notes: sentences on other files in the folder, and on how names were understood.
        unreadable: files with a picture's suffix that cannot be read, with the reason.
    """

    name: str
    classes: tuple[str, ...]
    paths: tuple[Path, ...]
    labels: NDArray[np.int64]
    notes: tuple[str, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[tuple[Path, int]]:
        return zip(self.paths, self.labels.tolist(), strict=True)

    def batches(
        self, preprocess: Preprocess, shape: Shape, size: int = 256
    ) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
        """Yield pictures uint8 (n, height, width, channels) and labels int64 (n,), n <= ``size``.

        Each batch is decoded when it is needed. Raises `DataError` for the first picture that
        cannot be read. (:class:`bnn.data.look.Reader` skips such pictures.)
        """
        for start in range(0, len(self), size):
            chosen = slice(start, start + size)
            images = [preprocess.to_array(path, shape) for path in self.paths[chosen]]
            yield np.stack(images), self.labels[chosen]

    def labels_for(self, classes: Sequence[str]) -> NDArray[np.int64]:
        """Return the label of each picture as an index into ``classes``, int64 (N,).

        ``classes`` are other classes than those of the folder, for example a model's. Raises
        `DataError` if a subfolder is not one of these classes, see :func:`bnn.data.names.match`.
        """
        return match(self.name, self.classes, classes).indexes[self.labels]


@dataclass(frozen=True, eq=False)
class _Listing:
    """The files in each subfolder of a folder, by its name, and the files in the folder itself."""

    below: dict[str, Found]
    beside: Found
    loops: list[str] = field(default_factory=list)


def subfolders(root: str | os.PathLike[str]) -> tuple[str, ...]:
    """Return the names of the subfolders of ``root`` that are not hidden."""
    return in_order(entry.name for entry in entries(Path(root)) if is_folder(entry))


def class_names(root: str | os.PathLike[str]) -> tuple[str, ...]:
    """Return the names of the subfolders of ``root`` that contain pictures.

    They are in the order of :func:`bnn.data.names.in_order`.
    """
    return _classes(_list(Path(root)))


def _classes(listing: _Listing) -> tuple[str, ...]:
    return in_order(name for name, found in listing.below.items() if not found.empty)


def open_folder(
    root: str | os.PathLike[str],
    classes: Sequence[str] | None = None,
    order: Sequence[str] | None = None,
) -> PictureFolder:
    """List the pictures in the subfolders of ``root`` and in their subfolders.

    Hidden and empty subfolders, and those that operating systems make (``__MACOSX``), are not
    classes.

    Args:
        root: the folder.
        classes: names of the classes; subfolders are matched with them by name, see
            :func:`bnn.data.names.match`. By default the sorted names of the subfolders.
        order: the names of the subfolders in the order that the classes shall have, for example
            that of an earlier run; by default they are sorted. Not used with ``classes``.

    Raises:
        DataError: ``root`` cannot be listed or has no subfolders with pictures; a subfolder has
            files, but no pictures; the names of two subfolders look the same; or ``order`` has
            other names than the subfolders.
    """
    folder = Path(root)
    listing = _list(folder)
    names = _classes(listing)
    if not names:
        raise DataError(_no_classes(folder, listing))
    _check_contents(folder, listing, names)
    if order is not None and classes is None:
        names = _reordered(folder, names, order)
    matched = match(str(folder), names, classes or names)
    notes = [*twins(str(folder), names), *matched.notes, *_passed_over(folder, listing)]
    paths: list[Path] = []
    labels: list[int] = []
    unreadable: list[Unreadable] = []
    for name, label in zip(names, matched.indexes.tolist(), strict=True):
        found = listing.below[name]
        paths += found.pictures
        labels += [label] * len(found.pictures)
        unreadable += found.unreadable
    return PictureFolder(
        str(folder),
        tuple(classes or names),
        tuple(paths),
        np.array(labels, np.int64),
        tuple(notes),
        tuple(unreadable),
    )


def _reordered(folder: Path, names: tuple[str, ...], order: Sequence[str]) -> tuple[str, ...]:
    if sorted(names) != sorted(order):
        other = sorted(set(names) ^ set(order))
        raise DataError(f"{folder}: its classes have changed: {', '.join(other[:_SHOWN])}")
    return tuple(order)


def _list(folder: Path) -> _Listing:
    listing = _Listing({}, Found())
    here = Path(os.path.realpath(folder))
    for entry in entries(folder):
        if not is_folder(entry):
            sort_in(entry, listing.beside)
            continue
        target = Path(os.path.realpath(entry.path))
        if entry.is_symlink() and (target == here or target in here.parents):
            listing.loops.append(entry.name)
            continue
        below = folder / entry.name
        try:
            listing.below[entry.name] = walk(below)
        except DataError as error:
            reason = str(error).removeprefix(f"{below}: ")
            listing.below[entry.name] = Found(unreadable=[Unreadable(below, reason)])
    return listing


def loose_pictures(count: int) -> str:
    """Return a phrase for messages: how many pictures are in a folder itself."""
    return f"{_many(count, 'picture')} {'is' if count == 1 else 'are'} directly in it"


def _no_classes(folder: Path, listing: _Listing) -> str:
    text = f"{folder}: has no subfolders, one per class, with pictures in them"
    if listing.beside.pictures:
        text += f" ({loose_pictures(len(listing.beside.pictures))})"
    elif listing.below:
        text += f" (empty: {', '.join(in_order(listing.below)[:_SHOWN])})"
    return text


def _check_contents(folder: Path, listing: _Listing, names: Sequence[str]) -> None:
    """Raise `DataError` for subfolders that are probably not classes."""
    for name in names:
        if not name.isascii() and name != name.encode(errors="replace").decode():
            raise DataError(f"{folder / name}: its name is not text; rename it")
    without = [n for n in names if not (listing.below[n].pictures or listing.below[n].unreadable)]
    if without:
        verb = (
            "is a class without pictures"
            if len(without) == 1
            else (
                f"and {len(without) - 1} more are classes without pictures: "
                f"{', '.join(without[1 : _SHOWN + 1])}"
            )
        )
        raise DataError(f"{folder / without[0]}: {verb}")
    deeper = [_directly_below(folder / name, listing.below[name].pictures) for name in names]
    shared = set.intersection(*deeper) if len(names) > 1 else set()
    if len(shared) > 1 and "" not in shared:
        raise DataError(
            f"{folder}: {', '.join(names[:_SHOWN])} all have the same subfolders "
            f"({', '.join(in_order(shared)[:_SHOWN])}): the classes seem to be one folder "
            f"deeper; use {folder / names[0]}, or move the pictures"
        )


def _directly_below(folder: Path, paths: Sequence[Path]) -> set[str]:
    """Return the names of the subfolders of ``folder`` in which ``paths`` are.

    "" stands for ``folder`` itself.
    """
    depth = len(folder.parts)
    return {path.parts[depth] if len(path.parts) > depth + 1 else "" for path in paths}


def _passed_over(folder: Path, listing: _Listing) -> Iterator[str]:
    """Yield notes on files and subfolders that are not used, or not used as a user may expect."""
    empty = in_order(name for name, found in listing.below.items() if found.empty)
    if empty:
        yield f"empty subfolders are not classes: {_some(empty)}"
    if listing.loops:
        yield f"links to folders around them are not followed: {_some(listing.loops)}"
    links = [
        path.name for found in (listing.beside, *listing.below.values()) for path in found.links
    ]
    if links:
        yield f"linked folders inside a class are not read: {_some(links)}"
    if beside := [*listing.beside.pictures, *(one.path for one in listing.beside.unreadable)]:
        yield (
            f"{_many(len(beside), 'picture')} in no class folder, passed over: "
            f"{_some([path.name for path in beside])}"
        )
    nested = [f"{name} ({count})" for name, count in _nested(folder, listing)]
    if nested:
        yield f"pictures in subfolders of a class belong to the class: {_some(nested)}"
    others = sum((found.others for found in listing.below.values()), Counter[str]())
    if others:
        kinds = [f"{count} {suffix or 'without suffix'}" for suffix, count in others.most_common()]
        yield f"files that are not pictures by their names, passed over: {_some(kinds)}"


def _nested(folder: Path, listing: _Listing) -> Iterator[tuple[str, int]]:
    for name, found in listing.below.items():
        if count := sum(path.parent != folder / name for path in found.pictures):
            yield name, count


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"

# SPDX-License-Identifier: BSD-3-Clause
"""A folder of pictures with one subfolder per class. Only names are read until pictures are."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bnn.errors import DataError

if TYPE_CHECKING:
    from bnn.preprocess import Preprocess, Shape

#: Files that count as pictures; others (lists of boxes, notes) are passed over.
SUFFIXES = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp"),
        *(".pbm", ".pgm", ".ppm", ".pnm", ".jp2", ".j2k"),
    )
)


@dataclass(frozen=True, eq=False)
class PictureFolder:
    """Pictures and their classes; iterating yields (path, label) and reads nothing.

    ``classes`` are the names of the subfolders, sorted, unless they were given;
    ``paths`` are in the order of the labels, sorted within a class; ``labels`` is
    int64 (N,), an index into ``classes`` each.
    """

    name: str
    classes: tuple[str, ...]
    paths: tuple[Path, ...]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[tuple[Path, int]]:
        return zip(self.paths, self.labels.tolist(), strict=True)

    def batches(
        self, preprocess: Preprocess, shape: Shape, size: int = 256
    ) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
        """The pictures as uint8 (n, height, width, channels) and labels (n,), n <= ``size``.

        Each batch is decoded when it is asked for. Raises `DataError` naming the picture
        that cannot be read.
        """
        for start in range(0, len(self), size):
            chosen = slice(start, start + size)
            images = [preprocess.to_array(path, shape) for path in self.paths[chosen]]
            yield np.stack(images), self.labels[chosen]

    def labels_for(self, classes: Sequence[str]) -> NDArray[np.int64]:
        """The labels as indexes into another list of classes, a model's, say; int64 (N,).

        Subfolders are matched by name; if that fails and all their names are numbers
        (as GTSRB's 00000, 00001, ...), these are the indexes. Raises `DataError` naming
        a subfolder that means none of the classes.
        """
        return _indexes(self.name, self.classes, classes)[self.labels]


def class_names(root: str | os.PathLike[str]) -> tuple[str, ...]:
    """The names of the subfolders of ``root``, sorted; hidden ones do not count."""
    return tuple(path.name for path in _visible(Path(root), Path.is_dir))


def open_folder(
    root: str | os.PathLike[str], classes: Sequence[str] | None = None
) -> PictureFolder:
    """List the pictures in the subfolders of ``root``.

    ``classes`` fixes the indexes of the labels (see `PictureFolder.labels_for`);
    without it the sorted names of the subfolders do.

    Raises `DataError` if ``root`` cannot be listed, has no subfolders, or one of them
    has no pictures.
    """
    folder = Path(root)
    names = class_names(folder)
    if not names:
        raise DataError(f"{folder}: has no subfolders, one per class, with pictures in them")
    indexes = _indexes(str(folder), names, classes or names)
    paths: list[Path] = []
    labels: list[int] = []
    for name, label in zip(names, indexes.tolist(), strict=True):
        pictures = _visible(folder / name, lambda path: path.suffix.lower() in SUFFIXES)
        if not pictures:
            raise DataError(f"{folder / name}: has no pictures, yet stands for a class")
        paths += pictures
        labels += [label] * len(pictures)
    return PictureFolder(
        str(folder), tuple(classes or names), tuple(paths), np.array(labels, np.int64)
    )


def _indexes(root: str, names: Sequence[str], classes: Sequence[str]) -> NDArray[np.int64]:
    known = {name: index for index, name in reversed(list(enumerate(classes)))}
    unknown = [name for name in names if name not in known]
    if unknown and all(n.isascii() and n.isdecimal() and int(n) < len(classes) for n in names):
        return np.array([int(name) for name in names], np.int64)
    if unknown:
        raise DataError(f"{root}: subfolder {unknown[0]} is none of the {len(classes)} classes")
    return np.array([known[name] for name in names], np.int64)


def _visible(folder: Path, wanted: Callable[[Path], bool]) -> list[Path]:
    try:
        return sorted(p for p in folder.iterdir() if not p.name.startswith(".") and wanted(p))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"{folder}: cannot be listed: {reason}") from error

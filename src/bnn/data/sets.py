# SPDX-License-Identifier: BSD-3-Clause
"""Data sets by name, wherever they lie, and by folder, whatever is in it.

A known name (`bnn.data.known.KNOWN`) is looked up in the folder that the caller gives;
else under every root in the environment variable ``BNN_DATA`` (separated like PATH), in
``<root>/<name>`` or in ``<root>`` itself; else where Debian installs data sets; else it
is fetched once from its home. Any other folder is recognised by its content.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bnn.data.fetch import cached_files
from bnn.data.folder import PictureFolder, class_names, open_folder
from bnn.data.known import KNOWN, Known
from bnn.data.layouts import Arrays, Split
from bnn.errors import DataError, UnknownNameError

#: Where Debian's packages of data sets (dataset-fashion-mnist) put them.
SYSTEM_ROOT = Path("/usr/share/datasets")

_Path = str | os.PathLike[str]


@dataclass(frozen=True, eq=False)
class DataSet:
    """Images uint8 (N, height, width, channels), labels int64 (N,), names of the classes."""

    name: str
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)


def load_test(source: _Path, where: _Path | None = None) -> DataSet | PictureFolder:
    """The test part of a data set: arrays, or pictures still to be read.

    ``source`` is a known name ("mnist", "fashion-mnist", "cifar10") or a folder: in
    MNIST's layout, in CIFAR-10's, or of pictures in one subfolder per class (in its
    ``test``, if it has ``train`` and ``test``). ``where`` is the only folder to search
    for a known name.

    Raises `UnknownNameError` for what is neither a known name nor a folder, and
    `DataError` for a set that is not found, incomplete or damaged.
    """
    return _load(source, "test", where)


def load_train(source: _Path, where: _Path | None = None) -> DataSet | PictureFolder:
    """The training part of a data set; everything else as `load_test`."""
    return _load(source, "train", where)


def _load(source: _Path, split: Split, where: _Path | None) -> DataSet | PictureFolder:
    name = os.fspath(source)
    try:
        return _found(name, split, where)
    except OSError as reason:  # a folder that may not be entered, say
        place = reason.filename or name
        raise DataError(f"{place}: cannot be read: {reason.strerror or reason}") from reason


def _found(name: str, split: Split, where: _Path | None) -> DataSet | PictureFolder:
    if name in KNOWN:
        return _known(KNOWN[name], split, where)
    folder = Path(name)
    if folder.is_dir():
        return _folder(folder, split)
    if folder.exists():
        raise DataError(f"{folder}: is no folder")
    raise UnknownNameError(f"{name}: no such folder, and no data set ({', '.join(KNOWN)})")


def _known(known: Known, split: Split, where: _Path | None) -> DataSet:
    roots = _roots() if where is None else iter([Path(where)])
    for root in roots:
        for folder in (root / known.name, root):
            # Sets of one layout can be told apart by the folder's name only.
            usual = known.usual or where is not None
            fits = folder.name == known.name if folder.name in KNOWN else usual
            if fits and (arrays := known.read(folder, split)):
                return _checked(known.name, known.classes, arrays, folder)
    if where is not None:
        raise DataError(f"{os.fspath(where)}: holds no {split} files of {known.name}")
    folder = cached_files(known.name, known.homes, known.files[split])
    if (arrays := known.read(folder, split)) is None:
        raise DataError(f"{folder}: holds no {split} files of {known.name}")
    return _checked(known.name, known.classes, arrays, folder)


def _roots() -> Iterator[Path]:
    for root in os.environ.get("BNN_DATA", "").split(os.pathsep):
        if root:
            yield Path(root)
    yield SYSTEM_ROOT


def _folder(folder: Path, split: Split) -> DataSet | PictureFolder:
    for usual in (known for known in KNOWN.values() if known.usual):
        if arrays := usual.read(folder, split):
            return _checked(str(folder), _classes(folder, usual, arrays), arrays, folder)
    subfolders = class_names(folder)
    if "train" in subfolders and "test" in subfolders:
        return open_folder(folder / split, class_names(folder / "train"))
    if not subfolders:
        raise DataError(
            f"{folder}: holds neither {split} files named like MNIST's or CIFAR-10's "
            "nor subfolders of pictures, one per class"
        )
    return open_folder(folder)


def _classes(folder: Path, usual: Known, arrays: Arrays) -> tuple[str, ...]:
    named = KNOWN.get(folder.name)
    if named is not None and named.read is usual.read:
        return named.classes
    count = int(arrays[1].max()) + 1  # more than the usual set's: letters, say
    return usual.classes if count <= len(usual.classes) else tuple(map(str, range(count)))


def _checked(name: str, classes: tuple[str, ...], arrays: Arrays, folder: Path) -> DataSet:
    images, labels = arrays
    if len(images) != len(labels):
        raise DataError(f"{folder}: {len(images)} images, but {len(labels)} labels")
    if labels.max() >= len(classes):
        raise DataError(f"{folder}: has a label {labels.max()}, but {len(classes)} classes")
    return DataSet(name, images, labels.astype(np.int64), classes)

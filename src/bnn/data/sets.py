# SPDX-License-Identifier: BSD-3-Clause
"""Find data sets by name or by folder.

A folder has the files of MNIST or of CIFAR-10, or has pictures in one subfolder per class,
possibly in parts (``train``, ``test``, ``val``; see `bnn.data.splits`). An ``.npz`` file has
arrays with the names that Keras uses (``x_train``, ``y_train``, ``x_test``, ``y_test``).

The files of a known name (`bnn.data.known.KNOWN`) are searched in the folder that the caller
gives. Without such a folder they are searched under every root in the environment variable
``BNN_DATA`` (separated like PATH), in ``<root>/<name>`` and in ``<root>`` itself; then where Debian
installs data sets; and if they are not found, they are fetched once. The contents of any other
folder show which kind it is.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bnn.data.fetch import cached_files
from bnn.data.folder import PictureFolder, loose_pictures, open_folder, subfolders
from bnn.data.known import KNOWN, Known
from bnn.data.layouts import Arrays, Split, read_npz
from bnn.data.names import Match, match, match_numbers
from bnn.data.splits import Kind, find_parts, is_word_for_a_part
from bnn.data.walk import SUFFIXES, entries
from bnn.errors import DataError, UnknownNameError

#: Where Debian's packages of data sets (dataset-fashion-mnist) put them.
SYSTEM_ROOT = Path("/usr/share/datasets")

_Path = str | os.PathLike[str]


@dataclass(frozen=True, eq=False)
class DataSet:
    """Images uint8 (N, height, width, channels), labels int64 (N,), names of the classes.

    ``named`` is False if the files have numbers as labels, and nothing says for certain which
    names the classes have.
    """

    name: str
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    named: bool = True

    def __len__(self) -> int:
        return len(self.labels)

    def match(self, classes: Sequence[str], labels: Iterable[int]) -> Match:
        """Return which of a model's ``classes`` each class of this set is.

        Classes are matched by name. If ``named`` is False, the ``labels`` that occur are matched
        instead, see :func:`bnn.data.names.match_numbers`. Raises `DataError` if a class of this
        set is not a class of the model.
        """
        if self.named:
            return match(self.name, self.classes, classes, "class")
        return match_numbers(self.name, labels, classes)


#: A part of a data set: arrays, or pictures still to be read.
Given = DataSet | PictureFolder


@dataclass(frozen=True, eq=False)
class Splits:
    """The parts of a data set; a part is None if the set does not have it.

    If the set has no parts, ``training`` is the whole set. ``notes`` are sentences on how the
    folder was understood.
    """

    name: str
    training: Given | None
    validation: Given | None = None
    test: Given | None = None
    notes: tuple[str, ...] = ()

    def train(self) -> Given:
        """Return the training part; raise `DataError` if there is none."""
        if self.training is None:
            raise DataError(f"{self.name}: has no training part")
        return self.training

    def evaluated(self) -> tuple[Kind, Given]:
        """Return the name and the pictures of the part on which a model is measured.

        It is the test part; without one the validation part; without both the training part,
        which is the whole set if the set has no parts.
        """
        if self.test is not None:
            return "test", self.test
        if self.validation is not None:
            return "validation", self.validation
        return "training", self.train()


def notes_of(parts: Mapping[str, Given]) -> Iterator[str]:
    """Yield the notes of the parts that are folders of pictures.

    If there are several parts, each note begins with the name of its part.
    """
    for part, one in parts.items():
        for note in one.notes if isinstance(one, PictureFolder) else ():
            yield f"{part} part: {note}" if len(parts) > 1 else note


def load_test(source: _Path, where: _Path | None = None) -> Given:
    """Return the test part of a data set: arrays, or a folder of pictures to be read.

    ``source`` is a known name ("mnist", "fashion-mnist", "cifar10"), a folder, or an
    ``.npz`` file. If a folder of pictures has no test part, its validation part is returned; if it
    has no validation part either, all its pictures. ``where``: the files of a known name are
    searched in this folder only.

    Raises `UnknownNameError` for a name that is neither known nor a folder, and
    `DataError` for a set that is missing, incomplete or damaged.
    """
    name = os.fspath(source)
    with _readable(name):
        if name in KNOWN:
            return _known(KNOWN[name], "test", where)
        splits = _open(name, ("test",), None)
        if isinstance(splits.training, DataSet) and splits.test is None:
            raise DataError(f"{name}: has no test part")
        return splits.evaluated()[1]


def load_train(source: _Path, where: _Path | None = None) -> Given:
    """Return the training part of a data set; see `load_test` for the arguments and errors."""
    name = os.fspath(source)
    with _readable(name):
        if name in KNOWN:
            return _known(KNOWN[name], "train", where)
        return _open(name, ("train",), None).train()


def open_splits(
    source: _Path, order: Sequence[str] | None = None, classes: Sequence[str] | None = None
) -> Splits:
    """Return all parts of a data set. Pictures in folders are listed, not read.

    Args:
        source: a known name, a folder or an ``.npz`` file, see `load_test`.
        order: for a folder of pictures: names of all its classes in the order that they shall
            have, for example that of an earlier run; None: they are sorted.
        classes: names of a model's classes: subfolders are matched with these names. By default
            the names are those of the subfolders of the training part.

    Raises:
        UnknownNameError, DataError: for the same reasons as in `load_test`.
    """
    name = os.fspath(source)
    with _readable(name):
        return _open(name, ("train", "test"), order, classes)


@contextmanager
def _readable(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as reason:  # for example a folder without permission
        place = reason.filename or name
        raise DataError(f"{place}: cannot be read: {reason.strerror or reason}") from reason


def _open(
    name: str,
    wanted: tuple[Split, ...],
    order: Sequence[str] | None,
    classes: Sequence[str] | None = None,
) -> Splits:
    if name in KNOWN:
        train, test = (_known(KNOWN[name], split, None) for split in ("train", "test"))
        return Splits(name, train, test=test)
    folder = Path(name)
    if folder.is_dir():
        return _arrays(folder, wanted) or _pictures(folder, wanted, order, classes)
    if name.endswith(".npz") and folder.is_file():
        return _npz(name)
    if folder.exists():
        packed = folder.suffix.lower() in (".zip", ".tar", ".tgz", ".gz", ".xz", ".7z", ".rar")
        raise DataError(f"{folder}: is not a folder{'; unpack it first' if packed else ''}")
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
        raise DataError(f"{os.fspath(where)}: has no {split} files of {known.name}")
    folder = cached_files(known.name, known.homes, known.files[split])
    if (arrays := known.read(folder, split)) is None:
        raise DataError(f"{folder}: has no {split} files of {known.name}")
    return _checked(known.name, known.classes, arrays, folder)


def _roots() -> Iterator[Path]:
    for root in os.environ.get("BNN_DATA", "").split(os.pathsep):
        if root:
            yield Path(root)
    yield SYSTEM_ROOT


def _arrays(folder: Path, wanted: tuple[Split, ...]) -> Splits | None:
    """Return the ``wanted`` parts of a folder that has the files of a known data set.

    Return None for other folders.
    """
    for usual in (known for known in KNOWN.values() if known.usual):
        found = {split: usual.read(folder, split) for split in wanted}
        if any(found.values()):
            parts = {split: arrays for split, arrays in found.items() if arrays}
            for images, labels in parts.values():
                _check_counts(folder, len(images), len(labels))
            classes, named = _classes(folder, usual, parts)
            made = {
                split: _checked(str(folder), classes, arrays, folder, named=named)
                for split, arrays in parts.items()
            }
            return Splits(str(folder), made.get("train"), test=made.get("test"))
    return None


def _pictures(
    folder: Path,
    wanted: tuple[Split, ...],
    order: Sequence[str] | None,
    given: Sequence[str] | None = None,
) -> Splits:
    names = subfolders(folder)
    if not names:
        loose = sum(Path(one.name).suffix.lower() in SUFFIXES for one in entries(folder))
        there = f" ({loose_pictures(loose)})" if loose else ""
        raise DataError(
            f"{folder}: is not a data set: it needs {' or '.join(wanted)} files with the names of "
            f"MNIST or CIFAR-10, or a subfolder of pictures for each class{there}"
        )
    parts = find_parts(folder, names)
    if not parts:
        whole = open_folder(folder, given, order)
        return Splits(str(folder), whole, notes=_classes_like_parts(whole))
    training = (
        open_folder(folder / parts["training"], given, order) if "training" in parts else None
    )
    classes = given or (order if training is None else training.classes)
    held_out = {
        kind: open_folder(folder / parts[kind], classes)
        for kind in ("validation", "test")
        if kind in parts
    }
    others = [name for name in names if name not in parts.values()]
    notes = (f"folders beside the parts, passed over: {', '.join(others[:5])}",) if others else ()
    return Splits(str(folder), training, **held_out, notes=notes)


def _classes_like_parts(whole: PictureFolder) -> tuple[str, ...]:
    """Return notes on classes that are called ``train`` or ``test``.

    Raise `DataError` if such a folder has pictures only in its subfolders, like a part of a set.
    """
    names = [name for name in whole.classes if is_word_for_a_part(name)]
    for name in names:
        place = Path(whole.name) / name
        if not any(path.parent == place for path in whole.paths):
            others = [one for one in whole.classes if one != name]
            raise DataError(
                f"{whole.name}: {name} has subfolders of pictures, like a part of a data set, "
                f"but next to it are other folders, {', '.join(others[:5])}; name {place}, or "
                "move the others"
            )
    beside = "no folders for other parts are beside it"
    return tuple(f"the folder {name} is taken as a class: {beside}" for name in names)


def _classes(
    folder: Path, usual: Known, parts: Mapping[Split, Arrays]
) -> tuple[tuple[str, ...], bool]:
    """Return the names of the classes, and whether it is certain that these are their names.

    They are certain if the folder has the name of a known data set.
    """
    named = KNOWN.get(folder.name)
    if named is not None and named.read is usual.read:
        return named.classes, True
    count = 1 + max(int(labels.max()) for _, labels in parts.values())
    if usual.fixed or count <= len(usual.classes):
        return usual.classes, False
    return tuple(map(str, range(count))), False  # other classes than usual (letters)


def _npz(name: str) -> Splits:
    """Read the arrays of an ``.npz`` file with Keras' names."""
    parts = read_npz(name)
    classes = tuple(map(str, range(1 + max(int(labels.max()) for _, labels in parts.values()))))
    made = {
        split: _checked(name, classes, one, Path(name), named=False) for split, one in parts.items()
    }
    return Splits(name, made.get("train"), test=made.get("test"))


def _check_counts(folder: Path, images: int, labels: int) -> None:
    if images != labels:
        raise DataError(f"{folder}: {images} images, but {labels} labels")


def _checked(
    name: str, classes: tuple[str, ...], arrays: Arrays, folder: Path, *, named: bool = True
) -> DataSet:
    images, labels = arrays
    _check_counts(folder, len(images), len(labels))
    if labels.max() >= len(classes):
        raise DataError(f"{folder}: has a label {labels.max()}, but {len(classes)} classes")
    return DataSet(name, images, labels.astype(np.int64), classes, named)

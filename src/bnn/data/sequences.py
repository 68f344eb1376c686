# SPDX-License-Identifier: BSD-3-Clause
"""Sequences to train on: rows of pictures, or a folder of .csv and .npz files.

A folder has a subfolder for each class, and in it a file for each sequence. A ``.csv`` file has a
step in each line: numbers with commas between them, without a heading. A ``.npz`` file has one
array (steps, features).
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bnn.data.sets import DataSet, load_test, load_train
from bnn.errors import DataError
from bnn.system.files import open_file, read_file

ROWS_OF = ("mnist", "fashion-mnist")
MAX_FILE_BYTES = 1 << 26
MAX_FILES = 1 << 20
MAX_STEPS = 4096
MAX_FEATURES = 4096
#: Pictures of MNIST that are held out to validate.
HELD_OUT = 5000


@dataclass(frozen=True, eq=False)
class Part:
    """Sequences (steps, features) and their classes, int64 (N,)."""

    values: list[NDArray[np.generic]]
    labels: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Sequences:
    """Sequences with classes.

    Attributes:
        values: an array (steps, features) for each sequence.
        labels: int64 (N,).
        classes: names of the classes.
        training, validation: int64, which sequences are for what.
        test: which are for the test; None: ``name`` is a known set, whose test part is read at
            the end.
        name: name or folder of the data.
    """

    values: list[NDArray[np.generic]]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    training: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64] | None
    name: str

    @property
    def features(self) -> int:
        """Number of values of a step."""
        return int(self.values[0].shape[1])

    def ends(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the least and largest value of each feature in the training part.

        Of pictures all features have 0 and 255. They are float64 (1,) or (features,).
        """
        if self.name in ROWS_OF:
            return np.zeros(1), np.full(1, 255.0)
        all_steps = np.concatenate([self.values[index] for index in self.training])
        low, high = all_steps.min(0).astype(np.float64), all_steps.max(0).astype(np.float64)
        return low, np.where(high > low, high, low + 1)

    def test_part(self) -> Part:
        """Return the sequences for the test."""
        if self.test is not None:
            return Part([self.values[index] for index in self.test], self.labels[self.test])
        return test_rows(self.name)[0]


def test_rows(name: str) -> tuple[Part, tuple[str, ...]]:
    """Return the test pictures of a set of `ROWS_OF` as sequences of rows, and its classes."""
    return _rows(load_test(name), name)


def sequences_of(source: str, seed: int) -> Sequences:
    """Return the sequences of a known set of pictures or of a folder.

    ``seed`` decides which are held out: of a folder a tenth to validate, and a fifth to test.

    Raises:
        DataError: the set or a file is missing, damaged or not understood; the message names it.
    """
    if source in ROWS_OF:
        part, classes = _rows(load_train(source), source)
        order = np.random.default_rng(seed).permutation(len(part.labels))
        training, validation = order[HELD_OUT:], order[:HELD_OUT]
        return Sequences(part.values, part.labels, classes, training, validation, None, source)
    return _folder(Path(source), seed)


def _rows(given: object, name: str) -> tuple[Part, tuple[str, ...]]:
    if not isinstance(given, DataSet) or given.images.shape[3] != 1:
        raise DataError(f"{name}: is not a set of grey pictures")
    return Part(list(given.images[..., 0]), given.labels), given.classes


def _folder(folder: Path, seed: int) -> Sequences:
    if not folder.is_dir():
        raise DataError(
            f"{folder}: is not a folder of sequences, and not one of {', '.join(ROWS_OF)}"
        )
    children = sorted(one for one in folder.iterdir() if not one.name.startswith("."))
    for child in children:
        if not child.is_dir():
            raise DataError(f"{child}: is not the folder of a class; a folder has one for each")
    values: list[NDArray[np.generic]] = []
    labels: list[int] = []
    for label, child in enumerate(children):
        files = sorted(one for one in child.iterdir() if not one.name.startswith("."))
        if len(files) < 4:
            raise DataError(f"{child}: has {len(files)} sequences; a class needs 4 or more")
        if len(values) + len(files) > MAX_FILES:
            raise DataError(f"{folder}: has more than {MAX_FILES} files")
        for path in files:
            sequence = read_sequence(path)
            if values and sequence.shape[1] != values[0].shape[1]:
                raise DataError(
                    f"{path}: has {sequence.shape[1]} features, the first file has "
                    f"{values[0].shape[1]}"
                )
            values.append(sequence)
            labels.append(label)
    if len(children) < 2:
        raise DataError(f"{folder}: needs folders of 2 or more classes")
    return _split(values, np.array(labels), tuple(one.name for one in children), folder, seed)


def _split(
    values: list[NDArray[np.generic]],
    labels: NDArray[np.int64],
    classes: tuple[str, ...],
    folder: Path,
    seed: int,
) -> Sequences:
    """Hold out a tenth of each class to validate and a fifth to test, at least one."""
    random = np.random.default_rng(seed)
    parts: list[list[NDArray[np.int64]]] = [[], [], []]
    for label in range(len(classes)):
        order = random.permutation(np.flatnonzero(labels == label))
        validation, test = max(1, len(order) // 10), max(1, len(order) // 5)
        for part, some in zip(parts, np.split(order, [validation, validation + test]), strict=True):
            part.append(some)
    held, tested, trained = (np.concatenate(part) for part in parts)
    return Sequences(values, labels, classes, trained, held, tested, str(folder))


def read_sequence(path: Path) -> NDArray[np.float32]:
    """Return the sequence in a .csv or .npz file, float32 (steps, features).

    Raises:
        DataError: the file is of another kind, damaged, too large, or has values that are not
            finite numbers.
    """
    match path.suffix.lower():
        case ".csv":
            found: NDArray[np.generic] = _csv(path)
        case ".npz":
            found = _npz(path)
        case _:
            raise DataError(f"{path}: is not a .csv or .npz file")
    if (
        found.ndim != 2
        or not 1 <= len(found) <= MAX_STEPS
        or not 1 <= found.shape[1] <= MAX_FEATURES
    ):
        raise DataError(
            f"{path}: has the shape {found.shape}; a sequence is (1 to {MAX_STEPS} steps, 1 to "
            f"{MAX_FEATURES} features)"
        )
    if found.dtype.kind not in "fiu":
        raise DataError(f"{path}: has {found.dtype} values, not numbers")
    with np.errstate(over="ignore"):
        values: NDArray[np.float32] = found.astype(np.float32)
    if not np.isfinite(values).all():
        raise DataError(f"{path}: has a value that is not finite in float32")
    return values


def _csv(path: Path) -> NDArray[np.float64]:
    try:
        lines = read_file(path, MAX_FILE_BYTES, DataError).decode("utf-8-sig").splitlines()
        rows = [[float(each) for each in line.split(",")] for line in lines if line.strip()]
        return np.array(rows, np.float64)
    except ValueError as reason:
        raise DataError(f"{path}: is not a table of numbers: {str(reason)[:100]}") from None


def _npz(path: Path) -> NDArray[np.generic]:
    with open_file(path, MAX_FILE_BYTES, DataError) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                if sum(one.file_size for one in archive.infolist()) > MAX_FILE_BYTES:
                    raise DataError(f"{path}: unpacks to more than {MAX_FILE_BYTES} bytes")
            file.seek(0)
            with np.load(file, allow_pickle=False) as arrays:
                if len(arrays.files) != 1:
                    raise DataError(f"{path}: has {len(arrays.files)} arrays, not one")
                found: NDArray[np.generic] = np.asarray(arrays[arrays.files[0]])
                return found
        except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as reason:
            raise DataError(f"{path}: is not an .npz file: {str(reason)[:100]}") from None

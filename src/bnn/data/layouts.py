# SPDX-License-Identifier: BSD-3-Clause
"""Read data sets whose files have fixed names: MNIST, CIFAR-10, and ``.npz`` files as of Keras."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bnn.data import cifar, idx
from bnn.data.files import PACKED, open_unpacked
from bnn.errors import DataError
from bnn.system import npz

Split = Literal["train", "test"]

#: Images uint8 (N, height, width, channels) and labels uint8 (N,).
Arrays = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def read_mnist_layout(folder: Path, split: Split) -> Arrays | None:
    """Read MNIST's files: ``train-`` or ``t10k-images-idx3-ubyte`` and labels; plain, gz or xz.

    Returns None if images and labels are both missing. Raises `DataError` if only one of the two
    files is missing, if a file is damaged, or if a plain and a packed file of the same name have
    different contents.
    """
    names = _mnist_names(split)
    if (paths := _all_or_none(folder, names)) is None:
        return None
    images, labels = (_same(one) for one in paths)
    return idx.read_images(images)[..., np.newaxis], idx.read_labels(labels)


def _mnist_names(split: Split) -> list[str]:
    prefix = {"train": "train", "test": "t10k"}[split]
    return [f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"]


def read_cifar10_layout(folder: Path, split: Split) -> Arrays | None:
    """Read CIFAR-10's files: ``data_batch_1.bin`` ... or ``test_batch.bin``; plain, gz or xz.

    They are searched in the folder, in its subfolder ``cifar-10-batches-bin`` and in the published
    archive ``cifar-10-binary.tar.gz``. Returns None if none of the files is there. Raises
    `DataError` if some files are missing or damaged, or if two copies have different contents.
    """
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] if split == "train" else ["test_batch.bin"]
    found: Arrays | None = None
    first: Path | None = None
    for place, arrays in _cifar10_places(folder, names):
        if found is None:
            found, first = arrays, place
        elif not all(map(np.array_equal, found, arrays)):
            raise DataError(
                f"{first} and {place} both have {names[0]}, with different contents; remove one "
                "of them"
            )
    return found


def _cifar10_places(folder: Path, names: list[str]) -> Iterator[tuple[Path, Arrays]]:
    for place in (folder, folder / "cifar-10-batches-bin"):
        if paths := _all_or_none(place, names):
            images, labels = zip(*(cifar.read_records(_same(one)) for one in paths), strict=True)
            yield place, (np.concatenate(images), np.concatenate(labels))
    if archive := _find(folder, "cifar-10-binary.tar"):
        path = _same(archive)
        yield path, cifar.read_archive(path, names)


#: Keras' names of the arrays in an ``.npz`` file.
_NPZ_NAMES: dict[Split, tuple[str, str]] = {
    "train": ("x_train", "y_train"),
    "test": ("x_test", "y_test"),
}


def read_npz(path: str) -> dict[Split, Arrays]:
    """Read ``x_train``, ``y_train`` and/or ``x_test``, ``y_test`` of an ``.npz`` file.

    Pictures are uint8 (N, height, width) or (N, height, width, 1 or 3), labels integers from
    0 to 255, (N,) or (N, 1).

    Raises:
        DataError: both parts are missing, a part has only one of its two arrays, or an array has
            a wrong dtype or shape.
        ParameterError: the file is damaged.
    """
    arrays = npz.read(path)
    found: dict[Split, Arrays] = {}
    for split, (x, y) in _NPZ_NAMES.items():
        if x in arrays and y in arrays:
            found[split] = (_npz_images(path, x, arrays[x]), _npz_labels(path, y, arrays[y]))
        elif x in arrays or y in arrays:
            raise DataError(f"{path}: has no {y if x in arrays else x}")
    if not found:
        names = ", ".join(arrays) or "nothing"
        raise DataError(
            f"{path}: needs the arrays x_train and y_train, or x_test and y_test; it has "
            f"{names[:100]}"
        )
    return found


def _npz_images(path: str, name: str, array: NDArray[Any]) -> NDArray[np.uint8]:
    if array.dtype != np.uint8:
        raise DataError(f"{path}: {name} is {array.dtype}; pictures are uint8, 0 to 255")
    images: NDArray[np.uint8] = array[..., np.newaxis] if array.ndim == 3 else array
    if images.ndim != 4 or images.shape[3] not in (1, 3) or not images.size:
        raise DataError(
            f"{path}: {name} has shape {array.shape}; pictures are (N, height, width) or "
            "(N, height, width, 1 or 3)"
        )
    return images


def _npz_labels(path: str, name: str, array: NDArray[Any]) -> NDArray[np.uint8]:
    labels = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or not labels.size:
        raise DataError(f"{path}: {name} is {array.dtype} {array.shape}; labels are integers (N,)")
    if labels.min() < 0 or labels.max() > 255:
        raise DataError(
            f"{path}: {name} holds {labels.min()} to {labels.max()}; labels are 0 to 255"
        )
    return labels.astype(np.uint8)


def _all_or_none(folder: Path, names: list[str]) -> list[list[Path]] | None:
    """Return for each of the files ``names`` its paths: plain, .gz and .xz, those that exist.

    Return None if none of the files exists. Raise `DataError` if only some of them exist.
    """
    paths = [_find(folder, name) for name in names]
    there = [forms for forms in paths if forms]
    if there and len(there) < len(names):
        missing = names[paths.index([])]
        raise DataError(
            f"{folder}: has {there[0][0].name}, but no {missing} (plain, .gz or .xz), which "
            "belongs to it"
        )
    return there or None


def _find(folder: Path, name: str) -> list[Path]:
    """Return the existing paths of the file ``name``: plain, .gz and .xz, in this order."""
    paths = (folder / f"{name}{suffix}" for suffix in ("", *PACKED))
    return [path for path in paths if path.is_file()]


def _same(forms: list[Path]) -> Path:
    """Return the first of the paths of a file.

    Raise `DataError` if the contents (unpacked) of the other paths differ from it.
    """
    first, *others = forms
    if others:
        wanted = _digest(first)
        for other in others:
            if _digest(other) != wanted:
                raise DataError(
                    f"{first} and {other.name} have different contents; remove one of them"
                )
    return first


def _digest(path: Path) -> bytes:
    """Return the SHA-256 of a file's unpacked bytes."""
    digest = hashlib.sha256()
    with open_unpacked(path) as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.digest()

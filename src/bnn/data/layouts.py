# SPDX-License-Identifier: BSD-3-Clause
"""Layouts of data sets in a folder: names of the files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bnn.data import cifar, idx
from bnn.errors import DataError
from bnn.system import npz

Split = Literal["train", "test"]

#: Images uint8 (N, height, width, channels) and labels uint8 (N,).
Arrays = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def read_mnist_layout(folder: Path, split: Split) -> Arrays | None:
    """Read MNIST's files: ``train-`` or ``t10k-images-idx3-ubyte`` and labels; plain, gz or xz.

    None if both are missing; raises `DataError` if one is missing or damaged.
    """
    prefix = {"train": "train", "test": "t10k"}[split]
    names = [f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"]
    if (paths := _all_or_none(folder, names)) is None:
        return None
    return idx.read_images(paths[0])[..., np.newaxis], idx.read_labels(paths[1])


def read_cifar10_layout(folder: Path, split: Split) -> Arrays | None:
    """Read CIFAR-10's files: ``data_batch_1.bin`` ... or ``test_batch.bin``; plain, gz or xz.

    They are searched in the folder, in its ``cifar-10-batches-bin`` and in the published
    ``cifar-10-binary.tar.gz``. None if there are none; raises `DataError` if they are incomplete
    or damaged.
    """
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] if split == "train" else ["test_batch.bin"]
    for place in (folder, folder / "cifar-10-batches-bin"):
        if paths := _all_or_none(place, names):
            images, labels = zip(*map(cifar.read_records, paths), strict=True)
            return np.concatenate(images), np.concatenate(labels)
    archive = _find(folder, "cifar-10-binary.tar")
    return None if archive is None else cifar.read_archive(archive, names)


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
        DataError: both parts are missing, or a part has another dtype or shape.
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
        raise DataError(f"{path}: has {names[:100]}, not x_train, y_train, x_test, y_test")
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


def _all_or_none(folder: Path, names: list[str]) -> list[Path] | None:
    paths = [_find(folder, name) for name in names]
    there = [path for path in paths if path is not None]
    if there and len(there) < len(names):
        raise DataError(f"{folder}: has no {names[paths.index(None)]}, plain, .gz or .xz")
    return there or None


def _find(folder: Path, name: str) -> Path | None:
    for suffix in ("", ".gz", ".xz"):
        if (path := folder / f"{name}{suffix}").is_file():
            return path
    return None

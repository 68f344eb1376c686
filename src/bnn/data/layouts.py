# SPDX-License-Identifier: BSD-3-Clause
"""The layouts in which data sets lie in a folder: which files, under which names."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bnn.data import cifar, idx
from bnn.errors import DataError

Split = Literal["train", "test"]

#: Images uint8 (N, height, width, channels) and labels uint8 (N,).
Arrays = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def read_mnist_layout(folder: Path, split: Split) -> Arrays | None:
    """``train-`` or ``t10k-images-idx3-ubyte`` and its labels, plain, gz or xz.

    None if neither is there; raises `DataError` if only one is, or if one is damaged.
    """
    prefix = {"train": "train", "test": "t10k"}[split]
    names = [f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"]
    if (paths := _all_or_none(folder, names)) is None:
        return None
    return idx.read_images(paths[0])[..., np.newaxis], idx.read_labels(paths[1])


def read_cifar10_layout(folder: Path, split: Split) -> Arrays | None:
    """``data_batch_1.bin`` to ``data_batch_5.bin`` or ``test_batch.bin``, plain, gz or xz.

    In the folder, in its ``cifar-10-batches-bin``, or in ``cifar-10-binary.tar.gz`` as
    published. None if nothing is there; raises `DataError` if it is incomplete or damaged.
    """
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] if split == "train" else ["test_batch.bin"]
    for place in (folder, folder / "cifar-10-batches-bin"):
        if paths := _all_or_none(place, names):
            images, labels = zip(*map(cifar.read_records, paths), strict=True)
            return np.concatenate(images), np.concatenate(labels)
    archive = _find(folder, "cifar-10-binary.tar")
    return None if archive is None else cifar.read_archive(archive, names)


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

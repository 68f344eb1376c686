# SPDX-License-Identifier: BSD-3-Clause
"""CIFAR-10's binary records: one label byte, then the red, green and blue planes.

    3073 bytes = label, 1024 red, 1024 green, 1024 blue; each plane 32x32, row by row

A file consists of records only, so nothing but its size can be checked. See
https://www.cs.toronto.edu/~kriz/cifar.html ; a file may be packed with gz or xz.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bnn.data import tar
from bnn.data.files import Source, Unpacked, open_unpacked, source_name, write_file
from bnn.errors import DataError, InputError

RECORD_BYTES = 1 + 3 * 32 * 32
#: Most bytes of a file; the official training part has 154 MB.
MAX_BYTES = 1 << 28


def read_records(
    source: Source, *, lenient: bool = False
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the images, uint8 (N, 32, 32, 3), channels last, and labels, uint8 (N,), of a file.

    An incomplete last record is an error; with ``lenient`` it is dropped, as BNN-PYNQ did.

    Raises `DataError` for a file that is missing, damaged, or without a whole record.
    """
    with open_unpacked(source, MAX_BYTES) as file:
        return read_open_records(file, lenient=lenient)


def read_open_records(
    file: Unpacked, *, lenient: bool = False
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return what `read_records` returns, for a file that is open at its beginning."""
    return _parse(file.read(), file.name, lenient=lenient)


def read_archive(
    source: Source, members: Sequence[str]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the images and labels in the files ``members`` of the official tar archive.

    The arrays are those of `read_records`; the files follow each other in the order of
    ``members``. Nothing is unpacked to disk, and folders inside the archive do not matter.

    Raises `DataError` if a member is missing, or for the reasons of `read_records`.
    """
    name = source_name(source)
    parts: dict[str, tuple[NDArray[np.uint8], NDArray[np.uint8]]] = {}
    with open_unpacked(source) as file:
        wanted = tar.members(file, lambda path: PurePosixPath(path).name in members, MAX_BYTES)
        for path, data in wanted:
            member = PurePosixPath(path).name
            parts[member] = _parse(data, f"{name}: {member}")
    for member in members:
        if member not in parts:
            raise DataError(f"{name}: has no {member}")
    images, labels = zip(*(parts[member] for member in members), strict=True)
    return np.concatenate(images), np.concatenate(labels)


def _parse(
    data: bytes | bytearray, name: str, *, lenient: bool = False
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    count, surplus = divmod(len(data), RECORD_BYTES)
    if surplus and not lenient:
        raise DataError(
            f"{name}: {len(data)} bytes are not whole CIFAR records of {RECORD_BYTES} bytes, the "
            f"last one has only {surplus}"
        )
    if not count:
        raise DataError(
            f"{name}: {len(data)} bytes are not a CIFAR record, which has {RECORD_BYTES} bytes"
        )
    records = np.frombuffer(data, np.uint8, count * RECORD_BYTES).reshape(count, RECORD_BYTES)
    planes = records[:, 1:].reshape(count, 3, 32, 32)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), records[:, 0].copy()


def to_records(images: ArrayLike, labels: ArrayLike = 1) -> bytes:
    """Return the bytes of the records of images, uint8 (N, 32, 32, 3).

    ``labels`` are integers (N,), or one label for all records; by default 1, as in BNN-PYNQ's own
    conversion. Raises `InputError` for other shapes and types, and for labels outside 0 to 255.
    """
    pixels, numbers = np.asarray(images), np.asarray(labels)
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1:] != (32, 32, 3):
        raise InputError(
            f"CIFAR records take uint8 (N, 32, 32, 3), not {pixels.dtype} {pixels.shape}"
        )
    typed = numbers.dtype.kind in "iu" or not numbers.size
    if not typed or numbers.shape not in ((), (len(pixels),)):
        raise InputError(
            f"CIFAR records take {len(pixels)} integer labels, not {numbers.dtype} {numbers.shape}"
        )
    if numbers.size and (numbers.min() < 0 or numbers.max() > 255):
        raise InputError("a label of a CIFAR record is one byte, 0 to 255")
    records = np.empty((len(pixels), RECORD_BYTES), np.uint8)
    records[:, 0] = numbers
    records[:, 1:] = pixels.transpose(0, 3, 1, 2).reshape(len(pixels), RECORD_BYTES - 1)
    return records.tobytes()


def write_records(path: str | os.PathLike[str], images: ArrayLike, labels: ArrayLike = 1) -> None:
    """Write the bytes of `to_records` to a file, packed if its name ends in ``.gz`` or ``.xz``."""
    write_file(path, to_records(images, labels))

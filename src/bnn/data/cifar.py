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
    """Read records into images uint8 (N, 32, 32, 3), channels last, and labels uint8 (N,).

    An incomplete last record is an error; ``lenient`` drops it, as BNN-PYNQ did.

    Raises `DataError` for a file that is missing, damaged, or without a whole record.
    """
    with open_unpacked(source, MAX_BYTES) as file:
        return read_open_records(file, lenient=lenient)


def read_open_records(
    file: Unpacked, *, lenient: bool = False
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Do `read_records` for a file that is open, at its beginning."""
    return _parse(file.read(), file.name, lenient=lenient)


def read_archive(
    source: Source, members: Sequence[str]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the files ``members`` of the official tar archive, one after the other.

    Nothing is unpacked to disk; folders inside the archive do not matter. Returns the same
    arrays as `read_records`. Raises `DataError` as it does, and if a member is missing.
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
    """Return the records of images uint8 (N, 32, 32, 3) and labels (N,) or one label for all.

    Without labels every record gets 1, as in BNN-PYNQ's own conversion. Raises
    `InputError` for other shapes, types and label values beyond one byte.
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
    """Write `to_records` to a file (packed for a name in ``.gz``, ``.xz``)."""
    write_file(path, to_records(images, labels))

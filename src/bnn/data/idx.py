# SPDX-License-Identifier: BSD-3-Clause
"""MNIST's IDX files: a big-endian header, then one byte per pixel or label.

    images: 0x00000803, count, rows, columns, then count * rows * columns bytes
    labels: 0x00000801, count, then count bytes

See http://yann.lecun.com/exdb/mnist/ ; a file may be packed with gz or xz.
"""

from __future__ import annotations

import os
import struct
from io import BytesIO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bnn.data.files import Source, Unpacked, open_unpacked, write_file
from bnn.errors import DataError, InputError

_IMAGES = 0x0000_0803
_LABELS = 0x0000_0801

#: Most pixels that a lenient read may fill with zeros: as many MNIST images as the original's
#: output buffer has places (160 000 LFC results).
LENIENT_PIXELS = 160_000 * 28 * 28


def read_images(source: Source, *, lenient: bool = False) -> NDArray[np.uint8]:
    """Read IDX images into uint8 (N, rows, columns).

    The file must contain exactly as many pixels as its header says. With ``lenient`` it is read as
    by BNN-PYNQ: pixels that are missing at the end are 0, and bytes after the last pixel are
    ignored; if pixels are missing, the header may state at most `LENIENT_PIXELS` pixels.

    Raises `DataError` for a file that is missing, truncated, of the wrong kind, or whose
    count and sizes are not positive or do not match its bytes.
    """
    with open_unpacked(source) as file:
        return read_open_images(file, lenient=lenient)


def read_open_images(file: Unpacked, *, lenient: bool = False) -> NDArray[np.uint8]:
    """Return what `read_images` returns, for a file that is open at its beginning."""
    shape = _header(file, _IMAGES, "image", 3)
    pixels = _exactly(file, shape) if not lenient else _padded(file, shape)
    return pixels.reshape(shape)


def image_shape(head: bytes, name: str) -> tuple[int, ...]:
    """Return the count, rows and columns in ``head``, the first 16 bytes of a file of images.

    Raises `DataError` as `read_images`; ``name`` is for the message.
    """
    return _header(Unpacked(BytesIO(head), name, len(head)), _IMAGES, "image", 3)


def read_labels(source: Source) -> NDArray[np.uint8]:
    """Read IDX labels into uint8 (N,). Raises `DataError` as `read_images` does."""
    with open_unpacked(source) as file:
        return _exactly(file, _header(file, _LABELS, "label", 1))


def write_images(path: str | os.PathLike[str], images: ArrayLike) -> None:
    """Write uint8 (N, rows, columns) as an IDX file; a name in ``.gz`` or ``.xz``: packed."""
    _write(path, images, _IMAGES, 3)


def write_labels(path: str | os.PathLike[str], labels: ArrayLike) -> None:
    """Write uint8 (N,) as an IDX file, packed if the name ends in ``.gz`` or ``.xz``."""
    _write(path, labels, _LABELS, 1)


def _header(file: Unpacked, magic: int, kind: str, dimensions: int) -> tuple[int, ...]:
    """Return the sizes in an IDX header, which must all be positive.

    No memory is reserved for pixels here.
    """
    head = file.read(4)
    if bytes(head) != struct.pack(">I", magic):
        raise DataError(
            f"{file.name}: is not an IDX {kind} file, which begins with the bytes {magic:#010x}"
        )
    sizes = file.read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise DataError(f"{file.name}: truncated inside its IDX header")
    # Signed, as in the original: a count of 2^31 or more is negative and refused.
    shape: tuple[int, ...] = struct.unpack(f">{dimensions}i", sizes)
    if min(shape) <= 0:
        raise DataError(f"{file.name}: its IDX header says {_claim(shape)}; all must be positive")
    return shape


def _exactly(file: Unpacked, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    size = _size(shape)
    data = file.read(size + 1)
    if len(data) != size:
        there = f"only {len(data)}" if len(data) < size else "more"
        raise DataError(
            f"{file.name}: its IDX header says {_claim(shape)} = {size} bytes, but {there} follow"
        )
    return np.frombuffer(data, np.uint8)


def _padded(file: Unpacked, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    size = _size(shape)
    data = file.read()  # read to the end: a packed file has its checksum there
    del data[size:]
    if size > max(len(data), LENIENT_PIXELS):
        raise DataError(
            f"{file.name}: its IDX header says {_claim(shape)} = {size} bytes, "
            f"but only {len(data)} follow; too many bytes are missing to read them as 0"
        )
    data.extend(bytes(size - len(data)))
    return np.frombuffer(data, np.uint8)


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size


def _claim(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _write(path: str | os.PathLike[str], values: ArrayLike, magic: int, dimensions: int) -> None:
    array = np.asarray(values)
    if array.dtype != np.uint8 or array.ndim != dimensions or not array.size:
        raise InputError(
            f"an IDX file takes a uint8 array of {dimensions} dimensions that is not empty, "
            f"not {array.dtype} of shape {array.shape}"
        )
    header = struct.pack(f">I{dimensions}i", magic, *array.shape)
    write_file(path, header + array.tobytes())

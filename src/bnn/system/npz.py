# SPDX-License-Identifier: BSD-3-Clause
"""Bounded reading of NumPy archives (``.npz``); nothing is unpickled."""

from __future__ import annotations

import io
import os
import warnings
import zipfile
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from bnn.errors import ParameterError
from bnn.system import archives

#: Most bytes of a whole archive, unpacked; far more than a binarized network needs.
MAX_BYTES = 1 << 28
#: Most bytes of an array's header; usual headers have about a hundred.
MAX_HEADER_BYTES = 4096


def read(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """Return name -> array of real numbers for the archive ``path``, in the archive's order.

    The sizes in the archive's list of members are added up before anything is unpacked, and no
    member is unpacked beyond its declared size.

    Raises:
        ParameterError: the archive is missing, damaged or too large, or a member is not an array of
            real numbers (pickled objects are refused); the message names file and array.
    """
    if not Path(path).exists():
        raise ParameterError(f"{path}: no such file")
    try:
        with archives.open_zip(path, ParameterError) as archive:
            found = archive.infolist()
            if sum(one.file_size for one in found) > MAX_BYTES:
                raise ParameterError(f"{path}: unpacks to more than {MAX_BYTES >> 20} MiB")
            return {_name(path, one): _member(path, archive, one) for one in found}
    except archives.DAMAGE as reason:
        raise ParameterError(f"{path}: is not a readable .npz archive: {_line(reason)}") from reason


def _line(reason: BaseException) -> str:
    return " ".join(str(reason).split())[:200]


def _name(path: Any, member: zipfile.ZipInfo) -> str:
    name = member.filename
    if not name.endswith(".npy"):
        raise ParameterError(f"{path}: member {name!r} is not an array (.npy)")
    return name[: -len(".npy")]


def _member(path: Any, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    with archive.open(member) as file:
        data = file.read(member.file_size + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # headers that Python 2 wrote: (24L,)
            return _array(data)
    except (ValueError, TypeError, SyntaxError, TokenError, RecursionError) as reason:
        raise ParameterError(f"{path}: {member.filename}: {_line(reason)}") from reason


def _array(data: bytes) -> NDArray[Any]:
    """Return the array in the bytes of a ``.npy`` file.

    Raises:
        ValueError: the array is not of real numbers, or its size does not match the number of
            bytes; other exceptions if the header is damaged.
    """
    stream = io.BytesIO(data)
    version = npy.read_magic(stream)
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"version {version} of the .npy format is not known")
    if int.from_bytes(data[8 : 10 if version == (1, 0) else 12], "little") > MAX_HEADER_BYTES:
        raise ValueError(f"its header is longer than {MAX_HEADER_BYTES} bytes")
    shape, fortran, dtype = readers[version](stream)
    if dtype.hasobject:
        raise ValueError("contains pickled objects, which are not loaded")
    if dtype.kind not in "fiub":
        raise ValueError(f"contains {dtype}, not real numbers")
    count = 1
    for size in shape:
        count *= size
    start = stream.tell()
    if count < 0 or count * dtype.itemsize != len(data) - start:
        raise ValueError(
            f"has {len(data) - start} bytes, which do not match an array {shape} of {dtype}"
        )
    flat = np.frombuffer(data, dtype, count, start)
    array = flat.reshape(shape, order="F" if fortran else "C")
    return array.astype(dtype.newbyteorder("="))

# SPDX-License-Identifier: BSD-3-Clause
"""Tensors of the Open Inference Protocol: read and write them as JSON and as binary data.

Source: https://github.com/kserve/open-inference-protocol and Triton's "binary tensor data
extension". This module does not depend on HTTP, and trusts no count or length in a request.
"""

from __future__ import annotations

import base64
import binascii
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.errors import InputError

#: NumPy type of each datatype; elements of BYTES are bytes objects.
DTYPES: dict[str, np.dtype[Any]] = {
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
BYTES = "BYTES"

Shape = tuple[int, ...]
#: Values of a tensor: an array of numbers, or for BYTES the bytes of each element.
Values = NDArray[Any] | list[bytes]


@dataclass(frozen=True)
class Spec:
    """A tensor in a model's metadata; -1 in ``shape`` stands for the number of images."""

    name: str
    datatype: str
    shape: Shape

    def as_json(self) -> dict[str, Any]:
        """Return the description of the tensor for the protocol's metadata."""
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.shape)}


def count(shape: Sequence[int]) -> int:
    """Return how many elements a tensor of this shape has."""
    return math.prod(shape)


def from_json(data: Any, datatype: str, shape: Shape) -> Values:
    """Return the values of a tensor from its JSON value ``data``.

    ``data`` is a flat list, or lists that are nested like ``shape``. Elements of BYTES are texts in
    base64.

    Raises:
        InputError: a number is outside the datatype, or a type or the nesting does not fit.
    """
    flat = _flat(data, shape)
    if datatype == BYTES:
        return [_decoded(each) for each in flat]
    dtype = DTYPES[datatype]
    kinds = set(map(type, flat))
    if not kinds <= ({int, float} if dtype.kind == "f" else {int}):
        wanted = "numbers" if dtype.kind == "f" else "whole numbers"
        raise InputError(f"data of {datatype} must be {wanted}")
    if dtype.kind != "f" and flat:
        ends = np.iinfo(dtype)
        if min(flat) < ends.min or max(flat) > ends.max:
            raise InputError(f"data have a number outside {datatype}")
    try:
        with np.errstate(over="ignore"):  # refused below
            values = np.array(flat, dtype)
    except OverflowError:
        raise InputError(f"data have a number outside {datatype}") from None
    if dtype.kind == "f" and not np.isfinite(values).all():
        raise InputError(f"data have a number outside {datatype}")
    return values.reshape(shape)


def _flat(data: Any, shape: Shape) -> list[Any]:
    """Return the elements of a list, flat or nested exactly like ``shape``, as a flat list."""
    level = data
    if type(level) is not list:
        raise InputError("data must be a list")
    if level and type(level[0]) is list:
        for depth in range(len(shape)):
            known = count(shape[: depth + 1])
            if len(level) != known:
                raise InputError(f"data do not have the shape {list(shape)}")
            if depth == len(shape) - 1:
                break
            following = shape[depth + 1]
            if not all(type(each) is list and len(each) == following for each in level):
                raise InputError(f"data do not have the shape {list(shape)}")
            level = list(chain.from_iterable(level))
    if len(level) != count(shape):
        raise InputError(
            f"data have {len(level)} elements, the shape {list(shape)} has {count(shape)}"
        )
    return level


def _decoded(text: Any) -> bytes:
    if not isinstance(text, str):
        raise InputError("data of BYTES must be texts in base64")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InputError("data of BYTES must be texts in base64; one of them is not") from None


def from_binary(data: memoryview, datatype: str, shape: Shape) -> Values:
    """Return the values of a tensor from its bytes, little-endian.

    An element of BYTES is preceded by its length, in 4 bytes.

    Raises:
        InputError: the number of bytes or elements does not fit ``shape``.
    """
    if datatype == BYTES:
        return _elements(data, count(shape))
    dtype = DTYPES[datatype]
    if len(data) != count(shape) * dtype.itemsize:
        raise InputError(
            f"binary data have {len(data)} bytes, but {datatype} of shape {list(shape)} needs "
            f"{count(shape) * dtype.itemsize}"
        )
    return np.frombuffer(data, dtype).reshape(shape)


def _elements(data: memoryview, wanted: int) -> list[bytes]:
    found: list[bytes] = []
    place = 0
    while place < len(data):
        if len(found) == wanted or place + 4 > len(data):
            raise InputError(
                f"binary data of BYTES must be {wanted} elements, each after its length in 4 bytes"
            )
        (length,) = struct.unpack_from("<I", data, place)
        place += 4
        if length > len(data) - place:
            raise InputError("an element of BYTES is longer than the binary data")
        found.append(bytes(data[place : place + length]))
        place += length
    if len(found) != wanted:
        raise InputError(
            f"binary data have {len(found)} elements of BYTES, but the shape has {wanted}"
        )
    return found


def to_json(values: Values) -> list[Any]:
    """Return values as a flat list for JSON; elements of BYTES become texts (UTF-8)."""
    if isinstance(values, np.ndarray):
        numbers: list[Any] = values.ravel().tolist()
        return numbers
    return [each.decode("utf-8") for each in values]


def to_binary(values: Values) -> bytes:
    """Return values as bytes, in the format that :func:`from_binary` reads."""
    if isinstance(values, np.ndarray):
        return values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
    return b"".join(struct.pack("<I", len(each)) + each for each in values)

# SPDX-License-Identifier: BSD-3-Clause
"""A check of an HDF5 file before the HDF5 library reads it.

A global heap of an HDF5 file has texts of variable length. The library goes from object to object
by the sizes in the file. If a size is 0, the library never ends, and cannot be interrupted (HDF5
2.0.0; found by fuzzing). Format: HDF5 File Format Specification 3.0, III.E (global heap).
"""

from __future__ import annotations

import mmap
import struct

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
#: Magic number and version of a collection of objects.
_HEAP = b"GCOL\x01"
#: Fields of an object: index, reference count, reserved, size.
_OBJECT = struct.Struct("<HHIQ")
#: Most objects in all heaps: far more than a network needs, and checked within a second.
MAX_OBJECTS = 1 << 20


def ends(data: bytes | mmap.mmap) -> bool:
    """Whether it is certain that the library reaches the end of every global heap in ``data``.

    The result is also False for a file whose sizes do not have 8 bytes, and for more than
    :data:`MAX_OBJECTS` objects.
    """
    if not _has_usual_sizes(data):
        return False
    left = MAX_OBJECTS
    place = data.find(_HEAP)
    while place >= 0:
        left = _walked(data, place, left)
        if left < 0:
            return False
        place = data.find(_HEAP, place + 1)
    return True


def _has_usual_sizes(data: bytes | mmap.mmap) -> bool:
    """Whether sizes in the file have 8 bytes each, as HDF5 writes them by default."""
    start = 0
    while start < len(data):
        if data[start : start + 8] == _SIGNATURE:
            head = data[start : start + 16].ljust(16, b"\0")
            return head[14 if head[8] < 2 else 10] == 8
        start = 2 * start or 512
    return True  # not an HDF5 file: the library raises the error


def _walked(data: bytes | mmap.mmap, place: int, left: int) -> int:
    """Return ``left`` minus the number of objects in the heap at ``place``.

    Return -1 if this is negative, or if the library would not reach the end of the heap.
    """
    head = data[place : place + 16]
    if len(head) < 16:
        return left  # truncated: the library raises the error
    end = place + int.from_bytes(head[8:], "little")
    at = place + 16
    while at + _OBJECT.size <= min(end, len(data)):
        index, _, _, size = _OBJECT.unpack_from(data, at)
        need = size if index == 0 else _OBJECT.size + (size + 7) // 8 * 8
        left -= 1
        if need == 0 or at + need > end or left < 0:
            return -1
        at += need
    return left

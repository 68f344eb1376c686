# SPDX-License-Identifier: BSD-3-Clause
"""Arrays in memory that the accelerator reads: the host fills them, and nothing is copied."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.driver.transport import Buffer


class _Lent:
    """A buffer as memory of NumPy: it is given back when no array uses it any more."""

    def __init__(self, buffer: Buffer) -> None:
        self.buffer = buffer
        octets = buffer.words.view(np.uint8)
        self.first: int = octets.__array_interface__["data"][0]
        self.size = octets.nbytes
        self.__array_interface__ = octets.__array_interface__
        weakref.finalize(self, buffer.release).atexit = False


@dataclass(frozen=True)
class Place:
    """Where an array is.

    Attributes:
        buffer: the buffer that it is a part of.
        address: address of its first byte, for the accelerator.
    """

    buffer: Buffer
    address: int


class Arrays:
    """All arrays that a driver has lent."""

    def __init__(self) -> None:
        self._lent: weakref.WeakSet[_Lent] = weakref.WeakSet()

    def of(self, buffer: Buffer) -> NDArray[np.uint8]:
        """Return the bytes of ``buffer``, which is released when no array uses them any more."""
        lent = _Lent(buffer)
        self._lent.add(lent)
        return np.asarray(lent)

    def find(self, array: NDArray[Any]) -> Place | None:
        """Return where ``array`` is; None if the accelerator cannot read it there.

        It can if the array is a part of a buffer of :meth:`of`, its elements follow each other
        without gaps, and it begins with a 64-bit word.
        """
        if not len(self._lent) or not array.flags.c_contiguous:
            return None
        first = int(array.__array_interface__["data"][0])
        for lent in list(self._lent):
            place = first - lent.first
            if place >= 0 and place + array.nbytes <= lent.size and place % 8 == 0:
                return Place(lent.buffer, lent.buffer.address + place)
        return None

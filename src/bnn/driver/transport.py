# SPDX-License-Identifier: BSD-3-Clause
"""How the driver reaches the hardware: reserving it, registers, shared memory, waiting, time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bnn.errors import DriverError


class NoRoomError(DriverError):
    """Memory has no room for a buffer of this size now; a smaller buffer may fit."""


class Buffer(Protocol):
    """Memory that host and accelerator share.

    Attributes:
        address: address of its first byte, for the accelerator.
        words: uint64 view for the host.
    """

    address: int
    words: NDArray[np.uint64]

    def flush(self) -> None:
        """Make what the host wrote visible to the accelerator."""
        ...

    def invalidate(self) -> None:
        """Make what the accelerator wrote visible to the host."""
        ...

    def release(self) -> None:
        """Give the buffer back: its memory may be used for the next buffer."""
        ...


class Transport(Protocol):
    """A way to reach an accelerator."""

    #: Largest buffer, in 64-bit words.
    largest: int

    def begin(self, cycles: int | None) -> None:
        """Reserve the accelerator for one start; wait if another thread has reserved it.

        Args:
            cycles: largest number of clock cycles from the start to its end; None if unknown.

        Raises:
            DriverError: this thread has reserved the accelerator with another transport, or another
                thread does not release the accelerator in time.
        """
        ...

    def end(self, well: bool, buffers: Sequence[Buffer] = ()) -> None:
        """Release accelerator and ``buffers``; do nothing if this transport has not reserved it.

        Args:
            well: whether the start ended normally. If not, the accelerator may still compute: its
                registers are not read, and its buffers are not used, before :meth:`configure`.
            buffers: the buffers of the start.
        """
        ...

    def forked(self) -> None:
        """Forget the start that the parent process began; called in a forked process."""
        ...

    def known(self) -> bool:
        """Return whether registers may be read now; if not, call :meth:`configure` first."""
        ...

    def configure(self) -> bool:
        """Load the design and reset it; return False if this transport cannot do that."""
        ...

    def read(self, offset: int) -> int:
        """Return the value of a 32-bit register."""
        ...

    def write(self, offset: int, value: int) -> None:
        """Set a 32-bit register."""
        ...

    def write_many(self, offset: int, values: NDArray[np.uint32] | Sequence[int]) -> None:
        """Set one register to many values, one after the other."""
        ...

    def allocate(self, words: int) -> Buffer:
        """Return a buffer of at least ``words`` 64-bit words.

        Raises:
            NoRoomError: there is no room for a buffer of this size.
        """
        ...

    def lend(self, words: int) -> Buffer:
        """Return a buffer of at least ``words`` 64-bit words that the accelerator only reads.

        It stays until it is released, whatever starts of other drivers do.

        Raises:
            NoRoomError: there is no room for a buffer of this size.
        """
        ...

    def wait(self) -> bool:
        """Wait for the accelerator's interrupt; return False if the time limit passes first."""
        ...

    def now(self) -> dict[str, Any]:
        """Return the time now, one entry: ``cycle`` (int) in simulation, else ``seconds`` (float).

        A replayed recording has no time; its entry is ``event`` (int), the number of its last
        event.
        """
        ...

# SPDX-License-Identifier: BSD-3-Clause
"""What the driver needs from the hardware: registers, shared memory and waiting, nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bnn.errors import DriverError


class NoRoomError(DriverError):
    """There is no room for a buffer of this size now; a smaller one may fit."""


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
            cycles: most clock cycles that the start can take; None if unknown.

        Raises:
            DriverError: this thread has reserved it with another transport, or another thread does
                not release it in time.
        """
        ...

    def end(self, well: bool, buffers: Sequence[Buffer] = ()) -> None:
        """Release the accelerator and ``buffers``; do nothing if it is not reserved.

        Args:
            well: whether the start ended normally. If not, the accelerator may still compute: its
                registers are not read, and its buffers are not used, before :meth:`configure`.
            buffers: the buffers of the start.
        """
        ...

    def forked(self) -> None:
        """In a forked process, forget the start that the parent began."""
        ...

    def known(self) -> bool:
        """Return whether registers may be read now; if not, call :meth:`configure` first."""
        ...

    def configure(self) -> bool:
        """Load the design and reset it; return False if that is not possible."""
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
        """Return a buffer of ``words`` 64-bit words.

        Raises:
            NoRoomError: there is no room for a buffer of this size.
        """
        ...

    def wait(self) -> bool:
        """Wait for the interrupt (or the done flag); return False if it does not come in time."""
        ...

    def now(self) -> dict[str, Any]:
        """Return the time of a copy, one entry: ``cycle`` in simulation, else ``seconds``."""
        ...

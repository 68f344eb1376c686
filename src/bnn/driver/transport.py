# SPDX-License-Identifier: BSD-3-Clause
"""The seam between driver and hardware: registers, shared memory, and waiting. Nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bnn.errors import DriverError


class NoRoomError(DriverError):
    """A buffer of this size cannot be had now; a smaller one perhaps can."""


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
        """Give the buffer back: the next buffer may be the same memory."""
        ...


class Transport(Protocol):
    """A way to reach an accelerator."""

    #: Largest buffer, in 64-bit words.
    largest: int

    def begin(self, cycles: int | None) -> None:
        """Take the accelerator for a start of at most ``cycles`` cycles (None: not known).

        Waits where another thread has it; :class:`DriverError` where this thread has it already.
        """
        ...

    def end(self, well: bool, buffers: Sequence[Buffer] = ()) -> None:
        """Give the accelerator back, and ``buffers`` with it; do nothing if it was not taken.

        If not ``well``, its state is unknown until :meth:`configure`, and what it may still write
        to is not used before that.
        """
        ...

    def forked(self) -> None:
        """In a forked process, forget the work that the parent had begun."""
        ...

    def known(self) -> bool:
        """Return whether its registers may be read; if not, :meth:`configure` must come first."""
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
            NoRoomError: there is no room for one of this size.
        """
        ...

    def wait(self) -> bool:
        """Wait for the interrupt (or the done flag); return False if it does not come in time."""
        ...

    def now(self) -> dict[str, Any]:
        """Return the time for the ledger of copies: ``cycle`` in simulation, else ``seconds``."""
        ...

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
        address: for the accelerator.
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
        """Give it back: the next buffer may be the same memory."""
        ...


class Transport(Protocol):
    """A way to reach an accelerator."""

    #: Largest buffer, in 64-bit words.
    largest: int

    def begin(self, cycles: int | None) -> None:
        """Take the accelerator for a start that takes at most so many cycles, if that is known.

        Waits where another thread has it; :class:`DriverError` where this thread has it already.
        """
        ...

    def end(self, well: bool, buffers: Sequence[Buffer] = ()) -> None:
        """Give it back, and ``buffers`` with it; nothing where it is not had.

        Not ``well``: its state is unknown until :meth:`configure`, and what it may still write
        to is given to nobody before.
        """
        ...

    def forked(self) -> None:
        """Called in a forked process: work that the parent had begun is not continued here."""
        ...

    def known(self) -> bool:
        """Whether its registers may be read; if not, :meth:`configure` must come first."""
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
        """Wait for the interrupt (or the done flag); False if it does not come in time."""
        ...

    def now(self) -> dict[str, Any]:
        """Return the time, for the ledger: ``cycle`` in simulation, ``seconds`` on a board."""
        ...

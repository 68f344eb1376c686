# SPDX-License-Identifier: BSD-3-Clause
"""The seam between driver and hardware: registers, shared memory, and waiting. Nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Buffer(Protocol):
    """Memory that host and accelerator share.

    Attributes:
        address: for the accelerator.
        words: uint64 view for the host.
    """

    address: int
    words: NDArray[np.uint64]

    def flush(self) -> None:
        """What the host wrote becomes visible to the accelerator."""
        ...

    def invalidate(self) -> None:
        """What the accelerator wrote becomes visible to the host."""
        ...


class Transport(Protocol):
    """A way to reach an accelerator."""

    #: Largest buffer, in 64-bit words.
    largest: int

    def read(self, offset: int) -> int:
        """A 32-bit register."""
        ...

    def write(self, offset: int, value: int) -> None:
        """Set a 32-bit register."""
        ...

    def write_many(self, offset: int, values: NDArray[np.uint32] | Sequence[int]) -> None:
        """Set one register to many values, one after the other."""
        ...

    def allocate(self, words: int) -> Buffer:
        """A buffer of ``words`` 64-bit words; the one of the same use before it may be reused."""
        ...

    def wait(self) -> bool:
        """Wait for the interrupt (or the done flag); False if it does not come in time."""
        ...

    def now(self) -> dict[str, Any]:
        """The time, for the ledger: ``cycle`` in simulation, ``seconds`` on a board."""
        ...

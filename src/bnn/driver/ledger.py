# SPDX-License-Identifier: BSD-3-Clause
"""The ledger: a record of the copies between host and accelerator, with size and time."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

#: Transfers that are kept: a board may run for weeks.
KEPT = 1024


@dataclass(frozen=True)
class Transfer:
    """One copy between the host's and the accelerator's memory.

    Attributes:
        what: ``parameters``, ``images`` or ``results``.
        bytes: number of bytes.
        at: the transport's time, one entry: ``cycle`` (int) or ``seconds`` (float).
    """

    what: str
    bytes: int
    at: dict[str, Any]


@dataclass
class Ledger:
    """Record of a driver's copies: the last ones in order, and how many there were in all.

    Attributes:
        transfers: the last :data:`KEPT` copies.
    """

    transfers: deque[Transfer] = field(default_factory=lambda: deque(maxlen=KEPT))
    _counts: dict[str, int] = field(default_factory=dict)
    _octets: dict[str, int] = field(default_factory=dict)
    _new: int = 0

    def add(self, what: str, size: int, at: dict[str, Any]) -> None:
        """Add one copy to the record."""
        self.transfers.append(Transfer(what, size, at))
        self._counts[what] = self._counts.get(what, 0) + 1
        self._octets[what] = self._octets.get(what, 0) + size
        self._new += 1

    def total(self, what: str) -> int:
        """Return the bytes that all copies of one kind moved since the driver was made."""
        return self._octets.get(what, 0)

    def totals(self) -> dict[str, dict[str, int]]:
        """Return kind -> ``copies`` and ``bytes`` of all copies since the driver was made."""
        return {
            what: {"copies": count, "bytes": self._octets[what]}
            for what, count in self._counts.items()
        }

    def as_json(self) -> list[dict[str, Any]]:
        """Return the transfers that are kept, as plain values."""
        return [_plain(transfer) for transfer in self.transfers]

    def news(self) -> list[dict[str, Any]]:
        """Return the copies since the last call, at most :data:`KEPT`, as plain values."""
        first = max(0, len(self.transfers) - self._new)
        self._new = 0
        return [_plain(transfer) for transfer in islice(self.transfers, first, None)]


def _plain(transfer: Transfer) -> dict[str, Any]:
    return {"what": transfer.what, "bytes": transfer.bytes, **transfer.at}

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
        at: the time of the copy, as :meth:`bnn.driver.transport.Transport.now` returns it.
    """

    what: str
    bytes: int
    at: dict[str, Any]


@dataclass
class Ledger:
    """Record of a driver's copies: the newest ones in order, and for each kind number and bytes.

    Attributes:
        transfers: the newest copies, at most :data:`KEPT`, the oldest first.
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
        """Return the sum of bytes of all copies of the kind ``what`` since the driver was made."""
        return self._octets.get(what, 0)

    def totals(self) -> dict[str, dict[str, int]]:
        """Return for each kind of copy the number (``copies``) and the sum of bytes (``bytes``).

        They count from when the driver was made. A kind without copies is missing.
        """
        return {
            what: {"copies": count, "bytes": self._octets[what]}
            for what, count in self._counts.items()
        }

    def as_json(self) -> list[dict[str, Any]]:
        """Return :attr:`transfers` as plain values, one dictionary per copy."""
        return [_plain(transfer) for transfer in self.transfers]

    def news(self) -> list[dict[str, Any]]:
        """Return, as plain values, the newest :data:`KEPT` copies since this was called last."""
        first = max(0, len(self.transfers) - self._new)
        self._new = 0
        return [_plain(transfer) for transfer in islice(self.transfers, first, None)]


def _plain(transfer: Transfer) -> dict[str, Any]:
    return {"what": transfer.what, "bytes": transfer.bytes, **transfer.at}

# SPDX-License-Identifier: BSD-3-Clause
"""What crossed the boundary between host and accelerator, and when."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Transfer:
    """One crossing.

    Attributes:
        what: ``parameters``, ``images`` or ``results``.
        bytes: how many.
        at: the transport's time (``cycle`` or ``seconds``).
    """

    what: str
    bytes: int
    at: dict[str, Any]


@dataclass
class Ledger:
    """All crossings of a driver, in order."""

    transfers: list[Transfer] = field(default_factory=list)

    def add(self, what: str, size: int, at: dict[str, Any]) -> None:
        """Note one crossing."""
        self.transfers.append(Transfer(what, size, at))

    def total(self, what: str) -> int:
        """Bytes of one kind."""
        return sum(transfer.bytes for transfer in self.transfers if transfer.what == what)

    def as_json(self) -> list[dict[str, Any]]:
        """The transfers as plain values."""
        return [{"what": t.what, "bytes": t.bytes, **t.at} for t in self.transfers]

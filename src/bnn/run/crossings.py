# SPDX-License-Identifier: BSD-3-Clause
"""What the parts of a run took, and every copy between host and accelerator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from bnn.run import Outputs
from bnn.run.stages import Stage

#: Crossings that the details of a run have at most.
KEPT = 1024


@dataclass(frozen=True)
class Crossing:
    """One copy of an edge between host and accelerator.

    Attributes:
        edge: name of the edge in the whole program.
        to: ``accelerator`` or ``host``.
        images: number of images.
        bytes: number of bytes copied.
        cycles: clock cycles of the accelerator's part before it; 0 if the host computed.
        host_seconds: seconds of the host's work since the previous crossing: its layers, packing
            and unpacking.
        waited_seconds: seconds for which the receiver had waited since it last worked.
    """

    edge: str
    to: Literal["accelerator", "host"]
    images: int
    bytes: int
    cycles: int
    host_seconds: float
    waited_seconds: float


@dataclass
class _Taken:
    """What one part took in one run."""

    where: str
    layers: list[str]
    seconds: float = 0.0
    prepare_seconds: float = 0.0
    cycles: int = 0


class Books:
    """What the parts of one run took, and what crossed between them.

    Args:
        stages: the parts.
        accelerated: whether the parts that are not on the host are on an accelerator.
    """

    def __init__(self, stages: Sequence[Stage], *, accelerated: bool) -> None:
        self._stages = stages
        self._accelerated = accelerated
        self._parts = [
            _Taken(stage.where if accelerated or stage.is_host else "host", list(stage.layers))
            for stage in stages
        ]
        self._crossings: list[Crossing] = []
        self._host = 0.0  # seconds of the host since the last crossing
        self._last: dict[str, Any] = {}
        self._simulation = 0.0
        self._copied: dict[int, dict[str, dict[str, int]]] = {}
        self._starts: list[dict[str, Any]] = []
        self._ledger: list[dict[str, Any]] = []

    @property
    def seconds(self) -> float:
        """Seconds of computing of all parts."""
        return sum(each.seconds for each in self._parts)

    @property
    def prepare_seconds(self) -> float:
        """Seconds of the host for packing, unpacking and checking between the parts."""
        return sum(each.prepare_seconds for each in self._parts)

    def add(self, number: int, outputs: Outputs, images: int, checking: float) -> None:
        """Add what a part did.

        Args:
            number: number of the part, from 0.
            outputs: its outputs.
            images: number of images that it ran.
            checking: seconds of the host to make the part's inputs of the previous results.
        """
        made = self._parts[number]
        made.seconds += outputs.seconds
        made.prepare_seconds += outputs.prepare_seconds + checking
        if self._accelerated and not self._stages[number].is_host:
            self._add_accelerated(number, outputs, images, checking)
        else:
            self._host += checking + outputs.seconds + outputs.prepare_seconds

    def _add_accelerated(self, number: int, outputs: Outputs, images: int, checking: float) -> None:
        stage, told = self._stages[number], outputs.details
        cycles, unpacking = int(told["cycles"]), float(told["unpack_seconds"])
        self._parts[number].cycles += cycles
        packing = max(0.0, outputs.prepare_seconds - unpacking)
        before = self._host + checking + packing
        given, made = (_bytes(told["ledger"], what) for what in ("images", "results"))
        self._crossings += [
            Crossing(stage.start, "accelerator", images, given, 0, before, before),
            Crossing(stage.end, "host", images, made, cycles, 0.0, outputs.seconds),
        ]
        self._host = unpacking
        self._last = told
        self._simulation += told.get("simulation_seconds", 0.0)
        self._copied[number] = told["copied"]
        self._starts += [{"part": number + 1, **each} for each in told["starts"]]
        self._ledger += [{"part": number + 1, **each} for each in told["ledger"]]

    def details(self) -> dict[str, Any]:
        """Return the figures for :attr:`bnn.run.Outputs.details`."""
        parts = [{"part": number + 1, **asdict(each)} for number, each in enumerate(self._parts)]
        found: dict[str, Any] = {
            "parts": parts,
            "crossings": [asdict(each) for each in self._crossings[-KEPT:]],
        }
        if not self._accelerated:
            return found
        found |= {
            "cycles": sum(each.cycles for each in self._parts),
            "mhz": self._last["mhz"],
            "simulated": self._last["simulated"],
            "starts": self._starts,
            "ledger": self._ledger,
            "copied": _summed(list(self._copied.values())),
        }
        if found["simulated"]:
            found["simulation_seconds"] = self._simulation
        return found


def _bytes(ledger: Sequence[dict[str, Any]], what: str) -> int:
    return sum(each["bytes"] for each in ledger if each["what"] == what)


def _summed(parts: Sequence[dict[str, dict[str, int]]]) -> dict[str, dict[str, int]]:
    """Return kind -> copies and bytes, of all parts together."""
    found: dict[str, dict[str, int]] = {}
    for part in parts:
        for what, counts in part.items():
            kind = found.setdefault(what, {"copies": 0, "bytes": 0})
            for name, count in counts.items():
                kind[name] += count
    return found

# SPDX-License-Identifier: BSD-3-Clause
"""Streams of the event model: when words are offered, taken and moved between two blocks."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator


class Events(list[int]):
    """Cycles of events of one kind, in order; processes can wait for the next event.

    A process is a generator: it yields the :class:`Events` whose next event it waits for.
    """

    def __init__(self) -> None:
        super().__init__()
        self._waiting: list[Generator[Events, None, None]] = []
        self._queue: deque[Generator[Events, None, None]] | None = None

    def wait(
        self,
        process: Generator[Events, None, None],
        queue: deque[Generator[Events, None, None]],
    ) -> None:
        """Let ``process`` wait: put it into ``queue`` when the next event is posted."""
        self._waiting.append(process)
        self._queue = queue

    def post(self, cycle: int) -> None:
        """Add the next event, which happens in the cycle ``cycle``; wake the waiting processes."""
        self.append(cycle)
        if self._waiting and self._queue is not None:
            self._queue.extend(self._waiting)
            self._waiting.clear()


class Stream:
    """The words of a stream: the cycles in which each word is offered, taken and moved.

    Attributes:
        offers: for each word, the first cycle in which the producer offers it.
        takes: for each word, the first cycle in which the consumer is ready for it.
        moved: for each word, the cycle in which it moves.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.offers = Events()
        self.takes = Events()
        self.moved = Events()

    def offer(self, cycle: int) -> None:
        """Record that the producer offers its next word from ``cycle`` on."""
        self.offers.post(cycle)
        if len(self.takes) >= len(self.offers):
            self._move(cycle, self.takes[len(self.offers) - 1])

    def take(self, cycle: int) -> None:
        """Record that the consumer is ready for its next word from ``cycle`` on."""
        self.takes.post(cycle)
        if len(self.offers) >= len(self.takes):
            self._move(cycle, self.offers[len(self.takes) - 1])

    def _move(self, first: int, second: int) -> None:
        moved = self.moved
        cycle = max(second, first)
        if moved and moved[-1] >= cycle:
            cycle = moved[-1] + 1
        moved.post(cycle)

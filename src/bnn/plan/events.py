# SPDX-License-Identifier: BSD-3-Clause
"""When every word of every stream moves: the pipeline as a timed marked graph.

The number of words that a block reads and writes does not depend on the data. Each word moves as
soon as it can: when its producer offers it, its consumer is ready, and the previous word has moved.
A block is modelled by generators (:mod:`bnn.plan.handshakes`): they wait for the cycles in which
words move, and post the cycles in which the block offers and takes words, as its RTL does. So it is
not necessary to simulate every clock cycle.

In a marked graph a deadlock does not depend on delays (Commoner et al., 1971): a design that runs
to its end here has no deadlock, with any stalls of the memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

from bnn.errors import PlanError
from bnn.hw.design import MEMORY_IN, MEMORY_OUT, Design
from bnn.plan import handshakes, memory_bus
from bnn.plan.streams import Events, Stream

#: A process of a block: a generator that waits for the events that it yields.
Process = Generator[Events, None, None]


@dataclass(frozen=True)
class Timing:
    """Cycles of one start of a design.

    Attributes:
        finished: cycle of the last result word of each image, counted from the start.
        fills: stream -> largest fill of its FIFO in words, for streams with a FIFO.
        stalls: stream -> cycles in which a word waits for its reader.
    """

    finished: tuple[int, ...]
    fills: dict[str, int]
    stalls: dict[str, int]

    @property
    def latency(self) -> int:
        """Cycles from the start to the first result."""
        return self.finished[0]

    @property
    def mean_interval(self) -> float:
        """Mean cycles from one result to the next, as the driver reports them."""
        if len(self.finished) == 1:
            return float(self.finished[0])
        return (self.finished[-1] - self.finished[0]) / (len(self.finished) - 1)

    @property
    def interval(self) -> int:
        """Cycles from one result to the next, over the later half of the run, rounded up."""
        half = len(self.finished) // 2
        if len(self.finished) == 1:
            return self.finished[0]
        first = max(half - 1, 0)
        gaps = len(self.finished) - 1 - first
        return -(-(self.finished[-1] - self.finished[first]) // gaps)


def simulate(design: Design, images: int = 4, *, latency: int = 20) -> Timing:
    """Run ``images`` images through the event model of ``design``.

    Args:
        latency: latency of the memory in cycles, see :mod:`bnn.driver.simulated`.

    Raises:
        PlanError: the pipeline has a deadlock; the message names the streams with waiting words.
    """
    streams = {name: Stream(name) for name in design.streams}
    for instance in design.instances:  # only wires: both ends are the same stream
        if instance.block.module == "bnn_resize":
            streams[instance.outputs[0]] = streams[instance.inputs[0]]
    processes: list[Process] = []
    held: dict[str, handshakes.FifoMoves] = {}
    for instance in design.instances:
        inputs = [streams[name] for name in instance.inputs]
        outputs = [streams[name] for name in instance.outputs]
        made = handshakes.of(instance.block, inputs, outputs, images)
        processes += made.processes
        if made.held is not None:
            held[instance.outputs[0]] = made.held
    finished: list[int] = []
    read = design.source.memory_words * images
    processes += memory_bus.reader(streams[MEMORY_IN], design.source.memory_words, read, latency)
    processes.append(
        memory_bus.writer(
            streams[MEMORY_OUT], design.target.memory_words, images, latency, finished
        )
    )
    _run(processes)
    if len(finished) < images:
        waiting = [s.name for s in streams.values() if len(s.offers) > len(s.moved)]
        raise PlanError(
            f"the pipeline has a deadlock: words wait on {', '.join(waiting)}; "
            "remove 'fifos' from the folding, or make them deeper"
        )
    # A fork offers a word only in the cycle in which all its readers take it.
    forks = [each for each in design.instances if each.block.module == "bnn_fork"]
    forked = {name for fork in forks for name in fork.outputs}
    return Timing(
        tuple(finished),
        {name: _fill(each) for name, each in held.items()},
        {name: 0 if name in forked else _stalls(each) for name, each in streams.items()},
    )


def _run(processes: list[Process]) -> None:
    """Run all processes; each one continues after the event that it waits for."""
    ready: deque[Process] = deque(processes)
    while ready:
        process = ready.popleft()
        wanted = next(process, None)
        if wanted is not None:
            wanted.wait(process, ready)


def _stalls(stream: Stream) -> int:
    """Return the number of cycles in which the next word was offered, but its reader not ready."""
    stalls, before = 0, -1
    for offer, moved in zip(stream.offers, stream.moved, strict=False):
        stalls += moved - max(offer, before + 1)
        before = moved
    return stalls


def _fill(held: handshakes.FifoMoves) -> int:
    """Return the largest number of words in a FIFO."""
    entered, left = np.array(held.entered), np.array(held.left)
    if not len(entered):
        return 0
    inside = np.arange(1, len(entered) + 1) - np.searchsorted(left, entered, side="right")
    return int(inside.max())

# SPDX-License-Identifier: BSD-3-Clause
"""The event model: compute the cycle in which each word of each stream moves.

How many words a block reads and writes does not depend on the data. A word moves as soon as its
producer offers it, its consumer is ready, and the previous word has moved. So a pipeline is a timed
marked graph. A block is modelled by generators (:mod:`bnn.plan.handshakes`): they wait until words
have moved, and post the cycles in which the block offers and takes words, as its RTL does. It is
not necessary to simulate every clock cycle.

In a marked graph a deadlock does not depend on delays (Commoner et al., 1971). So a design that
runs to its end in this model has no deadlock, whatever the stalls of the memory are.
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
        finished: for each image, the cycle in which its last result word is written; the start is
            0.
        fills: name of each stream that comes from a FIFO -> largest fill of the FIFO in words.
        stalls: name of each stream -> number of cycles in which a word waits for its reader.
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
        """Mean cycles from one result to the next over the whole run, as the driver reports it."""
        if len(self.finished) == 1:
            return float(self.finished[0])
        return (self.finished[-1] - self.finished[0]) / (len(self.finished) - 1)

    @property
    def interval(self) -> int:
        """Mean cycles from one result to the next over the second half of the run, rounded up."""
        half = len(self.finished) // 2
        if len(self.finished) == 1:
            return self.finished[0]
        first = max(half - 1, 0)
        gaps = len(self.finished) - 1 - first
        return -(-(self.finished[-1] - self.finished[first]) // gaps)


def simulate(design: Design, images: int = 4, *, latency: int = 20) -> Timing:
    """Run the event model of ``design`` for ``images`` images; return its timing.

    Args:
        design: the design.
        images: number of images, at least 1.
        latency: latency of the memory in cycles, see :mod:`bnn.driver.simulated`.

    Raises:
        PlanError: the pipeline has a deadlock; the message names the streams in which words wait.
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
    processes += memory_bus.reader(streams[MEMORY_IN], design.source.image_bytes, images, latency)
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
    """Run all processes to their ends; a process that waits continues after the next event."""
    ready: deque[Process] = deque(processes)
    while ready:
        process = ready.popleft()
        wanted = next(process, None)
        if wanted is not None:
            wanted.wait(process, ready)


def _stalls(stream: Stream) -> int:
    """Return the number of cycles in which a word was offered, but its reader was not ready."""
    stalls, before = 0, -1
    for offer, moved in zip(stream.offers, stream.moved, strict=False):
        stalls += moved - max(offer, before + 1)
        before = moved
    return stalls


def _fill(held: handshakes.FifoMoves) -> int:
    """Return the largest number of words that were in a FIFO at one time."""
    entered, left = np.array(held.entered), np.array(held.left)
    if not len(entered):
        return 0
    inside = np.arange(1, len(entered) + 1) - np.searchsorted(left, entered, side="right")
    return int(inside.max())

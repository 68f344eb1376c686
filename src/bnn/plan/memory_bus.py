# SPDX-License-Identifier: BSD-3-Clause
"""The event model of ``bnn_reader`` and ``bnn_writer``: bursts at both ends of the pipeline.

The memory behaves like the memory of the simulated board (``hw/sim/harness.cpp``) without stalls.
The first word of a read comes ``latency`` cycles after the read's address; the response to a write
comes ``latency`` cycles after the write's last word. At most eight reads and eight writes are
outstanding at a time. Buffers begin at a page of 4 KiB.
"""

from __future__ import annotations

from collections.abc import Generator

from bnn.plan.handshakes import _queue
from bnn.plan.streams import Events, Stream

Process = Generator[Events, None, None]

#: 64-bit words of a 4 KiB page and of the longest burst; most outstanding bursts.
_PAGE, _BURST, _MAX_OUTSTANDING = 512, 16, 8
_WORD_BYTES = 8
#: Registers between the memory bus and the reader's FIFO.
_READ_REGISTERS = 1
#: Words of the FIFOs of ``bnn_reader`` and ``bnn_writer``.
_READ_DEPTH, _WRITE_DEPTH = 64, 32


def reader(target: Stream, image_bytes: int, images: int, latency: int) -> list[Process]:
    """Return the processes that read ``images`` images in bursts of 64-bit words into ``target``.

    A burst ends at the latest at the end of an image and at the end of a page.
    """
    pushed = Stream("read")
    ends = [-(-(n + 1) * image_bytes // _WORD_BYTES) for n in range(images)]
    return [_bursts(target, pushed, ends, latency), _queue(pushed, target, Events())]


def _bursts(target: Stream, pushed: Stream, ends: list[int], latency: int) -> Process:
    """``ends``: for each image, the number of words from the first one to its last one."""
    asked = image = 0
    size_from = 1  # first cycle after the start
    beat = 0
    ended: list[int] = []
    while asked < ends[-1]:
        image += asked == ends[image]
        size = min(_BURST, _PAGE - asked % _PAGE, ends[image] - asked)
        cycle = size_from
        if asked > _READ_DEPTH - _BURST:  # the FIFO has no room: outstanding words fill it
            given = asked - (_READ_DEPTH - _BURST)
            while len(target.moved) < given:
                yield target.moved
            cycle = max(cycle, target.moved[given - 1] + 1)
        address = cycle + 1
        if len(ended) >= _MAX_OUTSTANDING:
            address = max(address, ended[-_MAX_OUTSTANDING] + 1)
        for _ in range(size):
            beat = max(address + 1 + latency, beat + 1)
            pushed.take(0)
            pushed.offer(beat + _READ_REGISTERS)
        ended.append(beat)
        asked += size
        size_from = address + 1


def writer(
    source: Stream, image_words: int, images: int, latency: int, finished: list[int]
) -> Process:
    """Return the process that writes the words of ``source`` to memory in bursts.

    For each image, it appends the cycle in which the last word is written to ``finished``.
    """
    pops = 0
    for _ in range(_WRITE_DEPTH):
        source.take(0)
    moved = source.moved
    total = image_words * images
    sent = 0
    size_from = 1
    last = -1
    answered: list[int] = []
    while sent < total:
        while len(moved) <= sent:
            yield moved
        cycle = max(size_from, moved[sent] + 1)
        limit = min(_BURST, _PAGE - sent % _PAGE, image_words - sent % image_words)
        count = 1
        while count < limit:
            while len(moved) <= sent + count:
                yield moved
            if moved[sent + count] >= cycle:
                break
            count += 1
        address = cycle + 1
        if len(answered) >= _MAX_OUTSTANDING:
            address = max(address, answered[-_MAX_OUTSTANDING] + 1)
        for place in range(count):
            pop = moved[sent] + 1
            if sent:
                pop = max(pop, last, pops + 1)
            pops = pop
            source.take(pop + 1)
            last = max(address + 1 + place, last + 1, pop + 1)
            sent += 1
        answer = last + 1 + latency
        answered.append(max(answer, answered[-1] + 1) if answered else answer)
        if sent % image_words == 0:
            finished.append(last)
        size_from = last + 1

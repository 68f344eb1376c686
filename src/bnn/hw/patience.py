# SPDX-License-Identifier: BSD-3-Clause
"""How long a start may take: after so many cycles it is stuck. For the Python and the C driver."""

from __future__ import annotations

from bnn.hw.design import Design

#: An accelerator is stuck after this multiple of the cycles of a pipeline without overlap.
_MARGIN = 4
#: Cycles added for registers, probes and the first addresses.
_MAX_START_CYCLES = 10_000
#: Seconds added to the time of the cycles: for the host, which may be busy with other work.
LEAST_SECONDS = 5.0


def max_cycles(design: Design, images: int, *, latency: int = 100, stall: int = 0) -> int:
    """Return the cycles after which a start of ``images`` images must be stuck.

    The number is a multiple of what the start would take if only one block worked at a time, and
    each memory word needed a burst of its own. Without ``stall`` it is
    ``max_cycles(design, 0) + images * image_cycles(design)``.

    Args:
        design: design of the accelerator.
        images: number of images of one start.
        latency: latency of the memory, in cycles.
        stall: percentage of cycles in which the memory does not answer, 0 to 99.
    """
    blocks = sum(instance.block.cycles for instance in design.instances)
    words = design.source.memory_words + design.target.memory_words
    image = blocks + words * (latency + 2)
    return _MAX_START_CYCLES + _MARGIN * (images + 1) * image * 100 // (100 - stall)


def image_cycles(design: Design) -> int:
    """Return the cycles that :func:`max_cycles` adds for each image."""
    return max_cycles(design, 1) - max_cycles(design, 0)

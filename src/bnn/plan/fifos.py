# SPDX-License-Identifier: BSD-3-Clause
"""Find small FIFO depths that do not make a design slower, with the event model.

A design has FIFOs for a whole image after every fork. This is always enough, but most branches need
a few rows only. If a matrix reads a vector faster than the previous block writes it, a FIFO before
the matrix can collect the next vector. A deeper FIFO never makes a marked graph slower, so the
smallest depth that is fast enough is found by bisection.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bnn.errors import PlanError
from bnn.hw.blocks.matrix import Matrix
from bnn.hw.blocks.plumbing import Fifo, Fork
from bnn.hw.design import Design, build
from bnn.plan.events import Timing, simulate

#: Most words that a run of the event model may move; most images of a run.
_MAX_WORDS = 1_200_000
_IMAGES = 4


def words(design: Design) -> int:
    """Return the number of words that all blocks of ``design`` together write per image."""
    return sum(instance.block.output_words for instance in design.instances)


def pace(design: Design) -> Timing | None:
    """Return the timing of ``design`` from the event model, for 2 to 4 images.

    Return None if two images already move so many words that the model would take minutes.
    """
    images = min(_IMAGES, _MAX_WORDS // words(design))
    return simulate(design, images) if images >= 2 else None


def sized(design: Design) -> tuple[Design, Timing | None]:
    """Return ``design`` with FIFOs of the depths that it needs, and the timing from :func:`pace`.

    If the timing is None, the design is unchanged.
    """
    timing = pace(design)
    if timing is None:
        return design, None
    if timing.interval > design.cycles:
        design, timing = _with_vectors(design, timing)
    for name, depth in _after_forks(design).items():
        design, timing = _shortest(design, timing, name, depth)
    return design, timing


def _with_vectors(design: Design, timing: Timing) -> tuple[Design, Timing]:
    """Return the design with FIFOs of one vector before matrices, where this makes it faster."""
    made = {each.outputs[0]: each for each in design.instances}
    for each in design.instances:
        source = made.get(each.inputs[0])
        if not isinstance(each.block, Matrix) or source is None or isinstance(source.block, Fifo):
            continue
        depth = max(2, each.block.column_folds)
        tried = _with_fifos(design, {source.name: depth})
        found = pace(tried)
        if found is not None and found.interval < timing.interval:
            design, timing = tried, found
        if timing.interval <= design.cycles:
            break
    return design, timing


def _after_forks(design: Design) -> dict[str, int]:
    """Return name -> depth in words of each FIFO after a fork, in order of falling depth."""
    branches = {
        name for each in design.instances if isinstance(each.block, Fork) for name in each.outputs
    }
    found = {
        each.name: each.block.depth
        for each in design.instances
        if isinstance(each.block, Fifo) and each.inputs[0] in branches
    }
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _shortest(design: Design, timing: Timing, name: str, depth: int) -> tuple[Design, Timing]:
    """Return the design, not slower than now, with the smallest depth of the FIFO ``name``.

    ``depth``: the depth of this FIFO now. The second result is the new design's timing.
    """
    low, high = 1, min(depth, max(1, timing.fills.get(name, depth)))
    while low < high:
        middle = (low + high) // 2
        tried = _with_fifos(design, {name: middle})
        found = _runs(tried)
        if found is not None and found.interval <= timing.interval:
            high = middle
        else:
            low = middle + 1
    tried = _with_fifos(design, {name: high})
    found = _runs(tried)
    if high >= depth or found is None or found.interval > timing.interval:
        return design, timing
    return tried, found


def _runs(design: Design) -> Timing | None:
    try:
        return pace(design)
    except PlanError:
        return None


def _with_fifos(design: Design, depths: Mapping[str, int]) -> Design:
    fifos = {**design.folding.fifos, **depths}
    return build(design.program, replace(design.folding, fifos=fifos))

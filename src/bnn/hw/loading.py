# SPDX-License-Identifier: BSD-3-Clause
"""A design's parameters as the writes that load them, and its metadata for the driver."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bnn.driver.driver import Metadata, chunked
from bnn.hw.design import Design
from bnn.hw.registers import parameter_target
from bnn.hw.render import Sources, memories


def loads(design: Design) -> Iterator[tuple[int, NDArray[np.uint32]]]:
    """(target, data) of every memory of a loadable design; none of a baked one."""
    if not design.folding.loadable:
        return
    for instance in design.instances:
        if instance.unit is None:
            continue
        for kind, (words, bits) in enumerate(memories(design, instance.name)):
            if not words:
                continue
            data = chunked(words, bits)
            chunks = data.shape[1]
            for item in range(data.shape[0] * chunks):
                target = parameter_target(instance.unit, bool(kind), item)
                yield target, np.ascontiguousarray(data[item // chunks, item % chunks])


def metadata(design: Design, sources: Sources) -> Metadata:
    """What the driver must know."""
    return Metadata(
        sources.design_id,
        design.source.memory_words,
        design.target.memory_words,
        sources.parameter_writes,
        design.probes if sources.probes else (),
    )

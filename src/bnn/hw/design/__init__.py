# SPDX-License-Identifier: BSD-3-Clause
"""From a program and a folding to a design: blocks, the streams that join them, and contents.

Each operation becomes the block that computes it; a threshold that is the only reader of a
dot is computed in the dot's matrix unit. Width converters, serializers and forks are put where
two neighbours differ. The accelerator delivers the scores; an arg max (and whatever else follows
the scores) is computed on the host, see :mod:`bnn.hw.host_tail`.
"""

from __future__ import annotations

from bnn._typing import assert_never
from bnn.errors import BuildError
from bnn.hw.design.dots import dot
from bnn.hw.design.elements import add, threshold
from bnn.hw.design.ends import input_end, output_end
from bnn.hw.design.needs import Needs
from bnn.hw.design.parts import Design, Instance, LazyContents, Port
from bnn.hw.design.windows import pool, window
from bnn.hw.design.wiring import Wiring
from bnn.hw.folding import Folding, dots
from bnn.program.operations import (
    Add,
    ArgMax,
    Concat,
    Dot,
    Multiply,
    Op,
    Pool,
    Rescale,
    Scan,
    Threshold,
    Window,
)
from bnn.program.program import Program

__all__ = ["Design", "Instance", "Port", "build"]


def build(program: Program, folding: Folding) -> Design:
    """Return the design of ``program``; :class:`BuildError` names a layer that cannot be built."""
    names = [each.name for each in dots(program)]
    for name in folding.layers:
        if name not in names:
            raise BuildError(
                f"the folding has a layer {name!r}, which this model has not; its layers are: "
                f"{', '.join(names)}"
            )
    wiring = Wiring(program, folding, Needs.of(program))
    source = input_end(wiring)
    for op in wiring.needs.ops:
        if op.name not in wiring.needs.merged:
            _place(wiring, op)
    target = output_end(wiring)
    for name in folding.fifos:
        if name not in wiring.streams:
            raise BuildError(f"fifos.{name}: no block of the design has this name")
    return Design(
        program,
        folding,
        tuple(wiring.instances),
        wiring.streams,
        LazyContents(wiring.contents),
        source,
        target,
        wiring.ports,
    )


def _place(wiring: Wiring, op: Op) -> None:
    match op:
        case Window():
            window(wiring, op)
        case Dot():
            dot(wiring, op)
        case Threshold():
            threshold(wiring, op)
        case Pool():
            pool(wiring, op)
        case Add():
            add(wiring, op)
        case ArgMax():
            raise BuildError(f"{op.name}: an arg max in the middle of a network has no block")
        case Concat() | Rescale() | Multiply() | Scan():
            raise BuildError(f"{op.name}: has no block")  # limits.check has refused it before
        case _:
            assert_never(op)

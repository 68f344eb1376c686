# SPDX-License-Identifier: BSD-3-Clause
"""Make a design of a program and a folding: blocks, the streams between them, memory contents.

Each operation becomes one or more blocks, with two exceptions: a threshold that is the only reader
of a dot is computed in the dot's matrix unit, and a window of the whole map needs no block. If a
block makes words of another width than the next block reads, converters or serializers are added
between them. If an edge has several readers, a fork is added after it. The accelerator delivers the
scores; the host computes the operations after the scores, such as the arg max, see
:mod:`bnn.hw.host_tail`.
"""

from __future__ import annotations

from dataclasses import replace

from bnn._typing import assert_never
from bnn.errors import BuildError
from bnn.hw.design.dots import dot
from bnn.hw.design.elements import add, concat, multiply, rescale, threshold
from bnn.hw.design.ends import input_end, output_end, stored
from bnn.hw.design.needs import Needs
from bnn.hw.design.parts import MEMORY_IN, MEMORY_OUT, Design, Instance, LazyContents, Port
from bnn.hw.design.states import close_state, open_state
from bnn.hw.design.windows import pool, window
from bnn.hw.design.wiring import Wiring
from bnn.hw.flat import Circuit
from bnn.hw.folding import Folding, dots
from bnn.hw.memory_layout import ByteLayout
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

__all__ = ["MEMORY_IN", "MEMORY_OUT", "Design", "Instance", "Port", "build"]


def build(program: Program, folding: Folding) -> Design:
    """Return the design of ``program`` with ``folding``.

    Raises:
        BuildError: the hardware has no block for an operation, or the folding does not fit.
    """
    names = [each.name for each in dots(program)]
    for name, fold in folding.layers.items():
        if name not in names:
            raise BuildError(
                f"the folding has a layer {name!r}, but this model does not; its layers are: "
                f"{', '.join(names)}"
            )
        if min(fold.pe, fold.simd, fold.pixels) < 1:
            raise BuildError(
                f"{name}: PE, SIMD and pixels must be at least 1, not {fold.pe}, {fold.simd} and "
                f"{fold.pixels}"
            )
    needs = Needs.of(program)
    folding = replace(folding, input=stored(program, folding.input))
    wiring = Wiring(needs.program, folding, needs)
    source = input_end(wiring)
    preset = {state.name: open_state(wiring, state) for state in needs.states}
    for op in wiring.needs.ops:
        if op.name not in wiring.needs.merged:
            _place(wiring, op)
    for state in needs.states:
        close_state(wiring, state, preset[state.name])
    target = output_end(wiring)
    blocks = {*wiring.streams, *(each.name for each in wiring.instances)}
    for name in folding.fifos:
        if name not in blocks:
            advice = "remove it"
            if name.startswith("input_") and isinstance(source, ByteLayout):
                advice += ", or give the folding 'input': 'packed' as before"
            raise BuildError(
                f"the folding has fifos.{name}, but the design has no block {name!r}; {advice}"
            )
    return Design(
        program,
        replace(folding, output="int32" if target.is_int32 else "packed"),
        tuple(wiring.instances),
        wiring.streams,
        LazyContents(wiring.contents),
        source,
        target,
        wiring.ports,
        needs.program.sides if isinstance(needs.program, Circuit) else (),
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
            raise BuildError(
                f"{op.name}: the hardware has no block for an arg max before other operations; "
                "run it on the cpu runtime"
            )
        case Multiply():
            multiply(wiring, op)
        case Concat():
            concat(wiring, op)
        case Rescale():
            rescale(wiring, op)
        case Scan():
            # limits.check has refused it before
            raise BuildError(f"{op.name}: the hardware has no block for this operation")
        case _:
            assert_never(op)

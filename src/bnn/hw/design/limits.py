# SPDX-License-Identifier: BSD-3-Clause
"""Operations for which the hardware has no block yet: refused by name, with the reason."""

from __future__ import annotations

from collections.abc import Iterable

from bnn._typing import assert_never
from bnn.errors import BuildError
from bnn.hw.flat import Circuit
from bnn.program.operations import (
    INPUT,
    MAX_COUNTED_LEVELS,
    NARROW_VALUE_BITS,
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

_INSTEAD = "run it on the cpu runtime"


def check(program: Program | Circuit, ops: Iterable[Op]) -> None:
    """Raise :class:`BuildError` if the hardware cannot compute an operation or take the input.

    ``ops``: the operations of ``program`` that the accelerator computes.
    """
    given = program.edges[INPUT]
    if not given.is_narrow:
        raise BuildError(
            f"input: has {given.precision} values, but the hardware takes at most "
            f"{NARROW_VALUE_BITS} bits; {_INSTEAD}"
        )
    for op in ops:
        reason = _reason(op, program)
        if reason is not None:
            raise BuildError(f"{op.name}: {reason}; {_INSTEAD}")


def _reason(op: Op, program: Program | Circuit) -> str | None:
    """Return why the hardware cannot compute ``op``; None if it can."""
    match op:
        case Scan():
            return "is a scan, which no block of the hardware is"
        case Dot() if op.product_shift:
            return "rounds each product, which no block of the hardware does yet"
        case Window() | Dot():
            source = program.edges[op.source]
            if not source.is_narrow:
                return (
                    f"reads {source.precision} values, but the hardware reads at most "
                    f"{NARROW_VALUE_BITS} bits"
                )
            if isinstance(op, Dot) and op.precision.bits > NARROW_VALUE_BITS:
                return (
                    f"has {op.precision} weights, but the hardware takes at most "
                    f"{NARROW_VALUE_BITS} bits"
                )
            return None
        case Threshold():
            levels = op.thresholds.shape[1]
            if levels > MAX_COUNTED_LEVELS or op.precision.bits > NARROW_VALUE_BITS:
                return (
                    f"has {levels} thresholds and {op.precision} results, but the hardware takes "
                    f"at most {MAX_COUNTED_LEVELS} and {NARROW_VALUE_BITS} bits"
                )
            return None
        case Pool() | Add() | Multiply() | Concat() | Rescale() | ArgMax():
            return None
    assert_never(op)

# SPDX-License-Identifier: BSD-3-Clause
"""The cpu runtime: the C++ core of ``native/``, with the kernel set that suits this CPU.

This module passes a program to the core, operation by operation. For each run it passes inputs to
the core and takes the scores, as arrays. ``native/README.md`` explains the core.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bnn._typing import assert_never
from bnn.errors import RuntimeUnavailableError, UnknownNameError
from bnn.program.grouping import ungrouped
from bnn.program.inputs import PictureInput, ready
from bnn.program.operations import (
    INPUT,
    ROUNDINGS,
    RULES,
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
from bnn.program.precision import BIPOLAR, Precision
from bnn.program.program import Program
from bnn.run import Outputs

if TYPE_CHECKING:
    from bnn import _native

#: Environment variable that forces a kernel, as the argument ``kernel`` does.
KERNEL_VARIABLE = "BNN_KERNEL"


#: Channels below which a depthwise convolution is faster as a dot with zeros.
LEAST_CHANNELS = 8


@dataclass(frozen=True)
class Kernel:
    """A kernel set that the native module contains.

    Attributes:
        name: name of the set, for ``BNN_KERNEL`` and ``kernel=``.
        uses: description of the instructions that the set needs.
        available: whether this CPU has these instructions.
    """

    name: str
    uses: str
    available: bool


@dataclass(frozen=True)
class Description:
    """Which kernel set is used on this CPU, and why; ``bnn info --cpu`` prints it.

    Attributes:
        kernel: name of the kernel set in use.
        reason: why this kernel set is used.
        training: name of the set of loops with which ``bnn train`` computes small integers.
        kernels: all kernel sets that the native module contains, the best first.
        features: SIMD features of this CPU, the oldest first.
        threads: number of threads that this process may use.
    """

    kernel: str
    reason: str
    training: str
    kernels: tuple[Kernel, ...]
    features: tuple[str, ...]
    threads: int


def prepare(
    program: Program, *, threads: int | None = None, kernel: str | None = None
) -> CpuRuntime:
    """Return a cpu runtime for ``program``.

    Args:
        threads: largest number of threads per batch, from 1 to 1024; None: as many as this process
            may use.
        kernel: name of a kernel set, see :func:`kernels`; None: the name in ``BNN_KERNEL`` if this
            is set, else the best set that this CPU can run.

    Raises:
        UnknownNameError: there is no kernel set with this name.
        RuntimeUnavailableError: ``threads`` is outside its range, this CPU lacks instructions that
            the kernel set needs, or the package was installed without its native module.
    """
    module = native()
    name, _ = _choose(kernel)
    handed, numbers = _hand_over(module, program)
    decision = -1 if program.decision is None else numbers[program.decision]
    plan = module.Plan(handed, numbers[program.scores], decision, name)
    return CpuRuntime(program, plan, _threads(threads))


class CpuRuntime:
    """A program in the core, with packed weights and fused operations.

    Attributes:
        kernel: name of the kernel set in use.
        threads: largest number of threads per batch.
    """

    def __init__(self, program: Program, plan: _native.Plan, threads: int) -> None:
        self.program = program
        self.kernel = plan.kernel
        self.threads = threads
        self._plan = plan

    @property
    def plan(self) -> _native.Plan:
        """The core's plan for the program; only to measure how long its steps take."""
        return self._plan

    def run(self, inputs: NDArray[Any]) -> Outputs:
        """Run a batch, see :meth:`bnn.run.Runtime.run`. Contiguous arrays are not copied."""
        began = time.perf_counter()
        batch = np.ascontiguousarray(ready(self.program.input, inputs))
        scores = np.empty((len(batch), self.program.score_count), np.int32)
        decisions = None if self.program.decision is None else np.empty(len(batch), np.int64)
        start = time.perf_counter()
        self._plan.run(batch, scores, decisions, self.threads)
        seconds = time.perf_counter() - start
        return Outputs(scores, decisions, seconds, {"kernel": self.kernel}, start - began)


def kernels() -> tuple[Kernel, ...]:
    """Return all kernel sets that the native module contains, the best first."""
    return tuple(Kernel(*row) for row in native().kernels())


def describe(kernel: str | None = None) -> Description:
    """Return which kernel set :func:`prepare` uses on this CPU for this ``kernel``, and why."""
    name, reason = _choose(kernel)
    module = native()
    features = tuple(module.cpu_features())
    training = module.lut_kernel()
    return Description(name, reason, training, kernels(), features, _threads(None))


def native() -> Any:
    """Return the native module; :class:`RuntimeUnavailableError` if it is not installed."""
    try:
        from bnn import _native
    except ImportError as error:
        raise RuntimeUnavailableError(
            f"the native module of bnn is not installed ({error}); use the reference runtime"
        ) from None
    return _native


def _choose(kernel: str | None) -> tuple[str, str]:
    """Return the name of the kernel set to use, and why, see ``kernel`` of :func:`prepare`."""
    forced = kernel or os.environ.get(KERNEL_VARIABLE)
    known = kernels()
    if not forced:
        best = next(k for k in known if k.available)
        return best.name, f"the best one that this CPU can run ({best.uses})"
    source = "kernel=" if kernel else f"set by {KERNEL_VARIABLE}"
    for candidate in known:
        if candidate.name == forced:
            if not candidate.available:
                raise RuntimeUnavailableError(
                    f"kernel {forced!r} needs {candidate.uses}, which this CPU does not have"
                )
            return forced, source
    names = ", ".join(k.name for k in known)
    raise UnknownNameError(f"no kernel is called {forced!r} ({source}); there are: {names}")


def _threads(threads: int | None) -> int:
    if threads is None:
        if hasattr(os, "sched_getaffinity"):
            return len(os.sched_getaffinity(0))
        return os.cpu_count() or 1
    if type(threads) is not int or not 1 <= threads <= 1024:
        raise RuntimeUnavailableError(
            f"threads must be a whole number from 1 to 1024, not {threads!r}"
        )
    return threads


def _hand_over(module: Any, program: Program) -> tuple[Any, dict[str, int]]:
    """Return the program as an object of the C++ core, and each edge's number in it, by name."""
    edge = program.edges[INPUT]
    handed = module.Program(edge.shape, _lattice(program), _table(program))
    numbers = {INPUT: 0}
    for op in program.ops:
        numbers[op.name] = _hand_over_op(handed, op, numbers.__getitem__)
    return handed, numbers


def _is_depthwise(op: Dot, in_scan: bool) -> bool:
    """Return whether the core computes ``op`` channel by channel; else it gets zeros for groups."""
    channels, is_single = op.groups, op.weights.shape[1] == op.positions
    return is_single and channels >= LEAST_CHANNELS and not op.product_shift and not in_scan


def _hand_over_op(handed: Any, op: Op, number: Callable[[str], int], in_scan: bool = False) -> int:
    source = number(op.source)
    made: int
    match op:
        case Window():
            made = handed.window(source, op.kernel, op.stride, op.padding, op.pad_value)
        case Dot():
            rounding = ROUNDINGS.index(op.product_rounding)
            if _is_depthwise(op, in_scan):
                return int(handed.depthwise(source, op.weights, op.bias))
            weights = ungrouped(op).weights
            made = handed.dot(source, weights, op.bias, op.product_shift, rounding)
        case Threshold():
            made = handed.threshold(source, op.thresholds, op.signs, op.base, op.step)
        case Pool():
            made = handed.pool(source, op.kernel, op.stride, op.padding)
        case Add():
            made = handed.add(source, number(op.other))
        case Multiply():
            made = handed.multiply(source, number(op.other))
        case Scan():
            made = _hand_over_scan(handed, op, source)
        case Concat():
            made = handed.concat(source, number(op.other))
        case Rescale():
            rounding, ends = ROUNDINGS.index(op.rounding), (op.low, op.high)
            made = handed.rescale(
                source,
                op.multipliers,
                op.offsets,
                op.shift,
                rounding,
                ends,
                op.overflow == "wrap",
            )
        case ArgMax():
            made = handed.arg_max(source, RULES.index(op.rule))
        case _:
            assert_never(op)
    return made


def _hand_over_scan(handed: Any, scan: Scan, source: int) -> int:
    """Add a scan and its body to ``handed``; return the number of the scan's edge."""
    body = handed.body(source)
    numbers = {INPUT: 0}
    for each in scan.carried:
        numbers[each.name] = body.carried(each.channels, _values_of(each.precision))
    for op in scan.body:
        numbers[op.name] = _hand_over_op(body, op, numbers.__getitem__, in_scan=True)
    carries = [(numbers[each.name], numbers[each.next], each.start) for each in scan.carried]
    made: int = handed.scan(source, body, carries, numbers[scan.result], scan.reverse)
    return made


def _table(program: Program) -> NDArray[np.int16] | None:
    return program.input.table if isinstance(program.input, PictureInput) else None


def _lattice(program: Program) -> tuple[int, int, int]:
    """Return values that contain all inputs: first, first + step, ..., as (first, step, count)."""
    if isinstance(program.input, PictureInput):
        # Not np.unique, whose first call imports all of numpy.ma.
        values = sorted({int(value) for value in program.input.table})
        step = math.gcd(*(value - values[0] for value in values)) or 1
        return values[0], step, (values[-1] - values[0]) // step + 1
    return _values_of(program.input.precision)


def _values_of(precision: Precision) -> tuple[int, int, int]:
    """Return all values of a precision: first, first + step, ..., as (first, step, count)."""
    if precision == BIPOLAR:
        return -1, 2, 2
    return precision.low, 1, precision.high - precision.low + 1

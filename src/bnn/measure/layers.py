# SPDX-License-Identifier: BSD-3-Clause
"""How long each step of the cpu runtime takes, and what limits the step: ``bnn bench --layers``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from bnn.measure.speed import random_inputs
from bnn.program.operations import INPUT
from bnn.program.program import Program
from bnn.run import cpu

#: Weights of a program that stay in the second-level cache of today's CPUs from batch to batch.
CACHED_BYTES = 2 << 20
#: Images that share one reading of the weights, at most: ``max_block_images`` of plan.cpp.
BLOCK_IMAGES = 256


@dataclass(frozen=True)
class Layer:
    """A step of the cpu runtime. The step of a dot includes its window, thresholds and pool.

    Attributes:
        operation: name of the operation that the step computes.
        step: what the step does.
        seconds: seconds per image, in the fastest of all rounds.
        share: share of this step in the time of all steps, 0 to 1.
        multiply_adds: number of multiply-adds of this step per image.
        instructions: name of the instructions that limit the speed of this step
            (``bench/limit.py``); "" if there are none, or they are not known.
        of_limit: the step's multiply-adds per second divided by the limit of these instructions;
            None if there is no such limit.
        bound: what limits the step. ``input``: it makes codes of the caller's values. ``memory``:
            it moves values, or weights are read more slowly than they are multiplied. ``compute``:
            everything else.
    """

    operation: str
    step: str
    seconds: float
    share: float
    multiply_adds: int
    instructions: str
    of_limit: float | None
    bound: str

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; times are in seconds."""
        return asdict(self)


@dataclass(frozen=True)
class Limits:
    """The measured limits of one core of this machine.

    Attributes:
        multiply_adds: name of instructions -> multiply-adds per second; only for x86 processors.
        memory: bytes per second that the core reads from memory that is in no cache.
    """

    multiply_adds: dict[str, float]
    memory: float


def limits() -> Limits:
    """Return the limits of this machine; measuring them takes about two seconds."""
    native = cpu.native()
    rates = {name: rate for name, _, rate in native.limits()}
    return Limits(rates, native.memory_bandwidth())


def layers(
    program: Program, batch: int, most: Limits, *, kernel: str | None = None, rounds: int = 30
) -> list[Layer]:
    """Return the time of every step for a batch of random inputs, with one thread.

    Args:
        program: the program whose steps are timed.
        batch: number of images in the batch.
        most: the result of :func:`limits`.
        kernel: a name from :func:`bnn.run.cpu.kernels`; None: the kernel that the cpu runtime
            chooses.
        rounds: how often the batch is run; the fastest time of each step is taken.
    """
    plan = cpu.prepare(program, threads=1, kernel=kernel).plan
    inputs = random_inputs(program, batch)
    timed = [plan.time_steps(inputs) for _ in range(rounds + 1)][1:]  # the first one warms up
    seconds = [min(each) / batch for each in zip(*timed, strict=True)]
    total = sum(seconds)
    names = [INPUT, *(op.name for op in program.ops)]
    steps = plan.steps()
    all_weights = sum(weights for _, _, _, weights, _ in steps)
    found = []
    is_input = True
    for (edge, step, work, weights, instructions), taken in zip(steps, seconds, strict=True):
        is_input = is_input and not work
        limit = most.multiply_adds.get(instructions)
        arriving = weights / most.memory / min(batch, BLOCK_IMAGES)
        waits = all_weights > CACHED_BYTES and arriving > (work / limit if limit else taken / 2)
        bound = "input" if is_input else "memory" if waits or not work else "compute"
        share = work / taken / limit if limit and work else None
        found.append(
            Layer(names[edge], step, taken, taken / total, work, instructions, share, bound)
        )
    return found

# SPDX-License-Identifier: BSD-3-Clause
"""What each step of the cpu runtime takes, and what limits it: ``bnn bench --layers``."""

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
    """A step of the cpu runtime; a dot has its window, thresholds and pool with it.

    Attributes:
        operation: the operation that it is for.
        step: what it does.
        seconds: per image, in the best of all rounds.
        share: part of the time of all steps, 0 to 1.
        multiply_adds: of an image.
        instructions: name of the instructions whose limit it has (``bench/limit.py``); empty if
            there is none, or it is not known.
        of_limit: its multiply-adds per second divided by this limit; None without one.
        bound: what limits it. ``input``: the caller's values become codes. ``memory``: values are
            moved, or weights arrive slower than they are multiplied. ``compute``: the others.
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
    """What one core of this machine can do at most, measured.

    Attributes:
        multiply_adds: per second, by name of the instructions; of x86 only.
        memory: bytes that it reads per second, from memory that no cache has.
    """

    multiply_adds: dict[str, float]
    memory: float


def limits() -> Limits:
    """Measure the limits of this machine, for about two seconds."""
    native = cpu.native()
    rates = {name: rate for name, _, rate in native.limits()}
    return Limits(rates, native.memory_bandwidth())


def layers(
    program: Program, batch: int, most: Limits, *, kernel: str | None = None, rounds: int = 30
) -> list[Layer]:
    """Time every step for a batch of random inputs, one thread.

    Args:
        program: the network.
        batch: images at a time.
        most: the result of :func:`limits`.
        kernel: a name from :func:`bnn.run.cpu.kernels`; None: the one that is used anyway.
        rounds: the best of so many counts for each step.
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

# SPDX-License-Identifier: BSD-3-Clause
"""How fast a model runs on this machine, measured so that other programs disturb little.

Rounds go through all settings in turn, so that a busy minute hits them alike. Wall time
is what a user waits for; CPU time (all threads of this process) is the cost of the work,
also while others use the machine. The median round shows the usual speed, the best round what
the machine can do.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from bnn.model import figures
from bnn.program.inputs import random_batch
from bnn.program.program import Program
from bnn.run import prepare
from bnn.system.processor import processor

#: Shortest time of one sample, in seconds: small batches are repeated until then.
MIN_SAMPLE_S = 0.02


@dataclass
class Timing:
    """Samples of one setting.

    Attributes:
        label: what was run.
        batch, threads: images per call; threads allowed.
        operations: multiplications and additions of one image.
        wall, cpu: seconds per image, one entry per round.
    """

    label: str
    batch: int
    threads: int
    operations: int = 0
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @property
    def images_per_second(self) -> float:
        """Images per second by wall time, in the median round."""
        return 1 / statistics.median(self.wall)

    @property
    def images_per_cpu_second(self) -> float:
        """Images per second by CPU time, in the best round."""
        return 1 / min(self.cpu)

    @property
    def spread(self) -> float:
        """Time of the slowest round divided by that of the fastest, by wall time."""
        return max(self.wall) / min(self.wall)

    @property
    def texts(self) -> tuple[str, str, str, str, str]:
        """Images/s, us/image, slowest by fastest, images per CPU second, GOP/s, for tables."""
        values = self.as_dict()
        return (
            f"{values['images_per_second']:,.0f}",
            f"{values['us_median']:,.1f}",
            f"{values['spread']:.2f}",
            f"{values['images_per_cpu_second']:,.0f}",
            f"{values['gops']:,.0f}",
        )

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; times are in microseconds per image."""
        return {
            "label": self.label,
            "batch": self.batch,
            "threads": self.threads,
            "images_per_second": self.images_per_second,
            "images_per_cpu_second": self.images_per_cpu_second,
            "us_median": statistics.median(self.wall) * 1e6,
            "us_best": min(self.wall) * 1e6,
            "spread": self.spread,
            "gops": self.operations * self.images_per_second / 1e9,
        }


@dataclass
class Subject:
    """A function without arguments that runs one batch, and the list that collects its times."""

    run: Callable[[], object]
    timing: Timing


def measure(subjects: Sequence[Subject], rounds: int = 7) -> list[Timing]:
    """Warm every subject up, then time them in turn, ``rounds`` times."""
    calls = [_calls(subject) for subject in subjects]
    for _ in range(rounds):
        for subject, count in zip(subjects, calls, strict=True):
            wall, cpu = time.perf_counter(), time.process_time()
            for _ in range(count):
                subject.run()
            images = count * subject.timing.batch
            subject.timing.cpu.append((time.process_time() - cpu) / images)
            subject.timing.wall.append((time.perf_counter() - wall) / images)
    return [subject.timing for subject in subjects]


def _calls(subject: Subject) -> int:
    """Return the number of calls that make one sample; the first call is the warm-up."""
    subject.run()
    start = time.perf_counter()
    subject.run()
    return max(1, round(MIN_SAMPLE_S / max(time.perf_counter() - start, 1e-7)))


def bench(
    program: Program,
    batches: Sequence[int] = (1, 64, 1000),
    threads: Sequence[int] = (1,),
    *,
    runtime: str = "cpu",
    rounds: int = 7,
    **options: Any,
) -> list[Timing]:
    """Time ``program`` for each batch size and number of threads.

    Args:
        program: the network; inputs are random, because speed does not depend on them.
        batches: images per call.
        threads: thread counts; runtimes without threads take 1 only.
        runtime: a name of :data:`bnn.run.RUNTIMES`.
        rounds: samples of each setting.
        options: passed on to the runtime.
    """
    subjects = []
    for count in threads:
        given = {**options, "threads": count} if runtime == "cpu" else options
        prepared = prepare(runtime, program, **given)
        for batch in batches:
            timing = Timing(runtime, batch, count, operations(program))
            inputs = random_inputs(program, batch)
            subjects.append(Subject(lambda p=prepared, x=inputs: p.run(x), timing))  # type: ignore[misc]
    return measure(subjects, rounds)


def operations(program: Program) -> int:
    """Return the multiplications and additions of the dots, for one image."""
    return sum(row.operations for row in figures.rows(program) if row.kind == "dot")


def random_inputs(program: Program, batch: int) -> NDArray[Any]:
    """Return a random batch (N, *input shape) as runtimes take it."""
    return random_batch(program.input, batch)


def machine() -> str:
    """Return the name of this machine's processor, and how many cores this process may use."""
    from bnn.run.cpu import _threads

    return f"{processor()}, {_threads(None)} cores"

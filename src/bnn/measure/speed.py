# SPDX-License-Identifier: BSD-3-Clause
"""How fast a model runs on this machine, measured so that other programs have little effect.

Each round times all settings one after the other, so that a minute in which the machine is busy
affects all of them. Wall time is how long a user waits. CPU time (of all threads of this process)
is the cost of the work, also while other programs use the machine. The median round shows the
usual speed, the best round shows what the machine can do.
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
    """The times of one setting.

    Attributes:
        label: name of what was run.
        batch: images per call.
        threads: largest number of threads.
        operations: multiplications and additions for one image.
        wall, cpu: wall time and CPU time in seconds per image, one entry for each round.
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
        """Wall time of the slowest round divided by that of the fastest round."""
        return max(self.wall) / min(self.wall)

    @property
    def texts(self) -> tuple[str, str, str, str, str]:
        """Return texts for a table.

        They are: images per second, microseconds per image, time of the slowest round divided by
        that of the fastest, images per CPU second, and billions of operations per second.
        """
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
    """A function without arguments that runs one batch, and the object that keeps its times."""

    run: Callable[[], object]
    timing: Timing


def measure(subjects: Sequence[Subject], rounds: int = 7) -> list[Timing]:
    """Run every subject once, then time all of them one after the other, ``rounds`` times.

    Return their timings.
    """
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
    """Return how many calls are timed together, so that one time is long enough to be measured.

    The subject is run twice here: once to warm up, and once to measure a call.
    """
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
    """Return the times of ``program`` for each batch size and number of threads.

    Args:
        program: the program to run. Its inputs are random, because the speed does not depend on
            them.
        batches: numbers of images per call.
        threads: numbers of threads; a runtime without threads takes only 1.
        runtime: a name of :data:`bnn.run.RUNTIMES`.
        rounds: how often each setting is timed.
        options: options for the runtime.
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

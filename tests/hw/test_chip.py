# SPDX-License-Identifier: BSD-3-Clause
"""One chip for many: whoever used it in between, each classifier gives its own answers."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bnn.driver import chip as chips
from bnn.driver.board import BoardTransport
from bnn.driver.driver import Driver
from bnn.driver.pool import KEPT, MAX_BUFFER_BYTES, Pool
from bnn.driver.transport import NoRoomError
from bnn.errors import BnnError, BnnWarning, DriverError, RuntimeUnavailableError
from bnn.hw import export
from bnn.hw import registers as reg
from bnn.hw.boards import board
from bnn.hw.design import build
from bnn.hw.folding import Folding
from bnn.program.program import Program
from bnn.run import prepare
from bnn.run.board import BoardRuntime
from bnn.system import cache
from hw.examples import DENSE_FOLDING, RESIDUAL_FOLDING, dense, residual
from hw.pynq_stand_in import PAGE, StandIn

pytestmark = pytest.mark.usefixtures("simulator")

INPUTS = np.random.default_rng(2)
DENSE = (2 * INPUTS.integers(0, 2, (25, 20)) - 1).astype(np.int16)
RESIDUAL = INPUTS.integers(-8, 8, (9, 7, 6, 3)).astype(np.int16)


@pytest.fixture
def pynq(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    # Tests in several processes have a chip each, and one cache for their simulators.
    monkeypatch.setattr(chips, "LOCK", f"board-{os.getpid()}.lock")
    monkeypatch.setattr(chips, "LOCK_TIMEOUT_S", 0.2)
    stand_in = StandIn()
    stand_in.install(monkeypatch)
    return stand_in


class Built:
    """A program on the board, and what it must answer."""

    def __init__(self, pynq: StandIn, folder: Path, program: Program, folding: Folding) -> None:
        export.write(build(program, folding), board("pynq-z2"), folder)
        (folder / "bnn.bit").write_bytes(b"")
        pynq.knows(folder, program)
        self.folder, self.program = folder, program
        self.inputs = DENSE if program.input.shape == (20,) else RESIDUAL
        self.scores = prepare("reference", program).run(self.inputs).scores

    def open(self) -> BoardRuntime:
        runtime = prepare("board", self.program, build=self.folder)
        assert isinstance(runtime, BoardRuntime)
        return runtime

    def check(self, runtime: BoardRuntime, count: int | None = None) -> None:
        outputs = runtime.run(self.inputs[:count])
        np.testing.assert_array_equal(outputs.scores, self.scores[:count])


@pytest.fixture
def built(pynq: StandIn, tmp_path: Path) -> dict[str, Built]:
    """a, b: one loadable design with two parameter sets; c, d: constants; e: another loadable."""
    loadable = Folding(RESIDUAL_FOLDING.layers, True)
    chosen = {
        "a": (dense(1), DENSE_FOLDING),
        "b": (dense(2), DENSE_FOLDING),
        "c": (residual(), RESIDUAL_FOLDING),
        "d": (dense(1), Folding(DENSE_FOLDING.layers, False)),
        "e": (residual(), loadable),
    }
    made = {
        name: Built(pynq, tmp_path / name, program, folding)
        for name, (program, folding) in chosen.items()
    }
    assert not np.array_equal(made["a"].scores, made["b"].scores)
    return made


@pytest.mark.parametrize("names", ["ab", "ac", "ad", "abc", "abcde", "aab"])
def test_classifiers_in_turn(pynq: StandIn, built: dict[str, Built], names: str) -> None:
    runtimes = {name: built[name].open() for name in names}
    for order in (names, names[::-1], names):
        for name in order:
            built[name].check(runtimes[name])
    if names == "ab":  # one design: parameters are loaded again, the bitstream is not
        assert pynq.events.count("download") == 1


def test_what_is_there_is_not_loaded_again(pynq: StandIn, built: dict[str, Built]) -> None:
    runtime = built["a"].open()
    for _ in range(3):
        built["a"].check(runtime)
    assert pynq.events.count("download") == 1
    assert runtime.driver.ledger.as_json()[0]["what"] == "parameters"
    assert [entry["what"] for entry in runtime.driver.ledger.as_json()].count("parameters") == 1


@pytest.mark.parametrize("order", ["clock before the bitstream"])
def test_order(pynq: StandIn, built: dict[str, Built], order: str) -> None:
    built["a"].check(built["a"].open())
    told = [event for event in pynq.events if event.startswith(("clock", "download"))]
    assert told == ["clock 100", "download"], order


def _same_again(pynq: StandIn, built: dict[str, Built]) -> None:
    pynq.again(built["a"].folder)


def _other_parameters(pynq: StandIn, built: dict[str, Built]) -> None:
    """Write another full set of parameters directly to the registers."""
    chip = pynq.chip
    assert chip is not None
    driver = prepare("sim", built["b"].program, folding=DENSE_FOLDING).driver  # type: ignore[attr-defined]
    chip.write(reg.PARAMETER_COUNT.offset, 0)
    for target, data in driver._parameters.loads:
        chip.write(reg.PARAMETER_TARGET.offset, target)
        chip.write_many(reg.PARAMETER_DATA.offset, data)
    assert chip.read(reg.PARAMETER_ID.offset) == 0


def _one_word(pynq: StandIn, _: dict[str, Built]) -> None:
    assert pynq.chip is not None
    pynq.chip.write(reg.PARAMETER_TARGET.offset, 0)
    pynq.chip.write(reg.PARAMETER_DATA.offset, 0xFFFF_FFFF)


def _other_clock(pynq: StandIn, _: dict[str, Built]) -> None:
    pynq.mhz = 142.0


def _busy(pynq: StandIn, _: dict[str, Built]) -> None:
    """Somebody has started it and gone."""
    assert pynq.chip is not None
    for register, value in [
        (reg.SOURCE_LOW, 0x1000_0000),
        (reg.TARGET_LOW, 0x1000_1000),
        (reg.IMAGES, 100_000_000),
        (reg.CONTROL, 1),
    ]:
        pynq.chip.write(register.offset, value)


@pytest.mark.parametrize(
    "meddle",
    [
        lambda pynq, _: pynq.foreign(),
        lambda pynq, built: pynq.again(built["c"].folder),
        _same_again,
        _other_parameters,
        _one_word,
        _other_clock,
        _busy,
    ],
    ids=["foreign", "other", "same", "parameters", "one-word", "clock", "busy"],
)
def test_what_others_do_in_between(pynq: StandIn, built: dict[str, Built], meddle: Any) -> None:
    runtime = built["a"].open()
    for _ in range(2):
        built["a"].check(runtime)
        meddle(pynq, built)
        built["a"].check(runtime)
    assert pynq.mhz == 100.0


def test_a_clock_that_changes_while_it_computes(pynq: StandIn, built: dict[str, Built]) -> None:
    runtime = built["c"].open()
    runtime.driver.start(runtime.accelerated.pack(RESIDUAL))
    _other_clock(pynq, built)
    with pytest.raises(DriverError, match="another bitstream, clock or parameters while it"):
        runtime.driver.wait()
    built["c"].check(runtime)


@pytest.mark.parametrize("by", [-1, 1])
def test_a_design_that_changes_while_it_computes(
    built: dict[str, Built], by: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = built["c"].open()
    runtime.driver.start(runtime.accelerated.pack(RESIDUAL))
    transport = runtime.driver.transport
    read = transport.read
    monkeypatch.setattr(
        transport, "read", lambda place: read(place) + by * (place == reg.DESIGN_ID.offset)
    )
    with pytest.raises(DriverError, match="another bitstream, clock or parameters while it"):
        runtime.driver.wait()


@pytest.mark.parametrize("meddle", [_same_again, _one_word])
def test_a_chip_that_changes_while_it_computes(
    pynq: StandIn, built: dict[str, Built], meddle: Any
) -> None:
    runtime = built["a"].open()
    taken = runtime.driver.start(runtime.accelerated.pack(DENSE))
    assert taken == len(DENSE)
    assert pynq.chip is not None
    pynq.chip.wait()
    meddle(pynq, built)
    pynq._running = False
    pynq.faults["wait"] = AssertionError()
    with pytest.raises(DriverError):
        _patient(runtime).driver.wait()
    del pynq.faults["wait"]
    built["a"].check(runtime)


def _patient(runtime: BoardRuntime) -> BoardRuntime:
    runtime.driver.transport._patience = 0.2  # type: ignore[attr-defined]
    return runtime


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.sampled_from("abcdr"), st.integers(0, 25)), max_size=12))
def test_any_order(pynq: StandIn, built: dict[str, Built], steps: list[tuple[str, int]]) -> None:
    """Opened when first named, dropped at "r"; answers are always its own."""
    runtimes: dict[str, BoardRuntime] = {}
    for name, count in steps:
        if name == "r":
            runtimes.clear()
            gc.collect()
            assert pynq.used == 0
            continue
        if name not in runtimes:
            runtimes[name] = built[name].open()
        built[name].check(runtimes[name], count)


def test_deleted_classifiers_give_everything_back(pynq: StandIn, built: dict[str, Built]) -> None:
    first, second = built["a"].open(), built["b"].open()
    built["a"].check(first)
    built["b"].check(second)
    del first
    built["b"].check(second)
    assert pynq.used > 0
    lock = cache.folder() / chips.LOCK
    assert cache.lock_file(lock, wait=False) is None
    del second
    assert pynq.used == 0
    free = cache.lock_file(lock, wait=False)
    assert free is not None
    os.close(free)
    built["a"].check(built["a"].open())


def test_one_start_at_a_time(built: dict[str, Built]) -> None:
    first, second = built["a"].open(), built["b"].open()
    first.driver.start(first.accelerated.pack(DENSE))
    with pytest.raises(DriverError, match="computes for another classifier"):
        second.run(DENSE)
    with pytest.raises(DriverError, match="computes for another classifier"):
        built["c"].open()
    scores, _ = first.accelerated.finish(first.driver.wait())
    np.testing.assert_array_equal(scores, built["a"].scores)
    built["b"].check(second)


def test_deleted_in_the_middle_of_a_start(pynq: StandIn, built: dict[str, Built]) -> None:
    first, second = built["a"].open(), built["b"].open()
    first.driver.start(first.accelerated.pack(DENSE))
    held = pynq.used
    del first
    gc.collect()
    assert pynq.used == held  # the chip may write there still
    loads = pynq.events.count("download")
    built["b"].check(second)
    assert pynq.events.count("download") == loads + 1


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError("bus error"), RuntimeError("?")])
def test_interrupted(pynq: StandIn, built: dict[str, Built], error: BaseException) -> None:
    runtime, other = built["a"].open(), built["b"].open()
    pynq.faults["wait"] = error
    with pytest.raises(KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else DriverError):
        runtime.run(DENSE)
    pynq.faults.clear()
    built["b"].check(other)
    built["a"].check(runtime)


def test_an_interrupt_at_any_line(
    pynq: StandIn, built: dict[str, Built], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever Ctrl-C comes, every classifier of the chip goes on, with its own answers."""
    monkeypatch.setattr("bnn.driver.board.BoardTransport.largest", 24)  # several starts a call
    runtime, other = built["a"].open(), built["b"].open()
    names = ("driver.driver", "driver.pool", "driver.turn", "driver.chip", "driver.board")
    files = {sys.modules[f"bnn.{name}"].__file__ for name in (*names, "run.accelerator")}
    interrupted = 0
    for line in range(1, 900, 7):
        left = line

        def trace(frame: Any, event: str, _: Any) -> Any:
            nonlocal left
            if frame.f_code.co_filename not in files:
                return None
            if event == "line":
                left -= 1
                if left == 0:
                    sys.settrace(None)
                    raise KeyboardInterrupt
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            runtime.run(DENSE)
        except KeyboardInterrupt:
            interrupted += 1
        finally:
            sys.settrace(before)
        for name, which in [("b", other), ("a", runtime)][:: 1 if line % 2 else -1]:
            built[name].check(which)
    assert interrupted > 50
    del runtime, other, which
    gc.collect()
    assert pynq.used == 0


def test_the_last_classifier_deleted_in_the_middle_of_a_start(
    pynq: StandIn, built: dict[str, Built]
) -> None:
    """What the chip writes to is nobody's until a bitstream was loaded."""
    runtime = built["a"].open()
    runtime.driver.start(runtime.accelerated.pack(DENSE))
    held = pynq.used
    del runtime
    gc.collect()
    assert pynq.used == held > 0
    runtime = built["b"].open()
    built["b"].check(runtime)
    del runtime
    gc.collect()
    assert pynq.used == 0


def test_a_start_that_never_ends(
    pynq: StandIn, built: dict[str, Built], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bnn.driver.board.LEAST_SECONDS", 0.1)
    runtime = built["a"].open()
    pynq.stuck = True
    with pytest.raises(DriverError, match=r"25 images need far fewer than \d+ cycles"):
        runtime.run(DENSE)
    pynq.stuck = False
    built["a"].check(runtime)


class Clock:
    """A clock that goes on by a second with each look; the chip is stuck until ``end``."""

    def __init__(self, pynq: StandIn, end: float) -> None:
        self.pynq, self.end, self.now = pynq, end, 0.0

    def monotonic(self) -> float:
        self.now += 1
        self.pynq.stuck = self.now < self.end
        return self.now


@pytest.mark.parametrize(("seconds", "comes"), [(314.0, True), (404.0, True), (410.0, False)])
def test_a_slow_design_is_waited_for(
    pynq: StandIn,
    built: dict[str, Built],
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
    comes: bool,
) -> None:
    """As long as its cycles take at the chip's clock, and 5 s; not longer."""
    runtime = built["a"].open()
    built["a"].check(runtime)
    monkeypatch.setattr(runtime.driver, "_most_cycles", lambda _: 400 * 100_000_000)
    monkeypatch.setattr("bnn.driver.board.time", Clock(pynq, seconds))
    if comes:
        built["a"].check(runtime)
    else:
        with pytest.raises(DriverError, match="25 images need far fewer than 40000000000 cycles"):
            runtime.run(DENSE)


def test_patience_is_of_the_clock_that_the_chip_has(built: dict[str, Built]) -> None:
    """A slower clock than the design's: the same cycles take longer."""
    runtime = built["a"].open()
    transport = runtime.driver.transport
    assert isinstance(transport, BoardTransport)
    transport.begin(1_000_000_000)
    assert transport.patience == 5 + 10
    transport._clock_mhz = 50.0  # as set at the next download
    assert transport.patience == 5 + 20
    transport.end(True)


def test_patience_that_is_given(
    pynq: StandIn, built: dict[str, Built], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = built["a"]
    runtime = prepare("board", own.program, build=own.folder, patience=20)
    own.check(runtime)  # type: ignore[arg-type]
    for seconds, comes in ((19.0, True), (25.0, False)):
        monkeypatch.setattr("bnn.driver.board.time", Clock(pynq, seconds))
        if comes:
            own.check(runtime)  # type: ignore[arg-type]
        else:
            with pytest.raises(DriverError, match=r"does not finish$"):
                runtime.run(DENSE)


@pytest.mark.parametrize("patience", [0, -1, True, "5", float("nan"), float("inf")])
@pytest.mark.usefixtures("pynq")
def test_patience_that_is_refused(built: dict[str, Built], patience: Any) -> None:
    with pytest.raises(DriverError, match="patience must be a number of seconds above 0"):
        prepare("board", built["a"].program, build=built["a"].folder, patience=patience)


def test_a_process_that_was_stopped_while_the_chip_computed(
    built: dict[str, Built], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time that passed without a look at the chip is not the chip's."""
    runtime = built["a"].open()
    hours = iter(range(0, 1_000_000_000, 3600))
    monkeypatch.setattr("bnn.driver.board.time.monotonic", lambda: float(next(hours)))
    built["a"].check(runtime)


def test_threads(built: dict[str, Built]) -> None:
    runtimes = {name: built[name].open() for name in "abc"}
    wrong: list[BaseException] = []

    def work(name: str) -> None:
        try:
            for count in (3, 25, 1, 7):
                built[name].check(runtimes[name], count)
        except BaseException as reason:
            wrong.append(reason)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcaab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_cycles_are_those_of_ones_own_start(
    built: dict[str, Built], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another classifier may start as soon as this one's results are there."""
    first, second = built["a"].open(), built["c"].open()
    cycles = first.run(DENSE).details["cycles"]
    wait = Driver.wait

    def meanwhile(driver: Driver) -> Any:
        words = wait(driver)
        if driver is first.driver:
            second.run(RESIDUAL)
        return words

    monkeypatch.setattr(Driver, "wait", meanwhile)
    assert first.run(DENSE).details["cycles"] == cycles


def test_threads_that_open_the_chip_at_once(
    built: dict[str, Built], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(chips.Ownership):
        def __init__(self, path: Path) -> None:
            super().__init__(path)
            time.sleep(0.1)

    monkeypatch.setattr(chips, "Ownership", Slow)
    with ThreadPoolExecutor(4) as pool:
        runtimes = dict(zip("abce", pool.map(lambda name: built[name].open(), "abce"), strict=True))
    for name, runtime in runtimes.items():
        built[name].check(runtime)


# ---- processes -------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_process_does_not_own_the_chip(pynq: StandIn, built: dict[str, Built]) -> None:
    runtime = built["a"].open()
    built["a"].check(runtime)
    child = os.fork()
    if child == 0:
        status = 1
        signal.alarm(60)
        try:
            for use in (lambda: built["a"].check(runtime), built["b"].open):
                with pytest.raises(DriverError, match=f"another process .{os.getppid()}. uses the"):
                    use()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    built["a"].check(runtime)
    assert pynq.used > 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_process_may_own_the_chip_afterwards(built: dict[str, Built]) -> None:
    runtime = built["a"].open()
    go = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        signal.alarm(60)
        try:
            os.read(go[0], 1)
            built["a"].check(runtime)  # downloads: nothing that the parent knew counts
            status = 0
        finally:
            os._exit(status)
    del runtime
    gc.collect()
    os.write(go[1], b"x")
    assert os.waitpid(child, 0)[1] == 0
    for end in go:
        os.close(end)


def test_another_process_owns_the_chip(built: dict[str, Built]) -> None:
    path = cache.folder() / chips.LOCK
    code = (
        "import sys; from pathlib import Path; from bnn.driver.chip import Ownership; "
        f"o = Ownership(Path({str(path)!r})); print('mine', flush=True); sys.stdin.read()"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout is not None
    assert owner.stdout.readline() == "mine\n"
    with pytest.raises(DriverError) as reason:
        built["a"].open()
    assert f"{path}: another process ({owner.pid}) uses the board's chip" in str(reason.value)
    owner.kill()  # the lock goes with it, however it ends
    owner.communicate()
    built["a"].check(built["a"].open())


class Owner:
    """Another process that owns the chip by its lock file."""

    def __init__(self, path: Path) -> None:
        code = (
            "import sys; from pathlib import Path; from bnn.driver.chip import Ownership; "
            f"o = Ownership(Path({str(path)!r})); print('mine', flush=True); sys.stdin.read()"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "mine\n"

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


def test_a_process_with_another_cache_finds_the_same_lock(
    built: dict[str, Built], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = tmp_path / "run"
    machine.mkdir()
    monkeypatch.setattr(chips, "MACHINE", machine)
    owner = Owner(machine / f"bnn-{chips.LOCK}")
    monkeypatch.setenv("BNN_CACHE", str(tmp_path / "another"))
    with pytest.raises(DriverError, match=f"another process .{owner.process.pid}. uses the"):
        built["a"].open()
    owner.kill()
    monkeypatch.delenv("BNN_CACHE")
    built["a"].check(built["a"].open())


def test_a_lock_file_that_is_deleted(pynq: StandIn, built: dict[str, Built]) -> None:
    """Somebody empties the cache: the chip is kept, or is another's and that is said."""
    path = cache.folder() / chips.LOCK
    runtime = built["a"].open()
    built["a"].check(runtime)
    path.unlink()
    built["a"].check(runtime)
    assert cache.lock_file(path, wait=False) is None
    path.unlink()
    owner = Owner(path)
    for _ in range(2):
        with pytest.raises(DriverError, match=f"another process .{owner.process.pid}. uses the"):
            runtime.run(DENSE)
    owner.kill()
    built["a"].check(runtime)
    del runtime
    gc.collect()
    assert pynq.used == 0
    free = cache.lock_file(path, wait=False)
    assert free is not None
    os.close(free)


# ---- memory ----------------------------------------------------------------------------------


def test_batches_of_all_sizes_take_bounded_memory(pynq: StandIn, built: dict[str, Built]) -> None:
    runtime = built["c"].open()
    many = np.tile(RESIDUAL, (60, 1, 1, 1))
    scores = np.tile(built["c"].scores, (60, 1))
    for count in (*range(1, 40), 500, 3, 501, 502, 503, 540, 1):
        outputs = runtime.run(many[:count])
        np.testing.assert_array_equal(outputs.scores, scores[:count])
        assert pynq.used <= 4 * (8 + 8) * 8 * 1024


def test_a_large_call_is_cut(built: dict[str, Built], monkeypatch: Any) -> None:
    monkeypatch.setattr("bnn.driver.board.BoardTransport.largest", 64)
    runtime = built["c"].open()
    outputs = runtime.run(RESIDUAL)
    np.testing.assert_array_equal(outputs.scores, built["c"].scores)
    assert len(outputs.details["starts"]) > 1
    assert sum(start["images"] for start in outputs.details["starts"]) == len(RESIDUAL)
    assert outputs.details["cycles"] == sum(s["cycles"] for s in outputs.details["starts"])


@pytest.mark.parametrize("pages", [2, 3, 4, 5, 9])
def test_others_use_most_of_it(pynq: StandIn, built: dict[str, Built], pages: int) -> None:
    """A call goes on in the pieces that are there."""
    held = pynq.reserve(pynq.reserved - pages * PAGE)
    runtime = built["c"].open()
    many = np.tile(RESIDUAL, (40, 1, 1, 1))
    outputs = runtime.run(many)
    np.testing.assert_array_equal(outputs.scores, np.tile(built["c"].scores, (40, 1)))
    assert sum(start["images"] for start in outputs.details["starts"]) == len(many)
    held.freebuffer()
    assert len(runtime.run(many).details["starts"]) == 1  # and in one where there is room again


def test_memory_in_pieces(pynq: StandIn, built: dict[str, Built]) -> None:
    taken = [pynq.reserve(PAGE) for _ in range(pynq.reserved // PAGE)]
    for buffer in taken[::2]:
        buffer.freebuffer()
    runtime = built["c"].open()
    outputs = runtime.run(np.tile(RESIDUAL, (40, 1, 1, 1)))
    np.testing.assert_array_equal(outputs.scores, np.tile(built["c"].scores, (40, 1)))


@pytest.mark.parametrize("pages", [0, 1])
def test_no_room_for_one_image(pynq: StandIn, built: dict[str, Built], pages: int) -> None:
    held = pynq.reserve(pynq.reserved - pages * PAGE)
    runtime = built["c"].open()
    with pytest.raises(DriverError) as reason:
        runtime.run(RESIDUAL)
    text = str(reason.value)
    assert "\n" not in text
    assert "reserved memory has no" in text
    assert "Failed to allocate Memory!" in text
    assert "shut down their notebooks" in text
    held.freebuffer()
    built["c"].check(runtime)


class _Counted:
    """Counts bytes, as much as 128 MiB less what others hold."""

    def __init__(self, limit: int) -> None:
        self.limit, self.used, self.most = limit, 0, 0

    def allocate(self, shape: tuple[int, ...], dtype: Any) -> Any:
        size = -(-8 * shape[0] // PAGE) * PAGE
        if self.used + size > self.limit:
            raise RuntimeError("Failed to allocate Memory!")
        self.used += size
        self.most = max(self.most, self.used)

        class Buffer(np.ndarray):
            device_address = 0x1000

            def freebuffer(self) -> None:
                counted.used -= size

        counted = self
        return np.zeros(shape, dtype).view(Buffer)


@pytest.mark.parametrize(
    "batches", [range(1, 1000), range(1001, 1400), [1, 2730] * 40, [2730, 1, 300, 7] * 20]
)
def test_what_cnv_takes_of_128_mib(batches: Any) -> None:
    counted = _Counted(128 << 20)
    pool = Pool(counted.allocate)
    for images in batches:
        source, target = pool.take(384 * images), pool.take(8 * images)
        assert len(source.words) >= 384 * images
        source.release()
        target.release()
    assert counted.most <= KEPT + 2 * MAX_BUFFER_BYTES
    assert counted.used <= KEPT
    pool.drop()
    assert counted.used == 0


@given(st.lists(st.integers(1, 1 << 20), max_size=30), st.integers(1 << 12, 1 << 24))
def test_a_pool_never_hands_a_buffer_out_twice(sizes: list[int], limit: int) -> None:
    counted = _Counted(limit)
    pool = Pool(counted.allocate)
    live: list[Any] = []
    for words in sizes:
        if len(live) == 2:
            live.pop(0).release()
        try:
            buffer = pool.take(words)
        except NoRoomError:
            assert counted.used + 8 * words + PAGE > limit
            continue
        assert len(buffer.words) >= words
        assert all(buffer is not other for other in live)
        live.append(buffer)
    for buffer in live:
        buffer.release()
        buffer.release()  # once more changes nothing
    pool.drop()
    assert counted.used == 0


# ---- what PYNQ says ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "kind", "advice"),
    [
        (PermissionError(13, "Permission denied", "/dev/mem"), RuntimeUnavailableError, "sudo -E"),
        (OSError("Root permissions required."), RuntimeUnavailableError, "sudo -E"),
        (RuntimeError("No Devices Found"), RuntimeUnavailableError, "xrt_setup.sh"),
        (OSError(2, "No such file or directory", "/dev/xlnk"), RuntimeUnavailableError, "root"),
        (FileNotFoundError(2, "No such file", "/x.bit"), DriverError, ""),
        (AttributeError("'NoneType' object has no attribute 'mmap'"), DriverError, ""),
        (ValueError("wrong\nbitstream"), DriverError, ""),
        (TypeError(), DriverError, "TypeError"),
    ],
)
@pytest.mark.parametrize("call", ["clock", "download", "MMIO", "read", "write"])
def test_pynqs_errors_are_ours(
    pynq: StandIn, built: dict[str, Built], call: str, error: Exception, kind: type, advice: str
) -> None:
    pynq.faults[call] = error
    with pytest.raises(kind) as reason:
        built["a"].open()
    text = str(reason.value)
    assert isinstance(reason.value, BnnError)
    assert "\n" not in text
    assert "PYNQ" in text
    assert advice in text
    pynq.faults.clear()
    built["a"].check(built["a"].open())


@pytest.mark.parametrize("call", ["flush", "invalidate", "allocate"])
def test_errors_of_buffers_are_ours(pynq: StandIn, built: dict[str, Built], call: str) -> None:
    runtime = built["a"].open()
    pynq.faults[call] = OSError("nothing\nthere")
    with pytest.raises(DriverError, match="PYNQ says"):
        runtime.run(DENSE)
    pynq.faults.clear()
    built["a"].check(runtime)


@pytest.mark.parametrize("name", ["allocate", "Bitstream", "MMIO", "Clocks"])
def test_an_old_image(
    pynq: StandIn, built: dict[str, Built], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    pynq.install(monkeypatch, without=(name,))
    with pytest.raises(RuntimeUnavailableError, match=f"too old, it has no {name}: .*PYNQ 3.0"):
        built["a"].open()


@pytest.mark.parametrize(
    "source", ["raise RuntimeError('No Devices Found')", "import no_such_module_here", "1 / 0"]
)
def test_a_pynq_that_cannot_be_imported(
    built: dict[str, Built], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.delitem(sys.modules, "pynq")
    monkeypatch.delitem(sys.modules, "pynq.ps")
    (tmp_path / "pynq.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BnnError, match="pynq cannot be imported"):
        built["a"].open()


@pytest.mark.parametrize(
    ("source", "mhz", "found"),
    [
        *((1000, 100, 100), (1000, 140, 125), (1000, 142, 125), (1000, 142.857143, 142.857143)),
        *((1000, 150, 142.857143), (1500, 187, 166.666667), (1000, 999, 500), (1000, 1000, 1000)),
    ],
)
def test_the_clock_is_at_most_the_designs(
    pynq: StandIn, built: dict[str, Built], source: float, mhz: float, found: float
) -> None:
    """PYNQ takes the nearest clock: 142.86 MHz for 140. A design gets the next lower one."""
    pynq.source_mhz = source
    chip = chips.the_chip()
    bitstream = built["a"].folder / "bnn.bit"
    lower = f"runs at {found:g} MHz: .* next below the {mhz:g} MHz"
    with pytest.warns(BnnWarning, match=lower) if found != mhz else nullcontext():
        chip.load(bitstream, mhz)
    assert pynq.mhz == chip.clock_mhz == found
    assert chip.holds(mhz)
    assert not chip.holds(mhz + 1)
    assert pynq.events[-1] == "download"
    assert pynq.events.count("download") == 1


def test_a_lower_clock_is_the_one_that_is_told(pynq: StandIn, built: dict[str, Built]) -> None:
    pynq.source_mhz = 1000 / 1.5  # 95.2 MHz, not 100
    with pytest.warns(BnnWarning, match="next below the 100 MHz of the design"):
        runtime = built["a"].open()
    outputs = runtime.run(built["a"].inputs)
    assert outputs.details["mhz"] == pytest.approx(1000 / 1.5 / 7)
    assert outputs.seconds == outputs.details["cycles"] / (1e6 * outputs.details["mhz"])
    built["a"].check(runtime)  # and it is not loaded again, nor told again
    assert pynq.events.count("download") == 1


def test_each_design_has_the_clock_that_it_was_loaded_with(
    pynq: StandIn, built: dict[str, Built]
) -> None:
    first, second = (
        BoardTransport(built[name].folder / "bnn.bit", 0x43C00000, 0x10000, mhz)
        for name, mhz in (("a", 100.0), ("c", 50.0))
    )
    assert (first.clock_mhz, second.clock_mhz) == (100, 50)
    pynq.source_mhz = 1000 / 1.5
    with pytest.warns(BnnWarning):
        first.configure()
    with pytest.warns(BnnWarning):
        second.configure()
    assert first.clock_mhz == pytest.approx(1000 / 1.5 / 7)  # not the second design's
    assert second.clock_mhz == pytest.approx(1000 / 1.5 / 14)


def test_a_clock_that_is_too_fast(built: dict[str, Built], monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = sys.modules["pynq.ps"]
    monkeypatch.setattr(stand_in, "Clocks", type("Clocks", (), {"fclk0_mhz": property()}))
    monkeypatch.setattr(stand_in.Clocks, "fclk0_mhz", 100.0)

    class Fast:
        def __setattr__(self, name: str, value: float) -> None:
            object.__setattr__(self, name, max(150.0, value))

    monkeypatch.setattr(stand_in, "Clocks", Fast())
    with pytest.raises(DriverError, match="clock would be 150 MHz, but the design is made for"):
        built["a"].open()


def test_a_bitstream_of_another_design(pynq: StandIn, built: dict[str, Built]) -> None:
    pynq.knows(built["a"].folder, built["c"].program)
    (built["a"].folder / "folding.json").rename(built["a"].folder / "kept.json")
    kept = (built["c"].folder / "folding.json").read_bytes()
    (built["a"].folder / "folding.json").write_bytes(kept)
    pynq._load(str(built["a"].folder))
    (built["a"].folder / "kept.json").replace(built["a"].folder / "folding.json")
    with pytest.raises(DriverError, match=r"another design: .*make bnn\.bit anew"):
        built["a"].open()


def test_python_that_is_too_old_is_told_which_pynq() -> None:
    code = "import sys; sys.version_info = (3, 8, 2, 'final', 0); import bnn"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert told.returncode
    assert "Python 3.10 or later" in told.stderr.splitlines()[-1]
    assert "PYNQ 3.0" in told.stderr.splitlines()[-1]

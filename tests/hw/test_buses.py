# SPDX-License-Identifier: BSD-3-Clause
"""The accelerator's two buses within seconds: long bursts, lines of 4 KiB, pauses, errors, resets.

``test_axi.py`` does the same for longer, with cocotbext-axi's models of the buses.
"""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest

from bnn.driver import Driver
from bnn.driver.simulated import SimulatedTransport
from bnn.errors import DriverError
from bnn.hw import registers as reg
from bnn.hw.boards import board
from bnn.hw.design import build
from bnn.hw.host_packing import Accelerated
from bnn.hw.loading import loads, metadata
from bnn.hw.render import sources
from bnn.hw.toolchain import verilator
from bnn.run import prepare
from hw.examples import WORDS_FOLDING, words
from hw.simulators import built
from support.programs import batches

pytestmark = pytest.mark.usefixtures("simulator")

DESIGN = build(words(), replace(WORDS_FOLDING, probes="all"))
LINE = 512
"""Words of 4 KiB."""


class Bench:
    """63 words in and 63 out for each image, at any place of one large buffer."""

    def __init__(self, stall: int, latency: int, seed: int) -> None:
        text = sources(DESIGN)
        library = verilator.build(text, quick=True)
        self.transport = SimulatedTransport(
            library, memory=1 << 20, stall=stall, latency=latency, seed=seed, limit=100_000
        )
        self.driver = Driver(self.transport, metadata(DESIGN, text))
        self.driver.load(loads(DESIGN))
        self.memory = self.transport.allocate(32 * LINE)
        self.luck = Random(seed)
        program = words()
        inputs = batches(program, 40, seed=1)
        self.images = Accelerated(DESIGN).pack(inputs)
        scores = prepare("reference", program).run(inputs).scores
        self.results = scores.astype(np.uint8)
        assert self.images.shape == (40, 63)
        assert self.results.shape == (40, 504)

    def batch(self, count: int) -> None:
        """Images and results begin just before a line; nothing else is written."""
        first = self.luck.randint(0, len(self.images) - count)
        source = LINE * self.luck.randint(1, 6) - self.luck.randint(0, 40)
        target = LINE * self.luck.randint(16, 22) - self.luck.randint(0, 40)
        self.memory.words[:] = 0xA5A5_A5A5_A5A5_A5A5
        given = self.images[first : first + count]
        self.memory.words[source : source + given.size] = given.reshape(-1)
        self.driver.start_raw(*self.addresses(source, target), count)
        self.driver.wait_raw()
        ends = target + 63 * count
        found = self.memory.words[target:ends].view(np.uint8).reshape(count, 504)
        np.testing.assert_array_equal(found, self.results[first : first + count])
        untouched = np.r_[self.memory.words[16 * LINE - 64 : target], self.memory.words[ends:]]
        assert np.all(untouched == 0xA5A5_A5A5_A5A5_A5A5), "it writes where it must not"
        report = self.driver.report()
        assert report.images == count
        assert 0 < report.latency <= report.cycles
        assert count == 1 or 0 < report.interval < report.cycles / (count - 1)
        assert {name: each["words"] for name, each in report.streams.items()} == dict.fromkeys(
            report.streams, 63 * count
        )

    def addresses(self, source: int, target: int) -> tuple[int, int]:
        """Of these words of the buffer."""
        return self.memory.address + 8 * source, self.memory.address + 8 * target


@pytest.mark.parametrize(("stall", "latency"), [(0, 0), (0, 40), (30, 3), (80, 20)])
def test_batches_at_any_place(stall: int, latency: int) -> None:
    bench = Bench(stall, latency, seed=stall + latency)
    for count in (1, 2, 9, 20, 3, 1):
        bench.batch(count)


def test_full_speed_is_a_word_a_cycle() -> None:
    """Several outstanding bursts of 16 beats: the buses do not slow the circuit down."""
    bench = Bench(0, 20, seed=1)
    bench.batch(20)
    cycles = bench.driver.report().cycles
    assert cycles < 63 * 20 * 1.5, "the buses are what limits"


def test_errors_and_the_next_start() -> None:
    bench = Bench(20, 20, seed=2)
    inside, also = bench.addresses(LINE, 8 * LINE)
    end = bench.memory.address - bench.memory.address % (1 << 20) + (1 << 20)  # of the memory
    high = 1 << 32
    for source, target in [
        (end, inside),
        (inside, end),
        (end - 8, inside),  # the first beats are still memory
        (inside, end - 8 * 63),  # the first image too
        (inside + high, also),
        (inside, also + high),
        (high, also),  # whose low half is null
    ]:
        bench.driver.start_raw(source, target, 2)
        with pytest.raises(DriverError, match=r"reports: the memory answered with an error$"):
            bench.driver.wait_raw()
        bench.batch(3)


def test_a_start_that_does_not_end_and_the_next() -> None:
    """Without a bound from the design there is no number to name: the driver was given none."""
    bench = Bench(0, 0, seed=6)
    usual = bench.transport._usual
    bench.transport._usual = 50
    bench.driver.start(bench.images)
    with pytest.raises(DriverError, match=r"^the accelerator does not finish$"):
        bench.driver.wait()
    bench.transport._limit = 50
    places = bench.addresses(LINE, 16 * LINE)
    bench.driver.start_raw(*places, 20)
    with pytest.raises(DriverError, match=f"reports: {reg.ERROR_TEXTS[16]}$"):
        bench.driver.wait_raw()
    bench.transport.configure()
    bench.driver.load(loads(DESIGN))
    bench.driver.start_raw(*places, 20)
    with pytest.raises(DriverError, match=r"^the accelerator does not finish$"):
        bench.driver.wait_raw()
    bench.transport._usual = bench.transport._limit = usual
    bench.transport.configure()
    bench.driver.load(loads(DESIGN))
    bench.batch(3)
    found = bench.driver.run(bench.images).view(np.uint8).reshape(40, 504)
    np.testing.assert_array_equal(found, bench.results)


@pytest.mark.parametrize(
    ("where", "reason", "known"),
    [
        ("allocate", DriverError("no"), True),
        ("allocate", KeyboardInterrupt(), False),
        ("write", DriverError("no"), False),
        ("write", KeyboardInterrupt(), False),
    ],
)
def test_what_stops_a_start(
    where: str, reason: BaseException, known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error before the start leaves a known state; an interrupt or the start itself does not."""
    bench = Bench(0, 0, seed=7)

    def stopped(*_: object) -> None:
        raise reason

    with monkeypatch.context() as patch:
        patch.setattr(bench.transport, where, stopped)
        with pytest.raises(type(reason)):
            bench.driver.start(bench.images[:2])
        assert bench.transport.known() == known
    found = bench.driver.run(bench.images).view(np.uint8).reshape(40, 504)
    np.testing.assert_array_equal(found, bench.results)


def test_every_refusal_names_its_reason_alone() -> None:
    bench = Bench(0, 0, seed=4)
    good, also = bench.addresses(0, LINE)
    for start, reason in [
        ((0, good, 1), reg.ERROR_TEXTS[1]),
        ((good, 0, 1), reg.ERROR_TEXTS[2]),
        ((good, also, 0), reg.ERROR_TEXTS[4]),
        ((good + 4, also, 1), reg.ERROR_TEXTS[32]),
        ((good, also + 1, 1), reg.ERROR_TEXTS[32]),
        ((good + 2, also, 1), reg.ERROR_TEXTS[32]),
    ]:
        bench.driver.start_raw(*start)
        with pytest.raises(DriverError) as caught:
            bench.driver.wait_raw()
        assert str(caught.value) == f"the accelerator reports: {reason}"
        bench.batch(1)


def test_resets_at_any_moment() -> None:
    bench = Bench(30, 10, seed=3)
    transport, read = bench.transport, bench.transport.read
    for cycles in (1, 30, 60, 90, 200, 500, 900):
        bench.driver.start_raw(*bench.addresses(LINE, 16 * LINE), 20)
        assert read(reg.CONTROL.offset) == reg.CONTROL_BITS["START"]
        for _ in range(cycles // 3):
            read(reg.IDENTITY_REGISTER.offset)  # time goes by
        transport._api.bnn_reset(transport._board)
        assert read(reg.SOURCE_LOW.offset) == 0
        assert read(reg.PARAMETER_COUNT.offset) == 0
        assert read(reg.ERROR.offset) == 0
        assert read(reg.CONTROL.offset) == reg.CONTROL_BITS["IDLE"]
        bench.driver.load(loads(DESIGN))
        bench.batch(2)


def test_interrupts_are_asked_for() -> None:
    bench = Bench(0, 0, seed=5)
    bench.batch(1)
    write, read = bench.transport.write, bench.transport.read
    assert read(reg.INTERRUPT_ENABLE.offset) == 1
    assert read(reg.INTERRUPT_STATUS.offset) == 0
    write(reg.INTERRUPT_ENABLE.offset, 0)
    write(reg.CONTROL.offset, reg.CONTROL_BITS["START"])  # the same again, without an interrupt
    while not read(reg.CONTROL.offset) & reg.CONTROL_BITS["DONE"]:
        pass
    assert read(reg.CONTROL.offset) == reg.CONTROL_BITS["IDLE"], "reading clears it"
    write(reg.INTERRUPT_STATUS.offset, 0)
    assert read(reg.INTERRUPT_STATUS.offset) == 1
    write(reg.INTERRUPT_STATUS.offset, 1)
    assert read(reg.INTERRUPT_STATUS.offset) == 0


def test_registers_with_several_accesses_on_their_way(tmp_path: Path) -> None:
    here = Path(__file__).parent
    program = built("bnn_control", ["bnn_control"], {}, (here / "registers.cpp").read_text())
    plain = [reg.SOURCE_LOW, reg.SOURCE_HIGH, reg.TARGET_LOW, reg.TARGET_HIGH, reg.IMAGES]
    others = [each for each in reg.REGISTERS if each not in plain]
    fresh = {reg.CONTROL: reg.CONTROL_BITS["IDLE"], reg.IDENTITY_REGISTER: reg.IDENTITY}
    known = [  # counts of the last start are nothing before the first
        f"{each.offset}:{fresh.get(each, 0)}"
        for each in others
        if not each.name.startswith(("CYCLES", "FIRST", "LAST"))
    ]
    run = subprocess.run(
        [
            str(program),
            *(str(register.offset) for register in plain),
            *known,
            "+verilator+rand+reset+2",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert (run.stdout, run.returncode) == ("ok\n", 0), run.stdout + run.stderr


def test_bursts_of_a_zynq7_processor(tmp_path: Path) -> None:
    """A 64-bit access is two registers; a part of a register is refused; nothing hangs."""
    here = Path(__file__).parent
    shell = board("pynq-z2").top_source()
    start = shell.index("module bnn_zynq7_registers")
    texts = {
        "bursts.sv": (here / "bursts.sv").read_text(),
        "bnn_zynq7_registers.sv": shell[start:],
    }
    program = built("bursts", ["bnn_control"], texts, (here / "bursts.cpp").read_text())
    plain = [reg.SOURCE_LOW, reg.SOURCE_HIGH, reg.TARGET_LOW, reg.TARGET_HIGH, reg.IMAGES]
    assert [each.offset - plain[0].offset for each in plain] == [0, 4, 8, 12, 16]
    assert reg.DESIGN_ID.offset == reg.IDENTITY_REGISTER.offset + 4
    given = (plain[0].offset, reg.IDENTITY_REGISTER.offset, reg.IDENTITY)
    run = subprocess.run(
        [str(program), *map(str, given), "+verilator+rand+reset+2"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert (run.stdout, run.returncode) == ("ok\n", 0), run.stdout + run.stderr


@pytest.mark.parametrize(
    ("words_of_an_image", "depths"), [(1, (64, 1)), (7, (16, 32)), (37, (64, 32))]
)
def test_copies(words_of_an_image: int, depths: tuple[int, int], tmp_path: Path) -> None:
    """Any number of bursts without an answer, resets, errors: more than the board's model shows."""
    here = Path(__file__).parent
    top, main = ((here / f"copies.{kind}").read_text() for kind in ("sv", "cpp"))
    sizes = {"WORDS": words_of_an_image, "READ_DEPTH": depths[0], "WRITE_DEPTH": depths[1]}
    flags = [f"-G{name}={value}" for name, value in sizes.items()]
    program = built("copies", ["bnn_reader", "bnn_writer"], {"copies.sv": top}, main, flags)
    run = subprocess.run(
        [str(program), str(words_of_an_image), "+verilator+rand+reset+2"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert (run.stdout, run.returncode) == ("ok\n", 0), run.stdout + run.stderr

# SPDX-License-Identifier: BSD-3-Clause
"""The driver in C: on the simulated system, on a recorded session, and with faults."""

from __future__ import annotations

import ctypes
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bnn.driver.simulated import SimulatedTransport
from bnn.hw import c_driver
from bnn.hw import registers as reg
from bnn.hw.boards import board
from bnn.hw.design import Design, build
from bnn.hw.loading import Metadata, loads, metadata, parameter_fingerprint
from bnn.hw.patience import image_cycles, max_cycles
from bnn.hw.render import sources
from bnn.hw.toolchain import verilator
from bnn.program.program import Program
from bnn.run import prepare
from hw import c_bridge
from hw.c_bridge import CC, STRICT, CDriver
from hw.examples import DENSE_FOLDING, RESIDUAL_FOLDING, dense, residual, signs
from hw.test_board import SESSION
from hw.test_bytes import TABLES, folded, picture, pictures, vector

pytestmark = pytest.mark.skipif(CC is None, reason="there is no C compiler")

DENSE = build(dense(), DENSE_FOLDING)


def kind(program: Program, design: Design) -> Any:
    """The NumPy type of ``bnn_value``."""
    if hasattr(program.input, "table"):
        return np.uint8
    return design.source.dtype if design.input == "bytes" else np.int32


def inputs_of(program: Program, count: int) -> np.ndarray:
    if hasattr(program.input, "table"):
        return pictures(program, count)
    random, precision = np.random.default_rng(3), program.input.precision
    if precision.kind == "bipolar":
        return signs(random, count, *program.input.shape).astype(np.int16)
    shape = (count, *program.input.shape)
    return random.integers(precision.low, precision.high, shape, endpoint=True).astype(np.int16)


CASES = {
    "packed bits, loadable": (dense(), DENSE_FOLDING),
    "packed 4 bits, constants": (residual(), RESIDUAL_FOLDING),
    "bytes of pictures": (picture((6, 5, 3)), folded(6)),
    "bytes of odd pictures, packed results": (vector((3, 3, 1)), folded(3, output="packed")),
    "packed pictures": (vector((3, 3, 1), "any"), folded(3, input="packed")),
}


@pytest.mark.usefixtures("simulator")
@pytest.mark.parametrize("name", CASES)
def test_scores_are_those_of_the_reference(name: str, tmp_path: Path) -> None:
    """Batches on the simulated system: one image, some, and as many as memory has room for."""
    program, folding = CASES[name]
    design = build(program, folding)
    transport = SimulatedTransport(verilator.build(sources(design)), memory=1 << 20, stall=10)
    buffer = transport.allocate(1024 // 8)
    octets = buffer.words.view(np.uint8)
    driver = CDriver(
        c_bridge.write(design, tmp_path),
        transport.read,
        transport.write,
        octets,
        buffer.address,
    )
    assert driver.open() == "BNN_OK"
    if design.folding.loadable:
        assert driver.start(1) == "BNN_E_UNLOADED"
        assert driver.load() == "BNN_OK"
    most = driver.device.capacity
    assert most > 3
    for count in (1, 3, most):
        inputs = inputs_of(program, count)
        for number, image in enumerate(inputs):
            assert driver.put(number, image.astype(kind(program, design))) == "BNN_OK"
        assert driver.start(count) == "BNN_OK"
        assert driver.wait() == "BNN_OK"
        expected = prepare("reference", program).run(inputs)
        scores = driver.scores(count, expected.scores.shape[1])
        np.testing.assert_array_equal(scores, expected.scores)
        if expected.decisions is not None:
            assert driver.classes(scores) == expected.decisions.tolist()
        assert driver.device.images == count
        assert 0 < driver.device.first <= driver.device.last < driver.device.cycles
    assert driver.put(most, inputs[0].astype(kind(program, design))) == "BNN_E_IMAGES"
    assert driver.start(most + 1) == "BNN_E_IMAGES"
    assert driver.start(0) == "BNN_E_IMAGES"


class Session:
    """The registers and the memory of a recorded session of the Python driver."""

    def __init__(self) -> None:
        events = [json.loads(line) for line in SESSION.read_text().splitlines()][1:]
        self.memory = np.zeros(4096, np.uint8)
        self.at: dict[int, int] = {}  # number of a buffer -> its place in the memory
        self.addresses = [event[2] for event in events if event[0] == "allocate"]
        # What only the Python driver does: it opens twice, and asks for buffers.
        self.events = [each for each in self._single(events) if each[0] != "allocate"]
        # It identifies the chip when it is made, and again when it loads.
        assert self.events[0:3] == self.events[3:6]

    @staticmethod
    def _single(events: list[Any]) -> list[Any]:
        out: list[Any] = []
        for event in events:
            if event[0] == "write_many":
                out += [["write", event[1], value] for value in event[2]]
            else:
                out.append(event)
        return out

    def next(self, *said: Any) -> Any:
        event = self.events.pop(0)
        assert event[: len(said)] == list(said), f"{said} instead of {event}"
        return event

    def read(self, offset: int) -> int:
        if offset == reg.INTERRUPT_STATUS.offset:
            return int(self.next("wait")[1])
        return int(self.next("read", offset)[2])

    def write(self, offset: int, value: int) -> None:
        if offset == reg.TARGET_LOW.offset:  # the C driver has one area, the session two buffers
            event = self.next("write", offset)
            assert value - self.addresses[0] == self.results
            assert event[2] == self.addresses[1]
            return
        self.next("write", offset, value)

    results = 0

    def flush(self, at: int, size: int) -> None:
        if at:
            assert (at, size) == (self.results, 7 * 8)
            return
        words = self.memory[:size].view(np.uint64).tolist()
        self.next("flush", 0, words)

    def invalidate(self, at: int, size: int) -> None:
        words = np.array(self.next("invalidate", 1)[2], np.uint64)
        assert (at, size) == (self.results, words.nbytes)
        self.memory[at : at + size] = words.view(np.uint8)


def test_a_recorded_session_is_said_again(tmp_path: Path) -> None:
    """Register by register what the Python driver wrote and read, and the same scores."""
    session = Session()
    known = Metadata.from_json(json.loads(SESSION.with_suffix(".json").read_text()))
    driver = CDriver(
        c_bridge.write(DENSE, tmp_path, known),
        session.read,
        session.write,
        session.memory,
        session.addresses[0],
        caches=(session.flush, session.invalidate),
    )
    assert driver.open() == "BNN_OK"
    session.results = driver.device.results
    assert driver.load() == "BNN_OK"
    inputs = signs(np.random.default_rng(3), 7, 20).astype(np.int32)
    for number, image in enumerate(inputs):
        assert driver.put(number, image) == "BNN_OK"
    assert driver.start(7) == "BNN_OK"
    assert driver.wait() == "BNN_OK"
    assert session.events == []
    expected = prepare("reference", dense()).run(inputs.astype(np.int16))
    scores = driver.scores(7, 5)
    np.testing.assert_array_equal(scores, expected.scores)
    assert expected.decisions is not None
    assert driver.classes(scores) == expected.decisions.tolist()
    assert (driver.device.cycles, driver.device.first, driver.device.last) == (130, 59, 107)


class Chip:
    """Registers that do nothing but answer; ``values`` may be changed at any time."""

    def __init__(self, design: Design) -> None:
        known = metadata(design, sources(design))
        self.count = 0
        self.values = {
            reg.IDENTITY_REGISTER.offset: reg.IDENTITY,
            reg.DESIGN_ID.offset: known.design_id,
            reg.CONTROL.offset: reg.CONTROL_BITS["IDLE"],
            reg.PARAMETER_ID.offset: parameter_fingerprint(loads(design)),
        }
        self.reads = 0
        self.memory = np.zeros(4096, np.uint8)
        self.started = lambda: None

    def read(self, offset: int) -> int:
        self.reads += 1
        return self.values.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        if offset == reg.PARAMETER_COUNT.offset:
            self.values[offset] = 0
        elif offset == reg.PARAMETER_DATA.offset:
            self.values[reg.PARAMETER_COUNT.offset] += 1
        elif offset == reg.INTERRUPT_STATUS.offset:
            self.values[offset] = 0
        elif offset == reg.CONTROL.offset:
            self.started()
        else:
            self.values[offset] = value

    def end(self, error: int = 0) -> None:
        bits = reg.CONTROL_BITS
        self.values[reg.CONTROL.offset] = (
            bits["DONE"] | bits["IDLE"] | (bits["ERROR"] if error else 0)
        )
        self.values[reg.ERROR.offset] = error
        self.values[reg.INTERRUPT_STATUS.offset] = 1


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return c_bridge.write(DENSE, tmp_path_factory.mktemp("dense"))


@pytest.fixture
def chip() -> Chip:
    return Chip(DENSE)


@pytest.fixture
def driver(place: Path, chip: Chip) -> CDriver:
    return CDriver(place, chip.read, chip.write, chip.memory, 0x1000_0000)


IMAGE = np.ones(20, np.int32)


@pytest.mark.parametrize(
    ("offset", "value", "name"),
    [
        (reg.IDENTITY_REGISTER.offset, reg.IDENTITY ^ 1, "BNN_E_NO_ANSWER"),
        (reg.IDENTITY_REGISTER.offset, 0xFFFFFFFF, "BNN_E_NO_ANSWER"),
        (reg.DESIGN_ID.offset, 1, "BNN_E_DESIGN"),
        (reg.CONTROL.offset, reg.CONTROL_BITS["START"], "BNN_E_RUNNING"),
    ],
)
def test_another_chip_is_refused(
    driver: CDriver, chip: Chip, offset: int, value: int, name: str
) -> None:
    """When it is opened, and before each load and start."""
    before = chip.values[offset]
    chip.values[offset] = value
    assert driver.open() == name
    assert driver.put(0, IMAGE) == "BNN_E_STATE"
    chip.values[offset] = before
    assert driver.open() == "BNN_OK"
    chip.values[offset] = value
    assert driver.load() == name
    assert driver.start(1) == name


def test_parameters_of_another_build_are_refused(driver: CDriver, chip: Chip) -> None:
    assert driver.open() == "BNN_OK"
    at, size = driver.parameters()
    words = (ctypes.c_uint32 * size.value).from_buffer_copy(ctypes.string_at(at, 4 * size.value))
    for place in range(size.value):
        words[place] ^= 1 << place % 32
        assert driver.call("bnn_load", words, size) == "BNN_E_PARAMETERS"
        words[place] ^= 1 << place % 32
    for wrong in (0, size.value - 1, size.value + 1):
        assert driver.call("bnn_load", words, ctypes.c_size_t(wrong)) == "BNN_E_PARAMETERS"
    assert driver.call("bnn_load", None, size) == "BNN_E_ARGUMENT"
    chip.values[reg.PARAMETER_ID.offset] = 0
    assert driver.start(1) == "BNN_E_UNLOADED"
    assert driver.call("bnn_load", words, size) == "BNN_OK"
    assert driver.start(1) == "BNN_OK"


@pytest.mark.parametrize("register", [reg.PARAMETER_COUNT, reg.PARAMETER_ID])
def test_writes_that_are_lost_are_found(place: Path, chip: Chip, register: reg.Register) -> None:
    def read(offset: int) -> int:
        return chip.read(offset) ^ (offset == register.offset)

    driver = CDriver(place, read, chip.write, chip.memory, 64)
    assert driver.open() == "BNN_OK"
    assert driver.load() == "BNN_E_WRITE"


@pytest.mark.parametrize(("name", "bit"), [(name, bit) for name, bit, _ in reg.ERROR.bits])
def test_an_error_bit_has_a_name_and_a_text(
    driver: CDriver, chip: Chip, name: str, bit: int
) -> None:
    chip.started = lambda: chip.end(1 << bit)
    assert driver.open() == "BNN_OK"
    assert driver.start(1) == "BNN_OK"
    assert driver.wait() == f"BNN_E_REPORTED_{name}"
    assert driver.device.error_bits == 1 << bit
    assert driver.text(32 + bit) == f"the accelerator reports: {reg.ERROR_TEXTS[1 << bit]}"
    assert driver.call("bnn_scores", 0, ctypes.c_void_p(chip.memory.ctypes.data)) == "BNN_E_LOST"
    assert driver.start(1) == "BNN_E_LOST"
    assert driver.put(0, IMAGE) == "BNN_E_LOST"
    assert driver.open() == "BNN_OK"


def test_every_code_has_a_text_of_its_own(driver: CDriver) -> None:
    codes = [*range(15), *range(32, 32 + len(reg.ERROR.bits))]
    names = {driver.library.bnn_error_name(code).decode() for code in codes}
    texts = {driver.text(code) for code in codes}
    assert len(names) == len(texts) == len(codes)
    assert all(name.startswith("BNN_") for name in names)
    header = (Path(c_driver.__file__).parent / "bnn_driver.h").read_text()
    for code in range(15):
        assert f"{driver.library.bnn_error_name(code).decode()} = {code}," in header
    for code in (-1, 15, 31, 32 + len(reg.ERROR.bits), 1 << 30):
        assert driver.library.bnn_error_name(code) == b"unknown"


def test_no_answer_by_counted_reads(driver: CDriver, chip: Chip) -> None:
    """As many cycles as the design needs at most pass before the driver gives up."""
    chip.started = lambda: chip.values.update({reg.CONTROL.offset: reg.CONTROL_BITS["START"]})
    assert driver.open() == "BNN_OK"
    for cycles in (0, 1000):
        driver.device.patience_cycles = cycles
        assert driver.start(2) == "BNN_OK"
        chip.reads = 0
        assert driver.wait() == "BNN_E_TIMEOUT"
        wanted = cycles or max_cycles(DENSE, 2)
        assert wanted <= 2 * chip.reads < wanted + 20
        assert driver.start(1) == "BNN_E_LOST"
        assert driver.open() == "BNN_E_RUNNING"
        chip.values[reg.CONTROL.offset] = reg.CONTROL_BITS["IDLE"]
        assert driver.open() == "BNN_OK"


@pytest.mark.parametrize("began", [0, 2**32 - 1000])
@pytest.mark.parametrize("cycles", [0, 123_456_789])
def test_no_answer_by_a_clock(place: Path, chip: Chip, began: int, cycles: int) -> None:
    """Cycles at the design's clock, and 5 s; a clock that begins anew changes nothing."""
    clock = [began]

    def milliseconds() -> int:
        clock[0] += 7
        return clock[0]

    driver = CDriver(place, chip.read, chip.write, chip.memory, 64, milliseconds=milliseconds)
    chip.started = lambda: chip.values.update({reg.CONTROL.offset: reg.CONTROL_BITS["START"]})
    driver.device.patience_cycles = cycles
    assert driver.open() == "BNN_OK"
    assert driver.start(3) == "BNN_OK"
    assert driver.wait() == "BNN_E_TIMEOUT"
    wanted = cycles / 100_000 if cycles else 5000 + max_cycles(DENSE, 3) / 100_000
    assert wanted <= clock[0] - began <= wanted + 30


def test_it_ends_while_the_program_was_stopped(place: Path, chip: Chip) -> None:
    """The time is over, but the accelerator has finished: no error."""
    times = iter([0, 10_000_000])
    driver = CDriver(
        place, chip.read, chip.write, chip.memory, 64, milliseconds=lambda: next(times)
    )
    assert driver.open() == "BNN_OK"
    chip.started = chip.end
    assert driver.start(1) == "BNN_OK"
    assert driver.wait() == "BNN_OK"


def test_an_interrupt_of_an_earlier_start_is_not_the_end(driver: CDriver, chip: Chip) -> None:
    assert driver.open() == "BNN_OK"

    def started() -> None:
        chip.values[reg.INTERRUPT_STATUS.offset] = 1
        chip.values[reg.CONTROL.offset] = reg.CONTROL_BITS["START"]
        chip.reads = 0

    usual = chip.read

    def read(offset: int) -> int:
        value = usual(offset)
        if chip.reads == 50:
            chip.end()
        return value

    driver.device.read32 = c_bridge.READ(lambda _, offset: read(offset))
    chip.started = started
    assert driver.start(1) == "BNN_OK"
    assert driver.wait() == "BNN_OK"
    assert chip.reads >= 50


@pytest.mark.parametrize("register", [reg.DESIGN_ID, reg.PARAMETER_ID, reg.IMAGES])
def test_a_chip_that_was_changed_meanwhile(
    driver: CDriver, chip: Chip, register: reg.Register
) -> None:
    def started() -> None:
        chip.end()
        chip.values[register.offset] ^= 2

    assert driver.open() == "BNN_OK"
    chip.started = started
    assert driver.start(1) == "BNN_OK"
    assert driver.wait() == "BNN_E_CHANGED"
    assert driver.wait() == "BNN_E_LOST"


def test_wrong_orders_are_refused(driver: CDriver, chip: Chip) -> None:
    out = (ctypes.c_int32 * 5)()
    chip.values[reg.DESIGN_ID.offset] ^= 1
    for _ in range(2):
        assert driver.start(1) == "BNN_E_STATE"
        assert driver.wait() == "BNN_E_STATE"
        assert driver.load() == "BNN_E_STATE"
        assert driver.put(0, IMAGE) == "BNN_E_STATE"
        assert driver.call("bnn_scores", 0, out) == "BNN_E_STATE"
        assert driver.open() == "BNN_E_DESIGN"
    chip.values[reg.DESIGN_ID.offset] ^= 1
    assert driver.open() == "BNN_OK"
    assert driver.wait() == "BNN_E_STATE"
    assert driver.call("bnn_scores", 0, out) == "BNN_E_STATE"
    chip.started = chip.end
    assert driver.start(1) == "BNN_OK"
    assert driver.start(1) == "BNN_E_STATE"
    assert driver.put(0, IMAGE) == "BNN_E_STATE"
    assert driver.load() == "BNN_E_STATE"
    assert driver.call("bnn_scores", 0, out) == "BNN_E_STATE"
    assert driver.wait() == "BNN_OK"
    assert driver.call("bnn_scores", 0, None) == "BNN_E_ARGUMENT"
    assert driver.call("bnn_scores", 0, out) == "BNN_OK"
    assert driver.call("bnn_scores", 1, out) == "BNN_E_IMAGES"


@pytest.mark.parametrize("value", [0, 2, -2, 1 << 30, -(1 << 31)])
def test_values_outside_the_range_are_refused(driver: CDriver, value: int) -> None:
    assert driver.open() == "BNN_OK"
    image = IMAGE.copy()
    image[19] = value
    assert driver.put(0, image) == "BNN_E_VALUE"
    assert driver.call("bnn_put", 0, None) == "BNN_E_ARGUMENT"


@pytest.mark.parametrize(
    ("field", "value", "name"),
    [
        ("memory", None, "BNN_E_MEMORY"),
        ("memory_address", 0, "BNN_E_MEMORY"),
        ("memory_address", 0x1000_0008, "BNN_E_MEMORY"),
        ("memory_address", 0xFFFF_F040, "BNN_E_MEMORY"),  # its end is not on the bus
        ("memory_address", 1 << 32, "BNN_E_MEMORY"),
        ("memory_bytes", 0, "BNN_E_MEMORY"),
        ("memory_bytes", 128, "BNN_E_MEMORY"),
        ("memory_bytes", 4088, "BNN_E_MEMORY"),
        ("memory_bytes", (1 << 64) - 64, "BNN_E_MEMORY"),
        ("read32", c_bridge.READ(), "BNN_E_ARGUMENT"),
        ("write32", c_bridge.WRITE(), "BNN_E_ARGUMENT"),
        ("flush", c_bridge.CACHE(lambda *_: None), "BNN_E_ARGUMENT"),
        ("invalidate", c_bridge.CACHE(lambda *_: None), "BNN_E_ARGUMENT"),
    ],
)
def test_wrong_fields_are_refused(driver: CDriver, field: str, value: Any, name: str) -> None:
    setattr(driver.device, field, value)
    assert driver.open() == name
    assert driver.start(1) == "BNN_E_STATE"


@pytest.mark.parametrize(
    ("field", "value"), [("memory_address", 0xFFFF_F000), ("memory_bytes", 192)]
)
def test_fields_at_their_limits(driver: CDriver, field: str, value: int) -> None:
    setattr(driver.device, field, value)
    assert driver.open() == "BNN_OK"
    assert driver.device.results % 64 == 0
    end = driver.device.results + 8 * driver.device.capacity
    assert 0 < end <= driver.device.memory_bytes


def test_registers_by_their_address(place: Path) -> None:
    """A volatile pointer instead of functions: the offsets are bytes."""
    window = (ctypes.c_uint32 * 64)()
    driver = CDriver(place, lambda _: 0, lambda *_: None, np.zeros(4096, np.uint8), 64)
    driver.device.read32, driver.device.write32 = c_bridge.READ(), c_bridge.WRITE()
    assert driver.open() == "BNN_E_ARGUMENT"
    driver.device.registers = ctypes.addressof(window)
    for offset, value in Chip(DENSE).values.items():
        window[offset // 4] = value
    assert driver.open() == "BNN_OK"
    assert driver.start(3) == "BNN_OK"
    assert window[reg.IMAGES.offset // 4] == 3
    assert window[reg.SOURCE_LOW.offset // 4] == 64
    assert window[reg.CONTROL.offset // 4] == reg.CONTROL_BITS["START"]


def test_constants_of_the_design(driver: CDriver) -> None:
    known = metadata(DENSE, sources(DENSE))
    assert driver.defined("BNN_DESIGN_ID") == known.design_id
    assert driver.defined("BNN_PARAMETER_ID") == parameter_fingerprint(loads(DENSE))
    assert driver.defined("BNN_PARAMETER_WRITES") == known.parameter_writes
    assert f"BNN_IMAGE_CYCLES UINT64_C({image_cycles(DENSE)})" in driver.header
    for each in reg.REGISTERS:
        assert driver.defined(f"BNN_R_{each.name}") == each.offset


def test_patience_is_linear() -> None:
    """The C driver computes what the Python driver computes."""
    for images in (0, 1, 2, 1000, 1 << 31):
        assert max_cycles(DENSE, images) == max_cycles(DENSE, 0) + images * image_cycles(DENSE)


TARGETS = {
    "aarch64": ("aarch64-linux-musl",),
    "armv7": ("arm-linux-musleabihf", "-mcpu=cortex_a9"),
    "cortex-m4": ("thumb-freestanding-eabi", "-mcpu=cortex_m4"),
    "cortex-m0": ("thumb-freestanding-eabi", "-mcpu=cortex_m0"),
}


@pytest.mark.parametrize("name", ["packed bits, loadable", "bytes of pictures", "packed pictures"])
@pytest.mark.parametrize("target", TARGETS)
def test_compiles_for(target: str, name: str, tmp_path: Path) -> None:
    """The driver and its examples; the Linux example only where there is Linux."""
    pytest.importorskip("ziglang", reason="ziglang is not installed (extra `sim`)")
    place = c_bridge.write(build(*CASES[name]), tmp_path)
    zig = (sys.executable, "-m", "ziglang", "cc", "-target", *TARGETS[target])
    for each in sorted(place.glob("*.c")):
        if each.name == "example_linux.c" and "linux" not in TARGETS[target][0]:
            continue
        run_ = (*zig, *STRICT, "-Wno-unused-command-line-argument", "-c", "-o", place / "x.o", each)
        c_bridge.run(*run_)


@pytest.mark.parametrize("name", CASES)
def test_examples_compile(name: str, tmp_path: Path) -> None:
    place = c_bridge.write(build(*CASES[name]), tmp_path)
    assert CC is not None
    for each in sorted(place.glob("example_*.c")):
        c_bridge.run(CC, *STRICT, "-c", "-o", place / "x.o", each)
    drivers = sorted(place.glob("bnn_*.c"))
    c_bridge.run(CC, *STRICT, "-o", place / "classify", place / "example_linux.c", *drivers)


XIL = """#include "bnn_driver.h"
void Xil_DCacheFlushRange(intptr_t start, uint32_t bytes);
void Xil_DCacheInvalidateRange(intptr_t start, uint32_t bytes);
void Xil_DCacheFlushRange(intptr_t start, uint32_t bytes) { (void)start, (void)bytes; }
void Xil_DCacheInvalidateRange(intptr_t start, uint32_t bytes) { (void)start, (void)bytes; }
extern const bnn_value image[BNN_INPUTS];
const bnn_value image[BNN_INPUTS] = {1};
"""


@pytest.mark.parametrize("name", CASES)
def test_the_program_of_the_documentation(name: str, tmp_path: Path) -> None:
    """docs/boards.md: its program is compiled and linked as it stands there."""
    page = (Path(__file__).parents[2] / "docs" / "boards.md").read_text(encoding="utf-8")
    _, start, rest = page.partition("```c\n")
    assert start, "docs/boards.md has no program in C"
    place = c_bridge.write(build(*CASES[name]), tmp_path)
    (place / "main.c").write_text(rest.split("```\n")[0], encoding="utf-8")
    (place / "xil.c").write_text(XIL, encoding="utf-8")
    assert CC is not None
    files = [place / "main.c", place / "xil.c", *sorted(place.glob("bnn_*.c"))]
    c_bridge.run(CC, *STRICT, "-o", place / "main", *files)


def test_cplusplus_reads_the_headers(place: Path, tmp_path: Path) -> None:
    compiler = shutil.which("c++")
    if compiler is None:
        pytest.skip("there is no C++ compiler")
    (tmp_path / "x.cpp").write_text('#include "bnn_driver.h"\nint x = BNN_E_LOST;\n')
    c_bridge.run(
        compiler, "-Wall", "-Werror", f"-I{place}", "-c", tmp_path / "x.cpp", "-o", tmp_path / "x.o"
    )


def test_every_table_of_pictures(tmp_path: Path) -> None:
    """Pictures that the host packs: each byte becomes the code of its table."""
    for number, table in enumerate(TABLES):
        program = vector((3, 3, 1), table)
        design = build(program, folded(3, input="packed"))
        chip = Chip(design)
        driver = CDriver(
            c_bridge.write(design, tmp_path / str(number)), chip.read, chip.write, chip.memory, 64
        )
        assert driver.open() == "BNN_OK"
        images = pictures(program, 5)
        for place, image in enumerate(images):
            assert driver.put(place, image) == "BNN_OK"
        packed = design.source.pack(program.input.integers(images))
        found = chip.memory[: packed.nbytes].view(np.uint64).reshape(packed.shape)
        np.testing.assert_array_equal(found, packed)


def test_a_design_of_sequences_has_no_c_driver() -> None:
    design = replace(DENSE, sides=(object(),))  # type: ignore[arg-type]
    assert c_driver.files(design, metadata(DENSE, sources(DENSE)), board("pynq-z2")) == {}

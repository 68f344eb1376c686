# SPDX-License-Identifier: BSD-3-Clause
"""The board runtime: a stand-in for ``pynq`` over the simulated system, and a recorded session."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bnn.driver import Driver, Metadata
from bnn.driver.ledger import KEPT, Ledger
from bnn.driver.recorded import Recorder, Replay
from bnn.driver.simulated import SimulatedBuffer, SimulatedTransport
from bnn.driver.transport import NoRoomError
from bnn.errors import DriverError, RuntimeUnavailableError
from bnn.hw import export
from bnn.hw.boards import board
from bnn.hw.design import build
from bnn.hw.host_packing import Accelerated
from bnn.hw.loading import loads, metadata
from bnn.hw.render import sources
from bnn.hw.toolchain import verilator
from bnn.run import prepare
from bnn.run.accelerator import AcceleratorRuntime
from hw.examples import DENSE_FOLDING, dense, signs

SESSION = Path(__file__).parent / "fixtures" / "session.jsonl"


def _transport() -> SimulatedTransport:
    library = verilator.build(sources(build(dense(), DENSE_FOLDING)))
    return SimulatedTransport(library, memory=1 << 20)


def _inputs(count: int) -> np.ndarray:
    return signs(np.random.default_rng(3), count, 20).astype(np.int16)


def test_simulated_memory_is_used_again() -> None:
    """In pages, from the first one on again as soon as nobody has a buffer."""
    transport = _transport()
    page = 4096
    first, second = transport.allocate(page // 8), transport.allocate(page // 8 + 1)
    assert second.address == first.address + page
    first.release()
    third = transport.allocate(1)
    assert third.address == second.address + 2 * page
    third.release()
    second.release()
    again = transport.allocate(1)
    assert again.address == first.address
    again.release()
    whole = (1 << 20) // 8
    assert transport.allocate(whole).words.size == whole
    with pytest.raises(NoRoomError, match="exceed the simulated memory"):
        transport.allocate(whole + 1)


class _PynqBuffer(np.ndarray):
    """What ``pynq.allocate`` gives, as far as the driver uses it."""

    device_address = 0

    def flush(self) -> None: ...

    def invalidate(self) -> None: ...

    def freebuffer(self) -> None: ...


def _fake_pynq(transport: SimulatedTransport) -> dict[str, Any]:
    said: dict[str, Any] = {}

    class Bitstream:
        def __init__(self, name: str) -> None:
            said["bitstream"] = name

        def download(self) -> None:
            said["downloaded"] = True

    class MMIO:
        def __init__(self, base: int, span: int) -> None:
            said["window"] = (base, span)
            self.read, self.write = transport.read, transport.write

    def allocate(shape: tuple[int, ...], dtype: Any) -> _PynqBuffer:
        inner: SimulatedBuffer = transport.allocate(shape[0])
        assert dtype is np.uint64
        buffer = inner.words.view(_PynqBuffer)
        buffer.device_address = inner.address
        return buffer

    pynq: Any = types.ModuleType("pynq")
    pynq.Bitstream, pynq.MMIO, pynq.allocate = Bitstream, MMIO, allocate
    ps: Any = types.ModuleType("pynq.ps")
    ps.Clocks = types.SimpleNamespace(fclk0_mhz=0.0)
    said |= {"modules": {"pynq": pynq, "pynq.ps": ps}, "clocks": ps.Clocks}
    return said


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A built folder with a file where the bitstream would be."""
    export.write(build(dense(), DENSE_FOLDING), board("pynq-z2"), tmp_path)
    (tmp_path / "bnn.bit").write_bytes(b"")
    return tmp_path


@pytest.mark.usefixtures("simulator")
def test_board_runtime_over_the_simulated_system(
    built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = _fake_pynq(_transport())
    for name, module in said["modules"].items():
        monkeypatch.setitem(sys.modules, name, module)
    runtime = prepare("board", dense(), build=built)
    assert said["downloaded"]
    assert said["bitstream"] == str(built / "bnn.bit")
    assert said["window"] == (0x43C00000, 0x10000)
    assert said["clocks"].fclk0_mhz == 100.0
    inputs = _inputs(25)
    copies = [
        [entry["what"] for entry in runtime.run(inputs).details["ledger"]]
        for _ in range(5)  # buffers are used again
    ]
    assert copies == [["parameters", "images", "results"], *4 * [["images", "results"]]]
    outputs = runtime.run(inputs)
    assert outputs.details["copied"]["images"] == {"copies": 6, "bytes": 6 * 25 * 8}
    np.testing.assert_array_equal(outputs.scores, prepare("reference", dense()).run(inputs).scores)


def _session(driver_transport: Any, known: Metadata) -> np.ndarray:
    """What the recording holds: identity, loading, one batch, the report."""
    design = build(dense(), DENSE_FOLDING)
    driver = Driver(driver_transport, known)
    driver.load(loads(design))
    outputs = AcceleratorRuntime(Accelerated(design), driver).run(_inputs(7))
    return outputs.scores


def record(path: Path) -> None:
    """Record the session anew: ``python -c 'from hw.test_board import *; record(SESSION)'``."""
    design = build(dense(), DENSE_FOLDING)
    recorder = Recorder(_transport())
    known = metadata(design, sources(design))
    _session(recorder, known)
    recorder.save(path)
    head = json.dumps(known.as_json())
    path.with_suffix(".json").write_text(head + "\n", encoding="utf-8")


@pytest.fixture
def known() -> Metadata:
    """Of the design that was recorded, whatever today's is."""
    return Metadata.from_json(json.loads(SESSION.with_suffix(".json").read_text()))


def test_recorded_session_is_said_again_word_for_word(known: Metadata) -> None:
    replay = Replay(SESSION)
    scores = _session(replay, known)
    np.testing.assert_array_equal(scores, prepare("reference", dense()).run(_inputs(7)).scores)
    assert replay.finished()


def test_a_driver_that_says_something_else_is_caught(known: Metadata) -> None:
    design = build(dense(5), DENSE_FOLDING)  # other parameters
    driver = Driver(Replay(SESSION), known)
    with pytest.raises(DriverError, match="instead of"):
        driver.load(loads(design))


def test_no_accelerator_answers(known: Metadata, tmp_path: Path) -> None:
    silent = tmp_path / "session.jsonl"
    silent.write_text('["largest", 1000]\n["read", 16, 0]\n')
    with pytest.raises(DriverError, match="no accelerator answers: its identity reads 0x00000000"):
        Driver(Replay(silent), known)


def test_no_board(built: Path) -> None:
    with pytest.raises(RuntimeUnavailableError, match=r"PYNQ board: .*pynq is not installed"):
        prepare("board", dense(), build=built)


def test_folders_that_do_not_fit(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BNN_ACCELERATOR", raising=False)
    with pytest.raises(DriverError, match="no accelerator is named"):
        prepare("board", dense())
    (built / "bnn.bit").unlink()
    with pytest.raises(DriverError, match="no such bitstream"):
        prepare("board", dense(), build=built)
    values = json.loads((built / "driver.json").read_text())
    values["design_id"] ^= 1
    (built / "driver.json").write_text(json.dumps(values))
    with pytest.raises(DriverError, match="built for another model"):
        prepare("board", dense(), build=built)
    (built / "driver.json").write_text("{}")
    with pytest.raises(DriverError, match=r"driver\.json"):
        prepare("board", dense(), build=built)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("base", value) for value in ("1e3", 1.5, -1, True, None, 0x43C0_0001, [1], {})),
        *(("span", value) for value in (0, 4, "65536", 1 << 60)),
        *(("mhz", value) for value in ("100", True, 200.0, 1e9, 1e-300, float("nan"), 0, None)),
        *(("board", value) for value in ("zcu104", "", None, 1, [])),
        ("place_digest", ""),
        *(("probes", value) for value in (None, 1, "abc", [1])),
    ],
)
def test_driver_data_that_were_edited(built: Path, name: str, value: object) -> None:
    path = built / "driver.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), name: value}))
    with pytest.raises(DriverError) as reason:
        prepare("board", dense(), build=built)
    assert "\n" not in str(reason.value)
    if name != "probes":
        assert f"{path}: " in str(reason.value)
        assert "copy the whole folder" in str(reason.value)


@pytest.mark.parametrize("name", ["missing", "driver.json", "\0", "x" * 5000])
def test_what_is_no_folder(built: Path, name: str) -> None:
    with pytest.raises(DriverError, match=r"no such folder: .*BNN_ACCELERATOR"):
        prepare("board", dense(), build=f"{built}/{name}")


@pytest.mark.parametrize("name", ["driver.json", "folding.json", "bnn.bit"])
def test_folders_that_lack_a_file(built: Path, name: str) -> None:
    (built / name).unlink()
    with pytest.raises(DriverError, match=f"{name}: (no such|cannot be read)") as reason:
        prepare("board", dense(), build=built)
    assert "another model" not in str(reason.value)


def test_a_ledger_is_bounded() -> None:
    ledger = Ledger()
    for number in range(5 * KEPT):
        ledger.add("images", 8, {"cycle": number})
        ledger.add("results", 16, {"cycle": number})
        if number == 10:
            assert len(ledger.news()) == 22
    assert ledger.totals() == {
        "images": {"copies": 5 * KEPT, "bytes": 40 * KEPT},
        "results": {"copies": 5 * KEPT, "bytes": 80 * KEPT},
    }
    assert ledger.total("images") == 40 * KEPT
    assert ledger.total("parameters") == 0
    assert len(ledger.news()) == len(ledger.as_json()) == KEPT
    assert ledger.news() == []
    ledger.add("images", 8, {"cycle": -1})
    assert ledger.news() == [{"what": "images", "bytes": 8, "cycle": -1}]


def test_an_error_that_another_start_cleared(known: Metadata, tmp_path: Path) -> None:
    """Bit ERROR of CONTROL is set after the wait, but the register ERROR is 0: no result."""
    lines = SESSION.read_text(encoding="utf-8").splitlines()
    at = lines.index('["wait", true]') + 1
    assert lines[at] == '["read", 0, 6]'
    lines[at] = '["read", 0, 14]'
    path = tmp_path / "session.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(DriverError, match="bit ERROR of register CONTROL"):
        _session(Replay(path), known)

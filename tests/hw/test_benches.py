# SPDX-License-Identifier: BSD-3-Clause
"""Single blocks in cocotb, 100 000 beats and more with random stalls, against their objects."""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path

import pytest

from bnn.hw.render import library
from bnn.hw.toolchain import verilator
from hw.blocks import LARGE, SMALL, Bench

pytestmark = pytest.mark.hw

BEATS = 100_000


#: What the simulators are told.
ARGUMENTS = {
    "verilator": ["-Wno-fatal", "-Wno-lint", "-Werror-USERERROR", "-CFLAGS", "-std=c++20"],
    "icarus": ["-g2012"],
}


#: Parameters that are loaded need the parameter bus: ``test_blocks.py`` has one.
LOADED = [name for name in LARGE if LARGE[name]().loads]


@pytest.mark.parametrize("name", [*SMALL, *(name for name in LARGE if name not in LOADED)])
@pytest.mark.usefixtures("simulator")
def test_block(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = verilator.verilator_root()
    monkeypatch.setenv("VERILATOR_ROOT", str(root))
    monkeypatch.setenv("PATH", f"{root / 'bin'}{os.pathsep}{os.environ['PATH']}")
    _bench(name, {**SMALL, **LARGE}[name](), "verilator", tmp_path, monkeypatch)


@pytest.mark.parametrize("name", SMALL)
def test_second_opinion(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("iverilog") is None:
        pytest.skip("Icarus is not installed (Debian's package iverilog)")
    _bench(name, SMALL[name](), "icarus", tmp_path, monkeypatch)


def _bench(
    name: str, bench: Bench, simulator: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner_module = pytest.importorskip("cocotb_tools.runner", reason="cocotb (extra `hw`)")
    luck = random.Random(name)
    images = -(-BEATS // bench.beats)
    drawn = bench.drawn(luck, images)
    expected = [word for streams in drawn for word in bench.golden(*streams)]
    assert bench.beats * images >= BEATS
    names = ("i",) if len(bench.bits) == 1 else ("a", "b")
    copies = getattr(bench.block, "copies", 1)
    task = {
        "seed": 5,
        "inputs": [
            {"name": port, "chance": 0.7, "words": [w for streams in drawn for w in streams[at]]}
            for at, port in enumerate(names)
        ],
        "output": {
            "copies": copies,
            "bits": bench.block.output_bits,
            "chance": 0.6 if copies == 1 else 0.8,
            "words": len(expected),
        },
        "result": str(folder / "result.json"),
    }
    (folder / "task.json").write_text(json.dumps(task))
    for file, text in {**library(), **bench.files}.items():
        (folder / file).write_text(text)
    monkeypatch.setenv("BNN_BENCH", str(folder / "task.json"))
    monkeypatch.syspath_prepend(str(Path(__file__).parent))  # the runner hands the path on
    runner = runner_module.get_runner(simulator)
    generics = {
        key: f'"{value}"' if isinstance(value, str) and "'h" not in value else value
        for key, value in bench.block.generics().items()
    }
    runner.build(
        sources=[folder / file for file in library() if file.endswith(".sv")],
        hdl_toplevel=bench.block.module,
        parameters=generics,
        build_dir=folder,
        build_args=ARGUMENTS[simulator],
        timescale=("1ns", "1ns") if simulator == "icarus" else None,
        log_file=folder / "build.log",
    )
    runner.test(
        hdl_toplevel=bench.block.module,
        test_module="stream_bench",
        build_dir=folder,
        test_dir=folder,
        log_file=folder / "test.log",
    )
    mask = (bench.mask or [-1] * bench.block.output_words) * images
    for got in json.loads((folder / "result.json").read_text()):
        assert [a & m for a, m in zip(got, mask, strict=True)] == [
            a & m for a, m in zip(expected, mask, strict=True)
        ]

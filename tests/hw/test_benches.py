# SPDX-License-Identifier: BSD-3-Clause
"""Single blocks in cocotb, 100 000 beats and more with random stalls, against their objects."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bnn.hw import verilator
from bnn.hw.adder import Adder
from bnn.hw.levels import ThresholdUnit, of_threshold, threshold_bounds
from bnn.hw.matrix import Matrix, accumulator_bits
from bnn.hw.patches import Patches
from bnn.hw.plumbing import Fifo, Fork, Narrow, Pad, Resize, Serialize, Trim, Widen
from bnn.hw.render import image, library
from bnn.hw.window import Maximum, SlidingWindow
from bnn.precision import BIPOLAR, INT, TERNARY, UINT
from bnn.program import Borders, Dot, Threshold
from hw.examples import signs

pytestmark = pytest.mark.hw

BEATS = 100_000


@dataclass
class Bench:
    """A block, the words of one image, and what must come out for an image.

    Attributes:
        bits: of a word of each stream in; words: of an image on each of them.
        golden: the streams' words of an image to the words out.
        files: memory images.
        mask: of the bits that are defined in every output word of an image, or None for all.
    """

    block: Any
    bits: tuple[int, ...]
    words: int
    golden: Callable[..., list[int]]
    files: dict[str, str]
    mask: list[int] | None = None

    @property
    def beats(self) -> int:
        """Of an image on its busiest stream."""
        return max(self.words, self.block.output_words)


def _plain(block: Any, bits: int | tuple[int, ...], words: int) -> Bench:
    return Bench(block, (bits,) if isinstance(bits, int) else bits, words, block.golden, {})


def _window() -> Bench:
    block = SlidingWindow((7, 6, 4), 2, 2, (3, 2), (2, 1), (1, 1, 1, 0), 3, pixels=4)
    height, width = block.out_shape
    tail = height * width - (block.groups - 1) * block.pixels
    full, rest = (1 << block.output_bits) - 1, (1 << tail * 4) - 1
    steps = block.output_steps
    mask = [full] * (block.output_words - steps) + [rest] * steps
    return Bench(block, (4,), block.input_words, block.golden, {}, mask)


def _patches(padding: Borders, take: int) -> Bench:
    block = Patches((7, 7, 4), 2, 1, (3, 2), (2, 1), padding, 3, pixels=2, take=take)
    return _plain(block, 2 * take, block.input_words)


def _matrix(weight: Any, source: Any, levels: int, pixels: int, simd: int = 4) -> Bench:
    draw = np.random.default_rng(1)
    columns = 3 * simd
    weights = signs(draw, 6, columns) if weight == BIPOLAR else draw.integers(-1, 2, (6, columns))
    dot = Dot("d", "input", weights, weight)
    acc, low, high = accumulator_bits(columns, weight, source, levels)
    thresholds = np.sort(draw.integers(-9, 9, (6, levels)), axis=1)
    output = BIPOLAR if levels == 1 else UINT(2)
    base, step = (-1, 2) if levels == 1 else (0, 1)
    threshold = Threshold("t", "d", thresholds, output, base, step, signs(draw, 6))
    made = of_threshold(threshold, acc, low, high, falling=True)
    block = Matrix(6, columns, 8, 2, simd, pixels, weight, source, made, name="dut")
    contents = block.contents(dot, threshold)
    files = {
        "dut_weights.mem": image(contents.weights, block.weight_word_bits),
        "dut_levels.mem": image(contents.levels, made.word_bits),
    }
    words = block.groups * block.column_folds
    bits = pixels * simd * source.bits
    return Bench(block, (bits,), words, lambda w: block.golden(w, dot, threshold), files)


def _threshold() -> Bench:
    draw = np.random.default_rng(2)
    thresholds = np.sort(draw.integers(-9, 9, (6, 3)), axis=1)
    threshold = Threshold("t", "input", thresholds, UINT(2), signs=signs(draw, 6))
    acc, low, high = threshold_bounds(INT(5))
    made = of_threshold(threshold, acc, low, high)
    block = ThresholdUnit(6, 4, 2, INT(5), made, name="dut")
    files = {"dut_levels.mem": image(block.contents(threshold), made.word_bits)}
    return Bench(block, (10,), block.output_words, lambda w: block.golden(w, threshold), files)


#: Small blocks, which Icarus simulates too.
SMALL: dict[str, Callable[[], Bench]] = {
    "fifo": lambda: _plain(Fifo(9, 5, 10), 9, 10),
    "fifo-of-one": lambda: _plain(Fifo(9, 1, 10), 9, 10),
    "widen": lambda: _plain(Widen(3, 4, 12, 2), 6, 12),
    "narrow": lambda: _plain(Narrow(3, 4, 5, 2), 24, 5),
    "trim": lambda: _plain(Trim(5, 3, 7), 5, 7),
    "pad": lambda: _plain(Pad(5, 3, 7), 5, 3),
    "resize-cut": lambda: _plain(Resize(8, 5, 10), 8, 10),
    "resize-extend": lambda: _plain(Resize(5, 8, 10), 5, 10),
    "serialize": lambda: _plain(Serialize(3, 4, 2, 10), 12, 6),
    "max": lambda: _plain(Maximum(3, 4, True, 2, 6, 36), 12, 36),
    "fork": lambda: _plain(Fork(7, 3, 10), 7, 10),
    "add": lambda: _plain(Adder(INT(4), UINT(3), 3, 6, 10), (12, 9), 10),
    "add-bipolar": lambda: _plain(Adder(BIPOLAR, INT(5), 2, 7, 10), (2, 10), 10),
}

LARGE: dict[str, Callable[[], Bench]] = {
    "window": _window,
    "patches": lambda: _patches((1, 1, 1, 1), 2),
    "patches-bare": lambda: _patches((0, 0, 0, 0), 1),
    "matrix-bipolar": lambda: _matrix(BIPOLAR, BIPOLAR, 1, 1),
    "matrix-pixels": lambda: _matrix(BIPOLAR, TERNARY, 3, 4),
    "matrix-planes": lambda: _matrix(INT(3), INT(4), 3, 2),
    "matrix-planes-wide": lambda: _matrix(INT(3), TERNARY, 1, 1, 20),
    "matrix-ternary": lambda: _matrix(TERNARY, TERNARY, 3, 2),
    "matrix-ternary-wide": lambda: _matrix(TERNARY, TERNARY, 2, 1, 20),
    "matrix-ternary-widest": lambda: _matrix(TERNARY, TERNARY, 1, 1, 50),
    "matrix-halves": lambda: _matrix(TERNARY, INT(4), 3, 2),
    "matrix-halves-one": lambda: _matrix(TERNARY, UINT(8), 1, 1),
    "matrix-halves-wide": lambda: _matrix(TERNARY, INT(8), 1, 1, 9),
    "threshold": _threshold,
}

#: What the simulators are told.
ARGUMENTS = {
    "verilator": ["-Wno-fatal", "-Wno-lint", "-CFLAGS", "-std=c++20"],
    "icarus": ["-g2012"],
}


@pytest.mark.parametrize("name", [*SMALL, *LARGE])
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
    drawn = [
        [[_word(luck, bench, bits) for _ in range(bench.words)] for bits in bench.bits]
        for _ in range(images)
    ]
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


def _word(luck: random.Random, bench: Bench, bits: int) -> int:
    """A random word; for a matrix with ternary inputs, of legal codes only."""
    if getattr(bench.block, "source", None) != TERNARY:
        return luck.getrandbits(bits)
    codes = [luck.choice((0, 1, 3)) for _ in range(bits // 2)]
    return sum(code << (2 * place) for place, code in enumerate(codes))

# SPDX-License-Identifier: BSD-3-Clause
"""Every block in one of five small simulators, against its object, within seconds.

The ends of the streams are ``streams.sv``. Each block gets a thousand words and more with random
pauses on every stream, runs of back-pressure, runs of few words and runs without any pause; a reset
in the middle, registers that start at random, and data that changes while it is not valid.
"""

from __future__ import annotations

import random
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bnn.hw.blocks.unpack import Unpack
from bnn.hw.render import library
from bnn.hw.toolchain import verilator
from hw.blocks import LARGE, SMALL, Bench
from hw.simulators import built, reached

pytestmark = pytest.mark.usefixtures("simulator")

BEATS = 1500
CYCLES = 40_000
HERE = Path(__file__).parent

#: Benches that share a simulator. What is built is kept, so a change builds its own group only.
GROUPS = {
    "plumbing": [name for name in SMALL if not name.startswith("unpack")],
    "unpack": [name for name in SMALL if name.startswith("unpack")],
    "rescales": [name for name in LARGE if name.startswith("rescale")],
    "windows": [name for name in LARGE if name.startswith(("window", "patches"))],
    "agree": [name for name in LARGE if name.startswith(("matrix-agree", "matrix-b"))],
    "thresholds": [name for name in LARGE if name.startswith("threshold")],
    "planes": [name for name in LARGE if name.startswith(("matrix-p", "matrix-l", "matrix-t"))],
    "sums": [name for name in LARGE if name.startswith(("matrix-s", "matrix-h"))],
}

_MAIN = """#include "Vbench.h"
#include "verilated.h"
#include <cstdlib>
int main(int argc, char** argv) {
    Verilated::commandArgs(argc, argv);
    Vbench bench;
    const int limit = std::atoi(argv[1]);
    for (int half = 0; half < 2 * limit + 2 && !Verilated::gotFinish(); ++half) {
        bench.clk = half & 1;
        bench.eval();
    }
    return Verilated::gotFinish() ? 0 : 1;
}
"""


def test_every_bench_has_a_group() -> None:
    assert sorted(name for group in GROUPS.values() for name in group) == sorted([*SMALL, *LARGE])


def test_lint_of_every_block(tmp_path: Path) -> None:
    """All that Verilator warns of, with each bench's sizes: lost bits, several drivers, ranges."""
    root = verilator.verilator_root()
    for name, text in library().items():
        (tmp_path / name).write_text(text)
    said = {}
    for name, make in {**SMALL, **LARGE}.items():
        block = make().block
        generics = [f"-G{key}={_literal(value)}" for key, value in block.generics().items()]
        flags = ["--lint-only", "-Wall", "--top-module", block.module, *generics]
        if name == "matrix-sums-one":  # the branch that is not taken has two bits of a single one
            flags.append("-Wno-SELRANGE")
        run = subprocess.run(
            [str(root / "bin" / "verilator_bin"), *flags, *reached([block.module])],
            cwd=tmp_path,
            env={"VERILATOR_ROOT": str(root)},
            capture_output=True,
            text=True,
            check=False,
        )
        said[name] = run.stderr
    assert said == dict.fromkeys(said, "")


def _literal(value: object) -> object:
    return value if not isinstance(value, str) or "'h" in value else f'"{value}"'


@pytest.mark.parametrize("group", GROUPS)
def test_blocks(group: str, tmp_path: Path) -> None:
    benches = {name: {**SMALL, **LARGE}[name]() for name in GROUPS[group]}
    parts = [_stream(name, bench, tmp_path) for name, bench in benches.items()]
    _run([bench.block.module for bench in benches.values()], parts, tmp_path)


def test_bytes_after_a_batch_are_no_image(tmp_path: Path) -> None:
    """A batch that ends within a word: what follows there never comes out."""
    parts, luck = [], random.Random(7)
    for values, lanes in [(9, 1), (27, 3), (13, 5), (11, 8), (12, 4), (15, 2)]:
        block = Unpack(values, lanes, 8, tuple(range(256)))
        images = BEATS // block.output_words + 1
        images += (images * values) % 8 == 0
        words = -(-images * values // 8)
        bench = Bench(block, (64,), words, block.golden, {})
        bench = replace(bench, mask=[(1 << 8 * lanes) - 1] * (images * block.output_words))
        assert len(block.golden([luck.getrandbits(64)] * words)) == images * block.output_words
        parts.append(_stream(f"unpack-{values}-{lanes}", bench, tmp_path, batches=1))
    _run(["bnn_unpack"], parts, tmp_path)


def test_blocks_of_a_synthesisers_primitives(tmp_path: Path) -> None:
    """LUTs, carries and multiplexers as instances (BNN_LUT6) do what the expressions do."""
    names = ["matrix-agree-deep", "matrix-agree-tables", "matrix-agree-four-tables"]
    names += ["matrix-planes-wide", "matrix-sums-signed"]
    benches = {name: LARGE[name]() for name in names}
    parts = [_stream(name, bench, tmp_path) for name, bench in benches.items()]
    texts = {"primitives.sv": (HERE / "primitives.sv").read_text()}
    _run(["bnn_matrix"], parts, tmp_path, texts, ["-DBNN_LUT6"])


def test_probes_count(tmp_path: Path) -> None:
    """What moves, what waits and what is waited for, and the highest fill, after each clear."""
    luck = random.Random(4)
    given, wanted = [], []
    counts, shown = [0, 0, 0, 0], 0
    for at in range(2000):
        clear, valid, ready = luck.random() < 0.004, luck.random() < 0.6, luck.random() < 0.4
        fill, select = luck.getrandbits(5) if luck.random() < 0.2 else 3, luck.randrange(4)
        given.append(int(clear) | valid << 1 | ready << 2 | fill << 3 | select << 8)
        shown = counts[select]
        moved, stalled, starved = valid and ready, valid and not ready, ready and not valid
        highest = max(counts[3], fill)
        counts = [counts[0] + moved, counts[1] + stalled, counts[2] + starved, highest]
        if clear or at == 0:
            counts = [0, 0, 0, 0]
        wanted.append(shown)
    given[0] |= 1
    _words(tmp_path / "probe_in", given)
    _words(tmp_path / "probe_out", wanted)
    part = """
    wire [9:0] given; wire [31:0] got;
    bnn_probe #(.FILL(5)) dut (.clk(clk), .clear(given[0]), .valid(given[1]), .ready(given[2]),
        .fill(given[7:3]), .select(given[9:8]), .value(got));
    bench_cycles #(.BITS(10), .TO(32), .WORDS(2000), .FILE("probe_in"), .WANT("probe_out"),
        .NAME("probe")) ends (.clk(clk), .rst(rst || again), .given(given), .got(got),
        .done(done[0]));"""
    _run(["bnn_probe"], [part], tmp_path)


@pytest.mark.parametrize("count", [1, 5, 8])
def test_a_probe_is_chosen(count: int, tmp_path: Path) -> None:
    """The count of each probe in its place; 0 for a number that no probe has."""
    luck = random.Random(count)
    random_ones = [luck.randrange(2 * count) for _ in range(300)]
    numbers = [*[0] * 10, *range(count + 2), 16383, *random_ones]  # the first are not compared
    counts = [luck.getrandbits(32 * count) for _ in numbers]
    chosen = [
        values >> 32 * number & 0xFFFF_FFFF if number < count else 0
        for values, number in zip(counts, numbers, strict=True)
    ]
    given = [values << 14 | number for values, number in zip(counts, numbers, strict=True)]
    _words(tmp_path / "select_in", given)
    _words(tmp_path / "select_out", chosen)
    bits = 14 + 32 * count
    part = f"""
    wire [{bits - 1}:0] given; wire [31:0] got;
    bnn_probe_select #(.COUNT({count})) dut (.clk(clk), .index(given[13:0]),
        .counts(given[{bits - 1}:14]), .value(got));
    bench_cycles #(.BITS({bits}), .TO(32), .WORDS({len(given)}), .FILE("select_in"),
        .WANT("select_out"), .NAME("select")) ends (.clk(clk), .rst(rst || again), .given(given),
        .got(got), .done(done[0]));"""
    _run(["bnn_probe_select"], [part], tmp_path)


def test_a_deeper_count(tmp_path: Path) -> None:
    """The three-stage tally: more bits than one step of adders takes."""
    draw = np.random.default_rng(3)
    chances = draw.choice([0.0, 0.1, 0.5, 0.9, 1.0], 1000)
    bits = draw.random((1000, 300)) < chances[:, None]
    counts = [int(row.sum()) for row in bits]
    _words(tmp_path / "in", [int("".join(str(int(bit)) for bit in row), 2) for row in bits])
    _words(tmp_path / "out", [*counts[:1] * 3, *counts[:-3]])  # four stages, one is the bench's own
    part = """
    wire [299:0] given; wire [8:0] got;
    bnn_popcount #(.BITS(300), .STAGES(4)) dut (.clk(clk), .bits(given), .count(got));
    bench_cycles #(.BITS(300), .TO(9), .WORDS(1000), .FILE("in"), .WANT("out"), .NAME("popcount"))
        ends (.clk(clk), .rst(rst || again), .given(given), .got(got), .done(done[0]));"""
    _run(["bnn_popcount"], [part], tmp_path)


def _stream(name: str, bench: Bench, folder: Path, batches: int = 0) -> str:
    """The bench's part of the simulator; its words go to files.

    Args:
        batches: how often the words of an image come; 0: as often as there are beats enough.
    """
    place = folder / name
    place.mkdir()
    luck = random.Random(name)
    images = batches or -(-BEATS // bench.beats)
    drawn = bench.drawn(luck, images)
    ports = ("i",) if len(bench.bits) == 1 else ("a", "b")
    for at, port in enumerate(ports):
        _words(place / port, [w for streams in drawn for w in streams[at]])
    expected = [w for streams in drawn for w in bench.golden(*streams)]
    full = (1 << bench.block.output_bits) - 1
    _words(place / "o", expected)
    _words(place / "mask", (bench.mask or [full] * bench.block.output_words) * images)
    for file, text in bench.files.items():
        (place / file).write_text(text)
    writes = [
        data | index << 32 | item << 52 | kind << 68 for kind, item, index, data in bench.loads
    ]
    _words(place / "load", writes)
    return _text(name, bench, ports, [count * images for count in bench.each], len(expected))


def _text(name: str, bench: Bench, ports: tuple[str, ...], counts: list[int], wanted: int) -> str:
    """Streams in, the block, streams out; ``@`` is the bench's prefix, ``#`` an end's number."""
    block = bench.block
    copies, bits = getattr(block, "copies", 1), block.output_bits
    parts = [f"\n    // {name}\n    wire @go;"]
    joined = [".clk(clk), .rst(rst || again)"]
    streams = zip(ports, bench.bits, counts, strict=True)
    for at, (port, width, given) in enumerate(streams):
        parts.append(
            f"""
    wire @{port}v, @{port}r;
    wire [{width - 1}:0] @{port}d;
    bench_feed #(.BITS({width}), .WORDS({given}), .SEED({at + 1}), .FILE("{name}/{port}"))
    @{port}f (
        .clk(clk), .rst(rst || again), .go(@go), .pace(pace), .valid(@{port}v), .ready(@{port}r),
        .data(@{port}d)
    );"""
        )
        ends = (("valid", "v"), ("ready", "r"), ("data", "d"))
        joined.append(", ".join(f".{port}_{end}(@{port}{short})" for end, short in ends))
    parts.append(f"\n    wire [{copies - 1}:0] @ov, @or;\n    wire [{copies * bits - 1}:0] @od;")
    joined.append(".o_valid(@ov), .o_ready(@or), .o_data(@od)")
    if bench.loads:
        parts.append(_LOAD.format(writes=len(bench.loads), name=name))
        joined.append(
            ".p_valid(@pv), .p_thresholds(@pl), .p_item(@pi), .p_index(@px), .p_data(@pd)"
        )
    else:
        parts.append("\n    assign @go = 1'b1;")
        if hasattr(block, "loadable"):
            joined.append(".p_valid('0), .p_thresholds('0), .p_item('0), .p_index('0), .p_data('0)")
    generics = ", ".join(f".{key}({_value(name, v)})" for key, v in block.generics().items())
    parts.append(
        f"\n    {block.module} #({generics}) @dut (\n        " + ",\n        ".join(joined) + ");"
    )
    parts += [
        f"""
    bench_drain #(.BITS({bits}), .WORDS({wanted}), .SEED({copy + 7}), .FILE("{name}/o"),
        .MASK("{name}/mask"), .NAME("{name}"), .STEADY({int(copies == 1)})) @o{copy} (
        .clk(clk), .rst(rst || again), .pace(pace), .last_call(last_call), .valid(@ov[{copy}]),
        .ready(@or[{copy}]), .data(@od[{copy * bits}+:{bits}]), .done(done[#]));"""
        for copy in range(copies)
    ]
    return "".join(parts).replace("@", name.replace("-", "_") + "_")


_LOAD = """
    wire @pv, @pl;
    wire [15:0] @pi;
    wire [19:0] @px;
    wire [31:0] @pd;
    bench_load #(.WRITES({writes}), .FILE("{name}/load")) @load (
        .clk(clk), .rst(rst || again), .p_valid(@pv), .p_thresholds(@pl), .p_item(@pi),
        .p_index(@px), .p_data(@pd), .go(@go)
    );"""


def _value(name: str, value: object) -> object:
    if not isinstance(value, str) or "'h" in value:
        return value
    return f'"{name}/{value}"' if value.endswith(".mem") else f'"{value}"'


def _words(path: Path, words: Iterable[int]) -> None:
    path.write_text("".join(f"{w:x}\n" for w in words))


def _run(
    modules: list[str],
    parts: list[str],
    folder: Path,
    more: Mapping[str, str] | None = None,
    flags: Iterable[str] = (),
) -> None:
    """Build what is not kept, run it where the words are: it must have nothing to complain of."""
    ends = sum(part.count("done[#]") + part.count("done[0]") for part in parts)
    body = "\n".join(parts)
    for number in range(body.count("done[#]")):
        body = body.replace("done[#]", f"done[{number}]", 1)
    top = f"""`default_nettype none
module bench (input wire clk);
    int cycle = 0;
    wire [{ends - 1}:0] done;
    // A reset in the middle: what was before leaves nothing.
    wire rst = cycle < 4, again = cycle >= 700 && cycle < 703;
    wire [1:0] pace = 2'(cycle / 128);
    wire last_call = cycle == {CYCLES};
    int quiet = 0;
    always_ff @(posedge clk) begin
        cycle <= cycle + 1;
        quiet <= &done ? quiet + 1 : 0;
        if (quiet == 300) $finish;
    end
{body}
endmodule
`default_nettype wire
"""
    texts = {"streams.sv": (HERE / "streams.sv").read_text(), **(more or {}), "bench.sv": top}
    program = built("bench", modules, texts, _MAIN, flags)
    run = subprocess.run(
        [str(program), str(CYCLES + 2), "+verilator+rand+reset+2", "+verilator+seed+7"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    said = [line for line in run.stdout.splitlines() if not re.match(r"- .*\$finish", line)]
    assert not said, "\n".join(said)
    assert run.returncode == 0, run.stderr

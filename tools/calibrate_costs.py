#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Measure single blocks with Yosys, for the planner's cost model.

    nice python tools/calibrate_costs.py [--minutes 20] [--only bnn_matrix]

Synthesizes the blocks listed below that ``tools/costs.json`` does not have yet (or has of another
RTL), a few in each run of Yosys, and writes that file after every run: stop it at any time and
go on later. Then fits the model to them, as ``tools/fit_costs.py`` does alone.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fit_costs
import numpy as np

from bnn.hw.blocks.adder import Adder
from bnn.hw.blocks.block import Block
from bnn.hw.blocks.joins import Joiner, Multiplier
from bnn.hw.blocks.matrix import Matrix, accumulator_bits
from bnn.hw.blocks.patches import Patches
from bnn.hw.blocks.plumbing import Fifo, Narrow, Pad, Serialize, Trim, Widen
from bnn.hw.blocks.rescales import RescaleUnit, scaling
from bnn.hw.blocks.states import Deal, StateUnit
from bnn.hw.blocks.tables import TableUnit
from bnn.hw.blocks.thresholds import Thresholds, ThresholdUnit, threshold_bounds
from bnn.hw.blocks.unpack import Unpack
from bnn.hw.blocks.window import Maximum, SlidingWindow
from bnn.hw.render import Sources, image, library, value
from bnn.hw.toolchain import synth
from bnn.program.inputs import fixed_point_table, sign_table
from bnn.program.operations import Rescale, Rounding
from bnn.program.precision import BIPOLAR, INT, TERNARY, UINT, Precision

ROOT = Path(__file__).parents[1]
DATA = ROOT / "tools" / "costs.json"
#: Blocks of one run of Yosys.
BATCH = 7


# ---- the blocks -----------------------------------------------------------------------------


def matrix(
    pe: int,
    simd: int,
    *,
    folds: tuple[int, int] = (4, 4),
    pixels: int = 1,
    weight: Precision = BIPOLAR,
    source: Precision = BIPOLAR,
    levels: int = 1,
    loadable: bool = False,
    style: str = "auto",
) -> Matrix:
    """Return a matrix with NF, SF = ``folds``."""
    columns = simd * folds[1]
    acc, low, high = accumulator_bits(columns, weight, source, levels)
    bits = 16 if not levels else 1 if levels == 1 else 2
    output = INT(16) if not levels else BIPOLAR if levels == 1 else TERNARY
    made = Thresholds(acc, low, high, levels, False, -1, 1 + (levels == 1), 0, bits, output)
    return Matrix(
        rows=pe * folds[0],
        columns=columns,
        positions=pixels * 4,
        pe=pe,
        simd=simd,
        pixels=pixels,
        weight=weight,
        source=source,
        thresholds=made,
        loadable=loadable,
        style=style,
    )


def window(side: int, channels: int, lanes: int, bits: int, pixels: int, k: int = 3) -> Block:
    """Return a window without padding; for k = 2, that of a pool."""
    step = (1, 1) if k != 2 else (2, 2)
    return SlidingWindow((side, side, channels), bits, lanes, (k, k), step, (0, 0, 0, 0), 0, pixels)


def wanted() -> Iterator[Block]:
    """Yield every block that is measured."""
    yield from matrices()
    yield from windows()
    yield from plumbing()
    yield from arithmetic()
    yield from sequences()


def matrices() -> Iterator[Block]:
    # Columns, and memories of many words.
    yield matrix(1, 64, folds=(2, 3))
    yield matrix(4, 64, folds=(8, 4))
    yield matrix(2, 16, folds=(2, 3))
    yield matrix(2, 144, folds=(2, 2))
    yield matrix(2, 32, folds=(8, 18), loadable=True)
    yield matrix(1, 288, folds=(1, 2))
    yield matrix(2, 36, pixels=4, folds=(16, 8))
    yield matrix(2, 9, source=INT(8), folds=(16, 3))
    yield matrix(4, 3, source=INT(8), folds=(4, 9))
    yield matrix(2, 48, source=TERNARY, levels=2)
    # Precisions.
    yield matrix(2, 9, pixels=4, source=INT(8), folds=(16, 3), loadable=True)
    yield matrix(1, 27, source=INT(8))
    yield matrix(2, 9, weight=TERNARY, source=INT(8))
    yield matrix(2, 16, source=TERNARY, levels=2)
    yield matrix(2, 24, weight=TERNARY, source=TERNARY, levels=2)
    yield matrix(1, 16, weight=INT(4), source=UINT(4), levels=3)
    yield matrix(2, 4, folds=(8, 16))
    yield matrix(4, 8, levels=0, folds=(8, 16))
    yield matrix(2, 16, folds=(1, 1))
    yield matrix(2, 16, folds=(128, 16))
    yield matrix(2, 40, folds=(128, 16), loadable=True)
    # As in large networks, except for the number of rows per cycle.
    both = {"source": TERNARY, "levels": 2}
    yield matrix(8, 144, folds=(1, 4), style="distributed")
    yield matrix(2, 72, folds=(8, 16), pixels=3, style="block")
    yield matrix(4, 128, folds=(8, 8), style="block")
    yield matrix(2, 98, folds=(64, 4), style="distributed")
    yield matrix(1, 64, folds=(64, 36))
    yield matrix(1, 1, levels=0, folds=(10, 512))
    yield matrix(4, 72, folds=(1, 8), style="distributed", **both)
    yield matrix(2, 64, folds=(8, 18), pixels=2, style="block", **both)
    yield matrix(1, 32, folds=(512, 16), **both)
    yield matrix(1, 1, levels=0, folds=(10, 512), source=TERNARY)
    yield matrix(2, 32, folds=(8, 18), loadable=True, **both)
    yield matrix(4, 64, folds=(2, 9), weight=TERNARY, **both)
    yield matrix(2, 64, folds=(16, 9), pixels=3, weight=TERNARY, style="block", **both)
    yield matrix(1, 16, folds=(512, 32), weight=TERNARY, **both)
    yield matrix(8, 3, folds=(1, 9), source=INT(8), style="distributed")
    yield matrix(8, 9, folds=(1, 3), source=INT(8), levels=2)
    yield matrix(4, 3, folds=(2, 9), source=INT(8), weight=TERNARY, levels=2)
    yield matrix(8, 64, folds=(8, 13), loadable=True)
    yield matrix(16, 32, folds=(4, 32), loadable=True)
    yield matrix(8, 32, folds=(4, 18), loadable=True, **both)
    yield matrix(8, 3, folds=(4, 9), source=INT(8), loadable=True)
    # As in small networks.
    yield matrix(1, 9, folds=(4, 2), weight=INT(4), source=UINT(2), levels=2)
    yield matrix(2, 4, folds=(2, 3), weight=INT(3), source=INT(5), levels=3)
    yield matrix(2, 6, folds=(2, 2), weight=UINT(2), source=BIPOLAR)
    yield matrix(1, 8, folds=(3, 1), weight=INT(8), source=UINT(8), levels=0)


def windows() -> Iterator[Block]:
    for side, channels, lanes, bits, pixels in (
        *((32, 3, 3, 8, 1), (32, 3, 3, 8, 4), (30, 64, 32, 1, 2), (5, 128, 128, 1, 1)),
        *((14, 64, 16, 2, 2), (28, 1, 1, 8, 1)),
    ):
        yield window(side, channels, lanes, bits, pixels)
    for side, lanes, bits in ((28, 64, 1), (10, 64, 2)):
        yield window(side, lanes, lanes, bits, 1, k=2)
    # Whole kernels.
    for side, channels, lanes, bits, pixels, take in (
        *((32, 3, 3, 8, 1, 1), (30, 64, 16, 1, 2, 4), (14, 64, 8, 1, 3, 2)),
        *((12, 128, 8, 1, 2, 1), (14, 64, 8, 2, 1, 2)),
    ):
        shape, none = (side, side, channels), (0, 0, 0, 0)
        yield Patches(shape, bits, lanes, (3, 3), (1, 1), none, 0, pixels, take=take)


def plumbing() -> Iterator[Block]:
    for bits, depth in ((64, 2), (24, 16), (64, 128), (16, 600), (128, 40), (8, 2000)):
        yield Fifo(bits, depth, 8)
    for bits, ratio in ((8, 4), (64, 9), (3, 16), (32, 2)):
        yield Widen(bits, ratio, 8)
        yield Narrow(bits, ratio, 8)
    for bits, pixels, folds in ((16, 2, 4), (4, 7, 16), (8, 4, 1), (2, 14, 32)):
        yield Serialize(bits, pixels, folds, pixels * 3)
    for lanes, bits, folds in ((64, 1, 1), (128, 1, 2), (64, 2, 1), (16, 8, 2)):
        yield Maximum(lanes, bits, bits > 1, folds, 4, 4 * folds)
    for lanes, a, b in ((8, 4, 4), (32, 6, 2), (4, 16, 16)):
        yield Adder(INT(a), INT(b), lanes, max(a, b) + 1, 8)
    for lanes, bits, levels in ((8, 8, 1), (16, 6, 2), (4, 16, 3)):
        source = INT(bits)
        acc, low, high = threshold_bounds(source)
        made = Thresholds(acc, low, high, levels, False, -1, 1, 0, 2, TERNARY)
        yield ThresholdUnit(4 * lanes, 8, lanes, source, made, loadable=levels == 2)
    yield Trim(24, 1024, 1032)
    yield Trim(64, 13, 16)
    yield Pad(8, 10, 16)
    yield Pad(16, 5, 8)
    cnv, lfc = [INT(8).encode(fixed_point_table()), BIPOLAR.encode(sign_table())]
    levels = UINT(2).encode(np.arange(256) // 64)
    for values, lanes, bits, codes in (
        (3072, 3, 8, cnv),
        (3072, 1, 8, cnv),
        (3 * 27 * 27, 3, 8, cnv),
        (784, 8, 8, np.arange(256)),
        (784, 7, 8, np.arange(256)),
        (784, 4, 8, np.arange(256)),
        (784, 8, 1, lfc),
        (784, 7, 1, lfc),
        (783, 8, 1, lfc),
        (784, 5, 2, levels),
    ):
        yield Unpack(values, lanes, bits, tuple(int(code) for code in codes))


def rescale(
    lanes: int,
    folds: int,
    source: Precision,
    made: Precision,
    shift: int,
    rounding: Rounding,
    *,
    most: int = 0,
    factor: int = 1,
    offset: int = 0,
    loadable: bool = False,
) -> Block:
    """Return a rescale; ``most``: largest multiplier and offset of channels, 0: ``factor``."""
    draw = np.random.default_rng(lanes * folds)
    channels = lanes * folds
    by = draw.integers(-most, most, channels) if most else np.full(channels, factor)
    if most:
        by[0] = most
    add = draw.integers(-offset, offset, channels, endpoint=True) if offset else None
    op = Rescale("r", "input", by, shift, made, made.low, made.high, add, rounding)
    return RescaleUnit(
        channels, 4, lanes, scaling(op, source, source.low, source.high), loadable=loadable
    )


def sequences() -> Iterator[Block]:
    for lanes, bits, entries, made in (
        (2, 16, 2560, UINT(8)),
        (1, 16, 1537, INT(8)),
        (4, 12, 40, UINT(4)),
        (2, 20, 300, INT(8)),
    ):
        yield TableUnit(4 * lanes, 8, lanes, INT(bits), made, -entries // 2, entries)
    for lanes, bits, words in ((2, 16, 64), (128, 2, 1), (4, 8, 4), (1, 9, 100)):
        yield StateUnit(INT(bits), INT(bits), lanes, words, 1)
    yield Deal(64, (1, 1), 2)
    yield Deal(32, (8, 8), 16)


def arithmetic() -> Iterator[Block]:
    yield rescale(4, 16, INT(16), INT(8), 12, "even", most=2000, offset=1 << 20)
    yield rescale(8, 4, INT(16), INT(16), 5, "even")
    yield rescale(2, 32, INT(24), INT(16), 20, "up", most=30_000, offset=1 << 30, loadable=True)
    yield rescale(8, 16, INT(9), INT(16), 0, "even", factor=8, offset=254)
    yield rescale(4, 8, UINT(8), UINT(8), 7, "zero", factor=100)
    yield rescale(4, 8, INT(12), INT(4), 8, "floor", most=100)
    yield rescale(2, 8, INT(20), INT(16), 24, "even", most=1 << 25, offset=1 << 40)
    yield rescale(1, 64, INT(12), INT(16), 0, "even", factor=16, offset=254)
    yield rescale(2, 64, INT(17), INT(16), 0, "even")
    yield rescale(16, 2, INT(16), INT(9), 7, "even")
    yield rescale(4, 2, UINT(4), UINT(4), 3, "up", most=3)
    yield rescale(2, 16, INT(10), UINT(8), 6, "up", most=500)
    yield rescale(8, 8, INT(14), INT(6), 10, "zero", most=900, offset=9000, loadable=True)
    yield rescale(1, 1, INT(20), INT(20), 12, "floor", factor=3000)
    yield rescale(4, 32, INT(8), INT(12), 4, "even", offset=3000)
    for lanes, a, b, bits in ((4, 8, 8, 16), (8, 16, 9, 24), (8, 4, 4, 8), (2, 20, 20, 32)):
        yield Multiplier(INT(a), INT(b), (a, b), lanes, bits, 8)
    for lanes, a, b, bits in ((16, 3, 4, 7), (4, 2, 6, 8), (1, 32, 32, 32), (4, 1, 8, 9)):
        yield Multiplier(INT(a), UINT(b), (a, b), lanes, bits, 8)
    yield Multiplier(UINT(8), INT(16), (7, 16), 4, 24, 8)
    yield Multiplier(INT(16), BIPOLAR, (16, 1), 4, 17, 8)
    for lanes, a, b, bits, parts in (
        (32, 2, 2, 2, (1, 4)),
        (8, 4, 8, 8, (3, 7)),
        (4, 9, 16, 17, (16, 16)),
        (4, 4, 4, 4, (2, 2)),
        (64, 2, 4, 4, (1, 1)),
    ):
        yield Joiner(INT(a), INT(b), INT(bits), lanes, parts, 4)


#: Modules outside the blocks, in every design or where probes are asked for: (module, parameters).
AROUND: tuple[tuple[str, dict[str, Any]], ...] = (
    ("bnn_control", {"PARAMETERS": 0}),
    ("bnn_reader", {"WORDS": 384}),
    ("bnn_reader", {"WORDS": 273, "REST": 3}),
    ("bnn_writer", {"WORDS": 16}),
    *(("bnn_probe", {"FILL": bits}) for bits in (1, 4, 12)),
    *(("bnn_probe_select", {"COUNT": count}) for count in (2, 9, 39)),
)


# ---- measuring ------------------------------------------------------------------------------


def key(module: str, generics: dict[str, Any]) -> str:
    """Return the key of a measurement in the file."""
    given = {k: v for k, v in generics.items() if not k.endswith("FILE")}
    return module + " " + json.dumps(given, sort_keys=True)


def measure(batch: list[tuple[str, dict[str, Any]]]) -> list[dict[str, float]]:
    """Return the cells of each block, all in one run of Yosys."""
    with tempfile.TemporaryDirectory(prefix="bnn-costs-") as name:
        folder = Path(name)
        for file, text in library().items():
            (folder / file).write_text(text, encoding="utf-8")
        (folder / "tops.sv").write_text(_tops(folder, batch), encoding="utf-8")
        blocks = Sources(library(), "", 0)
        apart = " ".join(sorted({module for module, _ in batch}))
        script = synth.script(blocks, "tops", ("tops.sv",), apart)
        synth.run(folder, script + "write_json netlist.json\n")
        modules = json.loads((folder / "netlist.json").read_text(encoding="utf-8"))["modules"]
    cells = modules["tops"]["cells"]
    return [synth.cells_of(modules, cells[f"i{n}"]["type"]) for n in range(len(batch))]


def _images(folder: Path, number: int, module: str, generics: dict[str, Any]) -> dict[str, str]:
    """Return the memory images of random constants, for parameters that are not loadable."""
    if generics.get("LOADABLE", "TFILE" not in generics):
        return {}
    draw = random.Random(number)
    g = generics
    if module == "bnn_table":
        name = f"tfile{number}.mem"
        words = [[draw.getrandbits(g["OBITS"])] for _ in range(g["ENTRIES"])]
        (folder / name).write_text(image(words, g["OBITS"]), encoding="utf-8")
        return {"TFILE": name}
    if module == "bnn_rescale":
        name, bits = f"tfile{number}.mem", g["MBITS"] + g["ABITS"]
        if not bits:
            return {}
        words = [[draw.getrandbits(bits) for _ in range(g["LANES"])] for _ in range(g["FOLDS"])]
        (folder / name).write_text(image(words, bits), encoding="utf-8")
        return {"TFILE": name}
    level_bits = g["LEVELS"] * g["ACC"] + g["FALLING"] if g["LEVELS"] else g["OBITS"]
    items, folds = (g["PE"], g["NF"]) if module == "bnn_matrix" else (g["LANES"], g["FOLDS"])
    sizes = {"TFILE": (level_bits, folds)}
    if module == "bnn_matrix":
        sizes["WFILE"] = (g["SIMD"] * g["WBITS"], g["NF"] * g["SF"])
    names = {}
    for which, (bits, depth) in sizes.items():
        words = [[draw.getrandbits(bits) for _ in range(items)] for _ in range(depth)]
        names[which] = f"{which.lower()}{number}.mem"
        (folder / names[which]).write_text(image(words, bits), encoding="utf-8")
    return names


def _tops(folder: Path, batch: list[tuple[str, dict[str, Any]]]) -> str:
    """Return the text of one module that contains every block; all their ports are its own."""
    given = [
        (module, {**generics, **_images(folder, number, module, generics)})
        for number, (module, generics) in enumerate(batch)
    ]
    names = [name for name in library() if name.endswith(".sv")]
    lines, ports = [], ["input wire clk", "input wire rst"]
    for number, (block, of_block) in enumerate(
        zip(given, synth.ports(folder, names, given), strict=True)
    ):
        module, generics = block
        joined = []
        for port in of_block:
            if port.name in ("clk", "rst"):
                joined.append(f".{port.name}({port.name})")
                continue
            ports.append(f"{port.direction} wire [{port.bits - 1}:0] {port.name}_{number}")
            joined.append(f".{port.name}({port.name}_{number})")
        parameters = ", ".join(f".{name}({value(given)})" for name, given in generics.items())
        lines.append(f"{module} #({parameters}) i{number} ({', '.join(joined)});")
    return f"module tops({', '.join(ports)});\n" + "\n".join(lines) + "\nendmodule\n"


def main() -> None:
    """Measure the missing blocks, then fit the model; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--only", help="modules to measure, by a regular expression")
    asked = parser.parse_args()
    data: dict[str, Any] = json.loads(DATA.read_text()) if DATA.exists() else {}
    todo = [(block.module, dict(block.generics())) for block in wanted()] + list(AROUND)
    prints = {module: fit_costs.fingerprint(module) for module, _ in todo}
    missing = [
        (m, g)
        for m, g in todo
        if data.get(key(m, g), {}).get("rtl") != prints[m] and re.search(asked.only or "", m)
    ]
    data = fit_costs.fresh(data)
    end = time.monotonic() + 60 * asked.minutes
    while missing and time.monotonic() < end:
        batch, missing = missing[:BATCH], missing[BATCH:]
        start = time.monotonic()
        for (module, generics), cells in zip(batch, measure(batch), strict=True):
            data[key(module, generics)] = {
                "module": module,
                "generics": {k: v for k, v in generics.items() if not k.endswith("FILE")},
                "cells": {k: v for k, v in cells.items() if k != "CARRY4"},
                "rtl": prints[module],
            }
        lines = ",\n".join(f"{json.dumps(k)}: {json.dumps(e)}" for k, e in sorted(data.items()))
        DATA.write_text("{\n" + lines + "\n}\n", encoding="utf-8")
        print(f"{len(missing)} blocks to go, {time.monotonic() - start:.0f} s", flush=True)
    fit_costs.write(data)


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: BSD-3-Clause
"""The cost model: memories as the synthesiser maps them, and larger is never smaller."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnn.hw.blocks.matrix import Matrix
from bnn.hw.blocks.thresholds import Thresholds
from bnn.hw.blocks.window import SlidingWindow
from bnn.plan import cost
from bnn.plan.cost import Cost
from bnn.plan.features import features, memories
from bnn.plan.memory import Memory, mapped
from bnn.program.precision import BIPOLAR, INT, TERNARY, UINT
from support.golden import compare, digest

LEVELS = Thresholds(12, -500, 500, 1, False, -1, 2, 0, 1, BIPOLAR)


@pytest.mark.parametrize(
    ("bits", "depth", "bram36", "quads"),
    # Counts of Yosys 0.70 for bnn_parameters, LOADABLE = 1.
    [
        *((9, 16, 0, 2), (32, 16, 0, 6), (9, 72, 0, 6), (32, 72, 0.5, 0), (9, 288, 0.5, 0)),
        *((32, 512, 0.5, 0), (9, 1152, 0.5, 0), (32, 1152, 1.5, 0), (9, 4608, 1.5, 0)),
        (32, 4608, 4.5, 0),
    ],
)
def test_memories_as_yosys_maps_them(bits: int, depth: int, bram36: float, quads: int) -> None:
    found = mapped(Memory(bits, depth))
    assert (found.bram36, found.quads) == (bram36, quads)


@pytest.mark.parametrize(
    ("bits", "depth", "bram36"),
    [
        *((64, 144, 0), (8, 288, 0), (64, 288, 1), (8, 512, 0), (64, 512, 1), (8, 2304, 1)),
        *((128, 2304, 9), (128, 4608, 16), (32, 16384, 14.5), (16, 8192, 4), (100, 512, 1.5)),
        *((28, 256, 0), (52, 128, 0), (32, 2048, 2)),
    ],
)
def test_constant_memories_as_yosys_maps_them(bits: int, depth: int, bram36: float) -> None:
    assert mapped(Memory(bits, depth, constant=True)).bram36 == bram36


@st.composite
def matrices(draw) -> Matrix:
    pe, simd = draw(st.integers(1, 32)), draw(st.integers(1, 256))
    return Matrix(
        rows=pe * draw(st.integers(1, 8)),
        columns=simd * draw(st.integers(1, 8)),
        positions=64,
        pe=pe,
        simd=simd,
        pixels=draw(st.integers(1, 8)),
        weight=draw(st.sampled_from([BIPOLAR, TERNARY, INT(4)])),
        source=draw(st.sampled_from([BIPOLAR, UINT(2), INT(8)])),
        thresholds=LEVELS,
        loadable=draw(st.booleans()),
        style=draw(st.sampled_from(["auto", "block", "distributed"])),
    )


@settings(max_examples=200, deadline=None)
@given(block=matrices(), factor=st.integers(2, 4))
def test_more_in_parallel_is_never_smaller(block: Matrix, factor: int) -> None:
    """Logic only: what is read at once may well sit in fewer memories."""
    block = replace(block, style="block")
    small = cost.of_block(block)
    for more in (
        replace(block, pixels=block.pixels * factor),
        replace(block, pe=block.pe * factor, rows=block.rows * factor),
        replace(block, simd=block.simd * factor, columns=block.columns * factor),
    ):
        large = cost.of_block(more)
        assert large.lut >= small.lut
        assert large.ff >= small.ff


@settings(max_examples=100, deadline=None)
@given(
    channels=st.integers(1, 64),
    side=st.integers(3, 32),
    pixels=st.integers(1, 8),
    bits=st.integers(1, 8),
)
def test_a_larger_window_is_never_smaller(channels, side, pixels, bits) -> None:
    block = SlidingWindow(
        (side, side, channels),
        bits,
        channels,
        (3, 3),
        (1, 1),
        (0, 0, 0, 0),
        0,
        pixels,
        style="block",
    )
    small = cost.of_block(block)
    more = cost.of_block(replace(block, pixels=pixels + 1))
    assert more.lut >= small.lut
    assert more.bram36 >= small.bram36


@pytest.mark.parametrize("folds", [1, 2])
@pytest.mark.parametrize("loadable", [0, 1])
def test_a_matrix_keeps_its_inputs_where_rows_fold(folds: int, loadable: int) -> None:
    """One pass over the rows reads every input once: then nothing is kept."""
    sizes = {"PIXELS": 2, "SIMD": 3, "ABITS": 2, "SF": 5, "NF": folds, "PE": 4, "WBITS": 1}
    more = {"LEVELS": 0, "ACC": 9, "FALLING": 0, "OBITS": 9, "DEPTH": 7, "LOADABLE": loadable}
    found = memories("bnn_matrix", {**sizes, **more, "WSTYLE": "auto"})
    kept = Memory(2 * 3 * 2, 5, registered=False)
    assert found.count(kept) == (folds > 1)
    assert Memory(2 * 4 * 9, 7) in found


#: Mean error of LUT and of FF, in per cent of what Yosys counts (of at least 20 cells), rounded up.
ERRORS = {
    "bnn_add": (5.2, 0.1),
    "bnn_concat": (3.0, 1.5),
    "bnn_control": (0.1, 0.1),
    "bnn_deal": (0.1, 0.1),
    "bnn_fifo": (6.8, 1.4),
    "bnn_matrix": (5.9, 2.3),
    "bnn_max": (0.1, 0.1),
    "bnn_multiply": (3.5, 10.7),
    "bnn_narrow": (1.8, 0.1),
    "bnn_pad": (0.1, 0.1),
    "bnn_patches": (11.9, 5.3),
    "bnn_probe": (0.6, 0.1),
    "bnn_probe_select": (0.7, 0.1),
    "bnn_reader": (0.1, 0.1),
    "bnn_rescale": (8.5, 1.7),
    "bnn_serialize": (0.7, 0.1),
    "bnn_state": (0.1, 0.1),
    "bnn_table": (0.1, 0.1),
    "bnn_threshold": (3.9, 0.1),
    "bnn_trim": (0.1, 1.3),
    "bnn_unpack": (10.2, 7.9),
    "bnn_widen": (3.1, 0.1),
    "bnn_window": (1.3, 6.5),
    "bnn_writer": (0.1, 0.1),
}


def test_what_the_estimates_are_made_of() -> None:
    """The features of every block that was counted, and what follows from them, as recorded."""
    path = Path(__file__).parents[2] / "tools" / "costs.json"
    entries = json.loads(path.read_text(encoding="utf-8")).values()
    found: dict[str, list[str]] = defaultdict(list)
    for entry in entries:
        made = features(entry["module"], entry["generics"])
        guess = cost.of_module(entry["module"], entry["generics"])
        told = " ".join(f"{name}={value:g}" for name, value in sorted(made.items()))
        found[entry["module"]].append(f"{told}: {guess.lut:.2f} {guess.ff:.2f} {guess.dsp:g}")
    compare("cost-features", {module: digest("\n".join(each)) for module, each in found.items()})


def test_blocks_cost_what_yosys_counted() -> None:
    """Every block in `tools/costs.json`: memories exactly, cells as closely as the fit."""
    path = Path(__file__).parents[2] / "tools" / "costs.json"
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for entry in json.loads(path.read_text(encoding="utf-8")).values():
        guess, cells = cost.of_module(entry["module"], entry["generics"]), entry["cells"]
        assert guess.bram36 == cells["BRAM36"], entry
        assert guess.dsp == cells["DSP"], entry
        off = ((guess.lut, cells["LUT"]), (guess.ff, cells["FF"]))
        lut, ff = (100 * abs(mine - theirs) / max(theirs, 20) for mine, theirs in off)
        found[entry["module"]].append((lut, ff))
    assert found.keys() == ERRORS.keys()
    for module, errors in found.items():
        mean = np.mean(errors, axis=0)
        assert (mean <= ERRORS[module]).all(), (module, mean, "tools/fit_costs.py fits them anew")
        assert (mean > np.array(ERRORS[module]) - 0.11).all(), (module, mean)


def test_costs_add_up_kind_by_kind() -> None:
    one, two = Cost(1.0, 20.0, 300.0, 4000.0), Cost(0.5, 0.25, 0.125, 7.0)
    assert one + two == Cost(1.5, 20.25, 300.125, 4007.0)
    assert one - two == Cost(0.5, 19.75, 299.875, 3993.0)
    assert cost.total([one, two, one]) == one + two + one

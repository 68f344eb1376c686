# SPDX-License-Identifier: BSD-3-Clause
"""How fast each block may be clocked, alone on an XC7Z020; and a whole system to its bitstream.

``pytest -m hw -s tests/hw/test_timing.py`` prints the table (about ten minutes of one core).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bnn.hw.blocks.block import Generic
from bnn.hw.blocks.unpack import Unpack
from bnn.hw.boards import board
from bnn.hw.design import build
from bnn.hw.render import sources
from bnn.hw.toolchain import out_of_context as alone
from bnn.hw.toolchain.implement import implement
from bnn.program.inputs import fixed_point_table
from bnn.program.precision import INT
from hw.examples import TFC_FOLDING, tfc

pytestmark = [pytest.mark.hw, pytest.mark.usefixtures("nextpnr")]

BOARD = board("pynq-z1")

#: LFC's first layer in the original's folding: 2 048 binary synapses a cycle.
LFC0: dict[str, Generic] = {
    "PE": 32,
    "SIMD": 64,
    "NF": 32,
    "SF": 13,
    "STAGES": 3,
    "ACC": 11,
    "DEPTH": 32,
    "LOADABLE": 1,
    "XSTYLE": "distributed",
}
#: The shapes of CNV's layers, or the like.
WINDOW: dict[str, Generic] = {
    "BITS": 32,
    "FOLDS": 2,
    "IN_H": 30,
    "IN_W": 30,
    "K_H": 3,
    "K_W": 3,
    "OUT_H": 28,
    "OUT_W": 28,
    "ROWS": 4,
}
PADDED: dict[str, Generic] = {
    "BITS": 32,
    "FOLDS": 2,
    "IN_H": 16,
    "IN_W": 15,
    "K_H": 3,
    "K_W": 3,
    "S_H": 2,
    "S_W": 1,
    "P_T": 1,
    "P_L": 1,
    "OUT_H": 8,
    "OUT_W": 15,
    "PIXELS": 4,
    "ROWS": 7,
    "PAD": "32'h0",
}
PATCHES: dict[str, Generic] = {
    "LANES": 8,
    "PARTS": 8,
    "IN_H": 30,
    "IN_W": 30,
    "OUT_H": 28,
    "OUT_W": 28,
    "PIXELS": 2,
    "ROWS": 4,
}
#: CNV's input: three channels of bytes, to codes of 8 bits.
UNPACK = Unpack(3072, 3, 8, tuple(int(code) for code in INT(8).encode(fixed_point_table())))
BLOCKS: dict[str, tuple[str, dict[str, Generic]]] = {
    "fifo": ("bnn_fifo", {"BITS": 64, "DEPTH": 32}),
    "fifo, block RAM": ("bnn_fifo", {"BITS": 64, "DEPTH": 1024, "STYLE": "block"}),
    "widen": ("bnn_widen", {"BITS": 16, "RATIO": 4}),
    "narrow": ("bnn_narrow", {"BITS": 16, "RATIO": 4}),
    "window": ("bnn_window", WINDOW),
    "window, padded, 4 positions": ("bnn_window", PADDED),
    "patches": ("bnn_patches", PATCHES),
    "max": ("bnn_max", {"LANES": 16, "BITS": 4, "SIGNED": 1, "FOLDS": 4, "POSITIONS": 4}),
    "threshold": (
        "bnn_threshold",
        {"LANES": 4, "FOLDS": 16, "IBITS": 12, "ACC": 13, "LEVELS": 3, "OBITS": 2, "LOADABLE": 1},
    ),
    "add": ("bnn_add", {"LANES": 8, "A_BITS": 12, "B_BITS": 4, "B_SHIFT": 1, "BITS": 14}),
    "fork": ("bnn_fork", {"BITS": 64}),
    "serialize": ("bnn_serialize", {"BITS": 16, "PIXELS": 4, "NF": 4, "GROUPS": 49, "TAIL": 4}),
    "pad": ("bnn_pad", {"BITS": 64, "KEEP": 10, "TOTAL": 12}),
    "trim": ("bnn_trim", {"BITS": 64, "KEEP": 10, "TOTAL": 12}),
    "reader": ("bnn_reader", {"WORDS": 384}),
    "reader, odd": ("bnn_reader", {"WORDS": 273, "REST": 3}),
    "unpack": ("bnn_unpack", UNPACK.generics()),
    "unpack, odd": ("bnn_unpack", replace(UNPACK, values=3 * 27 * 27).generics()),
    "writer": ("bnn_writer", {"WORDS": 3}),
    "control": ("bnn_control", {"DESIGN": "32'h12345678", "PARAMETERS": 50000}),
    "parameters": ("bnn_parameters", {"ITEMS": 16, "BITS": 64, "DEPTH": 512, "LOADABLE": 1}),
    "probe": ("bnn_probe", {"FILL": 6}),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_alone(name: str, tmp_path: Path) -> None:
    module, generics = BLOCKS[name]
    _reaches(125, name, module, generics, tmp_path)


def test_the_matrix_unit_of_lfc(tmp_path: Path) -> None:
    _reaches(150, "matrix, LFC layer 0", "bnn_matrix", LFC0, tmp_path)


def _reaches(
    mhz: float, name: str, module: str, generics: dict[str, Generic], folder: Path
) -> None:
    """Tries three seeds of the placer at most."""
    best = 0.0
    for seed in (1, 2, 3):
        routed = alone.fmax(folder, module, generics, BOARD, mhz=mhz, seed=seed)
        path = f"{routed.path[0].source} -> {routed.path[-1].sink}" if routed.path else ""
        print(f"\n{name:30}{routed.fmax_mhz:7.1f} MHz  seed {seed}  {path}")  # noqa: T201
        best = max(best, routed.fmax_mhz)
        if best >= mhz:
            break
    assert best >= mhz


@pytest.mark.usefixtures("prjxray")
def test_a_system_to_its_bitstream(tmp_path: Path) -> None:
    design = build(tfc(), TFC_FOLDING)
    routed = implement(sources(design), board("pynq-z1"), tmp_path)
    print(f"\nTFC with PS7 and AXI: {routed.fmax_mhz:.1f} MHz, {routed.used}")  # noqa: T201
    assert (tmp_path / "bnn.bit").stat().st_size > 4_000_000
    assert routed.fmax_mhz >= 100

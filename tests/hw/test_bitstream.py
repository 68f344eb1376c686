# SPDX-License-Identifier: BSD-3-Clause
"""From features to frames, over an invented database; with the tools, to a bitstream and back."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from bnn.errors import BuildError
from bnn.hw.boards import board
from bnn.hw.toolchain import bitstream
from bnn.hw.toolchain import locate as tools

BOARD = board("pynq-z1")
TILES = {
    "CELL_X1Y2": {"type": "CELL", "bits": {"CLB_IO_CLK": {"baseaddr": "0x400", "offset": 3}}},
    "RAM_X0Y0": {
        "type": "RAM",
        "bits": {
            "CLB_IO_CLK": {"baseaddr": "0x80", "offset": 0},
            "BLOCK_RAM": {"baseaddr": "0xC00000", "offset": 10},
        },
    },
    "SIDE_X9Y9": {"type": "SIDE", "bits": {}},
}
CELL = """\
CELL.LUT.INIT[00] 1_00
CELL.LUT.INIT[01] 1_40
CELL.LUT.INIT[02] 2_05
CELL.MUX.A 0_01 !0_02
CELL.MUX.B !0_01 0_02
CELL.FF.ZINI 0_31
"""


@pytest.fixture
def database(tmp_path: Path) -> bitstream.Database:
    """Two kinds of tiles with bits, one without."""
    (tmp_path / "chip").mkdir()
    (tmp_path / "chip/tilegrid.json").write_text(json.dumps(TILES))
    (tmp_path / "segbits_cell.db").write_text(CELL)
    (tmp_path / "ppips_cell.db").write_text("CELL.IN.WIRE always\n")
    (tmp_path / "segbits_ram.db").write_text("RAM.EN 4_07\n")
    (tmp_path / "segbits_ram.block_ram.db").write_text("RAM.INIT_0[000] 0_00\nRAM.INIT_0[255] 7_99")
    (tmp_path / "segbits_side.db").write_text("SIDE.X 0_00\n")
    return bitstream.Database(tmp_path, "chip")


def test_features_become_bits(database: bitstream.Database) -> None:
    lines = [
        "# a comment",
        "",
        "CELL_X1Y2.LUT.INIT[2:0] = 3'b110",
        "CELL_X1Y2.MUX.A  # and one behind a feature",
        "CELL_X1Y2.IN.WIRE",
        "RAM_X0Y0.EN = 1",
        "RAM_X0Y0.INIT_0[255] = 1",
    ]
    frames = bitstream.frames(lines, database)
    ones = {
        (address, 32 * word + bit)
        for address, words in frames.items()
        for word, value in enumerate(words)
        for bit in range(32)
        if value >> bit & 1
    }
    # A tile's part begins at a frame and a word: 3 and 10 words of 32 bits.
    assert ones == {
        (0x401, 96 + 40),
        (0x402, 96 + 5),
        (0x400, 96 + 1),
        (0x84, 7),
        (0xC00007, 320 + 99),
    }
    assert all(len(words) == bitstream.WORDS for words in frames.values())


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["CELL_X1Y2.MUX.A", "CELL_X1Y2.MUX.B"], "two features set one bit"),
        (["CELL_X7Y7.MUX.A"], "no tile CELL_X7Y7 on chip"),
        (["CELL_X1Y2.MUX.C"], r"no feature MUX.C\[0\] of CELL_X1Y2"),
        (["CELL_X1Y2.LUT.INIT[3:0] = 4'b1000"], r"no feature LUT.INIT\[3\]"),
        (["CELL_X1Y2.LUT.INIT[1:0] = 2'b111"], "wider than its feature"),
        (["CELL_X1Y2 = = 1"], "is not a feature of a tile"),
        (["SIDE_X9Y9.X"], "tiles like SIDE_X9Y9 cannot be written"),
    ],
)
def test_what_cannot_be_written(
    lines: list[str], reason: str, database: bitstream.Database
) -> None:
    with pytest.raises(BuildError, match=reason):
        bitstream.frames(lines, database)


def test_a_database_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="not a tile grid of prjxray"):
        bitstream.Database(tmp_path, "chip")


@pytest.mark.hw
def test_a_bitstream_reads_back(tmp_path: Path, prjxray: None) -> None:  # noqa: ARG001
    known = bitstream.Database(tools.database(BOARD.part), "xc7z020")
    tile = next(name for name, grid in known.tiles.items() if grid["type"] == "CLBLL_L")
    fasm = tmp_path / "d.fasm"
    fasm.write_text(f"{tile}.SLICEL_X0.ALUT.INIT[63:0] = 64'h123456789ABCDEF0\n")
    written = bitstream.write(fasm, BOARD, tmp_path / "d.bit")
    folder = tools.database(BOARD.part) / BOARD.device
    subprocess.run(
        [
            *tools.command("bitread"),
            f"--part_file={folder / 'part.yaml'}",
            "-y",
            f"-o={tmp_path / 'd.bits'}",
            str(tmp_path / "d.bit"),
        ],
        check=True,
        capture_output=True,
    )
    read: dict[int, list[int]] = {}
    for line in (tmp_path / "d.bits").read_text().split():
        _, frame, word, bit = line.split("_")
        if int(word) != 50:  # the checksum of a frame
            words = read.setdefault(int(frame, 16), [0] * bitstream.WORDS)
            words[int(word)] |= 1 << int(bit)
    assert read == {address: words for address, words in written.items() if any(words)}
    assert sum(word.bit_count() for words in read.values() for word in words) > 32

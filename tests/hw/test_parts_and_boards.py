# SPDX-License-Identifier: BSD-3-Clause
"""Parts and boards are files: what is read of them, and which mistakes in them are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import pytest
from typer.testing import CliRunner

from bnn.commands.main import app
from bnn.errors import BuildError, PlanError
from bnn.hw import boards, tables
from bnn.hw import parts as chips
from bnn.hw.boards import board, find, planned_only
from bnn.hw.toolchain import locate, out_of_context

PART = """
lut = 53_200
ff = 106_400
bram36 = 140
dsp = 220
clock_mhz = 100
yosys = "xc7"
"""
BOARD = """
part = "xc7z020"
device = "xc7z020clg400-1"
clock_mhz = 125
[build]
top = "bnn_zynq7"
base = 0x43C0_0000
span = 0x1_0000
[pins]
clk = "H16"
rst = "D19"
into = "D20"
out = "R14"
"""


def _part(text: str) -> chips.Part:
    return tables.parse("new.toml", text.encode(), partial(chips.parse, "new"))


def _board(text: str) -> boards.Board:
    return tables.parse("new.toml", text.encode(), partial(boards.parse, "new"))


def test_the_originals_boards() -> None:
    for name in ("pynq-z1", "pynq-z2"):
        found = board(name)
        assert (found.device, found.clock_mhz) == ("xc7z020clg400-1", 100.0)
        assert (found.built.top, found.built.base, found.built.span) == (
            *("bnn_zynq7", 0x43C0_0000, 0x1_0000),
        )
        part = found.part
        assert (part.luts, part.ffs, part.bram36, part.dsps) == (53_200, 106_400, 140, 220)
        assert "period 10.000" in found.constraints()
        assert "module bnn_zynq7;" in found.top_source()


def test_a_board_of_its_own() -> None:
    found = _board(BOARD)
    assert found.name == "new"
    assert found.clock_mhz == 125.0
    assert found.pins["out"] == "R14"
    assert planned_only(found.part, found) == ""
    assert "period 8.000" in found.constraints()


@pytest.mark.parametrize(
    ("before", "least", "most", "outside"),
    [
        ("clock_mhz = 125", "1", "1000", ("0.99", "1000.5")),
        ("span = 0x1_0000", "0x100", "0x43C0_0000", ("0xFF",)),
    ],
)
def test_numbers_of_a_board_are_taken_up_to_their_limits(
    before: str, least: str, most: str, outside: tuple[str, ...]
) -> None:
    field = before.partition(" ")[0]
    for value in (least, most):
        _board(BOARD.replace(before, f"{field} = {value}"))
    for value in outside:
        with pytest.raises(BuildError, match=field):
            _board(BOARD.replace(before, f"{field} = {value}"))


def test_a_board_has_its_parts_clock_unless_it_says_one() -> None:
    assert _board(BOARD.replace("clock_mhz = 125\n", "")).clock_mhz == 100.0


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("lut = 53_200", "", "new.toml: lut is missing"),
        ("lut = 53_200", "lut = 53.5", "new.toml: lut must be a whole number, not 53.5"),
        ("lut = 53_200", "lut = -1", "new.toml: lut must be from 1 to 1.67772e"),
        ("lut = 53_200", "lut = true", "new.toml: lut must be a number, not True"),
        ("lut = 53_200", 'lut = "many"', "new.toml: lut must be a number, not 'many'"),
        ("bram36 = 140", "bram36 = nan", "new.toml: bram36 must be from 0"),
        ("dsp = 220", "dsps = 220", "new.toml: dsp is missing"),
        ("dsp = 220", "dsp = 220\nuram = 4", "new.toml: uram is not a field of this table"),
        ('"xc7"', '"xc7; quit"', "new.toml: yosys must be a name"),
        ("lut = 53_200", "lut =", "new.toml: not a TOML file"),
    ],
)
def test_mistakes_in_a_part_name_file_and_field(before: str, after: str, reason: str) -> None:
    assert before in PART
    with pytest.raises(BuildError, match=reason.replace(".", r"\.")) as told:
        _part(PART.replace(before, after))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ('part = "xc7z020"', 'part = "xc7"', "part is 'xc7'; there are: xc7z020, xczu3eg"),
        ("clock_mhz = 125", "clock_mhz = 0", "clock_mhz must be from 1 to 1000"),
        ('"bnn_zynq7"', '"bnn_zynq9"', "[build]: top is 'bnn_zynq9', but there is no file"),
        ('"bnn_zynq7"', '"../bnn_zynq7"', "[build]: top must be a name"),
        ("0x43C0_0000", "0x43C0_8000", "[build]: base must be a multiple of span (0x10000)"),
        ("span = 0x1_0000", "", "[build]: span is missing"),
        ("span = 0x1_0000", "span = 0x1_0000\nirq = 1", "[build]: irq is not a field"),
        ('clk = "H16"', "", "[pins]: clk is missing"),
        ("[pins]", "[pin]", "pin is not a field of this table"),
        ("[build]", "[[build]]", "build must be a table, [build]"),
    ],
)
def test_mistakes_in_a_board_name_file_and_field(before: str, after: str, reason: str) -> None:
    assert before in BOARD
    with pytest.raises(BuildError) as told:
        _board(BOARD.replace(before, after))
    assert str(told.value).startswith("new.toml: ")
    assert reason in str(told.value)


def test_a_board_that_can_only_be_planned_for_says_so() -> None:
    plan = CliRunner().invoke(app, ["plan", "lfc-w1a1", "--part", "ultra96", "--fps", "1000"])
    assert plan.exit_code == 0, plan.output
    assert "ultra96: planned only: no top module" in plan.output
    with pytest.raises(BuildError, match=r"ultra96: planned only: no top module.*pynq-z1, pynq-z2"):
        board("ultra96")
    args = ["plan", "lfc-w1a1", "--part", "xczu3eg", "--fps", "1000", "--json"]
    values = json.loads(CliRunner().invoke(app, args).output)
    assert values["planned_only"] == "planned only: bnn build knows no board with xczu3eg"
    assert values["board"] is None


def test_what_can_be_built_is_not_called_planned_only() -> None:
    plan = CliRunner().invoke(app, ["plan", "lfc-w1a1", "--part", "pynq-z2", "--fps", "1000"])
    assert "planned only" not in plan.output
    for name in boards.buildable():
        assert planned_only(*find(name)) == ""


def test_names_of_parts_boards_and_devices() -> None:
    assert find("XC7Z020") == (chips.parts()["xc7z020"], None)
    assert find("xc7z020clg400-1") == find("xc7z020")
    assert find("pynq-z1") == (chips.parts()["xc7z020"], board("pynq-z1"))
    with pytest.raises(PlanError, match=r"there are: xc7z020 \(pynq-z1, pynq-z2\), xczu3eg"):
        find("xc7")


def test_without_pins_or_free_tools_one_line_says_so() -> None:
    bare = replace(board("pynq-z1"), pins={}, part=chips.parts()["xczu3eg"])
    with pytest.raises(BuildError, match=r"pynq-z1: its TOML file has no table \[pins\]"):
        out_of_context.constraints(bare)
    with pytest.raises(BuildError, match="xczu3eg cannot be placed and routed here"):
        locate.family(bare.part)

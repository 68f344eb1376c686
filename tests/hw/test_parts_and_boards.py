# SPDX-License-Identifier: BSD-3-Clause
"""Parts and boards are files: what is read of them, and which mistakes in them are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bnn.commands.main import app
from bnn.errors import BuildError, DriverError, PlanError
from bnn.hw import boards, clocks, tables
from bnn.hw import parts as chips
from bnn.hw.boards import board, find, planned_only
from bnn.hw.toolchain import locate, out_of_context
from bnn.run.board import read_metadata

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
        ('"xc7"', '"zzz"', "new.toml: yosys is 'zzz'; there are: xc7, xcu, xcup"),
        (
            '"xc7"',
            '"xc7"\nprjxray = "zynq"',
            "new.toml: prjxray is 'zynq'; there are: artix7, kintex7, spartan7, zynq7",
        ),
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
        (
            'part = "xc7z020"',
            'part = "xc7"',
            "part is 'xc7'; there are: xc7z007s, xc7z010, xc7z020",
        ),
        (
            '"xc7z020clg400-1"',
            '"xc7z010clg400-1"',
            "device is 'xc7z010clg400-1'; a device of part xc7z020 begins with xc7z020",
        ),
        ("clock_mhz = 125", "clock_mhz = 0", "clock_mhz must be from 1 to 1000"),
        ('"bnn_zynq7"', '"bnn_zynq9"', "[build]: top is 'bnn_zynq9'; there are: bnn_zynq7 ("),
        ('"bnn_zynq7"', '"../bnn_zynq7"', "[build]: top must be a name"),
        ("0x43C0_0000", "0x43C0_8000", "[build]: base must be a multiple of span (0x10000)"),
        ("span = 0x1_0000", "", "[build]: span is missing"),
        ("span = 0x1_0000", "span = 0x1_0000\nirq = 1", "[build]: irq is not a field"),
        ('clk = "H16"', "", "[pins]: clk is missing"),
        ("[pins]", "[pin]", "pin is not a field of this table"),
        ("[build]", "[[build]]", "build must be a table, [build]"),
        ("[build]", 'verified = ["sold"]\n[build]', "verified must be a list of some of"),
        ("[build]", 'verified = "routed"\n[build]', "verified must be a list of some of"),
        ("[build]", "verified = 1\n[build]", "verified must be a list of some of"),
    ],
)
def test_mistakes_in_a_board_name_file_and_field(before: str, after: str, reason: str) -> None:
    assert before in BOARD
    with pytest.raises(BuildError) as told:
        _board(BOARD.replace(before, after))
    assert str(told.value).startswith("new.toml: ")
    assert reason in str(told.value)


def test_a_board_that_can_only_be_planned_for_says_so() -> None:
    plan = CliRunner().invoke(app, ["plan", "lfc-w1a1", "--part", "ultra96-v1", "--fps", "1000"])
    assert plan.exit_code == 0, plan.output
    assert "ultra96-v1: planned only: no top module" in plan.output
    with pytest.raises(
        BuildError, match=r"ultra96-v1: planned only: no top .*\[build\].*pynq-z1, pynq-z2"
    ):
        board("ultra96-v1")
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
    with pytest.raises(PlanError, match=r"xc7z010 \(zybo-z7-10\), xc7z020 \(arty.*\), xck26 \("):
        find("xc7")


def test_without_pins_or_free_tools_one_line_says_so() -> None:
    bare = replace(board("pynq-z1"), pins={}, part=chips.parts()["xczu3eg"])
    with pytest.raises(BuildError, match=r"pynq-z1: its TOML file has no table \[pins\]"):
        out_of_context.constraints(bare)
    with pytest.raises(BuildError, match="xczu3eg cannot be placed and routed here"):
        locate.family(bare.part)


OWN_PART = """
[part]
lut = 17_600
ff = 35_200
bram36 = 60
dsp = 80
clock_mhz = 50
yosys = "xc7"
"""


def test_a_users_own_board_is_planned_for_and_built(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(BOARD)
    planned = _json("plan", "lfc-w1a1", "--board", str(path), "--fps", "1000")
    assert (planned["board"], planned["part"], planned["clock_mhz"]) == ("mine", "xc7z020", 125.0)
    assert planned["planned_only"] is None
    folder = tmp_path / "accelerator"
    _json("build", "lfc-w1a1", "--board", str(path), "-o", str(folder))
    said = json.loads((folder / "driver.json").read_text())
    assert (said["board"], said["mhz"], said["base"]) == ("mine", 125.0, 0x43C0_0000)
    assert read_metadata(folder) == said
    (folder / "driver.json").write_text(json.dumps({**said, "mhz": 150.0}))
    with pytest.raises(DriverError, match="board, base, span or mhz was changed: copy the whole"):
        read_metadata(folder)


def test_a_users_own_board_with_a_chip_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    text = BOARD.replace('part = "xc7z020"\n', "").replace("clock_mhz = 125\n", "") + OWN_PART
    path.write_text(text)
    with pytest.raises(BuildError, match=r'has other cells .* write part = "xc7z020" instead'):
        board(str(path))
    path.write_text(text.replace("xc7z020clg400-1", "xczu3eg-sbva484-1-e"))
    with pytest.raises(BuildError, match="devices of yosys = 'xc7' begin with xc7 or xa7"):
        board(str(path))
    path.write_text(text.replace("xc7z020clg400-1", "xc7z012sclg485-1"))
    found = board(str(path))
    assert (found.part.luts, found.part.bram36, found.clock_mhz) == (17_600, 60, 50)
    path.write_text(path.read_text().replace("dsp = 80", "dsp = 80\nslices = 1"))
    with pytest.raises(BuildError, match=r"mine\.toml: \[part\]: slices is not a field"):
        board(str(path))


def test_a_board_file_is_a_small_file(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"none\.toml"):
        find(str(tmp_path / "none.toml"))
    path = tmp_path / "large.toml"
    path.write_text("#" * (1 << 16) + BOARD)
    with pytest.raises(BuildError, match=r"large\.toml"):
        board(str(path))


def test_a_part_by_its_cells() -> None:
    part, of = find("luts=17600, ffs=35200,bram36=60.5,dsp=80,clock=75")
    assert of is None
    assert (part.luts, part.ffs, part.bram36, part.dsps) == (17_600, 35_200, 60.5, 80)
    assert part.clock_mhz == 75
    assert find("luts=1,ffs=1,bram36=0,dsp=0")[0].clock_mhz == 100


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("luts=17600", "ffs is missing; example: luts=17600,ffs="),
        ("luts=1,ffs=1,bram36=0,dsp=0,uram=3", "'uram' is not one of luts, ffs"),
        ("luts=1,luts=2,ffs=1,bram36=0,dsp=0", "luts is given twice"),
        ("luts=many,ffs=1,bram36=0,dsp=0", "luts must be a number, not 'many'"),
        ("luts=0,ffs=1,bram36=0,dsp=0", "lut must be from 1"),
        ("luts=1.5,ffs=1,bram36=0,dsp=0", "lut must be a whole number"),
        ("luts=nan,ffs=1,bram36=0,dsp=0", "lut must be from 1"),
        ("luts=1,ffs=1,bram36=0,dsp=0,clock=0", "clock_mhz must be from 1"),
    ],
)
def test_cells_that_are_mistaken(text: str, reason: str) -> None:
    with pytest.raises(PlanError) as told:
        find(text)
    assert reason in str(told.value)


def test_build_takes_a_clock(tmp_path: Path) -> None:
    folder = tmp_path / "accelerator"
    report = _json("build", "lfc-w1a1", "--clock", "62.5", "-o", str(folder))
    assert report["clock_mhz"] == 62.5
    assert "period 16.000" in (folder / "bnn.xdc").read_text()
    assert read_metadata(folder)["mhz"] == 62.5
    for mhz in ("0.5", "1001", "nan"):
        refused = CliRunner().invoke(
            app, ["build", "lfc-w1a1", "--clock", mhz, "-o", str(tmp_path / "no")]
        )
        assert "it must be from 1 to 1000" in str(refused.exception)


def test_a_table_of_all_boards() -> None:
    rows = {row["board"]: row for row in _json("plan", "lfc-w1a1", "--board", "all")}
    assert set(rows) == set(boards.boards())
    assert not rows["cora-z7"]["fits"]
    assert "xc7z007s is too small" in rows["cora-z7"]["reason"]
    alone = _json("plan", "lfc-w1a1", "--board", "pynq-z2")
    for name in ("fps", "cycles", "clock_mhz", "clock_is", "used"):
        assert rows["pynq-z2"][name] == rows["zedboard"][name] == alone[name]
    shown = CliRunner().invoke(app, ["plan", "lfc-w1a1", "--board", "all"]).output
    assert all(name in shown for name in rows)
    assert "none has run on a board" in " ".join(shown.split())


def test_no_board_is_called_tried_on_a_board() -> None:
    assert not any("board" in each.verified for each in boards.boards().values())


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (("--board", "all", "-o", "x.json"), "--output is for one of them"),
        (("--board", "all", "--part", "xc7z020"), "--part is for one of them"),
        (("--board", "zedboard", "--part", "xc7z020"), "use either --part or --board"),
    ],
)
def test_options_that_exclude_each_other(given: tuple[str, ...], reason: str) -> None:
    refused = CliRunner().invoke(app, ["plan", "lfc-w1a1", *given])
    assert reason in str(refused.exception)


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        (("--clock", "100"), "estimated"),
        (("--clock", "1000"), "hoped for"),
        (("--part", "xczu3eg"), "hoped for"),
    ],
)
def test_how_far_a_clock_was_tried(options: tuple[str, ...], kind: str) -> None:
    assert _json("plan", "lfc-w1a1", "--fps", "1000", *options)["clock_is"] == kind
    shown = CliRunner().invoke(app, ["plan", "lfc-w1a1", "--fps", "1000", *options]).output
    assert f"MHz is {kind}" in " ".join(shown.split())


def test_a_clock_that_was_just_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    class Known:
        mhz = 125.0

    monkeypatch.setattr(clocks, "routed", lambda *_: Known)
    design: Any = None
    found = [clocks.clock_is(design, boards.part("xc7z020"), mhz) for mhz in (124.9, 125.0, 125.1)]
    assert found == ["estimated", "estimated", "hoped for"]
    monkeypatch.setattr(clocks, "routed", lambda *_: None)
    assert clocks.clock_is(design, boards.part("xc7z020"), 1.0) == "hoped for"


def test_a_build_says_how_far_its_clock_was_tried(tmp_path: Path) -> None:
    for mhz, kind in (("100", "estimated"), ("900", "hoped for")):
        folder = tmp_path / mhz
        built = CliRunner().invoke(app, ["build", "lfc-w1a1", "--clock", mhz, "-o", str(folder)])
        assert f"clock: {kind}: " in built.output
        assert json.loads((folder / "report.json").read_text())["clock_is"] == kind
        assert f"clock: {kind}: " in (folder / "report.html").read_text()


def test_a_board_file_that_is_called_otherwise_is_hinted_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text(BOARD)
    Path("other").write_text(BOARD)
    for name, hint in (("mine", "the file mine.toml"), ("other", "rename it to other.toml")):
        with pytest.raises(BuildError, match=hint):
            board(name)
        with pytest.raises(PlanError, match=hint):
            find(name)


@pytest.mark.parametrize("option", ["--part", "--board"])
def test_an_empty_part_is_refused(option: str) -> None:
    for value in ("", "  "):
        refused = CliRunner().invoke(app, ["plan", "lfc-w1a1", option, value])
        assert f"{option} is empty" in str(refused.exception)


def _json(*args: str) -> Any:
    done = CliRunner().invoke(app, [*args, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)

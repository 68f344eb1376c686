# SPDX-License-Identifier: BSD-3-Clause
"""``bnn plan`` as a user meets it."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from bnn.commands.main import app
from bnn.errors import PlanError


def run(*args: str, command: str = "plan"):
    return CliRunner().invoke(app, [command, *args])


def test_build_takes_a_wish(tmp_path) -> None:
    done = run("lfc-w1a1", "--fps", "50000", "--json", "-o", str(tmp_path), command="build")
    assert json.loads(done.output)["fps"] >= 50_000
    both = run("lfc-w1a1", "--max", "--folding", "original", "-o", "x", command="build")
    assert "use either --folding" in str(both.exception)


def test_the_table_names_layers_bottleneck_and_margins() -> None:
    done = run("lfc-w1a1", "--fps", "50000")
    assert done.exit_code == 0, done.output
    for part in ("layer1", "slowest", "BRAM36", "of 53,200", "images/s", "SIMD", "routed alone"):
        assert part in done.output
    assert "lfc-w1a1, at least 50,000 images/s" in done.output
    assert "lfc-w1a1, as fast as fits" in run("lfc-w1a1").output


def test_the_picture_is_said_in_a_line(tmp_path) -> None:
    path = tmp_path / "x.html"
    said = run("lfc-w1a1", "--pareto", str(path)).output
    drawn = json.loads(run("lfc-w1a1", "--pareto", str(path), "--json").output)[0]
    best = max(point["fps"] for point in drawn["points"] if point["fits"])
    told = " ".join(said.split())
    assert f"lfc-w1a1: {len(drawn['points'])} plans, up to {best:,.0f} images/s fit" in told


def test_json_and_the_folding_file_agree(tmp_path) -> None:
    path = tmp_path / "folding.json"
    done = run("lfc-w1a1", "--fps", "50000", "--loadable", "--json", "-o", str(path))
    values = json.loads(done.output)
    assert values["fps"] >= 50_000
    assert values["routed"]["mhz"] > values["clock_mhz"]
    assert values["routed"]["fps"] == values["routed"]["mhz"] * 1e6 / values["cycles"]
    assert values["cycles"] == max(layer["cycles"] for layer in values["layers"])
    assert values["used"]["LUT"] <= 0.85 * values["available"]["LUT"]
    folding = json.loads(path.read_text())
    assert folding == values["folding"]
    assert folding["loadable"] is True


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("mine.bnn", None, "its name must end in .json"),
        ("mine.toml", "x = 1", "its name must end in .json"),
        ("notes.json", '{"my": "notes"}', "exists, and is not a folding"),
        ("notes.json", "[1]", "exists, and is not a folding"),
        ("notes.json", "no JSON", "exists, and is not a folding"),
    ],
)
def test_no_other_file_is_replaced(tmp_path, name, content, reason) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    done = run("lfc-w1a1", "-o", str(path))
    assert isinstance(done.exception, PlanError)
    assert str(done.exception).startswith(f"{path}: ")
    assert reason in str(done.exception)
    assert (path.read_text() if path.exists() else None) == content


@pytest.mark.parametrize("own", ["loadable", "Defaults"])
def test_a_folding_is_replaced(tmp_path, own) -> None:
    path = tmp_path / "folding.json"
    path.write_text(json.dumps({own: {}}))
    assert run("lfc-w1a1", "-o", str(path)).exception is None
    assert json.loads(path.read_text())["layer1"]["PE"] > 0


@pytest.mark.parametrize(("clock", "mhz"), [((), 100), (("--clock", "37.5"), 37.5)])
def test_the_clock_that_is_asked_for_is_planned_with(clock, mhz, tmp_path) -> None:
    path = tmp_path / "x.html"
    drawn = json.loads(run("lfc-w1a1", "--pareto", str(path), "--json", *clock).output)
    speeds = [point["fps"] * point["cycles"] for point in drawn[0]["points"]]
    assert speeds == pytest.approx([mhz * 1e6] * len(speeds))
    assert f"{mhz:g} MHz" in path.read_text()
    planned = json.loads(run("lfc-w1a1", "--fps", "1000", "--json", *clock).output)
    assert planned["clock_mhz"] == mhz
    assert planned["fps"] * planned["cycles"] == pytest.approx(mhz * 1e6)


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (("--fps", "1000000"), "nearest plan"),
        (("--fps", "100", "--max"), "use either --fps or --max"),
        (("--part", "xc7"), "there are: xc7z007s"),
        (("--fps", "0"), "positive"),
        (("--fill", "0"), "above 0 and at most 100 %"),
        (("-o", "/nowhere/folding.json"), "cannot be written"),
        (("--with", "cnv-w1a1"), "--with is for the picture"),
        (("--pareto", "x.html", "--fps", "100"), "--fps is for a plan"),
        (("--pareto", "x.html", "--max"), "--max is for a plan"),
        (("--pareto", "x.html", "-o", "x.json"), "--output is for a plan"),
    ],
)
def test_bad_wishes_are_one_line(args: tuple[str, ...], reason: str) -> None:
    done = run("lfc-w1a1", *args)
    assert isinstance(done.exception, PlanError)
    assert reason in str(done.exception)
    assert "\n" not in str(done.exception)


@pytest.mark.parametrize("board", ["cora-z7", "zybo-z7-10"])
def test_a_folding_that_is_too_large_for_the_board_is_not_built(tmp_path, board) -> None:
    done = run("cnv-w1a1", "--board", board, "-o", str(tmp_path / "a"), command="build")
    assert f"{board}: xc7z0" in str(done.exception)
    assert "is too small for this folding: it takes about" in str(done.exception)
    assert not (tmp_path / "a").exists()

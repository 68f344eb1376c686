# SPDX-License-Identifier: BSD-3-Clause
"""How place and route and the bitstream's tools are called; programs of ours stand for them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bnn.errors import BuildError
from bnn.hw import boards
from bnn.hw.toolchain import bitstream, implement, locate, route, synth

FROM = {"cell": "a", "port": "Q"}
REPORT = {
    "fmax": {"slow": {"achieved": 80.5}, "fast": {"achieved": 200.0}},
    "critical_paths": [
        {"from": "posedge fast", "to": "posedge fast", "path": []},
        {"from": "posedge slow", "to": "async", "path": []},
        {
            "from": "posedge slow",
            "to": "posedge slow",
            "path": [{"type": "logic", "delay": 1.5, "from": FROM, "to": {"cell": "b"}}],
        },
    ],
    "utilization": {"SLICE_LUTX": {"used": 7}, "RAMB36E1": {"used": 0}},
}
#: Notes what it was given; writes what a router writes.
ROUTER = (
    "import json, sys, pathlib; given = sys.argv[1:]\n"
    "pathlib.Path('given.json').write_text(json.dumps(given))\n"
    f"pathlib.Path('timing.json').write_text({json.dumps(json.dumps(REPORT))})\n"
    "pathlib.Path('routed.fasm').write_text('')\n"
)


@pytest.fixture
def board() -> Any:
    return boards.board("pynq-z1")


def program(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> None:
    monkeypatch.setattr(locate, "command", lambda _: [sys.executable, "-c", text])
    monkeypatch.setattr(locate, "shared", lambda relative, _: folder / relative)


def test_the_router_is_told_all(
    tmp_path: Path, board: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(monkeypatch, tmp_path, ROUTER)
    found = route.route(tmp_path, "n.json", board, constraints="pins", mhz=62.5, seed=9)
    given = json.loads((tmp_path / "given.json").read_text())
    told = dict(zip(given[::2], given[1::2], strict=False))
    chip = tmp_path / "nextpnr/himbaechel/xilinx" / f"chipdb-{board.part.name}.bin"
    assert told == {
        "--device": board.device,
        "--chipdb": str(chip),
        "--json": "n.json",
        "--freq": "62.5",
        "--seed": "9",
        "--report": "timing.json",
        "--log": "route.log",
        "-o": "fasm=routed.fasm",
        "--timing-allow-fail": "-q",
    }
    assert given[given.index("-o") + 1] == "xdc=pins.xdc"
    assert (tmp_path / "pins.xdc").read_text() == "pins"
    assert (found.fmax_mhz, found.used, found.fasm) == (
        80.5,
        {"SLICE_LUTX": 7},
        tmp_path / "routed.fasm",
    )
    (step,) = found.path
    assert step == route.Step("logic", 1.5, "a.Q", "b.")


@pytest.mark.parametrize(
    ("text", "seconds", "reason"),
    [
        ("import sys; sys.exit('x\\nERROR: one\\nERROR: two')", None, "nextpnr: ERROR: one$"),
        ("raise SystemExit(3)", None, "nextpnr: ended with exit status 3$"),
        ("import time; time.sleep(60)", 0.25, r"nextpnr did not finish within 0\.25 s$"),
    ],
)
def test_a_router_that_fails(
    text: str,
    seconds: Any,
    reason: str,
    tmp_path: Path,
    board: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program(monkeypatch, tmp_path, text)
    with pytest.raises(BuildError, match=reason):
        route.route(tmp_path, "n.json", board, seconds=seconds)


def test_a_design_without_a_clock() -> None:
    with pytest.raises(BuildError, match="no clock in the design"):
        route.read({**REPORT, "fmax": {}}, Path("x"))
    other = {**REPORT, "critical_paths": REPORT["critical_paths"][:2]}  # type: ignore[index]
    assert route.read(other, Path("x")).path == ()


FRAMES = {0x20: [0] * 3 + [1 << 31], 0x1F: [5, 0, 0, 0]}


@pytest.fixture
def prjxray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """A database with a required feature; frames are not computed."""
    seen: list[list[str]] = []

    def frames(lines: Any, _: Any) -> Any:
        seen.append([line.strip() for line in lines])
        return FRAMES

    monkeypatch.setattr(locate, "database", lambda _: tmp_path)
    monkeypatch.setattr(bitstream, "_database", lambda *_: None)
    monkeypatch.setattr(bitstream, "frames", frames)
    return seen


WRITER = (
    "import json, sys, pathlib; given = dict(a.split('=', 1) for a in sys.argv[1:])\n"
    "text = pathlib.Path(given['--frm_file']).read_text()\n"
    "pathlib.Path(given['--output_file']).write_text(json.dumps([given, text]))\n"
)


@pytest.mark.parametrize("needed", [True, False])
def test_the_bitstreams_tool_is_told_all(
    needed: bool, tmp_path: Path, board: Any, prjxray: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(monkeypatch, tmp_path, WRITER)
    if needed:
        (tmp_path / board.device).mkdir()
        (tmp_path / board.device / "required_features.fasm").write_text("r.s\n")
    (tmp_path / "x.fasm").write_text("a.b\nc.d\n")
    target = tmp_path / "out" / "bnn.bit"
    target.parent.mkdir()
    assert bitstream.write(tmp_path / "x.fasm", board, target) == FRAMES
    assert prjxray == [[*(["r.s"] if needed else []), "a.b", "c.d"]]
    given, text = json.loads(target.read_text())
    assert given == {
        "--part_file": str(tmp_path / board.device / "part.yaml"),
        "--part_name": board.device,
        "--frm_file": "bnn.frm",
        "--output_file": "bnn.bit",
    }
    assert text.splitlines() == [
        "0x0000001f 0x00000005,0x00000000,0x00000000,0x00000000",
        "0x00000020 0x00000000,0x00000000,0x00000000,0x80000000",
    ]
    assert not target.with_suffix(".frm").exists()


@pytest.mark.parametrize(
    "text",
    ["import sys; sys.exit('no such part')", "import sys; print('no such part', file=sys.stderr)"],
)
@pytest.mark.usefixtures("prjxray")
def test_a_bitstream_that_is_not_made(
    text: str, tmp_path: Path, board: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(monkeypatch, tmp_path, text)
    (tmp_path / "x.fasm").write_text("")
    with pytest.raises(BuildError, match=r"^xc7frames2bit failed: no such part"):
        bitstream.write(tmp_path / "x.fasm", board, tmp_path / "bnn.bit")


@pytest.mark.parametrize("fails", [False, True])
def test_a_design_is_implemented(
    fails: bool, tmp_path: Path, board: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sources and top are there, the board's clock is asked, and the log is kept if it fails."""
    calls: list[Any] = []
    routed = SimpleNamespace(fasm=Path("r.fasm"))

    def run(folder: Path, text: str) -> str:
        top = f"{board.built.top}.sv"
        calls.append(((folder / "a.sv").read_text(), top in text, (folder / top).read_text()))
        return ""

    def routes(folder: Path, netlist: str, given: Any, **options: Any) -> Any:
        calls.append((netlist, given is board, options))
        (folder / "route.log").write_text("log")
        if fails:
            raise BuildError("nextpnr: no room")
        (folder / "timing.json").write_text("{}")
        return routed

    for name in ("family", "command", "database"):
        monkeypatch.setattr(locate, name, lambda _: tmp_path)
    monkeypatch.setattr(synth, "command", list)
    monkeypatch.setattr(synth, "run", run)
    monkeypatch.setattr(route, "route", routes)
    monkeypatch.setattr(bitstream, "write", lambda *given: calls.append(given))
    text: Any = SimpleNamespace(files={"a.sv": "module a;"}, verilog=["a.sv"])
    target = tmp_path / "deep" / "out"
    if fails:
        with pytest.raises(BuildError, match="no room"):
            implement.implement(text, board, target, seed=5, seconds=7)
        assert not (target / "timing.json").exists()
    else:
        assert implement.implement(text, board, target, seed=5, seconds=7) is routed
        assert calls.pop() == (Path("r.fasm"), board, target / "bnn.bit")
        assert (target / "timing.json").read_text() == "{}"
    assert (target / "route.log").read_text() == "log"
    assert calls == [
        ("module a;", True, board.top_source()),
        (synth.NETLIST, True, {"mhz": board.clock_mhz, "seed": 5, "seconds": 7}),
    ]

# SPDX-License-Identifier: BSD-3-Clause
"""Parts and boards by any of their names, clocks at the ends of the range, and a block alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bnn.errors import BuildError
from bnn.hw import boards
from bnn.hw.toolchain import out_of_context, route, synth


def test_a_part_by_any_name() -> None:
    found = boards.board("pynq-z1")
    for name in ("pynq-z1", "PYNQ-Z1", found.part.name, found.device, found.device.upper()):
        assert boards.part(name) is found.part


@pytest.mark.parametrize(
    ("mhz", "wrong"),
    [
        (boards._MIN_MHZ, False),
        (boards._MAX_MHZ, False),
        (boards._MIN_MHZ - 0.01, True),
        (boards._MAX_MHZ + 0.01, True),
        (float("nan"), True),
        (100.0, False),
    ],
)
def test_clocks(mhz: float, wrong: bool) -> None:
    told = f"clock is {mhz:g} MHz; it must be from {boards._MIN_MHZ} to {boards._MAX_MHZ}"
    assert boards.clock_error(mhz) == (told if wrong else "")


def test_a_place_has_a_digest_of_its_own() -> None:
    """Of each value; a clock of 100 and of 100.0 MHz are one."""
    given: Any = ("a", 1 << 30, 4096, 100.0)
    others: list[Any] = [("b", *given[1:]), ("a", 1 << 29, *given[2:]), (*given[:2], 8192, 100.0)]
    others.append((*given[:3], 100.1))
    assert len({boards.place_digest(*each) for each in (given, *others)}) == 5
    assert boards.place_digest("a", 1 << 30, 4096, 100) == boards.place_digest(*given)
    assert boards.place_digest(*given) == "23fc437047884089"


@pytest.mark.parametrize("images", [None, {"w.mem": "0\n"}])
def test_a_block_alone(images: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its library, its memories and the wrapper are written; pins and clock are handed on."""
    board = boards.board("pynq-z1")
    calls: list[Any] = []
    library = {"bnn_pool.sv": "module bnn_pool;", "notes.txt": "x"}
    monkeypatch.setattr(out_of_context, "library", lambda: library)

    def seen(folder: Path, names: list[str], blocks: Any) -> Any:
        calls.append((sorted(path.name for path in folder.iterdir()), list(names), blocks))
        return ([],)

    def routable(names: list[str], top: str, part: Any, *, pins: bool) -> str:
        calls.append((list(names), top, part is board.part, pins))
        return "script"

    def routes(_: Path, netlist: str, given: Any, **more: Any) -> str:
        calls.append((netlist, given is board, more))
        return "routed"

    monkeypatch.setattr(synth, "ports", seen)
    monkeypatch.setattr(synth, "routable", routable)
    monkeypatch.setattr(synth, "run", lambda _, text: calls.append(text))
    monkeypatch.setattr(route, "route", routes)
    found: Any = out_of_context.fmax(
        tmp_path, "bnn_pool", {"BITS": 3}, board, images=images, mhz=80.0, seed=4
    )
    assert found == "routed"
    assert calls == [
        (sorted({*library, *(images or {})}), ["bnn_pool.sv"], [("bnn_pool", {"BITS": 3})]),
        (["bnn_pool.sv", "alone.sv"], "alone", True, True),
        "script",
        (synth.NETLIST, True,
         {"constraints": out_of_context.constraints(board), "mhz": 80.0, "seed": 4}),
    ]  # fmt: skip
    assert (tmp_path / "bnn_pool.sv").read_text() == "module bnn_pool;"
    assert "bnn_pool #(.BITS(3)) block" in (tmp_path / "alone.sv").read_text()
    with pytest.raises(BuildError, match="no block is called 'other'"):
        out_of_context.fmax(tmp_path, "other", {}, board)

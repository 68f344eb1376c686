# SPDX-License-Identifier: BSD-3-Clause
"""Synthesis: every block is counted, and the parts make the whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from bnn.hw.design import build
from bnn.hw.render import library, sources
from bnn.hw.toolchain import synth
from hw.examples import DENSE_FOLDING, dense
from hw.test_route import FIFO_PORTS

pytestmark = [pytest.mark.hw, pytest.mark.usefixtures("yosys")]


def test_ports_are_those_of_the_header(tmp_path: Path) -> None:
    for name, text in library().items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    names = [name for name in library() if name.endswith(".sv")]
    wide = {"BITS": 40, "DEPTH": 100, "STYLE": "block"}
    blocks: list[tuple[str, dict[str, int | str]]] = [
        *(("bnn_fifo", {"BITS": 5}), ("bnn_fifo", wide), ("bnn_probe", {"FILL": 3})),
    ]
    small, large, probe = synth.ports(tmp_path, names, blocks)
    assert small == FIFO_PORTS
    assert [port.name for port in large] == [port.name for port in small]
    assert [port.bits for port in large] == [1, 1, 1, 1, 40, 1, 1, 40, 7]
    assert [port.name for port in probe][:2] == ["clk", "clear"]
    assert "rst" not in {port.name for port in probe}


def test_every_block_is_counted() -> None:
    design = build(dense(), DENSE_FOLDING)
    modules = {instance.name: instance.block.module for instance in design.instances}
    cells = synth.cells(sources(design), modules)
    assert set(cells) == {*modules, "control", "reader", "writer", "total"}
    total = cells.pop("total")
    for kind in ("LUT", "FF", "BRAM36", "DSP"):
        parts = sum(counts[kind] for counts in cells.values())
        # Outside the blocks is the parameter bus's decoding, and the reset.
        assert parts <= total[kind] <= parts + 64
    assert cells["hidden"]["FF"] > 50
    assert 1000 < total["LUT"] < 2000

# SPDX-License-Identifier: BSD-3-Clause
"""No memory style ties the blocks to one vendor: chips without RAM in LUTs take a matrix unit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bnn.errors import BuildError
from bnn.hw.render import library
from bnn.hw.toolchain import out_of_context as alone
from bnn.hw.toolchain import synth
from hw.blocks import LARGE

pytestmark = [pytest.mark.hw, pytest.mark.usefixtures("yosys")]


def _synthesize(folder: Path, flow: str, style: str) -> None:
    bench = LARGE["matrix-loaded"]()
    block = replace(bench.block, input_style=style)
    assert block.row_folds > 1  # else no input word is kept
    files = {**library(), "alone.sv": alone.wrapper(block.module, block.generics())}
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    names = " ".join(name for name in files if name.endswith(".sv"))
    read = f"read_verilog -defer -sv -DSYNTHESIS {names}\nhierarchy -check -top alone\n"
    synth.run(folder, f"{read}{flow} -top alone\n")


@pytest.mark.parametrize("flow", ["synth_ice40", "synth_efinix", "synth_ecp5"])
def test_a_matrix_unit_on_other_chips(flow: str, tmp_path: Path) -> None:
    _synthesize(tmp_path, flow, "auto")


def test_a_style_that_a_chip_does_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="no valid mapping found for memory"):
        _synthesize(tmp_path, "synth_ice40", "distributed")

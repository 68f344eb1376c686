# SPDX-License-Identifier: BSD-3-Clause
"""No vendor is built in: Yosys maps a whole small design for six families of chips.

``make synth`` prints the table of docs/hardware.md.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from bnn.errors import BuildError
from bnn.hw.blocks.matrix import Matrix
from bnn.hw.design import Design, build
from bnn.hw.folding import Folding
from bnn.hw.render import sources
from bnn.hw.toolchain import synth
from hw.examples import DENSE_FOLDING, dense

pytestmark = [pytest.mark.hw, pytest.mark.usefixtures("yosys")]

#: Family -> its flow, and what is counted of its cells: tables or adders, flip-flops, memories.
FLOWS = {
    "ice40": ("synth_ice40", r"SB_LUT4|SB_CARRY", r"SB_DFF\w*", r"SB_RAM\w*"),
    "ECP5": ("synth_ecp5", r"LUT4|CCU2C", r"TRELLIS_FF", r"DP16KD|TRELLIS_DPR16X4"),
    "Gowin": ("synth_gowin", r"LUT[1-4]|ALU", r"DFF\w*", r"RAM16\w*|(S|SDP|DP)X?9?B\w*"),
    "Nexus": ("synth_nexus", r"LUT4|CCU2|INV", r"FD1P3\w*", r"PDP\w*|DPR16X4|DP16K\w*"),
    "Intel": (
        *("synth_intel_alm", r"MISTRAL_(ALUT\w*|NOT)", r"MISTRAL_FF", r"MISTRAL_(M10K|MLAB)"),
    ),
    "Efinix": ("synth_efinix", r"EFX_LUT4|EFX_ADD", r"EFX_FF", r"EFX_RAM\w*"),
}


def _design(*, loadable: bool, style: str = "auto") -> Design:
    """A dense network; ``style`` is that of the inputs that a matrix keeps for later row folds."""
    folding = Folding(DENSE_FOLDING.layers, loadable)
    design = build(dense(), folding)
    instances = tuple(
        replace(each, block=replace(each.block, input_style=style))
        if isinstance(each.block, Matrix)
        else each
        for each in design.instances
    )
    assert any(isinstance(each.block, Matrix) and each.block.row_folds > 1 for each in instances)
    return replace(design, instances=instances)


def _cells(folder: Path, design: Design, flow: str) -> Counter[str]:
    """Cells of the whole accelerator by kind, after one of Yosys' flows."""
    text = sources(design)
    for name, content in text.files.items():
        (folder / name).write_text(content, encoding="utf-8")
    script = (
        f"read_verilog -defer -sv -DSYNTHESIS {' '.join(text.verilog)}\n"
        f"hierarchy -check -top bnn_top\n{flow} -top bnn_top\n"
        "flatten\ndelete t:$scopeinfo\ncheck -assert\ntee -o stat.json stat -json\n"
    )
    synth.run(folder, script)
    found = json.loads((folder / "stat.json").read_text(encoding="utf-8"))
    return Counter(found["design"]["num_cells_by_type"])


@pytest.mark.parametrize("family", FLOWS)
@pytest.mark.parametrize("loadable", [False, True], ids=["constants", "loadable"])
def test_a_whole_design_on_other_chips(family: str, loadable: bool, tmp_path: Path) -> None:
    flow, *kinds = FLOWS[family]
    found = _cells(tmp_path, _design(loadable=loadable), flow)
    logic, registers, memories = (
        sum(number for kind, number in found.items() if re.fullmatch(pattern, kind))
        for pattern in kinds
    )
    rest = {kind: n for kind, n in found.items() if not re.fullmatch("|".join(kinds), kind)}
    ways = "loadable" if loadable else "constants"
    print(f"\n| {family} | `{flow}` | {ways} | {logic} | {registers} | {memories} | {rest}")
    # The same circuit whatever the chip: about as many flip-flops as on a Zynq, none left generic.
    assert not [kind for kind in found if kind.startswith("$")]
    assert 500 < registers < 3000
    assert logic > 500


def test_a_style_that_a_chip_does_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="no valid mapping found for memory"):
        _cells(tmp_path, _design(loadable=False, style="distributed"), "synth_ice40")

# SPDX-License-Identifier: BSD-3-Clause
"""Blocks refuse wrong parameters when they are elaborated, each rule by its own message."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from bnn.errors import BuildError
from bnn.hw.design import build
from bnn.hw.render import library, sources
from bnn.hw.toolchain import synth, verilator
from hw.examples import DENSE_FOLDING, dense

#: Block -> parameters (those not named are the defaults) that break one rule each, by its label in
#: the source (``gen_refuse_...``). Where a rule joins several conditions, each of them.
WRONG: dict[str, dict[str, tuple[str, ...]]] = {
    "bnn_add": {
        "lanes": ("LANES=0",),
        "bits": ("BITS=0", "BITS=36"),
        "a": ("A_BITS=0", "A_SHIFT=-1", "A_BITS=35 A_SHIFT=1"),
        "b": ("B_BITS=0", "B_SHIFT=-1", "B_BITS=35 B_SHIFT=1"),
    },
    "bnn_xnor_popcount": {"simd": ("SIMD=4", "SIMD=0"), "stages": ("STAGES=2", "STAGES=5")},
    "bnn_choose_add": {"bits": ("BITS=0",)},
    "bnn_counter6to3": {"bits": ("BITS=0",)},
    "bnn_fifo": {"size": ("BITS=0", "DEPTH=0")},
    "bnn_fork": {"size": ("BITS=0", "COPIES=0")},
    "bnn_dot_planes": {
        "bits": ("SIMD=0", "WBITS=0", "ABITS=0", "ACC=0"),
        "xnor": ("WBITS=2", "WSIGNED=1"),
        "stages": ("STAGES=2", "STAGES=5"),
    },
    "bnn_threshold_compare": {
        "bits": ("ACC=1", "OBITS=0"),
        "levels": ("LEVELS=-1", "SHIFT=-1"),
        "falling": ("FALLING=2", "FALLING=-1"),
    },
    "bnn_multiply": {
        "sizes": ("LANES=0", "BITS=0"),
        "a": ("A_USED=0", "A_USED=9", "A_BIPOLAR=1"),
        "b": ("B_USED=0", "B_USED=9", "B_BIPOLAR=1"),
    },
    "bnn_concat": {
        "sizes": ("LANES=0", "BITS=0", "A_WORDS=0", "B_WORDS=0"),
        "a": ("A_BITS=0", "A_BIPOLAR=1"),
        "b": ("B_BITS=0", "B_BIPOLAR=1"),
    },
    "bnn_rescale": {
        "sizes": ("LANES=0", "FOLDS=0", "DEPTH=0"),
        "input": ("USED=0", "USED=9", "IBIPOLAR=1"),
        "bits": ("MBITS=-1", "ABITS=-1", "OBITS=0", "OBITS=33"),
        "wide": ("SHIFT=-1", "SHIFT=17", "ABITS=19"),
        "rounding": ("ROUNDING=-1", "ROUNDING=4 SHIFT=1", "ROUNDING=1"),
    },
    "bnn_rescale_lane": {"bits": ("IBITS=0", "USED=0", "USED=9", "SHIFT=-1", "WIDE=1")},
    "bnn_table": {
        "sizes": ("LANES=0", "OBITS=0", "DEPTH=0", "ENTRIES=1"),
        "input": ("IBITS=0", "IBITS=33"),
    },
    "bnn_state": {
        "sizes": ("LANES=0", "BITS=0", "WORDS=0"),
        "input": ("I_BITS=0", "I_BIPOLAR=1"),
    },
    "bnn_deal": {"sizes": ("BITS=0", "A_WORDS=0", "B_WORDS=0")},
    "bnn_matrix": {
        "sizes": ("PE=0", "SIMD=0", "NF=0", "SF=0", "PIXELS=0", "DEPTH=0"),
        "bits": ("WBITS=0", "ABITS=0", "OBITS=0", "ACC=1"),
        "xnor": ("WBITS=3", "WSIGNED=1"),
        "ternary": (
            "TERNARY=1 WBITS=2 ABITS=2",
            "TERNARY=1 XNOR=0 WBITS=1 ABITS=2",
            "TERNARY=1 XNOR=0 WBITS=2 ABITS=3",
        ),
        "sums": ("SUMS=1 XNOR=0",),
        "stages": ("STAGES=2", "STAGES=0", "STAGES=5"),
    },
    "bnn_max": {"sizes": ("LANES=0", "BITS=0", "FOLDS=0", "POSITIONS=0")},
    "bnn_narrow": {"sizes": ("BITS=0", "GROUPS=0"), "ratio": ("RATIO=1",)},
    "bnn_pad": {"bits": ("BITS=0",), "keep": ("KEEP=0", "KEEP=2", "KEEP=8 TOTAL=7")},
    "bnn_pairs": {"sizes": ("SIMD=0", "ABITS=0")},
    "bnn_parameters": {
        "sizes": ("ITEMS=0", "BITS=0", "DEPTH=0"),
        "items": ("LOADABLE=1 ITEMS=32769 BITS=33 DEPTH=1",),
        "depth": ("LOADABLE=1 DEPTH=1048577",),
    },
    "bnn_patches": {
        "sizes": ("BITS=0", "LANES=0", "TAKE=0", "PARTS=0"),
        "map": ("IN_H=0", "IN_W=0", "OUT_H=0", "OUT_W=0"),
        "kernel": ("K_H=0", "K_W=0", "S_H=0", "S_W=0", "P_T=-1", "P_L=-1"),
        "pixels": ("PIXELS=0", "OUT_W=5 PIXELS=2"),
        "rows": ("ROWS=0", "ROWS=6"),
        "depth": ("ROWS=2",),
    },
    "bnn_popcount": {"bits": ("BITS=0",), "stages": ("STAGES=2", "STAGES=0", "STAGES=5")},
    "bnn_probe": {"fill": ("FILL=0", "FILL=33")},
    "bnn_probe_select": {"count": ("COUNT=0", "COUNT=16385")},
    "bnn_reader": {
        "words": ("WORDS=0",),
        "rest": ("REST=-1", "REST=8"),
        "depth": ("DEPTH=15",),
    },
    "bnn_resize": {"sizes": ("FROM=0", "TO=0")},
    "bnn_dot_array": {
        "sizes": ("PE=0", "SIMD=0", "WBITS=0", "ABITS=0", "ACC=0"),
        "sums": ("SUMS=1 XNOR=0", "SUMS=1 WBITS=2", "SUMS=1 TERNARY=1"),
        "ternary": (
            "TERNARY=1 WBITS=2 ABITS=2",
            "TERNARY=1 XNOR=0 WBITS=1 ABITS=2",
            "TERNARY=1 XNOR=0 WBITS=2 ABITS=1",
        ),
    },
    "bnn_serialize": {
        "sizes": ("BITS=0", "PIXELS=0", "NF=0", "GROUPS=0"),
        "tail": ("TAIL=0", "TAIL=3"),
    },
    "bnn_dot_adder_chain": {"sizes": ("SIMD=0", "ABITS=0", "ACC=0")},
    "bnn_tables": {"bits": ("BITS=0",), "tables": ("TABLES=1", "TABLES=3", "TABLES=8")},
    "bnn_compressor": {
        "sizes": ("ONES=0", "TWOS=0", "COUNT=0"),
        "stages": ("STAGES=1", "STAGES=4"),
    },
    "bnn_ternary": {"sizes": ("SIMD=0", "ACC=0"), "stages": ("STAGES=2", "STAGES=5")},
    "bnn_threshold": {
        "sizes": ("LANES=0", "FOLDS=0", "LEVELS=0", "OBITS=0", "DEPTH=0"),
        "acc": ("IBITS=0", "ACC=8"),
    },
    "bnn_triples": {"bits": ("BITS=0",)},
    "bnn_trim": {"bits": ("BITS=0",), "keep": ("KEEP=0", "KEEP=2", "KEEP=8 TOTAL=7")},
    "bnn_unpack": {
        "sizes": ("OBITS=9", "LANES=0", "LANES=9"),
        "values": ("VALUES=7",),
    },
    "bnn_widen": {"sizes": ("BITS=0", "GROUPS=0"), "ratio": ("RATIO=1",)},
    "bnn_window": {
        "sizes": ("BITS=0", "FOLDS=0"),
        "map": ("IN_H=0", "IN_W=0", "OUT_H=0", "OUT_W=0"),
        "kernel": ("K_H=0", "K_W=0", "S_H=0", "S_W=0", "P_T=-1", "P_L=-1"),
        "pixels": ("PIXELS=0", "PIXELS=3"),
        # A group of 2 positions in rows of 3 may need a row more.
        "rows": ("ROWS=2", "IN_W=5 IN_H=5 OUT_W=3 OUT_H=3 PIXELS=2 ROWS=3"),
    },
    "bnn_writer": {"sizes": ("WORDS=0", "DEPTH=0")},
}

#: What Verilator refuses with an error of its own, before it comes to the rule.
EARLIER = {
    ("bnn_matrix", "WBITS=0"),
    ("bnn_max", "BITS=0"),
    ("bnn_parameters", "LOADABLE=1 ITEMS=32769 BITS=33 DEPTH=1"),
}

_RULE = re.compile(r'begin : gen_refuse_(\w+)\s*\$error\(\s*"([^"]*)"\s*\);\s*end')


def rules(block: str) -> dict[str, str]:
    """Label -> message of every rule in a block's source."""
    found = dict(_RULE.findall(library()[f"{block}.sv"]))
    assert len(found) == library()[f"{block}.sv"].count("$error(")
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("rtl")
    for name, text in library().items():
        (made / name).write_text(text, encoding="utf-8")
    return made


def _elaborate(folder: Path, block: str, parameters: str) -> subprocess.CompletedProcess[str]:
    root = verilator.verilator_root()
    flags = ["--lint-only", "-Wno-fatal", "-Wno-lint", "-Werror-USERERROR", "-y", "."]
    sets = [f"-G{each}" for each in parameters.split()]
    return subprocess.run(
        [str(root / "bin" / "verilator_bin"), *flags, *sets, "--top-module", block, f"{block}.sv"],
        cwd=folder,
        env={**os.environ, "VERILATOR_ROOT": str(root), "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.usefixtures("simulator")
@pytest.mark.parametrize("block", sorted(WRONG))
def test_wrong_parameters_are_refused(block: str, folder: Path) -> None:
    sound = _elaborate(folder, block, "")
    assert sound.returncode == 0, sound.stderr
    messages = rules(block)
    assert messages.keys() == WRONG[block].keys()
    for label, choices in WRONG[block].items():
        for parameters in choices:
            run = _elaborate(folder, block, parameters)
            assert run.returncode != 0, parameters
            assert messages[label].startswith(f"{block}: ")
            named = messages[label] in run.stderr
            assert named == ((block, parameters) not in EARLIER), run.stderr


@pytest.mark.usefixtures("simulator")
def test_a_simulator_is_not_built_of_them(tmp_path: Path) -> None:
    text = sources(build(dense(), DENSE_FOLDING))
    core = text.files["bnn_core.sv"]
    assert core.count(".NF(2)") == 1
    files = {**text.files, "bnn_core.sv": core.replace(".NF(2)", ".NF(0)")}
    with pytest.raises(BuildError, match=r"USERERROR.*must be at least 1"):
        verilator.verilate(tmp_path, replace(text, files=files), verilator._flags(trace=False))


def test_every_block_with_rules_is_tried() -> None:
    blocks = {name[:-3] for name in library() if name.endswith(".sv")}
    assert blocks - WRONG.keys() == {"bnn_control"}  # any value of its parameters is right
    assert "$error" not in library()["bnn_control.sv"]


@pytest.mark.hw
@pytest.mark.usefixtures("yosys")
@pytest.mark.parametrize("block", ["bnn_fifo", "bnn_window", "bnn_serialize", "bnn_trim"])
def test_yosys_refuses_them_too(block: str, folder: Path) -> None:
    for label, message in rules(block).items():
        said = [_yosys_says(folder, block, parameters) for parameters in WRONG[block][label]]
        assert any(message in each for each in said), said  # else it has an error of its own first


def _yosys_says(folder: Path, block: str, parameters: str) -> str:
    sets = " ".join(f"-chparam {each.replace('=', ' ')}" for each in parameters.split())
    script = f"read_verilog -defer -sv -DSYNTHESIS {block}.sv\nhierarchy -top {block} {sets}\n"
    with pytest.raises(BuildError) as caught:
        synth.run(folder, script)
    return str(caught.value)

# SPDX-License-Identifier: BSD-3-Clause
"""``bnn bench --layers``: which steps there are and what is said of them; not how fast they are."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import bnn
from bnn.commands.main import app
from bnn.measure.layers import Limits, layers
from bnn.measure.speed import operations
from bnn.program.inputs import IntegerInput
from bnn.program.operations import Dot, Pool, Threshold, Window
from bnn.program.precision import BIPOLAR, INT
from bnn.program.program import Program
from support.kernels import KERNELS


@pytest.mark.parametrize("kernel", KERNELS)
def test_every_multiplication_belongs_to_one_step(kernel: str) -> None:
    program = bnn.load("cnv-w1a1").program
    found = layers(program, 2, Limits({}, 1e10), kernel=kernel, rounds=1)
    assert sum(each.multiply_adds for each in found) == operations(program) // 2
    assert sum(each.share for each in found) == pytest.approx(1)
    assert all(each.seconds > 0 and each.of_limit is None for each in found)
    named = {op.name for op in program.ops}
    assert {each.operation for each in found} <= named
    dots = [op.name for op in program.ops if isinstance(op, Dot)]
    assert [each.operation for each in found if each.multiply_adds] == dots
    assert found[0].step == "input"


def one_layer(columns: int, rows: int) -> Program:
    ones = np.ones((rows, columns), np.int8)
    return Program(
        IntegerInput((1, 1, columns), INT(8)), (Dot("scores", "input", ones, INT(8)),), "scores"
    )


def test_bounds_are_input_compute_and_memory() -> None:
    slow = Limits(dict.fromkeys(("amx", "avx512", "vnni", "avx2"), 1e6), 1e6)
    fast = Limits(dict.fromkeys(("amx", "avx512", "vnni", "avx2"), 1e15), 1e6)
    few = layers(one_layer(64, 10), 1, slow, rounds=1)
    assert [each.bound for each in few] == ["input", "compute", "memory"]  # the last one copies
    # 4 million weights do not stay in a cache, and this memory has 1 MB/s.
    many = layers(one_layer(2048, 2048), 1, fast, kernel="portable", rounds=1)
    assert [each.bound for each in many if each.multiply_adds] == ["memory"]


def test_shares_of_a_limit() -> None:
    found = layers(
        one_layer(64, 10), 1, Limits(dict.fromkeys(("amx", "vnni"), 2e12), 1e10), rounds=1
    )
    for each in found:
        if each.instructions in ("amx", "vnni"):
            assert each.of_limit == pytest.approx(each.multiply_adds / each.seconds / 2e12)


def test_thresholds_and_pools_belong_to_their_dot() -> None:
    ops = (
        Window("w", "input", (3, 3)),
        Dot("d", "w", np.ones((64, 9 * 64), np.int8), BIPOLAR),
        Threshold("t", "d", np.zeros((64, 1), np.int32), BIPOLAR, -1, 2),
        Pool("p", "t", (2, 2), (2, 2)),
        Window("flat", "p", (2, 2)),
        Dot("scores", "flat", np.ones((3, 256), np.int8), BIPOLAR),
    )
    program = Program(IntegerInput((6, 6, 64), BIPOLAR), ops, "scores")
    found = layers(program, 1, Limits({}, 1e10), rounds=1)
    assert [each.operation for each in found if each.step == "dot"] == ["d", "scores"]
    assert {each.step for each in found} == {"input", "convert", "dot", "scores"}


def test_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bnn.measure.layers.limits", lambda: Limits({"amx": 3e12}, 1e10))
    command = ["bench", "lfc-w1a1", "--layers", "--batch", "1,2"]
    text = CliRunner().invoke(app, command).output
    assert "limit amx" in text
    assert text.count("all steps:") == 2
    lines = CliRunner().invoke(app, [*command, "--json"]).output.splitlines()
    rows = [json.loads(line) for line in lines]
    assert {row["batch"] for row in rows} == {1, 2}
    assert {"operation", "step", "seconds", "of_limit", "bound"} <= set(rows[0])


@pytest.mark.parametrize("more", [["-t", "2"], ["-r", "reference"], ["--report", "page.html"]])
def test_the_command_refuses_what_it_would_ignore(more: list[str]) -> None:
    result = CliRunner().invoke(app, ["bench", "lfc-w1a1", "--layers", *more])
    assert "--layers is for the runtime cpu and one thread" in str(result.exception)

# SPDX-License-Identifier: BSD-3-Clause
"""What the bench says of its own measurements; nothing here depends on the machine's speed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from bnn.commands.bench import numbers
from bnn.commands.main import app
from bnn.errors import InputError
from bnn.measure import speed as bench
from bnn.program.inputs import IntegerInput
from bnn.program.operations import Dot, Window
from bnn.program.precision import BIPOLAR, UINT
from bnn.program.program import Program


def small() -> Program:
    weights = np.ones((2, 12), np.int16)
    ops = (
        Window("patches", "input", (2, 2)),
        Dot("sums", "patches", weights, BIPOLAR, accumulator_bits=7),
        Window("flat", "sums", (2, 3)),
        Dot("scores", "flat", np.ones((5, 12), np.int16), BIPOLAR),
    )
    return Program(IntegerInput((3, 4, 3), UINT(2)), ops, "scores")


def test_operations_are_counted_for_every_position() -> None:
    assert bench.operations(small()) == 2 * (2 * 12 * 6 + 5 * 12)


def test_every_setting_is_measured_every_round() -> None:
    timings = bench.bench(small(), (1, 3), (1, 2), rounds=2)
    assert [(t.batch, t.threads) for t in timings] == [(1, 1), (3, 1), (1, 2), (3, 2)]
    for timing in timings:
        assert len(timing.wall) == len(timing.cpu) == 2
        assert timing.spread >= 1


def test_figures_follow_from_the_samples() -> None:
    timing = bench.Timing("x", 10, 1, 1000, wall=[3e-6, 1e-6, 2e-6], cpu=[4e-6, 2e-6, 3e-6])
    assert timing.images_per_second == pytest.approx(5e5)
    assert timing.images_per_cpu_second == pytest.approx(5e5)
    assert timing.spread == pytest.approx(3)
    assert timing.as_dict()["gops"] == pytest.approx(0.5)
    assert timing.as_dict()["us_median"] == pytest.approx(2, rel=1e-9)
    assert timing.as_dict()["us_best"] == pytest.approx(1, rel=1e-9)


def test_the_page_has_the_figures_of_the_table(tmp_path: Path) -> None:
    page = tmp_path / "speed.html"
    command = ["bench", "lfc-w1a1", "--batch", "1,2", "--report", str(page), "--json"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    text = page.read_text(encoding="utf-8")
    for line in result.output.splitlines():
        row = json.loads(line)
        assert f"<td>{row['images_per_second']:,.0f}</td>" in text
        assert f"<td>{row['us_median']:,.1f}</td>" in text
    assert text.count('style="width:100.0%"') == 1
    assert str(tmp_path) not in text
    refused = CliRunner().invoke(app, ["bench", "lfc-w1a1", "--report", str(tmp_path / "a.txt")])
    assert isinstance(refused.exception, InputError)


def test_command_prints_json_lines() -> None:
    command = ["bench", "lfc-w1a1", "--batch", "1,2", "--runtime", "cpu", "--json"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in result.output.splitlines()]
    assert [row["batch"] for row in rows] == [1, 2]
    assert all(row["machine"] for row in rows)


@pytest.mark.parametrize("text", ["", "0", "1,", "two", "1,2000000", "-1"])
def test_numbers_are_whole_and_positive(text: str) -> None:
    with pytest.raises(InputError, match="--batch"):
        numbers("batch", text)


def test_info_tells_the_kernel_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BNN_KERNEL", "portable")
    text = CliRunner().invoke(app, ["info", "--cpu"]).output
    assert "portable: set by BNN_KERNEL" in text
    found = json.loads(CliRunner().invoke(app, ["info", "--cpu", "--json"]).output)
    assert found["kernel"] == "portable"
    assert found["kernels"][-1]["name"] == "portable"
    assert found["training"] in {"avx512", "avx2", "neon", "portable"}
    assert f"training  {found['training']}" in text
    for arguments, words in ((["info"], "name a model"), (["info", "--cpu", "lfc-w1a1"], "--cpu")):
        assert words in str(CliRunner().invoke(app, arguments).exception)


def test_bench_refuses_what_it_would_ignore_or_measure_wrongly() -> None:
    for arguments, words in (
        (["-r", "sim"], "bnn plan"),
        (["-r", "reference", "-t", "2"], "--threads is for the runtime cpu"),
    ):
        assert words in str(CliRunner().invoke(app, ["bench", "lfc-w1a1", *arguments]).exception)

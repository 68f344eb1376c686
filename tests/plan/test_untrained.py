# SPDX-License-Identifier: BSD-3-Clause
"""A topology file is planned as the trained network would be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import bnn
from bnn.commands.main import app
from bnn.errors import NetworkError, UnknownNameError
from bnn.lower import lower
from bnn.network import zoo
from bnn.network.assemble import assemble, random_parameters
from bnn.plan import Plan, plan

THREE_LAYERS = """
name = "three"
input = [64, 64, 1]
encoding = "sign"
layers = [
  { dense = 64 }, "norm", "act",
  { dense = 64 }, "norm", "act",
  { dense = 10 }, { norm = "scalar" },
]
"""


@pytest.fixture
def three(tmp_path: Path) -> str:
    path = tmp_path / "three.toml"
    path.write_text(THREE_LAYERS)
    return str(path)


def planned(found: Plan) -> object:
    shapes = [(one.rows, one.columns, one.fold, one.cycles, one.cost) for one in found.layers]
    return shapes, found.cost, found.cycles, found.timing and found.timing.finished


@pytest.mark.parametrize("name", ["lfc-w1a1", "lfc-w1a2", "cnv-w1a1", "cnv-w1a2", "cnv-w2a2"])
@pytest.mark.parametrize("fps", [1000, None])
def test_the_plan_is_that_of_the_trained_network(name: str, fps: float | None) -> None:
    import numpy as np

    stack = zoo.topology(name)
    random = assemble(stack, random_parameters(stack, np.random.default_rng(1)))
    trained, untrained = plan(name, fps=fps), plan(lower(random), fps=fps)
    assert planned(untrained) == planned(trained)


def test_a_topology_file_is_planned(three: str) -> None:
    found = plan(three, on="pynq-z2")
    assert [(one.rows, one.columns) for one in found.layers] == [(64, 4096), (64, 64), (10, 64)]
    assert all(use <= have for use, have in found.used.values())


@pytest.mark.parametrize("args", [[], ["--board", "all"], ["--pareto", "x.html"]], ids=str)
def test_on_the_command_line(
    three: str, args: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["plan", three, *args, "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)  # progress is on the error stream
    assert (tmp_path / "x.html").exists() == ("--pareto" in args)


def test_the_reader_is_told_that_it_is_not_trained(three: str) -> None:
    assert "not trained: random weights" in CliRunner().invoke(app, ["plan", three]).output
    assert "not trained" not in CliRunner().invoke(app, ["plan", "lfc-w1a1"]).output


def test_a_wrong_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text("input = [8, 8, 1]\nlayers = [{ dens = 3 }]\n")
    with pytest.raises(NetworkError, match=r"wrong\.toml.*layers\[0\]"):
        plan(str(path))
    with pytest.raises(NetworkError, match=r"missing\.toml"):
        plan(str(tmp_path / "missing.toml"))


def test_what_needs_weights_says_so(three: str) -> None:
    with pytest.raises(UnknownNameError, match=r"three\.toml: is a topology.*bnn train"):
        bnn.load(three)

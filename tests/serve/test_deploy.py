# SPDX-License-Identifier: BSD-3-Clause
"""The examples of deploy/ fit the command: its options, addresses and files."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import typer.main

from bnn.commands.main import app

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


def _options() -> set[str]:
    command = typer.main.get_command(app).commands["serve"]  # type: ignore[attr-defined]
    return {name for each in command.params for name in each.opts}


def test_every_option_is_one_of_the_command() -> None:
    known = _options()
    container = (DEPLOY / "Containerfile").read_text()
    entry = re.search(r"^ENTRYPOINT (\[.*\])$", container, re.MULTILINE)
    assert entry is not None
    given = json.loads(entry[1])
    unit = (DEPLOY / "bnn-serve.service").read_text()
    line = re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    assert line is not None
    given += line[1].split()
    pod = re.search(r"args: (\[.*\])$", (DEPLOY / "kubernetes.yaml").read_text(), re.MULTILINE)
    assert pod is not None
    given += json.loads(pod[1])
    options = [each for each in given if each.startswith("--")]
    assert len(options) >= 5
    assert set(options) <= known


def test_probes_ask_addresses_that_there_are() -> None:
    paths = re.findall(r"path: (/\S+)$", (DEPLOY / "kubernetes.yaml").read_text(), re.MULTILINE)
    source = (ROOT / "src" / "bnn" / "serve" / "app.py").read_text()
    assert len(paths) == 3
    assert all(f'"{path}"' in source for path in paths)


def test_what_the_container_copies_is_there() -> None:
    text = (DEPLOY / "Containerfile").read_text()
    copied = [line.split()[1:-1] for line in text.splitlines() if re.match(r"COPY (?!--)", line)]
    names = [name for line in copied for name in line]
    assert names
    assert [name for name in names if not (ROOT / name).exists()] == []


def test_the_deployment_of_ray_serve_is_python() -> None:
    ast.parse((DEPLOY / "serve_on_ray.py").read_text())

# SPDX-License-Identifier: BSD-3-Clause
"""The command that is printed where an extra is missing: for this Python, and of packages."""

from __future__ import annotations

import os
import shlex
import sys
from importlib.metadata import PackageNotFoundError
from typing import Any

import pytest

from bnn.system import install

pytestmark = pytest.mark.skipif(os.name == "nt", reason="quotes of a POSIX shell")
LINES = [
    "numpy>=1.21",
    "verilator-cli >= 5.0 ; extra == 'sim'",
    'torch==2.13.0; extra == "train"',
    'h5py>=3.8; extra == "train-more"',
]


@pytest.fixture(autouse=True)
def listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.requires", lambda _: LINES)


def test_it_is_this_python_and_the_packages_of_the_extra() -> None:
    python = [sys.executable, "-m", "pip", "install"]
    assert shlex.split(install.command("sim")) == [*python, "verilator-cli>=5.0"]
    assert shlex.split(install.command("train")) == [*python, "torch==2.13.0"]


def test_from_sources_it_is_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.requires", missing)
    assert shlex.split(install.command("sim"))[-2:] == ["install", ".[sim]"]


def test_where_python_does_not_know_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "")
    assert shlex.split(install.command("sim"))[:2] == ["python", "-m"]

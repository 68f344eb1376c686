# SPDX-License-Identifier: BSD-3-Clause
"""Which accelerator a script means, and what it needs here."""

from __future__ import annotations

import pytest

from bnn import run
from bnn.errors import RuntimeUnavailableError
from bnn.hw.toolchain import verilator


@pytest.mark.parametrize(
    ("value", "name"), [(None, "sim"), ("", "sim"), ("folder", "board"), ("0", "board")]
)
def test_a_simulator_is_needed_without_a_board_only(
    value: str | None, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BNN_ACCELERATOR", raising=False)
    if value is not None:
        monkeypatch.setenv("BNN_ACCELERATOR", value)
    asked: list[str] = []
    monkeypatch.setattr(verilator, "verilator_root", lambda: asked.append("verilator"))
    monkeypatch.setattr(verilator, "compiler", lambda: asked.append("compiler"))
    assert run.hardware() == name
    run.check_hardware()
    assert asked == (["verilator", "compiler"] if name == "sim" else [])


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise RuntimeUnavailableError("no verilator")

    monkeypatch.delenv("BNN_ACCELERATOR", raising=False)
    monkeypatch.setattr(verilator, "verilator_root", missing)
    with pytest.raises(RuntimeUnavailableError, match="no verilator"):
        run.check_hardware()

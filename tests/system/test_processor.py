# SPDX-License-Identifier: BSD-3-Clause
"""The processor's name, from what Linux says, and without it."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from bnn.system import processor

TEXT = """processor\t: 0
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 143
model name\t: A Fast: One @ 2.00GHz
stepping\t: 8

processor\t: 1
model name\t: A Fast: One @ 2.00GHz
zzz\t: 1
"""


def test_names_of_hardware_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpuinfo").write_text(TEXT)
    monkeypatch.setattr(processor, "_CPUINFO", tmp_path / "cpuinfo")
    assert processor.processor() == "A Fast: One @ 2.00GHz"
    assert processor.with_count() == "2 x A Fast: One @ 2.00GHz"


@pytest.mark.parametrize(("names", "told"), [(("chip", "arch"), "chip"), (("", "arch"), "arch")])
def test_without_them(
    names: tuple[str, str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "_CPUINFO", tmp_path / "none")
    monkeypatch.setattr(platform, "processor", lambda: names[0])
    monkeypatch.setattr(platform, "machine", lambda: names[1])
    assert processor.processor() == processor.with_count() == told

# SPDX-License-Identifier: BSD-3-Clause
"""Name of this machine's processor, for measurements and certificates."""

from __future__ import annotations

import platform
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")


def processor() -> str:
    """Name of the processor, such as "Intel(R) Xeon(R) CPU"; without /proc its architecture."""
    names = _names()
    return names[0] if names else platform.processor() or platform.machine()


def with_count() -> str:
    """As :func:`processor`, after the number of its hardware threads where /proc says it."""
    names = _names()
    return f"{len(names)} x {names[0]}" if names else processor()


def _names() -> list[str]:
    """The name of each hardware thread's processor."""
    text = _CPUINFO.read_text(errors="replace") if _CPUINFO.exists() else ""
    lines = (line.partition(":") for line in text.splitlines())
    return [value.strip() for key, _, value in lines if key.strip() == "model name"]

# SPDX-License-Identifier: BSD-3-Clause
"""The name of this machine's processor, for measurements and certificates."""

from __future__ import annotations

import platform
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")


def processor() -> str:
    """Return the processor's name, or its architecture if /proc does not have the name."""
    names = _names()
    return names[0] if names else platform.processor() or platform.machine()


def with_count() -> str:
    """Return the number of hardware threads and the processor's name, such as ``4 x NAME``.

    If /proc does not have them, return what :func:`processor` returns.
    """
    names = _names()
    return f"{len(names)} x {names[0]}" if names else processor()


def _names() -> list[str]:
    """Return the processor's name once for each hardware thread; [] if /proc does not have it."""
    text = _CPUINFO.read_text(errors="replace") if _CPUINFO.exists() else ""
    lines = (line.partition(":") for line in text.splitlines())
    return [value.strip() for key, _, value in lines if key.strip() == "model name"]

# SPDX-License-Identifier: BSD-3-Clause
"""The native module: what the CPU offers, and a stub that tells the truth."""

from __future__ import annotations

import ast
import platform
from pathlib import Path

import pytest

import bnn
from bnn import _native


def test_cpu_features_agree_with_the_kernel() -> None:
    cpuinfo = Path("/proc/cpuinfo")
    if platform.machine() != "x86_64" or not cpuinfo.exists():
        pytest.skip("compares with the flags in /proc/cpuinfo of x86-64 Linux")
    flags = next(line for line in cpuinfo.read_text().splitlines() if line.startswith("flags"))
    present = {flag.replace("_", "") for flag in flags.split()}
    # One name for one feature: GCC and Linux differ in dots and underscores only.
    found = {name.replace(".", "") for name in _native.cpu_features()}
    assert "sse2" in found
    assert found <= present
    for name in ("popcnt", "avx2", "avx512f", "avx512vpopcntdq"):
        assert (name in found) == (name in present)


def test_cpu_features_on_arm_include_neon() -> None:
    if platform.machine() != "aarch64":
        pytest.skip("needs an AArch64 CPU")
    assert "neon" in _native.cpu_features()


def test_stub_names_what_the_module_has() -> None:
    stub = ast.parse((Path(bnn.__file__).parent / "_native.pyi").read_text())
    declared = {n.name for n in stub.body if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
    assert declared == {name for name in dir(_native) if not name.startswith("_")}

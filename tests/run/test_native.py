# SPDX-License-Identifier: BSD-3-Clause
"""The native module: what the CPU offers, and a stub that tells the truth."""

from __future__ import annotations

import ast
import gc
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bnn
from bnn import _native
from bnn.errors import RuntimeUnavailableError
from bnn.run import cpu


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


def test_without_the_native_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(bnn, "_native")
    monkeypatch.setitem(sys.modules, "bnn._native", None)
    for call in (cpu.kernels, cpu.describe, lambda: bnn.Classifier("lfc-w1a1", "cpu")):
        with pytest.raises(RuntimeUnavailableError, match=r"not installed .*; use the reference"):
            call()
    assert bnn.Classifier("lfc-w1a1", "reference").runtime == "reference"


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
def test_lent_weights_outlive_the_name_of_their_array(dtype: type[np.signedinteger[Any]]) -> None:
    program = _native.Program((1, 1, 4096), (-1, 2, 2), None)
    number = program.dot(0, np.full((64, 4096), -1, dtype), None, 0, 0)
    gc.collect()
    others = [np.zeros((64, 4096), dtype) for _ in range(8)]  # where the array was, if it is gone
    plan = _native.Plan(program, number, -1, "portable")
    scores = np.empty((1, 64), np.int32)
    plan.run(np.ones((1, 4096), np.int16), scores, None, 1)
    assert (scores == -4096).all()
    assert len(others) == 8

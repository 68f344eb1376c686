# SPDX-License-Identifier: BSD-3-Clause
"""Building simulators on other machines and under bad luck: no compiler, a killed build."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bnn.hw import verilator
from bnn.run import prepare
from hw.examples import DENSE_FOLDING, dense, signs

pytestmark = [pytest.mark.hw, pytest.mark.usefixtures("simulator")]


def _equal() -> None:
    inputs = signs(np.random.default_rng(5), 20, 20).astype(np.int16)
    outputs = prepare("sim", dense(), folding=DENSE_FOLDING).run(inputs)
    expected = prepare("reference", dense()).run(inputs)
    np.testing.assert_array_equal(outputs.scores, expected.scores)


def test_a_machine_without_a_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ziglang", reason="ziglang is not installed (extra `sim`)")
    empty = tmp_path / "bin"
    empty.mkdir()
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(empty))
    monkeypatch.setenv("BNN_CACHE", str(tmp_path / "cache"))
    assert verilator.compiler() == [sys.executable, "-m", "ziglang", "c++"]
    _equal()


def test_a_killed_build_is_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BNN_CACHE", str(tmp_path))
    here = [str(Path(__file__).parents[1])]
    program = "from hw.test_toolchain import _equal; _equal()"
    victim = subprocess.Popen(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {here}; {program}"],
        env={**os.environ, "BNN_CACHE": str(tmp_path)},
        start_new_session=True,  # its compilers die with it
        stderr=subprocess.DEVNULL,
    )
    # In the middle: some of it is compiled.
    while not list(tmp_path.glob("sim/building-*/*.o")):
        assert victim.poll() is None, "it ended by itself"
        time.sleep(0.02)
    os.killpg(victim.pid, signal.SIGKILL)
    victim.wait()
    assert not list(tmp_path.glob("sim/[0-9a-f]*/simulator*"))
    _equal()
    assert len(list(tmp_path.glob("sim/[0-9a-f]*/simulator*"))) == 1

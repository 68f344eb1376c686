# SPDX-License-Identifier: BSD-3-Clause
"""Building simulators without a compiler or with a killed build, and waveforms."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bnn.errors import DriverError
from bnn.hw.toolchain import verilator
from bnn.run import prepare
from bnn.run.sim import SimRuntime
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


def test_waveforms_show_the_results(tmp_path: Path) -> None:
    """What is written to memory is on the wave of the write channel's data."""
    path = tmp_path / "waves.vcd"
    runtime = prepare("sim", dense(), folding=DENSE_FOLDING, trace=path)
    assert isinstance(runtime, SimRuntime)
    inputs = signs(np.random.default_rng(6), 5, 20).astype(np.int16)
    words = runtime.driver.run(runtime.accelerated.pack(inputs))
    assert len(np.unique(words)) > 1
    cycles = runtime.transport.now()["cycle"]
    runtime.transport.close()
    head, body = path.read_text().split("$enddefinitions")
    name = re.search(r"\$var wire 64 (\S+) m_axi_wdata ", head)
    assert name is not None
    seen = re.findall(rf"^b([01]+) {re.escape(name[1])}$", body, re.MULTILINE)
    assert set(words.ravel().tolist()) <= {int(bits, 2) for bits in seen}
    assert body.count("\n#") > cycles  # both edges of most cycles


def test_waveforms_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(DriverError, match=r"waves\.vcd: cannot be written"):
        prepare("sim", dense(), folding=DENSE_FOLDING, trace=tmp_path / "no" / "waves.vcd")

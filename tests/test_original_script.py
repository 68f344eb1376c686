# SPDX-License-Identifier: BSD-3-Clause
"""An untouched script of the original runs with only ``BNN_PARAMS`` set."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path

from bnn.data.files import open_unpacked

SCRIPT = Path(__file__).parent / "scripts" / "original_notebooks.py"


def test_flow_of_the_notebooks(data_dir: Path, params_dir: Path, tmp_path: Path) -> None:
    batch = tmp_path / "test_batch.bin"
    with open_unpacked(data_dir / "cifar10" / "test_batch.bin.xz") as file:
        batch.write_bytes(file.read())
    unpacked = []
    for name in ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        unpacked.append(tmp_path / name)
        unpacked[-1].write_bytes(gzip.decompress((data_dir / "mnist" / f"{name}.gz").read_bytes()))
    done = subprocess.run(
        [sys.executable, SCRIPT, data_dir / "images", batch, *unpacked],
        env={"PATH": os.environ["PATH"], "BNN_PARAMS": str(params_dir)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stdout.splitlines() if "took" not in line and "rate" not in line]
    assert said[0] == "['cifar10', 'road-signs']"
    assert said[2:4] == ["Class number: 4", "Class name: Deer"]
    assert said[5:8] == ["cnvW1A1 Deer", "cnvW1A2 Deer", "cnvW2A2 Deer"]
    assert said[8] == "accuracy 0.7922 True"
    assert said[9] == "Identified classes: ['Stop']"
    assert said[-4:] == ["single 3", "accuracy 0.984", "single 3", "accuracy 0.9849"]
    assert done.stdout.count("Classification rate: ") == 12

# SPDX-License-Identifier: BSD-3-Clause
"""The bundled foldings: their cycles, and in simulation every score."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bnn.data.sets import DataSet, load_test
from bnn.formats.bnn_pynq import load
from bnn.hw import folding as folds
from bnn.hw.design import build
from bnn.run import prepare

#: Parameter set, folding -> cycles per image.
RECORDS = {
    ("cifar10-cnvW1A1", "cnv-w1-fast"): 3200,
    ("cifar10-cnvW1A1", "cnv-w1-small"): 8192,
    ("cifar10-cnvW1A2", "cnv-w1-small"): 8192,
    ("cifar10-cnvW2A2", "cnv-w2a2-fast"): 16384,
    ("mnist-lfcW1A1", "lfc-w1-fast"): 256,
}


def test_every_bundled_folding_has_a_record() -> None:
    of_lstm = {"lstm-w2a2-fast"}  # its record is in test_scans.py
    assert {folding for _, folding in RECORDS} | of_lstm == set(folds.bundled())


@pytest.mark.parametrize("record", RECORDS)
def test_cycles(record: tuple[str, str], params_dir: Path) -> None:
    name, folding = record
    program = load(params_dir / f"{name}.tar.xz").program
    assert build(program, folds.choose(program, folding)).cycles == RECORDS[record]


@pytest.mark.hw
@pytest.mark.usefixtures("simulator", "data_dir")
@pytest.mark.parametrize("record", RECORDS)
def test_scores_and_pace(
    record: tuple[str, str], params_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, folding = record
    program = load(params_dir / f"{name}.tar.xz").program
    test = load_test("mnist" if "lfc" in name else "cifar10")
    assert isinstance(test, DataSet)
    images = program.input.check(test.images[:100])
    outputs = prepare("sim", program, folding=folding).run(images)
    expected = prepare("reference", program).run(images)
    np.testing.assert_array_equal(outputs.scores, expected.scores)
    report = outputs.details["starts"][0]
    with capsys.disabled():  # docs/hardware.md quotes these lines
        line = f"{name}, {folding}: {report['interval']} cycles per image"
        print(f"{line}, {report['latency']} to the first")  # noqa: T201
    assert report["interval"] <= RECORDS[record] * 1.01

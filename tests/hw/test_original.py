# SPDX-License-Identifier: BSD-3-Clause
"""The original's five networks in their original folding: every score, and its cycles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bnn.data.sets import DataSet, load_test
from bnn.formats.bnn_pynq import load
from bnn.hw import folding as folds
from bnn.hw.design import build
from bnn.hw.loading import loads
from bnn.hw.render import sources
from bnn.run import prepare
from bnn.run.sim import SimRuntime

pytestmark = [pytest.mark.hw, pytest.mark.usefixtures("simulator", "data_dir")]

#: Parameter set -> (test set, images, cycles per image; specification, section 1).
SETS = {
    "mnist-lfcW1A1": ("mnist", 2000, 512),
    "mnist-lfcW1A2": ("mnist", 2000, 512),
    "cifar10-cnvW1A1": ("cifar10", 100, 32768),
    "cifar10-cnvW1A2": ("cifar10", 100, 32768),
    "cifar10-cnvW2A2": ("cifar10", 100, 115200),
}


def _images(name: str, count: int) -> np.ndarray:
    test = load_test(name)
    assert isinstance(test, DataSet)
    return test.images[:count]


@pytest.mark.parametrize("name", SETS)
def test_scores_and_cycles(name: str, params_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, count, cycles = SETS[name]
    program = load(params_dir / f"{name}.tar.xz").program
    images = program.input.check(_images(data, count))
    runtime = prepare("sim", program, folding="original")
    outputs = runtime.run(images)
    expected = prepare("reference", program).run(images)
    np.testing.assert_array_equal(outputs.scores, expected.scores)
    report = outputs.details["starts"][0]
    with capsys.disabled():  # docs/hardware.md quotes these lines
        line = f"{name}: {report['interval']} cycles per image, {report['latency']} to the first"
        rate = report["cycles"] / outputs.details["simulation_seconds"]
        print(line, f"({count} images at {rate:.0f} simulated cycles per second)")  # noqa: T201
    assert abs(report["interval"] - cycles) <= cycles / 100


def test_road_signs_run_on_the_build_of_cifar10(params_dir: Path) -> None:
    first = load(params_dir / "cifar10-cnvW1A1.tar.xz").program
    second = load(params_dir / "road-signs-cnvW1A1.tar.xz").program
    design = build(second, folds.original(second))
    assert sources(design).digest == sources(build(first, folds.original(first))).digest
    runtime = prepare("sim", first, folding="original")
    assert isinstance(runtime, SimRuntime)
    runtime.driver.load(loads(design))
    images = second.input.check(_images("cifar10", 100))
    packed = runtime.accelerated.pack(images)
    scores = design.target.unpack(runtime.driver.run(packed))
    np.testing.assert_array_equal(scores, prepare("reference", second).run(images).scores)

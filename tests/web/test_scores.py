# SPDX-License-Identifier: BSD-3-Clause
"""The core in a browser gives the very scores of the reference runtime."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import bnn
from bnn.classifier import decide
from bnn.data.sets import load_test
from bnn.errors import DataError
from bnn.run import prepare

#: What a call of the page's own modules takes and gives: a model, a kernel, inputs as base64.
RUN = """
async ([file, kernel, text]) => {
  const { Engine } = await import("./js/engine.js");
  const data = new Uint8Array(await (await fetch(file)).arrayBuffer());
  const engine = await Engine.load(data, { kernel });
  const batch = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const { scores, winners } = await engine.ask("run", { batch }, [], 600_000);
  const name = engine.info.kernel;
  engine.close();
  return { scores: Array.from(scores), winners, name };
}
"""
SETS = {
    "lfc-w1a1": "mnist",
    "lfc-w1a2": "mnist",
    "cnv-w1a1": "cifar10",
    "cnv-w1a2": "cifar10",
    "cnv-w2a2": "cifar10",
}


def _images(name: str) -> NDArray[np.uint8]:
    try:
        return load_test(name).images
    except DataError as reason:
        pytest.skip(f"no {name} here (BNN_DATA): {reason}")


def _compare(page: Any, name: str, kernel: str, images: NDArray[np.uint8]) -> None:
    model = bnn.load(name)
    outputs = prepare("reference", model.program).run(model.program.input.check(images))
    text = base64.b64encode(np.ascontiguousarray(images).tobytes()).decode()
    found = page.evaluate(RUN, [f"models/{name}.bnn", kernel, text])
    assert found["name"] == {"relaxed": "simd128"}.get(kernel, kernel)
    assert np.array_equal(np.reshape(found["scores"], outputs.scores.shape), outputs.scores)
    assert np.array_equal(found["winners"], decide(model.program, outputs))


@pytest.mark.parametrize("kernel", ["relaxed", "simd128", "portable"])
@pytest.mark.parametrize("name", SETS)
def test_scores_equal_the_reference_on_500_images(page: Any, name: str, kernel: str) -> None:
    _compare(page, name, kernel, _images(SETS[name])[:500])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lfc-w1a1", "cnv-w1a1"])
def test_scores_equal_the_reference_on_whole_test_sets(page: Any, name: str) -> None:
    images = _images(SETS[name])
    for first in range(0, len(images), 1000):
        _compare(page, name, "relaxed", images[first : first + 1000])

# SPDX-License-Identifier: BSD-3-Clause
"""A row that an ONNX graph makes a map: what is told of it, and the same answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from bnn.formats.qonnx.read import read
from bnn.network.forward import evaluate


@pytest.mark.parametrize(("channels", "height", "width"), [(1, 4, 5), (3, 2, 4), (2, 3, 3)])
def test_a_row_is_taken_as_a_map(channels: int, height: int, width: int, tmp_path: Path) -> None:
    random = np.random.default_rng(channels)
    kernel = random.choice([-1, 1], (4, channels, height, width)).astype(np.float32)
    count = channels * height * width
    graph = helper.make_graph(
        [
            helper.make_node("Reshape", ["x", "shape"], ["m"]),
            helper.make_node("Conv", ["m", "w"], ["c"]),
            helper.make_node("Flatten", ["c"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, count])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [
            numpy_helper.from_array(np.array([1, channels, height, width]), "shape"),
            numpy_helper.from_array(kernel, "w"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    path = tmp_path / "x.onnx"
    onnx.save(model, path)
    made = read(path, "int4")
    told = [line for line in made.report.lost if "row" in line]
    assert told == [
        f"the input is a row of {count}; it is taken as a map of {(channels, height, width)}"
    ]
    rows = random.integers(-8, 8, (5, count)).astype(np.float32)
    expected = [ReferenceEvaluator(model).run(None, {"x": row[None]})[0][0] for row in rows]
    maps = rows.reshape(5, channels, height, width).transpose(0, 2, 3, 1)
    network = made.network
    found = evaluate(network, network.input.check(maps.reshape(5, *network.input.shape))).logits
    np.testing.assert_array_equal(found, expected)

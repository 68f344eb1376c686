# SPDX-License-Identifier: BSD-3-Clause
"""QONNX read and written: against the operators' definitions, on random graphs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, event, given, reject, settings

from bnn.classifier import Classifier
from bnn.errors import FormatError
from bnn.formats.convert import Options, convert
from bnn.formats.qonnx import write as qonnx_write
from bnn.formats.qonnx.executor import Executor
from bnn.model.model import Model
from bnn.program.inputs import IntegerInput, RealInput
from bnn.program.program import Program
from support import programs
from support.qonnx_graphs import DOMAIN, graphs

SAME_FILE = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much]
)


def channels_last(inputs: Any) -> Any:
    return inputs.transpose(0, 2, 3, 1) if inputs.ndim == 4 else inputs


def channels_first(inputs: Any) -> Any:
    return inputs.transpose(0, 3, 1, 2) if inputs.ndim == 4 else inputs


@settings(parent=SAME_FILE, max_examples=150)
@given(graph=graphs())
def test_random_graphs_give_the_executors_logits(graph: Any, tmp_path: Path) -> None:
    model, inputs, given_input = graph
    onnx.save(model, tmp_path / "x.onnx")
    options = Options(input=given_input)
    converted = convert(tmp_path / "x.onnx", None, options).model
    logits = Classifier(converted, "reference").logits(channels_last(inputs))
    np.testing.assert_array_equal(logits, Executor(model).run(inputs, 60))


@settings(parent=SAME_FILE, max_examples=60)
@given(
    program=programs.networks(programs.Limits(inputs=(IntegerInput, RealInput)))
    | programs.networks(replace(programs.FULL, inputs=(IntegerInput, RealInput)))
)
def test_random_programs_written_give_their_logits(program: Program, tmp_path: Path) -> None:
    model = Model(program, tuple(map(str, range(program.classes))))
    try:
        qonnx_write.save(model, tmp_path / "x.onnx")
    except FormatError as reason:
        event(str(reason).split(":")[-1])
        reject()
    onnx.checker.check_model(str(tmp_path / "x.onnx"))
    inputs = programs.batches(program, 3, 0)
    wanted = Classifier(model, "reference").logits(inputs)
    written = onnx.load(tmp_path / "x.onnx")
    found = Executor(written).run(channels_first(inputs.astype(np.float32)), 60)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
    stated, computed = shapes(written, channels_first(inputs[:1].astype(np.float32)))
    assert stated == computed


def shapes(model: Any, inputs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The shapes that a file states for what its nodes compute, and those that they have."""
    told = onnx.ModelProto()
    told.CopyFrom(model)
    made = {name for node in told.graph.node for name in node.output}
    told.graph.output.extend(item for item in told.graph.value_info if item.name in made)
    stated = {
        item.name: tuple(each.dim_value for each in item.type.tensor_type.shape.dim)
        for item in told.graph.output
    }
    executor = Executor(told)
    found = executor._session.run(None, {executor._input.name: inputs.astype(executor._kind)})
    return stated, dict(zip(stated, [each.shape for each in found], strict=True))


@pytest.mark.parametrize("shape", [(1, 6), (1, 1, 2, 3), (1, 2, 3, 3)])
@pytest.mark.parametrize("kind", ["BatchNormalization", "Mul"])
def test_inputs_scaled_number_by_number_before_they_are_quantized(
    shape: tuple[int, ...], kind: str, tmp_path: Path
) -> None:
    """As keyword spotting begins: rows, or maps flattened, normalized and quantized."""
    rng, count = np.random.default_rng(0), int(np.prod(shape))
    factors, beta, mean = 2.0 ** rng.integers(-2, 2, count), np.full(count, 0.5), np.ones(count)
    parts = {"g": factors, "b": beta, "m": mean, "v": np.ones(count), "one": np.ones(())}
    parts |= {"zero": np.zeros(()), "bits": np.array(8), "w": rng.choice([-1, 1], (count, 3))}
    reads = ["f", "g", "b", "m", "v"] if kind == "BatchNormalization" else ["f", "g"]
    extra = {"epsilon": 0.0} if kind == "BatchNormalization" else {}
    nodes = [
        onnx.helper.make_node("Flatten", ["x"], ["f"]),
        onnx.helper.make_node(kind, reads, ["n"], **extra),
        onnx.helper.make_node("Quant", ["n", "one", "zero", "bits"], ["q"], domain=DOMAIN),
        onnx.helper.make_node("MatMul", ["q", "w"], ["y"]),
    ]
    real = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        nodes,
        "g",
        [onnx.helper.make_tensor_value_info("x", real, shape)],
        [onnx.helper.make_tensor_value_info("y", real, (1, 3))],
        [onnx.numpy_helper.from_array(v.astype(np.float32), k) for k, v in parts.items()],
    )
    opsets = [onnx.helper.make_opsetid("", 15), onnx.helper.make_opsetid(DOMAIN, 1)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)
    onnx.save(model, tmp_path / "x.onnx")
    inputs = rng.integers(-90, 90, (20, *shape[1:])).astype(np.float32) / np.float32(4)
    converted = convert(tmp_path / "x.onnx").model
    logits = Classifier(converted, "reference").logits(inputs.reshape(20, count))
    np.testing.assert_array_equal(logits, Executor(model).run(inputs, 60))

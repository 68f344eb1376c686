# SPDX-License-Identifier: BSD-3-Clause
"""Graphs whose layers read averages, joins, differences, leaky and wide values: the logits of
``onnx.reference``, exactly. All scales are powers of two, so that float32 rounds nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from bnn.classifier import Classifier
from bnn.errors import BnnError
from bnn.formats.convert import Conversion, Options, convert
from bnn.formats.qonnx.executor import Executor
from bnn.model.model import Model
from bnn.run import cpu

Array = NDArray[Any]
QONNX = "qonnx.custom_op.general"


class Graph:
    """Nodes one after the other; ``x`` is the input, quantized to int4 unless said otherwise."""

    def __init__(self, shape: tuple[int, ...], quantized: bool = True) -> None:
        self.rng = np.random.default_rng(5)
        self.shape = shape
        self.nodes: list[Any] = []
        self.constants: dict[str, Array] = {}
        self.x = self.quant("x", 4) if quantized else "x"

    def put(self, kind: str, inputs: list[str], **more: Any) -> str:
        name = f"t{len(self.nodes)}"
        domain = QONNX if kind in ("Quant", "MultiThreshold") else ""
        self.nodes.append(helper.make_node(kind, inputs, [name], domain=domain, **more))
        return name

    def constant(self, value: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value, np.float32)
        return name

    def quant(self, source: str, bits: int, scale: Any = 1.0, signed: int = 1) -> str:
        numbers = [self.constant(v) for v in (scale, 0.0, float(bits))]
        more = {"signed": signed, "narrow": 0, "rounding_mode": "ROUND"}
        return self.put("Quant", [source, *numbers], **more)

    def weights(self, *shape: int) -> str:
        return self.constant(self.rng.integers(-3, 4, shape) * 0.5)

    def conv(self, source: str, out: int, channels: int, size: int = 3, **more: Any) -> str:
        bias = self.constant(self.rng.integers(-8, 8, out) / 4)
        weights = self.weights(
            out, channels // more.get("group", 1), *[size] * (len(self.shape) - 2)
        )
        return self.put("Conv", [source, weights, bias], **more)

    def norm(self, source: str, channels: int) -> str:
        gamma = self.rng.choice([-1.0, 0.5, 2.0], channels)
        beta, mean = self.rng.integers(-4, 5, (2, channels)) / 2
        numbers = [self.constant(v) for v in (gamma, beta, mean, np.ones(channels))]
        return self.put("BatchNormalization", [source, *numbers], epsilon=0.0)

    def end(self, source: str, features: int) -> onnx.ModelProto:
        flat = self.put("Flatten", [source])
        last = self.put("MatMul", [flat, self.weights(features, 3)])
        real = TensorProto.FLOAT
        graph = helper.make_graph(
            self.nodes,
            "g",
            [helper.make_tensor_value_info("x", real, self.shape)],
            [helper.make_tensor_value_info(last, real, (1, 3))],
            [numpy_helper.from_array(v, k) for k, v in self.constants.items()],
        )
        opsets = [helper.make_opsetid("", 16), helper.make_opsetid(QONNX, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def average_of_a_norm() -> onnx.ModelProto:
    g = Graph((1, 2, 8, 8))
    mean = g.put("AveragePool", [g.norm(g.conv(g.x, 4, 2), 4)], kernel_shape=[2, 2], strides=[2, 2])
    return g.end(mean, 4 * 3 * 3)


def average_before_a_convolution() -> onnx.ModelProto:
    g = Graph((1, 2, 8, 8))
    mean = g.put("AveragePool", [g.x], kernel_shape=[2, 2], strides=[2, 2])
    return g.end(g.quant(g.conv(mean, 3, 2), 12, 0.25), 3 * 2 * 2)


def mean_over_the_map() -> onnx.ModelProto:
    g = Graph((1, 2, 6, 6))
    relu = g.put("Relu", [g.norm(g.conv(g.x, 4, 2), 4)])
    return g.end(g.put("ReduceMean", [g.quant(relu, 4, 0.5, 0)], axes=[2, 3], keepdims=0), 4)


def joined() -> onnx.ModelProto:
    g = Graph((1, 2, 6, 6))
    one = g.norm(g.conv(g.x, 3, 2), 3)
    two = g.conv(g.x, 2, 2)
    both = g.put("Concat", [one, two, one], axis=1)
    return g.end(g.quant(g.put("Relu", [both]), 3, 0.5, 0), 8 * 4 * 4)


def joined_vectors() -> onnx.ModelProto:
    g = Graph((1, 2, 4, 4))
    one = g.put("Flatten", [g.quant(g.conv(g.x, 3, 2), 4)])
    two = g.put("Flatten", [g.quant(g.x, 4)])
    return g.end(g.put("Concat", [one, two], axis=1), 3 * 2 * 2 + 2 * 4 * 4)


def difference() -> onnx.ModelProto:
    g = Graph((1, 2, 4, 4))
    one = g.quant(g.conv(g.x, 2, 2, 1), 6, 0.25)
    return g.end(g.put("Sub", [one, g.x]), 2 * 4 * 4)


def sum_of_sums() -> onnx.ModelProto:
    g = Graph((1, 2, 4, 4))
    both = g.put("Add", [g.conv(g.x, 3, 2, 1), g.conv(g.quant(g.x, 3, 2.0), 3, 2, 1)])
    return g.end(g.quant(both, 5, 0.5), 3 * 4 * 4)


def leaky() -> onnx.ModelProto:
    g = Graph((1, 2, 4, 4))
    slope = g.constant(np.array([0.25, 0.0, 0.5]).reshape(3, 1, 1))
    prelu = g.put("PRelu", [g.conv(g.x, 3, 2, 1), slope])
    one = g.quant(g.put("LeakyRelu", [prelu], alpha=0.125), 6, 0.25)
    return g.end(one, 3 * 4 * 4)


def hard_sigmoid() -> onnx.ModelProto:
    g = Graph((1, 2, 4, 4))
    made = g.put("HardSigmoid", [g.conv(g.x, 3, 2, 1)], alpha=0.125, beta=0.5)
    return g.end(g.quant(made, 4, 0.0625, 0), 3 * 4 * 4)


def scale_per_channel() -> onnx.ModelProto:
    g = Graph((1, 2, 6, 6))
    scale = np.array([0.5, 0.25, 1.0, 0.125]).reshape(1, 4, 1, 1)
    one = g.quant(g.put("Relu", [g.conv(g.x, 4, 2)]), 4, scale, 0)
    return g.end(g.quant(g.conv(one, 4, 4, group=4), 5, 0.5), 4 * 2 * 2)


def signal() -> onnx.ModelProto:
    g = Graph((1, 2, 20))
    one = g.quant(g.norm(g.conv(g.x, 4, 2, pads=[1, 1], strides=[2], dilations=[1]), 4), 4)
    pool = g.put("MaxPool", [one], kernel_shape=[2], strides=[2])
    return g.end(g.quant(g.conv(pool, 3, 4, pads=[2, 0]), 9, 0.5), 3 * 5)


def wide() -> onnx.ModelProto:
    g = Graph((1, 2, 4, 4), quantized=False)
    one = g.quant(g.quant("x", 12, 0.125), 12, 0.125)
    return g.end(g.quant(g.conv(one, 3, 2, 1), 14, 0.0625), 3 * 4 * 4)


def two_dense() -> onnx.ModelProto:
    g = Graph((1, 2, 2, 2))
    flat = g.put("Flatten", [g.x])
    one = g.put("MatMul", [flat, g.weights(8, 5)])
    return g.end(g.put("Add", [one, g.constant(g.rng.integers(-8, 8, 5) / 4)]), 5)


def fractional_bits() -> onnx.ModelProto:
    """Learned bit widths: the bounds are numbers between two, and rounded as values are."""
    g = Graph((1, 2, 4, 4))
    one = g.quant(g.conv(g.x, 3, 2), 3.7, 0.5)
    two = g.quant(one, 2.2, 0.5, 0)
    next(a for a in g.nodes[-1].attribute if a.name == "rounding_mode").s = b"CEIL"
    return g.end(two, 3 * 2 * 2)


def sigmoid() -> onnx.ModelProto:
    g = Graph((1, 2, 4, 4))
    one = g.quant(g.put("Sigmoid", [g.conv(g.x, 3, 2)]), 4, 1 / 16, 0)
    return g.end(one, 3 * 2 * 2)


def hard_swish() -> onnx.ModelProto:
    g = Graph((1, 2, 4, 4))
    one = g.quant(g.put("HardSwish", [g.conv(g.x, 3, 2)]), 4, 0.5, 0)
    return g.end(one, 3 * 2 * 2)


def input_read_twice() -> onnx.ModelProto:
    """A chain of the input that two layers read, and a quantizer of it that is there twice."""
    g = Graph((1, 2, 4, 4), quantized=False)
    numbers = g.constant(0.5), "zero"
    g.constants["zero"] = np.zeros((), np.int8)  # type: ignore[assignment]
    chain = g.put("DequantizeLinear", [g.put("QuantizeLinear", ["x", *numbers]), *numbers])
    one = g.quant(g.conv(chain, 3, 2), 4)
    two = g.quant(g.conv(chain, 3, 2), 4)
    return g.end(g.put("Add", [one, two]), 3 * 2 * 2)


def quantizer_twice() -> onnx.ModelProto:
    g = Graph((1, 2, 4, 4))
    one = g.quant(g.conv(g.x, 3, 2), 4)
    two = g.quant(g.conv(g.quant("x", 4), 3, 2), 4)
    return g.end(g.put("Add", [one, two]), 3 * 2 * 2)


def padded() -> onnx.ModelProto:
    g = Graph((1, 2, 5, 4))
    g.constants["pads"] = np.array([0, 0, 1, 0, 0, 0, 2, 3], np.int64)  # type: ignore[assignment]
    pad = g.put("Pad", [g.x, "pads"])
    return g.end(g.quant(g.conv(pad, 3, 2), 4), 3 * 6 * 5)


def padded_with_a_value() -> onnx.ModelProto:
    g = Graph((1, 2, 5, 4))
    g.constants["pads"] = np.array([0, 0, 1, 2, 0, 0, 0, 1], np.int64)  # type: ignore[assignment]
    pad = g.put("Pad", [g.x, "pads", g.constant(-3.0)])
    return g.end(g.quant(g.conv(pad, 3, 2), 4), 3 * 4 * 5)


def mean_that_keeps_its_axes() -> onnx.ModelProto:
    g = Graph((1, 2, 4, 6))
    mean = g.put("ReduceMean", [g.quant(g.conv(g.x, 4, 2), 4)], axes=[-2, -1], keepdims=1)
    return g.end(mean, 4)


def clipped_sums() -> onnx.ModelProto:
    g = Graph((1, 2, 4, 3))
    clip = g.put("Clip", [g.conv(g.x, 3, 2), g.constant(-2.5), g.constant(3.0)])
    scaled = g.put("Mul", [clip, g.constant(np.reshape([0.5, 2.0, -1.0], (1, 3, 1, 1)))])
    moved = g.put("Sub", [g.constant(0.25), g.put("Add", [scaled, g.constant(1.5)])])
    return g.end(g.quant(g.put("Div", [moved, g.constant(2.0)]), 5, 0.25), 3 * 2)


def last_norm() -> onnx.ModelProto:
    g = Graph((1, 2, 3, 4))
    model = g.end(g.quant(g.conv(g.x, 3, 2, 1), 4), 36)
    numbers = {
        "ga": [0.5, -2.0, 1.0],
        "be": [1.0, 0.0, -3.0],
        "me": [2.0, 0.5, -1.0],
        "va": [1.0] * 3,
    }
    for name, values in numbers.items():
        model.graph.initializer.append(numpy_helper.from_array(np.float32(values), name))
    last = model.graph.output[0].name
    norm = helper.make_node("BatchNormalization", [last, *numbers], ["y"], epsilon=0.0)
    model.graph.node.append(norm)
    model.graph.output[0].name = "y"
    return model


GRAPHS = (
    padded,
    padded_with_a_value,
    mean_that_keeps_its_axes,
    clipped_sums,
    last_norm,
    fractional_bits,
    sigmoid,
    hard_swish,
    input_read_twice,
    quantizer_twice,
    average_of_a_norm,
    average_before_a_convolution,
    mean_over_the_map,
    joined,
    joined_vectors,
    difference,
    sum_of_sums,
    leaky,
    hard_sigmoid,
    scale_per_channel,
    signal,
    wide,
    two_dense,
)


def converted(model: onnx.ModelProto, tmp_path: Path, **options: Any) -> Conversion:
    onnx.save(model, tmp_path / "x.onnx")
    return convert(tmp_path / "x.onnx", None, Options(**options))


def logits(model: Model, inputs: Array) -> Array:
    last = np.moveaxis(inputs, 1, -1).reshape(len(inputs), *model.program.input.shape)
    found = Classifier(model, "reference").logits(last)
    checked = model.program.input.check(last)
    for kernel in [k.name for k in cpu.kernels() if k.available]:
        scores = cpu.prepare(model.program, kernel=kernel).run(checked).scores
        assert model.program.affine is not None
        np.testing.assert_array_equal(model.program.affine.logits(scores), found)
    return found


@pytest.mark.parametrize("make", GRAPHS, ids=lambda make: make.__name__)
def test_logits_are_those_of_onnx(make: Any, tmp_path: Path) -> None:
    model = make()
    conversion = converted(model, tmp_path)
    assert not conversion.report.approximate
    shape = model.graph.input[0].type.tensor_type.shape
    sizes = [dim.dim_value for dim in shape.dim]
    reach = 300 if make is wide else 12
    inputs = np.random.default_rng(1).integers(-8 * reach, 8 * reach, (64, *sizes[1:])) / 8
    inputs = inputs.astype(np.float32)
    wanted = Executor(model).run(inputs, 60)
    np.testing.assert_array_equal(logits(conversion.model, inputs), wanted)
    assert len(np.unique(wanted)) > 10


def test_an_input_normalized_by_channel_before_thresholds(tmp_path: Path) -> None:
    """Each number as float32 makes it, for every byte."""
    g = Graph((1, 3, 4, 4), quantized=False)
    mean, std = ([0.33, 0.31, 0.32], [0.27, 0.26, 0.25])
    x = g.put("Div", ["x", g.constant(255.0)])
    x = g.put("Sub", [x, g.constant(np.reshape(mean, (1, 3, 1, 1)))])
    x = g.put("Div", [x, g.constant(np.reshape(std, (1, 3, 1, 1)))])
    table = np.linspace(-1.4, 2.6, 31)[None]
    model = g.end(g.put("MultiThreshold", [x, g.constant(table)]), 48)
    conversion = converted(model, tmp_path, input="bytes")
    inputs = np.random.default_rng(0).integers(0, 256, (200, 3, 4, 4)).astype(np.float32)
    found = logits(conversion.model, inputs)
    np.testing.assert_array_equal(found, Executor(model).run(inputs, 60))


def test_a_map_as_the_output(tmp_path: Path) -> None:
    """Scores are its values, channels last; the file says channels first."""
    g = Graph((1, 2, 6, 5))
    relu = g.put("Relu", [g.norm(g.conv(g.quant(g.conv(g.x, 4, 2), 4), 3, 4, pads=[1] * 4), 3)])
    last = g.quant(relu, 4, 0.5, 0)
    model = g.end(last, 3 * 4 * 3)
    del model.graph.node[-2:]
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info(last, TensorProto.FLOAT, None))
    conversion = converted(model, tmp_path)
    assert any("4 rows of 3 positions of 3 channels" in note for note in conversion.report.lost)
    fed = np.random.default_rng(0).integers(-9, 9, (50, 2, 6, 5)).astype(np.float32)
    wanted = Executor(model).run(fed, 60).reshape(50, 3, 4, 3)
    last_axes = np.moveaxis(wanted, 1, -1).reshape(50, -1)
    np.testing.assert_array_equal(logits(conversion.model, fed), last_axes)


@pytest.mark.parametrize("kind", ["MatMul", "Gemm"])
@pytest.mark.parametrize("clipped", [False, True])
def test_a_last_layer_of_real_weights(kind: str, clipped: bool, tmp_path: Path) -> None:
    """The host multiplies: after a clip of normalized sums, as BinaryNet ends, too."""
    g = Graph((1, 2, 4, 4))
    flat = g.put("Flatten", [g.norm(g.conv(g.x, 3, 2), 3)])
    flat = g.put("Clip", [flat, g.constant(-1.0), g.constant(1.0)]) if clipped else flat
    model = g.end(flat, 12)
    values = g.rng.normal(size=(12, 3)).astype(np.float32)
    last = model.graph.node[-1]
    inputs = [flat, "real", "bias"] if kind == "Gemm" else [flat, "real"]
    # the Flatten of end() is not needed
    del model.graph.node[-2:]
    model.graph.node.append(helper.make_node(kind, inputs, [last.output[0]]))
    model.graph.initializer.append(numpy_helper.from_array(values, "real"))
    model.graph.initializer.append(numpy_helper.from_array(values[0], "bias"))
    conversion = converted(model, tmp_path)
    assert not conversion.report.approximate
    assert conversion.model.program.score_count == 12
    fed = np.random.default_rng(0).integers(-8, 8, (50, 2, 4, 4)).astype(np.float32)
    wanted = Executor(model).run(fed, 60)
    np.testing.assert_allclose(logits(conversion.model, fed), wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize("mean", [0.1307, 0.5, 0.4914])
def test_a_padded_convolution_of_a_normalized_input(mean: float, tmp_path: Path) -> None:
    """The normalized bytes have no byte for 0."""
    g = Graph((1, 2, 5, 5), quantized=False)
    x = g.put("Div", [g.put("Sub", ["x", g.constant(mean)]), g.constant(0.3081)])
    conv = g.put("Conv", [x, g.constant(g.rng.integers(-1, 2, (3, 2, 3, 3)))], pads=[1, 1, 1, 1])
    model = g.end(conv, 75)
    conversion = converted(model, tmp_path, input="unit")
    inputs = np.random.default_rng(0).integers(0, 256, (50, 2, 5, 5)) / np.float32(255)
    wanted = Executor(model).run(inputs.astype(np.float32), 60)
    found = logits(conversion.model, inputs.astype(np.float32))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("group", [1, 2])
def test_hidden_weights_that_are_not_quantized(group: int, tmp_path: Path) -> None:
    """Convolutions and a dense layer of real weights between quantized ones: in fixed point."""
    g = Graph((1, 2, 6, 6))
    weights = g.constant(g.rng.normal(size=(4, 2 // group, 3, 3)))
    conv = g.put("Conv", [g.x, weights, g.constant(g.rng.normal(size=4))], group=group)
    relu = g.put("Relu", [g.norm(conv, 4)])
    flat = g.put("Flatten", [g.put("AveragePool", [relu], kernel_shape=[2, 2], strides=[2, 2])])
    hidden = g.put("MatMul", [flat, g.constant(g.rng.normal(size=(16, 9)))])
    model = g.end(hidden, 9)
    conversion = converted(model, tmp_path)
    told = " ".join(conversion.report.approximate)
    assert told.count("real weights, in fixed point") == 2
    fed = np.random.default_rng(0).integers(-9, 9, (50, 2, 6, 6)).astype(np.float32)
    wanted = Executor(model).run(fed, 60)
    found = logits(conversion.model, fed)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda g: g.put("Concat", [g.x, g.x], axis=2), "joins along axis 2"),
        (lambda g: g.put("Concat", [g.x, g.constant(np.ones((1, 2, 4, 4)))], axis=1), "constant"),
        (lambda g: g.put("PRelu", [g.x, g.constant(np.full((2, 1, 1), -0.5))]), "negative slope"),
        (lambda g: g.put("LeakyRelu", [g.x], alpha=-1.0), "negative slope"),
        (lambda g: g.put("Mul", [g.x, g.x]), "neither rises nor falls"),
    ],
)
def test_what_cannot_be_converted_is_named(change: Any, reason: str, tmp_path: Path) -> None:
    g = Graph((1, 2, 4, 4))
    made = change(g)
    with pytest.raises(BnnError, match=reason):
        converted(g.end(g.quant(made, 4), 32), tmp_path)

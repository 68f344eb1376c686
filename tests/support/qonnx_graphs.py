# SPDX-License-Identifier: BSD-3-Clause
"""Random QONNX graphs whose arithmetic is exact in float32: every scale is a power of two."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper, numpy_helper

from bnn.formats.qonnx.operators import QONNX_DOMAINS

DOMAIN = QONNX_DOMAINS[0]
MODES = ["ROUND", "FLOOR", "CEIL", "UP", "DOWN", "HALF_UP", "HALF_DOWN"]


class Graph:
    """A graph under construction; ``at`` is the current tensor of shape ``shape``."""

    def __init__(self, draw: Any, shape: tuple[int, ...]) -> None:
        self.draw = draw
        self.rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.at, self.shape = "x", shape
        self.first = shape

    def flip(self) -> bool:
        """A drawn yes or no."""
        return bool(self.draw(st.booleans()))

    def choose(self, *options: Any) -> Any:
        """One of the options, drawn."""
        return self.draw(st.sampled_from(options))

    def constant(self, value: Any) -> str:
        name = f"c{len(self.constants)}"
        array = np.asarray(value)
        array = array if array.dtype == np.int64 else array.astype(np.float32)
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(self, kind: str, inputs: list[str], domain: str = "", **attributes: Any) -> str:
        out = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [out], domain=domain, **attributes))
        return out

    def power(self, low: int = -3, high: int = 2) -> float:
        """Draw a power of two."""
        return float(2.0 ** self.draw(st.integers(low, high)))

    # --- quantizers ------------------------------------------------------------------

    def quantize_input(self) -> None:
        """A quantizer that the host has, too: bipolar, or rounding halves to even."""
        if self.choose(True, False, False):
            self._bipolar()
            return
        signed = self.flip()
        self._quant(signed, signed and self.flip(), "ROUND")

    def quantize(self) -> None:
        """Any quantizer on the current tensor."""
        match self.choose("bipolar", "quant", "quant", "quant", "thresholds"):
            case "bipolar":
                self._bipolar()
            case "thresholds":
                self._thresholds()
            case _:
                self._quant(self.flip(), self.flip(), self.choose(*MODES))

    def _bipolar(self) -> None:
        self.at = self.node("BipolarQuant", [self.at, self.constant(self.power())], DOMAIN)

    def _quant(self, signed: bool, narrow: bool, mode: str) -> None:
        zero = self.constant(self.choose(0.0, 0.0, 1.0))
        bits = self.constant(self.draw(st.integers(2, 8)))
        self.at = self.node(
            "Quant",
            [self.at, self.constant(self.power()), zero, bits],
            DOMAIN,
            signed=int(signed),
            narrow=int(narrow),
            rounding_mode=mode,
        )

    def _thresholds(self) -> None:
        levels = self.draw(st.integers(1, 7))
        channels = self.choose(1, self.shape[1])
        table = np.sort(self.rng.integers(-40, 40, (channels, levels)) / 4, axis=1)
        self.at = self.node(
            "MultiThreshold",
            [self.at, self.constant(table)],
            DOMAIN,
            out_dtype="INT8",
            out_scale=self.power(),
            out_bias=self.choose(0.0, -1.0, -2.0),
            data_layout="NCHW" if len(self.shape) == 4 else "NC",
        )

    def weights(self, shape: tuple[int, ...], out_axis: int) -> str:
        """A quantized constant."""
        real = self.rng.normal(0, 1, shape)
        scales = 2.0 ** self.rng.integers(-3, 1, shape[out_axis])
        scales = scales if self.flip() else scales[:1]
        broadcast = [1] * len(shape)
        broadcast[out_axis] = len(scales)
        scale = self.constant(scales.reshape(broadcast))
        if self.flip():
            return self.node("BipolarQuant", [self.constant(real), scale], DOMAIN)
        bits = self.draw(st.integers(2, 8))
        inputs = [self.constant(real), scale, self.constant(0.0), self.constant(bits)]
        return self.node(
            "Quant", inputs, DOMAIN, signed=1, narrow=int(self.flip()), rounding_mode="ROUND"
        )

    # --- layers ----------------------------------------------------------------------

    def batch_norm(self) -> None:
        channels = self.shape[1]
        gamma = self.rng.choice([-1.0, 0.5, 1.0, 2.0], channels)
        beta, mean = self.rng.integers(-8, 8, (2, channels)) / 4
        variance = 4.0 ** self.rng.integers(-1, 2, channels)
        parts = [self.constant(part) for part in (gamma, beta, mean, variance)]
        self.at = self.node("BatchNormalization", [self.at, *parts], epsilon=0.0)

    def between(self) -> None:
        """Real-valued layers after a sum."""
        if self.flip():
            self.batch_norm()
        if self.flip():
            shape = (1, -1, 1, 1) if len(self.shape) == 4 else (1, -1)
            kind = self.choose("Mul", "Add", "Sub", "Div")
            values = 2.0 ** self.rng.integers(-2, 2, self.shape[1])
            self.at = self.node(kind, [self.at, self.constant(values.reshape(shape))])
        if self.flip():
            self.at = self.node("Relu", [self.at])

    def conv(self) -> None:
        channels, height, width = self.shape[1:]
        size = (self.choose(1, 2, 3), self.choose(1, 3))
        dilation = self.choose(1, 1, 2)
        stride = self.choose(1, 2)
        pads = [self.choose(0, 1) for _ in range(4)]
        extent = [(n - 1) * dilation + 1 for n in size]
        sizes = [
            (n + pads[i] + pads[i + 2] - extent[i]) // stride + 1
            for i, n in enumerate((height, width))
        ]
        if min(sizes) < 1:
            return
        groups = channels if self.flip() else 1
        out = channels if groups > 1 else self.draw(st.integers(1, 4))
        inputs = [self.at, self.weights((out, channels // groups, *size), 0)]
        if self.flip():
            inputs.append(self.constant(self.rng.integers(-8, 8, out) / 4))
        self.at = self.node(
            "Conv",
            inputs,
            kernel_shape=list(size),
            strides=[stride, stride],
            pads=pads,
            dilations=[dilation, dilation],
            group=groups,
        )
        self.shape = (1, out, *sizes)

    def pool(self) -> None:
        height, width = self.shape[2:]
        if min(height, width) < 2:
            return
        self.at = self.node("MaxPool", [self.at], kernel_shape=[2, 2], strides=[2, 2])
        self.shape = (*self.shape[:2], height // 2, width // 2)

    def average(self) -> None:
        """Average over 2x2 and truncation of the sum, as Brevitas exports it."""
        height, width = self.shape[2:]
        if min(height, width) < 2:
            return
        scale = self.power()
        bits = [self.constant(4), self.constant(0.0)]
        quant = [self.at, self.constant(scale), bits[1], bits[0]]
        self.at = self.node("Quant", quant, DOMAIN, signed=0, narrow=0, rounding_mode="ROUND")
        self.at = self.node("AveragePool", [self.at], kernel_shape=[2, 2], strides=[2, 2])
        self.at = self.node("Mul", [self.at, self.constant(4.0)])
        trunc = [self.at, self.constant(scale), bits[1], self.constant(6), bits[0]]
        self.at = self.node("Trunc", trunc, DOMAIN, rounding_mode=self.choose("FLOOR", "CEIL"))
        self.shape = (*self.shape[:2], height // 2, width // 2)

    def flatten(self) -> None:
        count = int(np.prod(self.shape))
        if self.flip():  # channels last, as after a channels-last graph
            self.at = self.node("Transpose", [self.at], perm=[0, 2, 3, 1])
        if self.flip():
            self.at = self.node("Flatten", [self.at], axis=1)
        else:
            self.at = self.node("Reshape", [self.at, self.constant(np.array([1, -1]))])
        self.shape = (1, count)

    def dense(self, units: int) -> None:
        inputs = self.shape[1]
        if self.flip():
            self.at = self.node("MatMul", [self.at, self.weights((inputs, units), 1)])
        else:
            bias = self.constant(self.rng.integers(-8, 8, units) / 4)
            weights = self.weights((units, inputs), 0)
            self.at = self.node("Gemm", [self.at, weights, bias], transB=1, alpha=1.0, beta=1.0)
        self.shape = (1, units)

    def model(self) -> ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "random",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.first)],
            [helper.make_tensor_value_info(self.at, TensorProto.FLOAT, self.shape)],
            self.constants,
        )
        opsets = [helper.make_opsetid("", 15), helper.make_opsetid(DOMAIN, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)


@st.composite
def graphs(draw: Any) -> tuple[ModelProto, Any, str | None]:
    """A random graph, inputs for it (4, ...) in quarters, and how to read its input.

    Quarters where the graph does not quantize it, or not as the host can.
    """
    is_map = draw(st.booleans())
    shape: tuple[int, ...] = (1, draw(st.integers(3, 12)))
    if is_map:
        shape = (1, draw(st.integers(1, 3)), draw(st.integers(4, 7)), draw(st.integers(4, 7)))
    graph = Graph(draw, shape)
    grid = draw(st.sampled_from([None, "int8/4"]))
    if grid is None:
        graph.quantize_input()
    elif graph.flip():
        graph.quantize()
    for _ in range(draw(st.integers(0, 2)) if is_map else 0):
        graph.conv()
        graph.between()
        graph.quantize()
        if graph.flip():
            graph.pool()
        if graph.flip():
            graph.average()
    if is_map:
        graph.flatten()
    for _ in range(draw(st.integers(0, 2))):
        graph.dense(draw(st.integers(1, 5)))
        graph.between()
        graph.quantize()
    graph.dense(draw(st.integers(2, 4)))
    inputs = graph.rng.integers(-20, 20, (4, *shape[1:])) / np.float32(4)
    return graph.model(), inputs.astype(np.float32), grid

# SPDX-License-Identifier: BSD-3-Clause
"""Write a program as streamlined QONNX: integer weights and MultiThreshold, no real numbers.

FINN calls a graph "streamlined" if all scales are included in thresholds (arXiv 1709.04060).
Every edge of the program becomes a tensor, annotated with its datatype. Maps have the channels
first, and the batch is 1. The executor of the package qonnx computes in float32, so a program
whose sums are not exact in float32 is refused.
"""

from __future__ import annotations

import json
import math
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn._typing import assert_never
from bnn.errors import FormatError
from bnn.formats.qonnx.quantizers import float_thresholds
from bnn.model.file import write_whole
from bnn.model.model import Model
from bnn.program.grouping import ungrouped
from bnn.program.inputs import IntegerInput, PictureInput, RealInput
from bnn.program.operations import (
    INPUT,
    Add,
    ArgMax,
    Concat,
    Dense,
    Dot,
    Multiply,
    Op,
    Pool,
    Rescale,
    Scan,
    Threshold,
    Window,
)
from bnn.program.precision import BIPOLAR, INT, TERNARY, Precision
from bnn.program.program import Program
from bnn.system import install

OPSET = 11
IR_VERSION = 7
DOMAIN = "qonnx.custom_op.general"
#: Whole numbers up to this one are exact in float32.
MAX_EXACT = 1 << 24

Array = NDArray[Any]


def save(model: Model, path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Write ``model`` to the file ``path``.

    Returns:
        Notes on what the file cannot express, one line each.

    Raises:
        FormatError: sums are too large for float32, or the program has an operation that QONNX
            does not have; nothing is written.
        ModelFileError: the file cannot be written.
    """
    try:
        import onnx
    except ImportError:
        raise FormatError(
            f"writing ONNX needs the onnx package: {install.command('convert')}"
        ) from None
    writer = _Writer(model)
    graph = writer.graph()
    made = onnx.helper.make_model(
        graph,
        producer_name="bnn-pynq",
        ir_version=IR_VERSION,
        opset_imports=[
            onnx.helper.make_opsetid("", OPSET),
            onnx.helper.make_opsetid(DOMAIN, 1),
        ],
    )
    onnx.helper.set_model_props(made, {"classes": json.dumps(model.classes)})
    write_whole(path, made.SerializeToString())
    return tuple(writer.notes)


def datatype(precision: Precision) -> str:
    """Return QONNX's name of a precision: BIPOLAR, TERNARY, BINARY (``uint1``), UINT4, INT3 ..."""
    if precision == BIPOLAR:
        return "BIPOLAR"
    if precision == TERNARY:
        return "TERNARY"
    if precision.kind == "unsigned":
        return "BINARY" if precision.bits == 1 else f"UINT{precision.bits}"
    return f"INT{precision.bits}"


class _Writer:
    """Collects the nodes, constants and annotations of the graph, in the order of the program."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.program: Program = model.program
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.values: list[Any] = []
        self.annotations: list[Any] = []
        self.notes: list[str] = []
        self.windows: dict[str, Window] = {}
        self.unwritten: set[str] = set()
        self.rank: dict[str, int] = {}  # 4: channels first; 2: vector

    def graph(self) -> Any:
        from onnx import TensorProto, helper

        program = self.program
        for name, edge in program.edges.items():
            if max(-edge.low, edge.high) >= MAX_EXACT:
                raise FormatError(
                    f"{name}: sums up to {max(-edge.low, edge.high)} are not exact in float32, "
                    "in which QONNX computes"
                )
        source = self._input()
        for op in program.ops:
            self._op(op)
        output = self._output()
        shape = [1, *self._shape(INPUT)]
        values = [value for value in self.values if value.name not in (source, output)]
        graph = helper.make_graph(
            self.nodes,
            self.model.name or "bnn",
            [helper.make_tensor_value_info(source, TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, [1, program.classes])],
            self.constants,
            value_info=values,
        )
        graph.quantization_annotation.extend(self.annotations)
        return graph

    def _shape(self, name: str) -> list[int]:
        height, width, channels = self.program.edges[name].shape
        if name == INPUT and len(self.program.input.shape) == 1:
            return [channels]
        return [channels, height, width]

    # --- pieces ----------------------------------------------------------------------

    def _node(
        self, kind: str, inputs: list[str], output: str, domain: str = "", **more: Any
    ) -> str:
        from onnx import helper

        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], name, domain=domain, **more))
        return output

    def _constant(self, name: str, value: Array, kind: str = "") -> str:
        from onnx import numpy_helper

        if value.dtype != np.int64:
            value = value.astype(np.float32)
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        if kind:
            self._annotate(name, kind)
        return name

    def _annotate(self, tensor: str, kind: str) -> None:
        from onnx import StringStringEntryProto, TensorAnnotation

        entry = StringStringEntryProto(key="finn_datatype", value=kind)
        self.annotations.append(
            TensorAnnotation(tensor_name=tensor, quant_parameter_tensor_names=[entry])
        )

    def _made(self, name: str, rank: int) -> None:
        """Add the shape and the datatype of the tensor of the edge ``name`` to the graph."""
        edge = self.program.edges[name]
        height, width, channels = edge.shape
        self._shaped(name, [1, channels] if rank == 2 else [1, channels, height, width])
        self._annotate(name, datatype(edge.precision))
        self.rank[name] = rank

    def _shaped(self, tensor: str, shape: list[int]) -> None:
        from onnx import TensorProto, helper

        self.values.append(helper.make_tensor_value_info(tensor, TensorProto.FLOAT, shape))

    def _between(self, like: str, tensor: str) -> None:
        """Add the shape of an intermediate tensor, which is that of the edge ``like``."""
        height, width, channels = self.program.edges[like].shape
        vector = self.rank.get(like, 2 if len(self.program.input.shape) == 1 else 4) == 2
        self._shaped(tensor, [1, channels] if vector else [1, channels, height, width])

    # --- input -----------------------------------------------------------------------

    def _input(self) -> str:
        given = self.program.input
        rank = 2 if len(given.shape) == 1 else 4
        match given:
            case IntegerInput():
                self._made_input(rank)
                return INPUT
            case PictureInput():
                self._annotate("picture", "UINT8")
                self._coded("picture", _picture_thresholds(given), rank)
                return "picture"
            case RealInput():
                return self._real_input(given, rank)
        assert_never(given)

    def _made_input(self, rank: int) -> None:
        self._annotate(INPUT, datatype(self.program.input.precision))
        self.rank[INPUT] = rank

    def _coded(self, source: str, thresholds: Array, rank: int) -> None:
        """Write the thresholds that make the program's integers of the graph's input.

        Every threshold adds 1 to the integer; for a bipolar input it adds 2.
        """
        precision = self.program.input.precision
        table = self._constant("input_thresholds", thresholds[None, :])
        step = 2 if precision == BIPOLAR else 1
        self._threshold_node(source, table, INPUT, precision, precision.low, step, rank)
        self._made(INPUT, rank)

    def _threshold_node(
        self,
        source: str,
        table: str,
        output: str,
        precision: Precision,
        base: int,
        step: int,
        rank: int,
    ) -> None:
        self._node(
            "MultiThreshold",
            [source, table],
            output,
            DOMAIN,
            out_dtype=datatype(precision),
            out_scale=float(step),
            out_bias=float(base),
            data_layout="NC" if rank == 2 else "NCHW",
        )

    def _real_input(self, given: RealInput, rank: int) -> str:
        tail = [] if rank == 2 else [1, 1]
        scaled = "real"
        if (given.scale != 1).any():
            scale = self._constant("input_scale", given.scale.reshape(1, -1, *tail))
            how = "Mul" if given.multiplied else "Div"
            scaled = self._node(how, [scaled, scale], "input_scaled")
            self._between(INPUT, scaled)
        if given.zero_point.any():
            zero = self._constant("input_zero_point", given.zero_point.reshape(1, -1, *tail))
            scaled = self._node("Add", [scaled, zero], "input_shifted")
            self._between(INPUT, scaled)
        precision = given.precision
        one = self._constant("input_one", np.ones(()))
        if precision == BIPOLAR:
            self._node("BipolarQuant", [scaled, one], INPUT, DOMAIN)
            self._made(INPUT, rank)
        elif given.rounding == "even" and precision != INT(1):
            # in QONNX a signed Quant of one bit is -1 and +1; ours is -1 and 0
            self._node(
                "Quant",
                [
                    scaled,
                    one,
                    self._constant("input_zero", np.zeros(())),
                    self._constant("input_bits", np.array(precision.bits)),
                ],
                INPUT,
                DOMAIN,
                signed=int(precision.kind != "unsigned"),
                narrow=int(precision.kind == "narrow"),
                rounding_mode="ROUND",
            )
            self._made(INPUT, rank)
        else:
            self._coded(scaled, _real_thresholds(given), rank)
        return "real"

    # --- operations ------------------------------------------------------------------

    def _op(self, op: Op) -> None:
        match op:
            case Window():
                self.windows[op.name] = op
            case Dot() if op.product_shift:
                raise FormatError(f"{op.name}: rounded products are not written to QONNX")
            case Dot():
                self._dot(op)
            case Threshold():
                self._threshold(op)
            case Pool():
                top, left, bottom, right = op.padding
                self._node(
                    "MaxPool",
                    [self._map(op.source)],
                    op.name,
                    kernel_shape=list(op.kernel),
                    strides=list(op.stride),
                    pads=[top, left, bottom, right],
                )
                self._made(op.name, 4)
            case Add():
                self._two("Add", op)
            case Concat():
                self._two("Concat", op, axis=1)
            case Rescale():
                self._rescale(op)
            case Multiply() | Scan():
                kind = type(op).__name__.lower()
                raise FormatError(f"{op.name}: {kind} is not written to QONNX yet")
            case ArgMax():
                self._arg_max(op)
            case _:
                assert_never(op)

    def _two(self, kind: str, op: Add | Concat, **more: Any) -> None:
        """Write a node of type ``kind`` that reads two edges.

        If one of them is a vector and the other a 1x1 map, it reads both as vectors.
        """
        one, other = self._read(op.source), self._read(op.other)
        if self.rank[one] != self.rank[other]:
            one, other = self._vector(one), self._vector(other)
        self._node(kind, [one, other], op.name, **more)
        self._made(op.name, self.rank[one])

    def _rescale(self, op: Rescale) -> None:
        source, rank = self._read(op.source), self.rank[op.source]
        offsets = np.zeros(op.multipliers.shape) if op.offsets is None else op.offsets
        if op.overflow == "wrap":
            raise FormatError(f"{op.name}: results that wrap are not written to QONNX")
        if op.rounding == "zero":
            raise FormatError(f"{op.name}: QONNX has no rounding of halves towards zero")
        if op.rounding == "up" and op.shift:  # the floor of one half more
            offsets = offsets + 2.0 ** (op.shift - 1)
        edge = self.program.edges[op.source]
        largest = np.abs(op.multipliers * float(max(-edge.low, edge.high))) + np.abs(offsets)
        if largest.max() >= MAX_EXACT:
            raise FormatError(
                f"{op.name}: products up to {largest.max():.0f} are not exact in float32, "
                "in which QONNX computes"
            )
        shape = (1, -1) if rank == 2 else (1, -1, 1, 1)
        steps = [("Mul", op.multipliers), ("Add", offsets), ("Div", np.array([2.0**op.shift]))]
        for kind, values in steps:
            real = values.reshape(shape).astype(np.float64)
            constant = self._constant(f"{op.name}_{kind.lower()}_by", real)
            source = self._node(kind, [source, constant], f"{op.name}_{kind.lower()}")
            self._between(op.source, source)
        how = "Round" if op.rounding == "even" else "Floor"
        source = self._node(how, [source], f"{op.name}_whole")
        self._between(op.source, source)
        ends = [
            self._constant(f"{op.name}_{which}", np.array(float(end)))
            for which, end in (("low", op.low), ("high", op.high))
        ]
        self._node("Clip", [source, *ends], op.name)
        self._made(op.name, rank)

    def _arg_max(self, op: ArgMax) -> None:
        if op.name == self.program.decision and op.rule != "first":
            self.notes.append(f"the rule {op.rule!r} for the class is not kept; scores are written")
        self.unwritten.add(op.name)

    def _read(self, name: str) -> str:
        if name in self.windows:
            raise FormatError(f"{name}: a window that no dot reads cannot be written")
        if name in self.unwritten:
            raise FormatError(f"{name}: an arg max inside a network cannot be written")
        return name

    def _map(self, name: str) -> str:
        """Write the reshape of a vector to a 1x1 map; return the tensor's name."""
        self._read(name)
        if self.rank[name] == 4:
            return name
        mapped = f"{name}_map"
        if mapped not in self.rank:
            channels = self.program.edges[name].shape[2]
            sizes = self._constant(f"{mapped}_shape", np.array([1, channels, 1, 1], np.int64))
            self._node("Reshape", [name, sizes], mapped)
            self._shaped(mapped, [1, channels, 1, 1])
            self._annotate(mapped, datatype(self.program.edges[name].precision))
            self.rank[mapped] = 4
        return mapped

    def _vector(self, name: str) -> str:
        """Write the reshape of a 1x1 map to a vector; return the tensor's name."""
        self._read(name)
        if self.rank[name] == 2:
            return name
        flat = f"{name}_flat"
        if flat not in self.rank:
            self._node("Flatten", [name], flat, axis=1)
            self._shaped(flat, [1, self.program.edges[name].shape[2]])
            self._annotate(flat, datatype(self.program.edges[name].precision))
            self.rank[flat] = 2
        return flat

    def _dot(self, op: Dot) -> None:
        window = self.windows.get(op.source)
        height, width, _ = self.program.edges[op.name].shape
        # A MatMul has no groups; the groups of a Conv are of a window's channels.
        at_once = (height, width) == (1, 1) or op.positions != (
            1 if window is None else math.prod(window.kernel)
        )
        op = ungrouped(op) if at_once else op
        if window is not None:
            self._windowed(op, window)
        elif (height, width) == (1, 1):
            self._matmul(op, self._vector(op.source))
        else:
            self._conv(op, op.source, op.weights[:, :, None, None], (1, 1), [0, 0, 0, 0])

    def _windowed(self, op: Dot, window: Window) -> None:
        rows, cols, channels = self.program.edges[window.source].shape
        if window.kernel == (rows, cols) and not any(window.padding):
            if self.rank[self._read(window.source)] == 2:
                self._matmul(op, window.source)
                return
            moved = f"{op.source}_flat"
            if moved not in self.rank:
                self._node(
                    "Transpose", [self._map(window.source)], f"{moved}_nhwc", perm=[0, 2, 3, 1]
                )
                self._node("Flatten", [f"{moved}_nhwc"], moved, axis=1)
                self._shaped(f"{moved}_nhwc", [1, rows, cols, channels])
                self._shaped(moved, [1, rows * cols * channels])
                self._annotate(moved, datatype(self.program.edges[window.source].precision))
                self.rank[moved] = 2
            self._matmul(op, moved)
            return
        kernel = op.weights.reshape(len(op.weights), *window.kernel, channels // op.groups)
        source, pads = self._map(window.source), list(window.padding)
        if any(pads) and window.pad_value:
            source, pads = self._padded(op.name, source, window), [0, 0, 0, 0]
        self._conv(op, source, kernel.transpose(0, 3, 1, 2), window.stride, pads)

    def _padded(self, name: str, source: str, window: Window) -> str:
        top, left, bottom, right = window.padding
        pads = np.array([0, 0, top, left, 0, 0, bottom, right], np.int64)
        sizes = self._constant(f"{name}_pads", pads)
        value = self._constant(f"{name}_pad_value", np.array(window.pad_value, np.float32))
        rows, cols, channels = self.program.edges[window.source].shape
        self._shaped(f"{name}_padded", [1, channels, rows + top + bottom, cols + left + right])
        return self._node("Pad", [source, sizes, value], f"{name}_padded", mode="constant")

    def _conv(
        self, op: Dot, source: str, kernel: Array, stride: tuple[int, int], pads: list[int]
    ) -> None:
        weights = self._constant(f"{op.name}_weights", kernel, datatype(op.precision))
        inputs = [source, weights]
        if op.bias is not None:
            inputs.append(self._constant(f"{op.name}_bias", op.bias))
        self._node(
            "Conv",
            inputs,
            op.name,
            kernel_shape=list(kernel.shape[2:]),
            strides=list(stride),
            pads=pads,
            group=op.groups,
            dilations=[1, 1],
        )
        self._made(op.name, 4)

    def _matmul(self, op: Dot, source: str) -> None:
        weights = self._constant(f"{op.name}_weights", op.weights.T, datatype(op.precision))
        output = op.name if op.bias is None else f"{op.name}_sum"
        self._node("MatMul", [source, weights], output)
        if op.bias is not None:
            self._shaped(output, [1, len(op.weights)])
            self._node("Add", [output, self._constant(f"{op.name}_bias", op.bias)], op.name)
        self._made(op.name, 2)

    def _threshold(self, op: Threshold) -> None:
        source, rank = self._read(op.source), self.rank[op.source]
        edge = self.program.edges[op.source]
        low, high = edge.low, edge.high
        if op.signs is not None:
            shape = (1, -1) if rank == 2 else (1, -1, 1, 1)
            signs = self._constant(f"{op.name}_signs", op.signs.reshape(shape), "BIPOLAR")
            source = self._node("Mul", [source, signs], f"{op.name}_signed")
            self._between(op.source, source)
            low, high = min(low, -high), max(high, -low)
        table = np.clip(op.thresholds.astype(np.int64), low, high + 1)
        name = self._constant(f"{op.name}_thresholds", table.astype(np.float32))
        self._threshold_node(source, name, op.name, op.precision, op.base, op.step, rank)
        self._made(op.name, rank)

    def _output(self) -> str:
        affine, name = self.program.affine, self._vector(self.program.scores)
        if affine is None:
            return name
        if (affine.scale != 1).any():
            scale = self._constant("logits_scale", affine.scale.reshape(1, -1))
            name = self._node("Mul", [name, scale], "logits_scaled")
            self._shaped(name, [1, self.program.score_count])
        if affine.offset.any():
            offset = self._constant("logits_offset", affine.offset.reshape(1, -1))
            name = self._node("Add", [name, offset], "logits")
        return name if affine.dense is None else self._dense(name, affine.dense)

    def _dense(self, name: str, dense: Dense) -> str:
        """Write the host's dense layer, in float32; return the tensor's name."""
        count = self.program.score_count
        if np.isfinite([dense.low, dense.high]).any():
            limits = np.finfo(np.float32)
            ends = [
                self._constant(f"dense_{which}", np.array(np.clip(end, limits.min, limits.max)))
                for which, end in (("low", dense.low), ("high", dense.high))
            ]
            self._shaped(name, [1, count])
            name = self._node("Clip", [name, *ends], "dense_clipped")
        if name not in self.program.edges:
            self._shaped(name, [1, count])
        matrix = self._constant("dense_matrix", dense.matrix.T)
        name = self._node("MatMul", [name, matrix], "dense_product")
        self._shaped(name, [1, self.program.classes])
        return self._node("Add", [name, self._constant("dense_bias", dense.bias)], "dense")


def _picture_thresholds(given: PictureInput) -> Array:
    """Return for each integer of the input except the lowest the smallest byte that reaches it."""
    if (np.diff(given.table) < 0).any():
        raise FormatError(
            "the input's table from bytes to integers falls somewhere; QONNX cannot express it"
        )
    levels = (
        np.array([-1, 1])
        if given.precision == BIPOLAR
        else np.arange(given.precision.low, given.precision.high + 1)
    )
    return np.searchsorted(given.table, levels[1:], side="left").astype(np.float32)


def _real_thresholds(given: RealInput) -> Array:
    """Return for each integer of the input except the lowest where it begins.

    This is the smallest scaled value (before clipping and rounding) that becomes this integer.
    """
    low, high = given.precision.low, given.precision.high

    def level(x: Array) -> Array:
        clipped = np.clip(x, np.float32(low), np.float32(high))
        even = given.rounding == "even"
        whole = np.rint(clipped) if even else np.floor(clipped + np.float32(0.5))
        return np.minimum(whole, high) - low

    return float_thresholds(level, high - low)

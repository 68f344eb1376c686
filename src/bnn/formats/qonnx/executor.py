# SPDX-License-Identifier: BSD-3-Clause
"""Execute an ONNX or QONNX file, to get independent answers that ``--verify`` compares with.

ONNX's own operators run in ``onnx.reference``, which is ONNX's definition of them in NumPy.
QONNX's operators are written here from their definitions (the operator documents of QONNX, and its
executor). No code is shared with the reader of such files, so that a mistake of the reader is not
repeated here. Only these operators are run, never code from the file.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, helper, load
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from bnn.errors import FormatError

Array = NDArray[Any]

DOMAINS = ("qonnx.custom_op.general", "finn.custom_op.general", "onnx.brevitas", "finn", "")
CHANNELS_LAST = "qonnx.custom_op.channels_last"
#: Operations that keep only the order of the scores, or only the class.
SQUASHING = ("Softmax", "LogSoftmax", "Sigmoid", "Hardmax")
CHOOSING = ("ArgMax", "TopK")
_MOVING = ("Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Cast", "Transpose")


# --- QONNX's operators ---------------------------------------------------------------


def rounded(x: Array, mode: str) -> Array:
    """Return ``x`` rounded by QONNX's ``rounding_mode``, in the dtype of ``x``."""
    whole, size, sign = np.floor(x), np.abs(x), np.sign(x)
    half = x.dtype.type(0.5)
    match mode.upper():
        case "ROUND" | "HALF_EVEN":
            result = np.round(x)
        case "FLOOR":
            result = whole
        case "CEIL":
            result = -np.floor(-x)
        case "UP":
            result = sign * -np.floor(-size)
        case "DOWN":
            result = sign * np.floor(size)
        case "HALF_UP":
            result = sign * np.floor(size + half)
        case "HALF_DOWN":
            result = sign * -np.floor(-(size - half))
        case _:
            raise ValueError(f"no such rounding mode: {mode}")
    return np.asarray(result)


def bounds(bits: float, signed: int, narrow: int) -> tuple[Any, Any]:
    """Return the smallest and the largest integer of ``bits`` bits, float32."""
    if signed:
        return np.float32(-(2 ** (bits - 1)) + (narrow != 0)), np.float32(2 ** (bits - 1) - 1)
    return np.float32(0), np.float32(2**bits - 1 - (narrow != 0))


class Quant(OpRun):
    """QONNX's Quant: ``(round(clip(x / scale + zero)) - zero) * scale``.

    With one signed bit, +1 or -1 takes the place of the clipped and rounded value.
    """

    def _run(
        self,
        x: Any,
        scale: Any,
        zero: Any,
        bits: Any,
        signed: int = 1,
        narrow: int = 0,
        rounding_mode: str = "ROUND",
    ) -> Any:
        y, width = x / scale + zero, float(np.asarray(bits).reshape(-1)[0])
        if signed and width == 1:
            q = np.where(y >= 0, np.float32(1), np.float32(-1))
        else:
            q = rounded(np.clip(y, *bounds(width, signed, narrow)), rounding_mode)
        return (((q - zero) * scale).astype(np.float32),)


class IntQuant(Quant):
    """QONNX's IntQuant, the newer name of Quant."""


class BipolarQuant(OpRun):
    """QONNX's BipolarQuant: ``+scale`` if x >= 0, else ``-scale``."""

    def _run(self, x: Any, scale: Any) -> Any:
        return ((np.where(x >= 0, np.float32(1), np.float32(-1)) * scale).astype(np.float32),)


class Trunc(OpRun):
    """QONNX's Trunc, which drops low bits.

    With more than four inputs (version 2) it also clips the result to the output's bits.
    """

    def _run(
        self,
        x: Any,
        scale: Any,
        zero: Any,
        before: Any,
        *more: Any,
        signed: int = 1,
        narrow: int = 0,
        rounding_mode: str = "FLOOR",
    ) -> Any:
        q = np.round(x / scale + zero)
        if len(more) == 1:
            shift = np.float32(2.0) ** (before - more[0])
            return (((rounded(q / shift, rounding_mode) - zero) * scale).astype(np.float32),)
        out_scale, bits = more
        shift = 2 ** np.round(np.log2(out_scale / scale))
        low, high = bounds(float(np.asarray(bits).reshape(-1)[0]), signed, narrow)
        y = rounded(np.clip(q / shift, low, high), rounding_mode)
        return (((y - zero / shift) * out_scale).astype(np.float32),)


class MultiThreshold(OpRun):
    """FINN's MultiThreshold, per channel: ``out_scale * (thresholds reached) + out_bias``."""

    def _run(
        self,
        x: Any,
        thresholds: Any,
        out_dtype: str = "",
        out_scale: float = 1.0,
        out_bias: float = 0.0,
        data_layout: str = "",
    ) -> Any:
        del out_dtype
        layout = data_layout or {2: "NC", 3: "NWC", 4: "NCHW"}.get(x.ndim, "")
        axis = layout.index("C") if "C" in layout else 1
        last = np.moveaxis(x, axis, -1)
        count = np.zeros(last.shape, np.float32)
        for step in range(thresholds.shape[1]):
            count += last >= thresholds[:, step]
        y = np.float32(out_scale) * count + np.float32(out_bias)
        return (np.moveaxis(y, -1, axis).astype(np.float32),)


class Im2Col(OpRun):
    """FINN's Im2Col: the patches of a channels-last map.

    The values of a patch are in the order kernel row, kernel column, channel.
    """

    def _run(
        self,
        x: Any,
        kernel_size: Any = None,
        stride: Any = None,
        input_shape: str = "",
        dilations: Any = (1, 1),
        pad_amount: Any = (0, 0, 0, 0),
        pad_value: int = 0,
        depthwise: int = 0,
    ) -> Any:
        del input_shape, depthwise
        top, left, bottom, right = pad_amount
        sides = ((0, 0), (top, bottom), (left, right), (0, 0))
        x = np.pad(x, sides, constant_values=pad_value)
        counts = [
            (x.shape[axis + 1] - dilations[axis] * (kernel_size[axis] - 1) - 1) // stride[axis] + 1
            for axis in range(2)
        ]
        parts = []
        for i in range(kernel_size[0]):
            for j in range(kernel_size[1]):
                row, column = i * dilations[0], j * dilations[1]
                parts.append(
                    x[
                        :,
                        row : row + (counts[0] - 1) * stride[0] + 1 : stride[0],
                        column : column + (counts[1] - 1) * stride[1] + 1 : stride[1],
                    ]
                )
        return (np.concatenate(parts, axis=-1),)


class XnorPopcountMatMul(OpRun):
    """FINN's XnorPopcountMatMul: the number of equal bits in two rows of 0 and 1."""

    def _run(self, a: Any, b: Any) -> Any:
        return ((((2 * a - 1) @ (2 * b - 1) + a.shape[-1]) * np.float32(0.5)).astype(np.float32),)


class BatchNormalization(OpRun):
    """ONNX's BatchNormalization of the operator sets 7 to 13, with one output, not in training.

    ``onnx.reference`` (1.23) uses the batch's own mean and variance in sets 9 to 13, as in
    training, and fails in sets 7 and 8.
    """

    op_domain = ""

    def _run(
        self,
        x: Any,
        scale: Any,
        bias: Any,
        mean: Any,
        variance: Any,
        epsilon: float = 1e-5,
        momentum: float = 0.9,
        spatial: int = 1,
        training_mode: int = 0,
    ) -> Any:
        del momentum
        if spatial != 1 or training_mode:
            raise ValueError("a batch norm with training_mode=1 or spatial=0 cannot be run")
        shape = (1, -1, *[1] * (x.ndim - 2))
        scale, bias, mean, variance = (v.reshape(shape) for v in (scale, bias, mean, variance))
        deviation = np.sqrt(variance + np.float32(epsilon))
        return ((scale * (x - mean) / deviation + bias).astype(x.dtype),)


class Softmax(OpRun):
    """ONNX's Softmax before operator set 13: over all axes from ``axis`` (default 1) together.

    ``onnx.reference`` computes the softmax over one axis only; this is right since operator set 13.
    """

    op_domain = ""

    def _run(self, x: Any, axis: int = 1) -> Any:
        rows = x.reshape(int(np.prod(x.shape[:axis])), -1)
        return (self._of_rows(rows).reshape(x.shape).astype(x.dtype),)

    def _of_rows(self, rows: Array) -> Array:
        powers = np.exp(rows - rows.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))


class LogSoftmax(Softmax):
    """ONNX's LogSoftmax before operator set 13: the logarithm of :class:`Softmax`."""

    def _of_rows(self, rows: Array) -> Array:
        return np.log(super()._of_rows(rows))


class Hardmax(Softmax):
    """ONNX's Hardmax before operator set 13: 1 at the first maximum, 0 elsewhere."""

    def _of_rows(self, rows: Array) -> Array:
        return np.asarray(np.arange(rows.shape[1]) == rows.argmax(axis=1)[:, None])


class MaxPool(OpRun):
    """ONNX's MaxPool over one or two axes.

    ``onnx.reference`` (1.23) computes a pool with SAME_LOWER as if it had SAME_UPPER.
    """

    op_domain = ""

    def _run(
        self,
        x: Any,
        auto_pad: str = "NOTSET",
        ceil_mode: int = 0,
        dilations: Any = None,
        kernel_shape: Any = None,
        pads: Any = None,
        storage_order: int = 0,
        strides: Any = None,
    ) -> Any:
        del storage_order
        if x.ndim not in (3, 4) or len([name for name in self.onnx_node.output if name]) > 1:
            raise ValueError("a max pool must have one or two axes, and one output")
        if x.ndim == 3:  # maps of one row
            one, pair = [1, *kernel_shape], pads and [0, pads[0], 0, pads[1]]
            steps = [1, *(strides or [1])]
            spread = dilations and [1, *dilations]
            made = self._run(x[:, :, None], auto_pad, ceil_mode, spread, one, pair, 0, steps)
            return (made[0][:, :, 0],)
        strides, dilations = strides or [1, 1], dilations or [1, 1]
        pads = [0, 0, 0, 0] if pads is None else pads
        counts, sides = [], [(0, 0), (0, 0)]
        for axis in range(2):
            size, stride = x.shape[2 + axis], strides[axis]
            extent = dilations[axis] * (kernel_shape[axis] - 1) + 1
            before, after = pads[axis], pads[axis + 2]
            if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
                count = -(-size // stride)
                total = max((count - 1) * stride + extent - size, 0)
                before = total // 2 if auto_pad == "SAME_UPPER" else total - total // 2
            else:
                over = size + before + after - extent
                count = (-(-over // stride) if ceil_mode else over // stride) + 1
                # A window that would start in the padding at the end is not made.
                count -= int((count - 1) * stride >= size + before)
            counts.append(count)
            sides.append((before, max(0, (count - 1) * stride + extent - size - before)))
        lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
        padded = np.pad(x, sides, constant_values=lowest)
        parts = [
            padded[
                :,
                :,
                i * dilations[0] :: strides[0],
                j * dilations[1] :: strides[1],
            ][:, :, : counts[0], : counts[1]]
            for i in range(kernel_shape[0])
            for j in range(kernel_shape[1])
        ]
        return (np.maximum.reduce(parts),)


class QuantizeLinear(OpRun):
    """ONNX's QuantizeLinear before operator set 19.

    ``onnx.reference`` (1.23) has only the operator of set 19 and later.
    """

    op_domain = ""

    def _run(self, x: Any, scale: Any, zero: Any = None, axis: int = 1, **newer: Any) -> Any:
        del newer  # attributes of later versions, at their defaults
        kind = np.uint8 if zero is None else zero.dtype
        limits = np.iinfo(kind)
        rows = np.moveaxis(x, axis, -1) if scale.size > 1 else x
        q = np.round(rows / scale.reshape(-1)) if scale.size > 1 else np.round(rows / scale)
        if zero is not None:
            q = q + (zero.reshape(-1) if zero.size > 1 else zero).astype(x.dtype)
        q = np.minimum(np.maximum(q, limits.min), limits.max).astype(kind)
        return (np.moveaxis(q, -1, axis) if scale.size > 1 else q.reshape(x.shape),)


class DequantizeLinear(OpRun):
    """ONNX's DequantizeLinear before operator set 19.

    ``onnx.reference`` (1.23) has only the operator of set 19 and later.
    """

    op_domain = ""

    def _run(self, q: Any, scale: Any, zero: Any = None, axis: int = 1, **newer: Any) -> Any:
        del newer
        sizes = [-1 if place == axis % max(q.ndim, 1) else 1 for place in range(q.ndim)]
        scale = scale.reshape(sizes) if scale.size > 1 else scale.reshape(())
        whole = q.astype(np.int64)
        if zero is not None:
            whole = whole - (zero.reshape(sizes) if zero.size > 1 else zero.reshape(()))
        return ((whole.astype(np.float32) * scale).astype(np.float32),)


#: The first operator set whose (De)QuantizeLinear ``onnx.reference`` has.
_LINEAR = 19
#: The first operator set whose softmax is ``onnx.reference``'s.
_SOFTMAX = 13
#: First operator set whose batch norm ``onnx.reference`` computes correctly.
_BATCH_NORM = 14
_OPERATORS = (Quant, IntQuant, BipolarQuant, Trunc, MultiThreshold, Im2Col, XnorPopcountMatMul)


# --- whole files ---------------------------------------------------------------------


class Executor:
    """An ONNX file that is executed sample by sample.

    Attributes:
        shape: shape of the graph's input, with the batch; unknown sizes are 1.
        ending: ``class`` if the graph's output is the number of a class, ``squashed`` if the graph
            ends in a softmax or sigmoid, else ``scores``.
        sigmoid: whether the graph ends in a sigmoid: then 0.5 separates two classes.
    """

    def __init__(self, path: Path | ModelProto) -> None:
        """Load the file ``path``, or take a model that is loaded already.

        Raises:
            FormatError: the model has an operator that is defined neither here nor in
                ``onnx.reference``.
        """
        try:
            self._prepare(load(str(path)) if isinstance(path, Path) else path)
        except FormatError:
            raise
        # onnx raises a dozen kinds of exceptions for files that are not models.
        except Exception as error:
            name = path if isinstance(path, Path) else "the model"
            raise FormatError(f"{name}: onnx.reference cannot run it: {_line(error)}") from None

    def _prepare(self, model: Any) -> None:
        self.ending, last = _ending(model)
        self.sigmoid = last == "Sigmoid"
        opset = max(
            (o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0
        )
        model = _channels_first(model)
        for node in model.graph.node:
            # onnx.reference uses the newest version's defaults.
            has_axis = any(item.name == "axis" for item in node.attribute)
            if node.op_type in ("Softmax", "LogSoftmax", "Hardmax") and not has_axis:
                node.attribute.append(helper.make_attribute("axis", 1 if opset < _SOFTMAX else -1))
        domains = {node.domain for node in model.graph.node}
        declared = {item.domain for item in model.opset_import}
        model.opset_import.extend(
            helper.make_opsetid(name, 1) for name in sorted(domains - declared)
        )
        new: list[Any] = [
            type(made.__name__, (made,), {"op_domain": domain})
            for made in _OPERATORS
            for domain in DOMAINS
        ]
        new.append(MaxPool)
        new += [BatchNormalization] if opset < _BATCH_NORM else []
        new += [Softmax, LogSoftmax, Hardmax] if opset < _SOFTMAX else []
        new += [QuantizeLinear, DequantizeLinear] if opset < _LINEAR else []
        self._session = ReferenceEvaluator(model, new_ops=new)
        constants = {item.name for item in model.graph.initializer}
        self._input = next(item for item in model.graph.input if item.name not in constants)
        tensor = self._input.type.tensor_type
        self.shape = tuple(max(1, dim.dim_value) for dim in tensor.shape.dim)
        self._kind = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type))

    def run(
        self, inputs: Array, seconds: float, report: Callable[[int, int], None] | None = None
    ) -> Array:
        """Return the graph's first output, (n, ...), for the first n of ``inputs`` (N, *shape[1:]).

        n is less than N if the computation takes more than ``seconds``: then the rest is not
        computed. ``report(done, all)`` is called with numbers of inputs, for progress.

        Raises:
            FormatError: an operator fails on these inputs.
        """
        batch, made = self.shape[0], []
        until = time.monotonic() + seconds
        for start in range(0, len(inputs), batch):
            rows = inputs[start : start + batch].astype(self._kind)
            short = batch - len(rows)
            full = np.concatenate([rows, np.repeat(rows[-1:], short, axis=0)]) if short else rows
            try:
                with np.errstate(all="ignore"):
                    out = self._run(full)
            except Exception as error:
                raise FormatError(f"onnx.reference fails: {_line(error)}") from None
            made.append(np.asarray(out).reshape(batch, -1)[: len(rows)])
            if report is not None:
                report(start + len(rows), len(inputs))
            if time.monotonic() > until:
                break
        return np.concatenate(made)

    def _run(self, rows: Array) -> Array:
        outputs: Any = self._session.run(None, {self._input.name: rows})
        return np.asarray(outputs[0])


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _producers(model: ModelProto) -> Iterator[Any]:
    """Yield the node that makes the graph's first output, and the nodes before it.

    The node before a node is the one that makes its first input.
    """
    by_output = {name: node for node in model.graph.node for name in node.output}
    node = by_output.get(model.graph.output[0].name)
    while node is not None:
        yield node
        node = by_output.get(node.input[0]) if node.input else None


def _ending(model: ModelProto) -> tuple[str, str]:
    """Return the attribute ``ending`` of :class:`Executor`, and the type of the ending operation.

    The type is "" if the graph ends in scores.
    """
    ending, last = "scores", ""
    for node in _producers(model):
        if node.op_type in CHOOSING:
            return "class", node.op_type
        if node.op_type in SQUASHING:
            ending, last = "squashed", last or node.op_type
        elif node.op_type not in _MOVING:
            break
    return ending, last


def _channels_first(model: ModelProto) -> ModelProto:
    """Return ``model`` with its channels-last operators replaced by ONNX's and transpositions."""
    changed = ModelProto()
    changed.CopyFrom(model)
    nodes = list(model.graph.node)
    del changed.graph.node[:]
    for index, node in enumerate(nodes):
        last = node.domain == CHANNELS_LAST
        if node.op_type == "MaxPoolNHWC":
            last, node = True, _renamed(node, "MaxPool")
        changed.graph.node.extend(_between_transpositions(node, index) if last else [node])
    return changed


def _renamed(node: Any, kind: str) -> Any:
    made = type(node)()
    made.CopyFrom(node)
    made.op_type = kind
    return made


def _between_transpositions(node: Any, index: int) -> list[Any]:
    """Return nodes that do the same as the channels-last ``node``.

    They transpose its inputs to channels first, do ONNX's own operation, and transpose the result
    back.
    """
    made = _renamed(node, node.op_type)
    made.domain = ""
    before = []
    for position in range(2 if node.op_type == "Conv" else 1):
        name = f"_first_{index}_{position}"
        before.append(
            helper.make_node("Transpose", [node.input[position]], [name], perm=[0, 3, 1, 2])
        )
        made.input[position] = name
    made.output[0] = f"_last_{index}"
    after = helper.make_node("Transpose", [made.output[0]], [node.output[0]], perm=[0, 2, 3, 1])
    return [*before, made, after]

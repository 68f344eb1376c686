# SPDX-License-Identifier: BSD-3-Clause
"""Constants of an ONNX graph computed ahead, quantized ones with their integers kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.errors import FormatError
from bnn.formats.onnx_file import MAX_VALUES, Node

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Constant:
    """A constant tensor.

    Attributes:
        value: real values.
        integers, scale: where it was quantized, ``value = scale * integers``, both of
            the shape of ``value``; else None.
        low, high: what the integers may be.
    """

    value: Array
    integers: Array | None = None
    scale: Array | None = None
    low: int = 0
    high: int = 0

    def moved(self, move: Callable[[Array], Array]) -> Constant:
        """The same with its elements moved about."""
        if self.integers is None or self.scale is None:
            return Constant(move(self.value))
        return Constant(
            move(self.value), move(self.integers), move(self.scale), self.low, self.high
        )


def fold(node: Node, inputs: list[Constant | None]) -> Constant | None:
    """The result of ``node`` on constants, or None if it is not known how.

    Raises:
        FormatError: the inputs do not fit the operation.
    """
    given = [item for item in inputs if item is not None]
    try:
        with np.errstate(all="ignore"):
            if node.kind in _MOVES:
                return given[0].moved(_mover(node, given))
            if node.kind in _ELEMENTWISE:
                return _elementwise(node, [item.value for item in given])
            return _other(node, [item.value for item in given])
    except (ValueError, IndexError, TypeError, ZeroDivisionError, OverflowError):
        raise FormatError(f"{node}: its constants do not fit the operation") from None


_MOVES = ("Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity")
_ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": lambda a, b: a // b if a.dtype.kind in "iu" else a / b,
    "Pow": np.power,
    "Sqrt": np.sqrt,
    "Neg": np.negative,
    "Abs": np.abs,
    "Reciprocal": lambda a: a.dtype.type(1) / a,
    "Sign": np.sign,
    "Floor": np.floor,
    "Ceil": np.ceil,
    "Round": np.rint,
    "Exp": np.exp,
    "Log": np.log,
    "Relu": lambda a: np.maximum(a, a.dtype.type(0)),
    "Max": lambda *a: np.maximum.reduce(a),
    "Min": lambda *a: np.minimum.reduce(a),
}


def _elementwise(node: Node, values: list[Array]) -> Constant:
    shape = np.broadcast_shapes(*(value.shape for value in values))
    if np.prod(shape, dtype=float) > MAX_VALUES:
        raise ValueError
    result = np.asarray(_ELEMENTWISE[node.kind](*values))
    return Constant(result.astype(values[0].dtype, copy=False))


def axes_of(node: Node, values: list[Array]) -> list[int] | None:
    """Axes from the attribute (old ONNX) or the second input (new ONNX)."""
    if len(values) > 1:
        return [int(axis) for axis in values[1].reshape(-1)]
    axes = node.attributes.get("axes")
    return None if axes is None else [int(axis) for axis in axes]


def reshaped(shape: tuple[int, ...], wanted: Array) -> tuple[int, ...]:
    """Target shape of a Reshape: 0 copies, -1 is what is left."""
    sizes = [int(size) for size in wanted.reshape(-1)]
    sizes = [shape[i] if size == 0 else size for i, size in enumerate(sizes)]
    if sizes.count(-1) > 1:
        raise ValueError
    if -1 in sizes:
        rest = int(np.prod([size for size in sizes if size != -1], dtype=np.int64))
        sizes[sizes.index(-1)] = int(np.prod(shape, dtype=np.int64)) // max(rest, 1)
    if np.prod(sizes, dtype=float) != np.prod(shape, dtype=float) or min(sizes, default=1) < 0:
        raise ValueError
    return tuple(sizes)


def _mover(node: Node, given: list[Constant]) -> Callable[[Array], Array]:
    values = [item.value for item in given]
    match node.kind:
        case "Transpose":
            return lambda a: a.transpose(node.attributes.get("perm"))
        case "Reshape":
            shape = reshaped(values[0].shape, values[1])
            return lambda a: a.reshape(shape)
        case "Flatten":
            axis = node.attributes.get("axis", 1)
            return lambda a: a.reshape(int(np.prod(a.shape[:axis])), -1)
        case "Squeeze":
            axes = axes_of(node, values)
            return lambda a: np.squeeze(a, None if axes is None else tuple(axes))
        case "Unsqueeze":
            return lambda a: np.expand_dims(a, tuple(axes_of(node, values) or ()))
    return lambda a: a


def _other(node: Node, values: list[Array]) -> Constant | None:
    attributes = node.attributes
    match node.kind:
        case "Constant":
            for key in ("value", "value_float", "value_int", "value_floats", "value_ints"):
                if key in attributes:
                    kind = None if key == "value" else ("f4" if "float" in key else "i8")
                    return Constant(np.asarray(attributes[key], kind))
            raise FormatError(f"{node}: holds a constant of an unknown kind")
        case "Cast":
            kinds = {1: "f4", 6: "i4", 7: "i8", 9: "?", 10: "f2", 11: "f8", 2: "u1", 3: "i1"}
            to = attributes.get("to")
            return Constant(values[0].astype(kinds[to])) if to in kinds else None
        case "Shape":
            return Constant(np.array(values[0].shape, np.int64))
        case "Gather":
            index = values[1]
            if index.size > MAX_VALUES or values[0].size == 0:
                raise ValueError
            return Constant(np.take(values[0], index, attributes.get("axis", 0)))
        case "Concat":
            return Constant(np.concatenate(values, attributes["axis"]))
        case "Slice":
            return Constant(_slice(node, values))
        case "ReduceMean":
            axes = axes_of(node, values)
            keep = bool(attributes.get("keepdims", 1))
            axis = None if axes is None else tuple(axes)
            return Constant(np.asarray(values[0].mean(axis, keepdims=keep, dtype=values[0].dtype)))
        case "MatMul":
            return Constant(values[0] @ values[1])
    return None


def _slice(node: Node, values: list[Array]) -> Array:
    if len(values) > 1:
        starts, ends = values[1].tolist(), values[2].tolist()
        axes = values[3].tolist() if len(values) > 3 else list(range(len(starts)))
        steps = values[4].tolist() if len(values) > 4 else [1] * len(starts)
    else:
        starts, ends = node.attributes["starts"], node.attributes["ends"]
        axes, steps = node.attributes.get("axes", list(range(len(starts)))), [1] * len(starts)
    index: list[slice] = [slice(None)] * values[0].ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if step < 0:
            raise FormatError(f"{node}: slices backwards")
        index[axis] = slice(start, end, step)
    return values[0][tuple(index)]

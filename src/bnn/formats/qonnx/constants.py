# SPDX-License-Identifier: BSD-3-Clause
"""Operations on constants of an ONNX graph; quantized constants keep their integers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.errors import FormatError
from bnn.formats.qonnx.onnx_file import MAX_VALUES
from bnn.formats.qonnx.operators import Op

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Constant:
    """A constant tensor.

    Attributes:
        value: the real values.
        integers, scale: if it was quantized: ``value = scale * integers``, both of the shape
            of ``value``; else None.
        low, high: bounds of the quantizer's integers.
    """

    value: Array
    integers: Array | None = None
    scale: Array | None = None
    low: int = 0
    high: int = 0

    def moved(self, move: Callable[[Array], Array]) -> Constant:
        """Return this constant with ``move`` (a reshape, for example) applied to its arrays."""
        if self.integers is None or self.scale is None:
            return Constant(move(self.value))
        return Constant(
            move(self.value), move(self.integers), move(self.scale), self.low, self.high
        )


def fold(node: Op, inputs: list[Constant | None]) -> Constant | None:
    """Return the result of ``node`` on constants; None if the operation is not known here.

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
            if node.kind in ("Slice", "Clip"):
                values = [None if item is None else item.value for item in inputs]
                return Constant((_slice if node.kind == "Slice" else _clip)(node, values))
            return _other(node, [item.value for item in given])
    except (ValueError, IndexError, TypeError, ZeroDivisionError, OverflowError):
        raise FormatError(f"{node}: its constants do not fit the operation") from None


_MOVES = ("Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity")
_ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": lambda a, b: _whole_quotient(a, b) if a.dtype.kind in "iu" else a / b,
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
    "Max": lambda *a: reduce(np.maximum, a),
    "Min": lambda *a: reduce(np.minimum, a),
}


def _whole_quotient(a: Array, b: Array) -> Array:
    """Divide integers as ONNX does, rounding towards zero."""
    if (b == 0).any():
        raise ZeroDivisionError
    rounded_up = (a % b != 0) & ((a < 0) != (b < 0))
    return np.asarray(a // b + rounded_up)


def _elementwise(node: Op, values: list[Array]) -> Constant:
    if node.kind != "Pow" and len({value.dtype for value in values}) > 1:
        raise FormatError(f"{node}: its constants are of different types")
    shape = np.broadcast_shapes(*(value.shape for value in values))
    if np.prod(shape, dtype=float) > MAX_VALUES:
        raise ValueError
    result = np.asarray(_ELEMENTWISE[node.kind](*values))
    return Constant(result.astype(values[0].dtype, copy=False))


def axes_of(node: Op, values: list[Array]) -> list[int] | None:
    """Return the axes from the attribute (old ONNX) or the second input (new ONNX)."""
    if len(values) > 1:
        return [int(axis) for axis in values[1].reshape(-1)]
    axes = node.attribute("axes")
    return None if axes is None else [int(axis) for axis in axes]


def reshaped(node: Op, shape: tuple[int, ...], wanted: Array) -> tuple[int, ...]:
    """Return the target shape of a Reshape: 0 copies a size, -1 is the rest."""
    if wanted.ndim != 1 or wanted.dtype != np.int64:
        raise FormatError(f"{node}: its shape is not a vector of 64-bit integers")
    sizes = [int(size) for size in wanted]
    if node.attribute("allowzero") and 0 in sizes:
        raise FormatError(f"{node}: allowzero=1 with a size of 0 cannot be converted")
    sizes = [shape[i] if size == 0 else size for i, size in enumerate(sizes)]
    if sizes.count(-1) > 1:
        raise ValueError
    if -1 in sizes:
        rest = int(np.prod([size for size in sizes if size != -1], dtype=np.int64))
        sizes[sizes.index(-1)] = int(np.prod(shape, dtype=np.int64)) // max(rest, 1)
    if np.prod(sizes, dtype=float) != np.prod(shape, dtype=float) or min(sizes, default=1) < 0:
        raise ValueError
    return tuple(sizes)


def _mover(node: Op, given: list[Constant]) -> Callable[[Array], Array]:
    values = [item.value for item in given]
    match node.kind:
        case "Transpose":
            return lambda a: a.transpose(node.attribute("perm"))
        case "Reshape":
            shape = reshaped(node, values[0].shape, values[1])
            return lambda a: a.reshape(shape)
        case "Flatten":
            return lambda a: a.reshape(_flat(node, a.shape))
        case "Squeeze":
            axes = axes_of(node, values)
            return lambda a: np.squeeze(a, None if axes is None else tuple(axes))
        case "Unsqueeze":
            return lambda a: np.expand_dims(a, tuple(axes_of(node, values) or ()))
    return lambda a: a


def _flat(node: Op, shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the two sizes that a Flatten makes of ``shape``."""
    axis = int(node.attribute("axis"))
    if not -len(shape) <= axis <= len(shape):
        raise ValueError
    return int(np.prod(shape[:axis], dtype=np.int64)), int(np.prod(shape[axis:], dtype=np.int64))


def _other(node: Op, values: list[Array]) -> Constant | None:
    match node.kind:
        case "Constant":
            return _constant(node)
        case "Cast":
            return Constant(_cast(node, values[0]))
        case "Shape":
            return Constant(shape_of(node, values[0].shape))
        case "Gather":
            index = values[1]
            if index.size > MAX_VALUES or values[0].size == 0:
                raise ValueError
            return Constant(np.take(values[0], index, node.attribute("axis")))
        case "Concat":
            return Constant(np.concatenate(values, node.attribute("axis")))
        case "ReduceMean":
            axes = axes_of(node, values)
            keep = bool(node.attribute("keepdims"))
            axis = tuple(axes) if axes else None  # no axes: all of them
            return Constant(np.asarray(values[0].mean(axis, keepdims=keep, dtype=values[0].dtype)))
        case "MatMul":
            return Constant(values[0] @ values[1])
    return None


def _constant(node: Op) -> Constant:
    given = {key: value for key, value in node.values.items() if value is not None}
    if len(given) != 1:
        raise FormatError(f"{node}: must hold one constant, not {len(given)}")
    ((key, value),) = given.items()
    kind = None if key == "value" else ("f4" if "float" in key else "i8")
    return Constant(np.asarray(value, kind))


#: ONNX's type number -> NumPy's dtype name, for the types that a Cast may have.
KINDS = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
}


def kind_of(node: Op) -> np.dtype[Any]:
    """Return the dtype that a Cast casts to."""
    to = node.attribute("to")
    if to not in KINDS:
        raise FormatError(f"{node}: to={to} cannot be converted; numbers of 8 to 64 bits can")
    return np.dtype(KINDS[to])


def _cast(node: Op, value: Array) -> Array:
    kind = kind_of(node)
    if kind.kind in "iu":
        info = np.iinfo(kind)
        whole = np.trunc(value.astype(np.float64))
        if not (
            np.isfinite(whole).all() and (whole >= info.min).all() and (whole <= info.max).all()
        ):
            raise FormatError(f"{node}: casts constants that are outside {kind}")
    return value.astype(kind)


def shape_of(node: Op, shape: tuple[int, ...]) -> Array:
    """Return the result of a Shape operation."""
    sizes = slice(node.attribute("start"), node.attribute("end"))
    return np.array(shape[sizes], np.int64)


def _slice(node: Op, values: list[Array | None]) -> Array:
    data, *given = values
    assert data is not None
    starts, ends, axes, steps = (_numbers(item) for item in [*given, *[None] * 4][:4])
    if node.version < 10:
        starts, ends, axes = (node.attribute(name) for name in ("starts", "ends", "axes"))
    axes = list(range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    index: list[slice] = [slice(None)] * data.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if step < 0:
            raise FormatError(f"{node}: slices backwards")
        index[axis] = slice(start, end, step)
    return data[tuple(index)]


def _clip(node: Op, values: list[Array | None]) -> Array:
    data, low, high = [*values, None, None][:3]
    assert data is not None
    if node.version < 11:
        low, high = (np.asarray(node.attribute(name), data.dtype) for name in ("min", "max"))
    for bound, choose in ((low, np.maximum), (high, np.minimum)):
        if bound is not None and (bound.size != 1 or bound.dtype != data.dtype):
            raise ValueError
        data = data if bound is None else choose(data, bound.reshape(()))
    return data


def _numbers(value: Array | None) -> Any:
    return None if value is None else value.reshape(-1).tolist()

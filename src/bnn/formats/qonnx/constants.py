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
        integers, scale: for a quantized constant ``value = scale * integers``, and both have the
            shape of ``value``; for other constants both are None.
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
    """Return the result of ``node``, whose inputs are all constants.

    Return None if this module does not know the operation.

    Raises:
        FormatError: the inputs do not fit the operation.
    """
    given = [item for item in inputs if item is not None]
    try:
        with np.errstate(all="ignore"):
            if node.kind in _MOVES:
                return given[0].moved(_mover(node, given))
            values = [None if item is None else item.value for item in inputs]
            if node.kind == "DequantizeLinear":
                return _dequantized(node, values)
            if node.kind == "QuantizeLinear":
                values = [values[0], *_aligned(node, values)]
            if node.kind in ELEMENTWISE:
                return _elementwise(node, values)
            if node.kind == "Slice":
                return Constant(_slice(node, values))
            return _other(node, [item.value for item in given])
    except (ValueError, IndexError, TypeError, ZeroDivisionError, OverflowError):
        raise FormatError(f"{node}: its constants do not fit the operation") from None


_MOVES = ("Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity")
_OF_EACH: dict[str, Callable[..., Any]] = {
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
    "Tanh": np.tanh,
    "Sigmoid": lambda a: a.dtype.type(1) / (a.dtype.type(1) + np.exp(-a)),
    "HardSwish": lambda a: (
        a * np.clip(a / a.dtype.type(6) + a.dtype.type(0.5), a.dtype.type(0), a.dtype.type(1))
    ),
    "Relu": lambda a: np.maximum(a, a.dtype.type(0)),
    "Max": lambda *a: reduce(np.maximum, a),
    "Min": lambda *a: reduce(np.minimum, a),
    "Sum": lambda *a: sum(a[1:], a[0]),
    "Identity": lambda a: a,
}
COMPARED: dict[str, Callable[..., Any]] = {
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "Equal": np.equal,
}
_LOGICAL: dict[str, Callable[..., Any]] = {
    "Not": np.logical_not,
    "And": np.logical_and,
    "Or": np.logical_or,
    "Xor": np.logical_xor,
}
#: Operations on each value alone.
ELEMENTWISE = {*_OF_EACH, *COMPARED, *_LOGICAL, "Where", "Clip", "QuantizeLinear"}


def _whole_quotient(a: Array, b: Array) -> Array:
    """Divide integers as ONNX does, rounding towards zero."""
    if (b == 0).any():
        raise ZeroDivisionError
    rounded_up = (a % b != 0) & ((a < 0) != (b < 0))
    return np.asarray(a // b + rounded_up)


def _elementwise(node: Op, values: list[Array | None]) -> Constant:
    shape = np.broadcast_shapes(*(value.shape for value in values if value is not None))
    if np.prod(shape, dtype=float) > MAX_VALUES:
        raise ValueError
    return Constant(elementwise(node, values))


def elementwise(node: Op, values: list[Array | None]) -> Array:
    """Return the result of an elementwise operation on arrays that broadcast to each other.

    Raises:
        FormatError: the arrays have different types, or a type that the operation does not take.
    """
    given = [value for value in values if value is not None]
    kinds = {value.dtype for value in given}
    match node.kind:
        case "Clip":
            return _clip(node, values)
        case "QuantizeLinear":
            return _quantized(node, values)
        case "DequantizeLinear":
            return _dequantized_values(node, values)
        case "Where":
            if given[0].dtype != np.bool_ or given[1].dtype != given[2].dtype:
                raise FormatError(
                    f"{node}: needs a bool condition and two values of one type, not "
                    f"{', '.join(str(value.dtype) for value in given)}"
                )
            return np.where(given[0], given[1], given[2])
        case kind if kind in _LOGICAL:
            if kinds != {np.dtype(np.bool_)}:
                raise FormatError(f"{node}: needs bool inputs, not numbers")
            return np.asarray(_LOGICAL[kind](*given))
    if node.kind != "Pow" and len(kinds) > 1:
        raise FormatError(f"{node}: its inputs have different types; they must have one")
    if node.kind in COMPARED:
        return np.asarray(COMPARED[node.kind](*given))
    if np.dtype(np.bool_) in kinds and node.kind != "Identity":
        raise FormatError(f"{node}: needs numbers, not bool inputs")
    result = np.asarray(_OF_EACH[node.kind](*given))
    return result.astype(given[0].dtype, copy=False)


def _quantized(node: Op, values: list[Array | None]) -> Array:
    """Return ``saturate(round(x / scale) + zero)``; halves are rounded to even.

    scale and zero broadcast to x.
    """
    x, scale, zero = [*values, None][:3]
    assert x is not None
    assert scale is not None
    kind = np.dtype(np.uint8) if zero is None else zero.dtype
    if x.dtype != np.float32 or scale.dtype != np.float32 or kind.kind not in "iu":
        raise FormatError(f"{node}: quantizes {x.dtype} to {kind}; only float32 can be converted")
    if not (np.isfinite(scale).all() and (scale > 0).all()):
        raise FormatError(f"{node}: its scale must be positive")
    info = np.iinfo(kind)
    if info.bits > 16:
        raise FormatError(
            f"{node}: quantizes to {kind}; only integers of 8 and 16 bits can be converted"
        )
    shift = np.zeros((), np.float32) if zero is None else zero.astype(np.float32)
    return np.asarray(np.clip(np.rint(x / scale) + shift, info.min, info.max).astype(kind))


def _dequantized_values(node: Op, values: list[Array | None]) -> Array:
    """Return ``(q - zero) * scale`` in float32; scale and zero broadcast to q."""
    q, scale, zero = [*values, None][:3]
    assert q is not None
    assert scale is not None
    if scale.dtype != np.float32 or q.dtype.kind not in "iu":
        raise FormatError(f"{node}: turns {q.dtype} into {scale.dtype}; that cannot be converted")
    if zero is not None and zero.dtype != q.dtype:
        raise FormatError(f"{node}: its zero point is {zero.dtype}, but its input is {q.dtype}")
    whole = q.astype(np.int64) - (0 if zero is None else zero.astype(np.int64))
    return np.asarray(whole.astype(np.float32) * scale)


def _aligned(node: Op, values: list[Array | None]) -> list[Array | None]:
    """Return scale and zero point of a (De)QuantizeLinear, shaped to broadcast to its input.

    Each of them is one number, or has a number for each position of the node's ``axis``.
    """
    assert values[0] is not None
    return [
        None if value is None else along_axis(node, value, values[0].ndim) for value in values[1:]
    ]


def along_axis(node: Op, value: Array, rank: int) -> Array:
    """Return a scale or zero point of ``node``, shaped to broadcast to ``rank`` axes."""
    if value.size == 1:
        return value.reshape(())
    axis = int(node.attribute("axis"))
    if value.ndim != 1 or not -rank <= axis < rank:
        raise FormatError(f"{node}: its scale of shape {value.shape} does not fit axis {axis}")
    sizes = [1] * rank
    sizes[axis] = value.size
    return value.reshape(sizes)


def _dequantized(node: Op, values: list[Array | None]) -> Constant:
    """Return the constant that a DequantizeLinear makes of stored integers.

    It keeps the integers (minus the zero point), if they have at most 16 bits.
    """
    q = values[0]
    assert q is not None
    scale, zero = [*_aligned(node, values), None][:2]
    made = _dequantized_values(node, [q, scale, zero])
    assert scale is not None
    if np.prod(made.shape, dtype=float) != q.size:
        raise ValueError
    if not (np.isfinite(scale).all() and (scale > 0).all()) or q.dtype.itemsize > 2:
        return Constant(made)  # a bias of 32 bits, which is a real number
    whole = q.astype(np.int64) - (0 if zero is None else zero.astype(np.int64))
    ends = (int(whole.min(initial=0)), int(whole.max(initial=0)))
    integers = whole.astype(np.float32)
    return Constant(made, integers, np.broadcast_to(scale, q.shape), *ends)


def axes_of(node: Op, values: list[Array]) -> list[int] | None:
    """Return the axes of an operation; None if it has none.

    Newer versions of ONNX have them as the second input, older ones as an attribute.
    """
    if len(values) > 1:
        return [int(axis) for axis in values[1].reshape(-1)]
    axes = node.attribute("axes")
    return None if axes is None else [int(axis) for axis in axes]


def reshaped(node: Op, shape: tuple[int, ...], wanted: Array) -> tuple[int, ...]:
    """Return the shape that a Reshape makes of ``shape``.

    In ``wanted`` a 0 means the same size as before, and a -1 means the size that remains.
    """
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
        case "ReduceMean" | "ReduceSum" | "ReduceMax" | "ReduceMin" as kind:
            axes = axes_of(node, values)
            keep = bool(node.attribute("keepdims"))
            axis = tuple(axes) if axes else None  # no axes: all of them
            if kind in ("ReduceMax", "ReduceMin"):
                most = values[0].max if kind == "ReduceMax" else values[0].min
                return Constant(np.asarray(most(axis, keepdims=keep)))
            total = values[0].mean if kind == "ReduceMean" else values[0].sum
            return Constant(np.asarray(total(axis, keepdims=keep, dtype=values[0].dtype)))
        case "MatMul":
            return Constant(values[0] @ values[1])
        case "Expand":
            wanted = tuple(int(size) for size in values[1].reshape(-1))
            shape = np.broadcast_shapes(values[0].shape, wanted)
            if np.prod(shape, dtype=float) > MAX_VALUES:
                raise ValueError
            return Constant(np.broadcast_to(values[0], shape))
        case "ConstantOfShape":
            sizes = [int(size) for size in values[0].reshape(-1)]
            if min(sizes, default=0) < 0 or np.prod(sizes, dtype=float) > MAX_VALUES:
                raise ValueError
            filled = node.attribute("value")
            filled = np.zeros(1, np.float32) if filled is None else np.asarray(filled)
            return Constant(np.broadcast_to(filled.reshape(()), sizes))
    return None


def _constant(node: Op) -> Constant:
    given = {key: value for key, value in node.values.items() if value is not None}
    if len(given) != 1:
        raise FormatError(f"{node}: must hold one constant, not {len(given)}")
    ((key, value),) = given.items()
    kind = None if key == "value" else ("f4" if "float" in key else "i8")
    return Constant(np.asarray(value, kind))


#: ONNX's type number of truth values.
_BOOL = 9
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


def kind_of(node: Op, *, with_bool: bool = False) -> np.dtype[Any]:
    """Return the dtype that a Cast casts to."""
    to = node.attribute("to")
    if to == _BOOL and with_bool:
        return np.dtype(np.bool_)
    if to not in KINDS:
        raise FormatError(f"{node}: to={to} cannot be converted; numbers of 8 to 64 bits can")
    return np.dtype(KINDS[to])


def _cast(node: Op, value: Array) -> Array:
    kind = kind_of(node, with_bool=True)
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

# SPDX-License-Identifier: BSD-3-Clause
"""Tensors during the walk over an ONNX graph, and the order of their elements.

Most ONNX tensors have the channels first; the layers of the network have the channels last. No
data are transposed: a tensor only has the meaning of each axis, and a flattened map has the order
of its elements.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bnn.errors import FormatError
from bnn.formats.qonnx.operators import Op

Array = NDArray[Any]
Axes = tuple[str, ...]
#: One operation with a constant: its ONNX type, the constant as float32 (1,) or
#: (channels,), and whether the constant is the first operand.
Step = tuple[str, Array, bool]

#: A function of each value, (n, channels) to the same shape.
Function = Callable[[Array], Array]

FIRST: Axes = ("N", "C", "H", "W")
LAST: Axes = ("N", "H", "W", "C")
VECTOR: Axes = ("N", "C")
#: Signals of one dimension: maps of one row.
ROW_FIRST: Axes = ("N", "C", "W")


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor that depends on the input.

    Attributes:
        layer: name of the network's layer whose result the tensor is, before ``steps``.
        shape: shape in ONNX, the batch included.
        axes: meaning of each axis, such as N, C, H, W.
        low, high: bounds of the tensor's real values.
        order: for a flattened map: element i in ONNX is element ``order[i]`` of the map that the
            network flattens, whose channels are last; None if the orders are the same.
        quantized: whether the layer is quantized. Only then ``steps`` may be pending.
        steps: pending operations with one number on the layer's values, which the next layer
            includes. Together they are a rising function: a maximum, a threshold or an arg
            max may be done before them.
        kind: name of the tensor's NumPy dtype; arithmetic is done on float32 only.
        padding, pad_value: positions that the next convolution has to add (from a Pad node).
        patches: kernel, stride and dilation of an Im2Col, which the next product makes a
            convolution.
        flat: name for the layer Flatten of a flattening that is still to be done, when the values
            of the map are quantized; "" if there is none.
        ending: ``scores`` after a softmax, which keeps the order of the values; ``squashed`` after
            a sigmoid, which makes large values equal in float32; ``class`` if the tensor is the
            number of a class; else "".
    """

    layer: str
    shape: tuple[int, ...]
    axes: Axes
    low: float
    high: float
    order: NDArray[np.int64] | None = None
    quantized: bool = False
    steps: tuple[Step, ...] = ()
    kind: str = "float32"
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    pad_value: float = 0.0
    patches: tuple[tuple[int, int], ...] = ()
    flat: str = ""
    ending: Literal["", "scores", "squashed", "class"] = ""

    def __post_init__(self) -> None:
        if not (self.low <= self.high and np.isfinite([self.low, self.high]).all()):
            raise ValueError(f"values from {self.low} to {self.high}")
        if self.steps and not 1e-30 < self.gain < 1e30:
            raise ValueError(f"a factor of {self.gain} cannot be moved to the next layer")

    @property
    def gain(self) -> float:
        """Factor of the pending operations: the tensor is ``gain * layer + shift``."""
        return _composed(self.steps)[0]

    @property
    def shift(self) -> float:
        """Offset of the pending operations; see :attr:`gain`."""
        return _composed(self.steps)[1]

    @property
    def channels(self) -> int:
        """Size of the channel axis."""
        return self.shape[self.axes.index("C")]

    @property
    def height_width(self) -> tuple[int, int]:
        """Size of the map; (1, 1) for a vector."""
        sizes = dict(zip(self.axes, self.shape, strict=True))
        return sizes.get("H", 1), sizes.get("W", 1)

    def slid(self, layer: str, height: int, width: int, channels: int, **change: Any) -> Tensor:
        """Return the map that ``layer`` makes of this map, with the given size."""
        sizes = {"N": self.shape[self.axes.index("N")], "H": height, "W": width, "C": channels}
        shape = tuple(sizes[axis] for axis in self.axes)
        return replace(self, layer=layer, shape=shape, **change)


@dataclass(frozen=True, eq=False)
class RawInput:
    """The graph's input before it is quantized: ``factor * input + offset``.

    Attributes:
        shape, axes, kind: as in :class:`Tensor`.
        factor, offset: float64, (1,) or (channels,).
        steps: the single operations that make ``factor`` and ``offset``, in the graph's order.
        map: for a flattened picture: the picture before it was flattened, because the user gives
            pictures; else None.
    """

    shape: tuple[int, ...]
    axes: Axes
    factor: NDArray[np.float64]
    offset: NDArray[np.float64]
    steps: tuple[Step, ...] = ()
    kind: str = "float32"
    map: RawInput | None = None
    order: NDArray[np.int64] | None = None

    @property
    def channels(self) -> int:
        """Size of the channel axis."""
        return self.shape[self.axes.index("C")]

    @property
    def given_shape(self) -> tuple[int, ...]:
        """Shape of one input as the user gives it: (features,) or (height, width, channels)."""
        given = self.map or self
        if len(given.axes) == 2:
            return (given.shape[1],)
        sizes = dict(zip(given.axes, given.shape, strict=True))
        return sizes.get("H", 1), sizes["W"], sizes["C"]

    def scaled(self, x: Array) -> Array:
        """Return inputs ``x``, float32 (..., channels), after the graph's scaling."""
        for step in self.steps:
            x = done(step, x)
        return x


@dataclass(frozen=True, eq=False)
class Curve:
    """A tensor that is a function of another one, value by value, and not a layer yet.

    Attributes:
        base: the other tensor, without pending steps.
        function: takes float32 (n, channels), and returns numbers of any type, of the same shape.
        made: the node that makes this tensor, for messages.
        points: functions that are 0 where ``function`` may change from rising to falling, or back.
    """

    base: Tensor | RawInput
    function: Function
    made: str = ""
    points: tuple[Function, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape in ONNX, with the batch."""
        return self.base.shape

    @property
    def axes(self) -> Axes:
        """Meaning of each axis."""
        return self.base.axes

    @property
    def channels(self) -> int:
        """Size of the channel axis."""
        return self.base.channels

    @property
    def order(self) -> NDArray[np.int64] | None:
        """Order of the elements of a flattened map, see :class:`Tensor`; else None."""
        return self.base.order


def done(step: Step, x: Array) -> Array:
    """Return ``x`` (..., channels) after one operation with a constant, in the dtype of ``x``."""
    kind, value, first = step
    value = value.astype(x.dtype)
    match kind:
        case "Add":
            return x + value
        case "Sub":
            return value - x if first else x - value
        case "Mul":
            return x * value
        case "Div" if not first:
            return x / value
    raise FormatError(f"{kind} of a constant by a tensor cannot be converted")


def _composed(steps: tuple[Step, ...]) -> tuple[float, float]:
    """Return the factor and the offset of all steps, done one after the other."""
    at_zero, at_one = np.zeros(1), np.ones(1)
    for step in steps:
        at_zero, at_one = done(step, at_zero), done(_without_offset(step), at_one)
    return float(at_one[0]), float(at_zero[0])


def _without_offset(step: Step) -> Step:
    kind, _, first = step
    return (kind, np.zeros(1), first) if kind in ("Add", "Sub") else step


def per_channel(node: Op, value: Array, tensor: Tensor | RawInput | Curve) -> Array:
    """Return the constant ``value``, which is combined with ``tensor``, as (1,) or (channels,).

    If ``tensor`` is a flattened map, the numbers are in the network's order (:func:`ordered`).

    Raises:
        FormatError: the constant differs by position, or would make the tensor larger.
    """
    try:
        full = np.broadcast_to(value, tensor.shape)
    except ValueError:
        raise FormatError(
            f"{node}: a constant of shape {value.shape} does not fit a tensor of {tensor.shape}"
        ) from None
    if value.size == 1:
        return np.asarray(value.reshape(1))
    rows = np.moveaxis(full, tensor.axes.index("C"), 0).reshape(tensor.channels, -1)
    if (rows != rows[:, :1]).any():
        raise FormatError(f"{node}: a constant differs from position to position of the map")
    return ordered(rows[:, 0], tensor)


def ordered(channels: Array, tensor: Tensor | RawInput | Curve) -> Array:
    """Return ``channels`` in the network's order of channels.

    ``channels`` is (channels, ...) in ONNX's order, or (1, ...), which stays as it is.
    """
    if tensor.order is None or len(channels) == 1:
        return channels
    mine = np.empty_like(channels)
    mine[tensor.order] = channels
    return mine


def transposed(node: Op, tensor: Any, perm: list[int] | None) -> Any:
    """Return the tensor with its axes in another order."""
    count = len(tensor.axes)
    order = list(reversed(range(count))) if perm is None else perm
    if sorted(order) != list(range(count)):
        raise FormatError(f"{node}: permutation {perm} does not fit {count} axes")
    axes = tuple(tensor.axes[i] for i in order)
    return replace(tensor, shape=tuple(tensor.shape[i] for i in order), axes=axes)


def flat_order(tensor: Tensor | RawInput) -> NDArray[np.int64] | None:
    """Return for each element of a flattened map its index in the map with the channels last.

    Return None if these are 0, 1, 2, ...: then both orders are the same.
    """
    if len(tensor.axes) == 2:
        return tensor.order
    if tensor.order is not None:
        return tensor.order  # a vector with axes of one position
    sizes = dict(zip(tensor.axes, tensor.shape, strict=True))
    mine = np.arange(sizes.get("H", 1) * sizes.get("W", 1) * sizes["C"])
    maps = mine.reshape(1, sizes.get("H", 1), sizes.get("W", 1), sizes["C"])
    known = [LAST.index(axis) for axis in tensor.axes]
    rest = [axis for axis in range(4) if axis not in known]  # of one position each
    order = maps.transpose([*known, *rest]).reshape(-1)
    return None if np.array_equal(order, mine) else order


def flattened(name: str, tensor: Tensor) -> Tensor:
    """Return the map ``tensor`` as vectors; ``name`` is for the Flatten layer, if one is needed."""
    batch = tensor.shape[tensor.axes.index("N")]
    count, order = int(np.prod(tensor.shape)) // batch, flat_order(tensor)
    flat = tensor.flat or ("" if tensor.height_width == (1, 1) else name)
    return replace(tensor, shape=(batch, count), axes=VECTOR, order=order, flat=flat)


def in_order(weights: Array, tensor: Tensor | RawInput) -> Array:
    """Return ``weights`` (units, inputs) with the columns in the network's order.

    ``tensor`` is the tensor that the weights multiply.
    """
    if tensor.order is None:
        return weights
    mine = np.empty_like(weights)
    mine[:, tensor.order] = weights
    return mine

# SPDX-License-Identifier: BSD-3-Clause
"""Tensors of an ONNX graph while it is walked: and the position of their elements in our layout.

ONNX tensors are mostly channels first; networks here are channels last. Nothing is ever
transposed: a tensor only remembers which of its axes is which, and a flattened map in
which order its elements were.
"""

from __future__ import annotations

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

FIRST: Axes = ("N", "C", "H", "W")
LAST: Axes = ("N", "H", "W", "C")
VECTOR: Axes = ("N", "C")
#: Signals of one dimension: maps of one row.
ROW_FIRST: Axes = ("N", "C", "W")
ROW_LAST: Axes = ("N", "W", "C")


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor that depends on the input.

    Attributes:
        layer: the network's layer that makes it.
        shape: in ONNX, the batch included.
        axes: meaning of each axis.
        low, high: bounds of its real values.
        order: of a flattened map: element i is element ``order[i]`` of ours; or None.
        quantized: whether the layer is quantized, so that ``steps`` may wait.
        steps: operations with one number that are still to be done to the layer's values,
            for the next layer to take in. Together they rise: a maximum, a threshold or a
            choice before them is the same as after them.
        kind: NumPy's name of its type; arithmetic is done on float32 only.
        padding, pad_value: positions that the next convolution has to add (a Pad node).
        patches: kernel, stride and dilation of an Im2Col, which the next product makes a
            convolution.
        flat: name for the flattening that waits until the values of a map are quantized,
            or "".
        ending: ``scores`` where only their order matters any more (after a softmax), also
            ``squashed`` (after a sigmoid, which makes large ones equal in float32), ``class``
            where it is the number of the class already; else "".
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
        """The tensor is ``gain * layer + shift``."""
        return _composed(self.steps)[0]

    @property
    def shift(self) -> float:
        """See :attr:`gain`."""
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
        """A map of another size made from this one by ``layer``."""
        sizes = {"N": self.shape[self.axes.index("N")], "H": height, "W": width, "C": channels}
        shape = tuple(sizes[axis] for axis in self.axes)
        return replace(self, layer=layer, shape=shape, **change)


@dataclass(frozen=True, eq=False)
class RawInput:
    """The graph's input before anything quantized it: ``factor * input + offset``.

    Attributes:
        shape, axes, kind: as in :class:`Tensor`.
        factor, offset: float64, (1,) or (channels,).
        steps: the same as the graph does it, in float32, one operation after the other.
        map: the picture that was flattened, if it was one; the user still gives pictures.
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
        """What the graph makes of the inputs ``x``, float32 (..., channels)."""
        for step in self.steps:
            x = done(step, x)
        return x


def done(step: Step, x: Array) -> Array:
    """The result of one operation with a constant, in the dtype of ``x`` (..., channels)."""
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
    """Factor and offset of all steps together."""
    at_zero, at_one = np.zeros(1), np.ones(1)
    for step in steps:
        at_zero, at_one = done(step, at_zero), done(_without_offset(step), at_one)
    return float(at_one[0]), float(at_zero[0])


def _without_offset(step: Step) -> Step:
    kind, _, first = step
    return (kind, np.zeros(1), first) if kind in ("Add", "Sub") else step


def per_channel(node: Op, value: Array, tensor: Tensor | RawInput) -> Array:
    """A constant that is combined with ``tensor``, as (1,) or (channels,) in our order.

    Raises:
        FormatError: it differs from position to position, or would make the tensor larger.
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


def ordered(channels: Array, tensor: Tensor | RawInput) -> Array:
    """Values by ONNX channel, (1, ...) or (channels, ...), brought into our order."""
    if tensor.order is None or len(channels) == 1:
        return channels
    mine = np.empty_like(channels)
    mine[tensor.order] = channels
    return mine


def transposed(node: Op, tensor: Any, perm: list[int] | None) -> Any:
    """The tensor with its axes in another order."""
    count = len(tensor.axes)
    order = list(reversed(range(count))) if perm is None else perm
    if sorted(order) != list(range(count)):
        raise FormatError(f"{node}: permutation {perm} does not fit {count} axes")
    axes = tuple(tensor.axes[i] for i in order)
    return replace(tensor, shape=tuple(tensor.shape[i] for i in order), axes=axes)


def flat_order(tensor: Tensor | RawInput) -> NDArray[np.int64] | None:
    """Our index of each element of a flattened map; None if the orders are the same."""
    if len(tensor.axes) == 2:
        return tensor.order
    sizes = dict(zip(tensor.axes, tensor.shape, strict=True))
    last = LAST if "H" in sizes else ROW_LAST
    mine = np.arange(np.prod([sizes[axis] for axis in last[1:]]))
    maps = mine.reshape(1, *(sizes[axis] for axis in last[1:]))
    order = maps.transpose([last.index(axis) for axis in tensor.axes]).reshape(-1)
    return None if np.array_equal(order, mine) else order


def flattened(name: str, tensor: Tensor) -> Tensor:
    """The map ``tensor`` as vectors; ``name`` is for the flattening, if one is needed."""
    batch = tensor.shape[tensor.axes.index("N")]
    count, order = int(np.prod(tensor.shape)) // batch, flat_order(tensor)
    flat = tensor.flat or ("" if tensor.height_width == (1, 1) else name)
    return replace(tensor, shape=(batch, count), axes=VECTOR, order=order, flat=flat)


def in_order(weights: Array, tensor: Tensor | RawInput) -> Array:
    """Weights (units, inputs) with their columns brought into our order."""
    if tensor.order is None:
        return weights
    mine = np.empty_like(weights)
    mine[:, tensor.order] = weights
    return mine

# SPDX-License-Identifier: BSD-3-Clause
"""Tensors of an ONNX graph while it is walked: where their numbers lie in our layout.

ONNX tensors are mostly channels first; networks here are channels last. Nothing is ever
transposed: a tensor only remembers which of its axes is which, and a flattened map in
which order its elements were.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.errors import FormatError
from bnn.formats.onnx_file import Node

Array = NDArray[Any]
Axes = tuple[str, ...]

FIRST: Axes = ("N", "C", "H", "W")
LAST: Axes = ("N", "H", "W", "C")
VECTOR: Axes = ("N", "C")


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor that depends on the input.

    Attributes:
        layer: the network's layer that makes it.
        shape: in ONNX, the batch (1) included.
        axes: meaning of each axis.
        order: of a flattened map: element i is element ``order[i]`` of ours; or None.
        quantized: whether the layer is quantized, so that ``gain`` and ``shift`` may wait.
        gain, shift: the tensor is ``gain * layer + shift``, for the next layer to take in.
        nonnegative: whether it is known to have no negative values.
        padding, pad_value: positions that the next convolution has to add (a Pad node).
        patches: kernel, stride and dilation of an Im2Col, which the next product makes a
            convolution.
        flat: name for the flattening that waits until the values of a map are quantized,
            or "".
        is_final: whether only the class matters any more (after a softmax).
    """

    layer: str
    shape: tuple[int, ...]
    axes: Axes
    order: NDArray[np.int64] | None = None
    quantized: bool = False
    gain: float = 1.0
    shift: float = 0.0
    nonnegative: bool = False
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    pad_value: float = 0.0
    patches: tuple[tuple[int, int], ...] = ()
    flat: str = ""
    is_final: bool = False

    @property
    def channels(self) -> int:
        """Size of the channel axis."""
        return self.shape[self.axes.index("C")]

    @property
    def height_width(self) -> tuple[int, int]:
        """Size of the map; (1, 1) for a vector."""
        if len(self.axes) == 2:
            return 1, 1
        return self.shape[self.axes.index("H")], self.shape[self.axes.index("W")]

    def slid(self, layer: str, height: int, width: int, channels: int, **change: Any) -> Tensor:
        """A map of another size made from this one by ``layer``."""
        sizes = {"N": 1, "H": height, "W": width, "C": channels}
        return replace(self, layer=layer, shape=tuple(sizes[axis] for axis in self.axes), **change)


@dataclass(frozen=True, eq=False)
class RawInput:
    """The graph's input before anything quantized it: ``factor * input + offset``.

    Attributes:
        shape, axes: as in :class:`Tensor`.
        factor, offset: float64, (1,) or (channels,).
        map: the picture that was flattened, if it was one; the user still gives pictures.
    """

    shape: tuple[int, ...]
    axes: Axes
    factor: NDArray[np.float64]
    offset: NDArray[np.float64]
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
        return tuple(given.shape[given.axes.index(axis)] for axis in "HWC")


def per_channel(node: Node, value: Array, tensor: Tensor | RawInput) -> Array:
    """A constant that is combined with ``tensor``, as (1,) or (channels,) in our order.

    Raises:
        FormatError: it differs from position to position.
    """
    if value.size == 1:
        return np.asarray(value.reshape(1))
    try:
        full = np.broadcast_to(value, tensor.shape)
    except ValueError:
        raise FormatError(
            f"{node}: a constant of shape {value.shape} does not fit a tensor of {tensor.shape}"
        ) from None
    rows = np.moveaxis(full, tensor.axes.index("C"), 0).reshape(tensor.channels, -1)
    if (rows != rows[:, :1]).any():
        raise FormatError(f"{node}: a constant differs from position to position of the map")
    return ordered(rows[:, 0], tensor)


def ordered(channels: Array, tensor: Tensor | RawInput) -> Array:
    """Values by ONNX channel brought into our order."""
    if tensor.order is None or channels.size == 1:
        return channels
    mine = np.empty_like(channels)
    mine[tensor.order] = channels
    return mine


def transposed(node: Node, tensor: Any, perm: list[int] | None) -> Any:
    """The tensor with its axes in another order."""
    count = len(tensor.axes)
    order = list(reversed(range(count))) if perm is None else [int(i) for i in perm]
    if sorted(order) != list(range(count)):
        raise FormatError(f"{node}: permutation {perm} does not fit {count} axes")
    axes = tuple(tensor.axes[i] for i in order)
    return replace(tensor, shape=tuple(tensor.shape[i] for i in order), axes=axes)


def flat_order(tensor: Tensor | RawInput) -> NDArray[np.int64] | None:
    """Our index of each element of a flattened map; None if the orders are the same."""
    if len(tensor.axes) == 2:
        return tensor.order
    sizes = dict(zip(tensor.axes, tensor.shape, strict=True))
    mine = np.arange(sizes["H"] * sizes["W"] * sizes["C"])
    maps = mine.reshape(1, sizes["H"], sizes["W"], sizes["C"])
    order = maps.transpose([LAST.index(axis) for axis in tensor.axes]).reshape(-1)
    return None if np.array_equal(order, mine) else order


def flattened(name: str, tensor: Tensor) -> Tensor:
    """The map ``tensor`` as a vector; ``name`` is for the flattening, if one is needed."""
    count, order = int(np.prod(tensor.shape)), flat_order(tensor)
    flat = tensor.flat or ("" if tensor.height_width == (1, 1) else name)
    return replace(tensor, shape=(1, count), axes=VECTOR, order=order, flat=flat)


def in_order(weights: Array, tensor: Tensor | RawInput) -> Array:
    """Weights (units, inputs) with their columns brought into our order."""
    if tensor.order is None:
        return weights
    mine = np.empty_like(weights)
    mine[:, tensor.order] = weights
    return mine

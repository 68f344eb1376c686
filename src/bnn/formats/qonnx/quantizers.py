# SPDX-License-Identifier: BSD-3-Clause
"""QONNX's quantizers: what they compute, and activation layers that equal them.

They are defined by the operator documents of the QONNX specification. The arithmetic (float32)
and the order of the operations are those of QONNX's executor in NumPy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.errors import FormatError
from bnn.formats.qonnx.constants import Constant
from bnn.formats.qonnx.operators import Op
from bnn.network.network import Activation, Lattice, MultiThreshold, Quantize, Rounding, Sign
from bnn.program.operations import MAX_VALUE_BITS
from bnn.program.precision import INT, UINT

Array = NDArray[Any]

MAX_BITS = MAX_VALUE_BITS
MAX_LEVELS = (1 << MAX_BITS) - 1

#: Operator types of quantizers.
QUANTS = {"BipolarQuant", "Quant", "IntQuant"}
#: QONNX's name of a rounding mode -> NumPy function.
ROUND: dict[str, Callable[[Array], Array]] = {
    "ROUND": np.rint,
    "HALF_EVEN": np.rint,
    "CEIL": np.ceil,
    "FLOOR": np.floor,
    "UP": lambda x: np.sign(x) * np.ceil(np.abs(x)),
    "DOWN": np.trunc,
    "HALF_UP": lambda x: np.sign(x) * np.floor(np.abs(x) + x.dtype.type(0.5)),
    "HALF_DOWN": lambda x: np.sign(x) * np.ceil(np.abs(x) - x.dtype.type(0.5)),
}
_PLAIN: dict[str, Rounding] = {
    "ROUND": "even",
    "HALF_EVEN": "even",
    "CEIL": "ceil",
    "FLOOR": "floor",
    "DOWN": "zero",
}


@dataclass(frozen=True, eq=False)
class Quant:
    """A Quant, IntQuant or BipolarQuant node.

    Attributes:
        node: the node, for messages.
        scale, zero_point: float32 arrays that broadcast to the tensor.
        low, high: bounds of the integers, with the zero point added.
        bipolar: whether the node takes the sign (-1, +1) instead of rounding.
        rounding: a key of :data:`ROUND`.
    """

    node: Op
    scale: Array
    zero_point: Array
    low: int
    high: int
    bipolar: bool = False
    rounding: str = "ROUND"

    def integers(self, x: Array) -> Array:
        """Return the integers of real values ``x`` (float32), as float32."""
        if self.bipolar:
            return np.where(self._scaled(x) >= 0, np.float32(1), np.float32(-1))
        clipped = np.clip(self._scaled(x), np.float32(self.low), np.float32(self.high))
        return ROUND[self.rounding](clipped)

    def _scaled(self, x: Array) -> Array:
        return x if self.node.kind == "BipolarQuant" else x / self.scale + self.zero_point

    @property
    def is_plain(self) -> bool:
        """Whether the node has one scale, and one whole zero point, for all channels."""
        return self.scale.size == 1 and self.zero_point.size == 1 and self.whole_zero_point

    @property
    def whole_zero_point(self) -> bool:
        """Whether the zero point is whole."""
        return bool((self.zero_point == np.rint(self.zero_point)).all())


def quant(node: Op, scale: Array, zero_point: Array, bits: Array | None) -> Quant:
    """Return the quantizer of ``node`` with constant parameters.

    Raises:
        FormatError: the parameters are not valid, or the quantizer has more than 16 bits.
    """
    _check_types(node, np.asarray(scale), np.asarray(zero_point))
    scale = np.asarray(scale, np.float32)
    if not (np.isfinite(scale).all() and (scale > 0).all()):
        raise FormatError(f"{node}: scale must be positive")
    if bits is None:
        return Quant(node, scale, np.zeros((), np.float32), -1, 1, bipolar=True)
    width = float(np.asarray(bits).reshape(-1)[0])
    if np.size(bits) != 1 or not 1 <= width <= 32:
        raise FormatError(f"{node}: bit width must be one number from 1 to 32, not {bits}")
    signed, narrow = flag(node, "signed"), flag(node, "narrow")
    zero_point = np.asarray(zero_point, np.float32)
    if not np.isfinite(zero_point).all():
        raise FormatError(f"{node}: zero point must be finite")
    if signed and width == 1:
        return Quant(node, scale, zero_point, -1, 1, bipolar=True)
    rounding = _rounding(node)
    low, high = _bounds(width, signed, narrow)
    if width != round(width):  # learned bit widths: the bounds are rounded as all values are
        low, high = (int(ROUND[rounding](np.full((), end, np.float32))) for end in (low, high))
    return Quant(node, scale, zero_point, int(low), int(high), False, rounding)


def _check_types(node: Op, scale: Array, zero_point: Array) -> None:
    """Refuse a scale or a zero point that is not float32.

    Two cases are allowed, because the dtype makes no difference there: a scale that is a power of
    two, and a zero point of 0.
    """
    exact = scale.dtype.kind == "f" and bool((np.frexp(scale)[0] == 0.5).all())
    if scale.dtype != np.float32 and not exact:
        raise FormatError(f"{node}: its scale is {scale.dtype}; only float32 can be converted")
    if zero_point.dtype != np.float32 and zero_point.any():
        raise FormatError(
            f"{node}: its zero point is {zero_point.dtype}; only float32 can be converted"
        )


def flag(node: Op, name: str) -> bool:
    """Return the attribute ``name`` as a bool; refuse values other than 0 and 1."""
    value = node.attribute(name)
    if value not in (0, 1):
        raise FormatError(f"{node}: {name}={value} must be 0 or 1")
    return bool(value)


def _rounding(node: Op) -> str:
    rounding = str(node.attribute("rounding_mode")).upper()
    if rounding not in ROUND:
        raise FormatError(
            f"{node}: no such rounding mode: {rounding!r}; there are {', '.join(ROUND)}"
        )
    return rounding


def _bounds(bits: float, signed: bool, narrow: bool) -> tuple[float, float]:
    """Return the least and the largest value of ``bits`` bits.

    They are whole numbers only if ``bits`` is a whole number.
    """
    levels = 2.0**bits
    low = -levels / 2 + narrow if signed else 0.0
    return low, levels / 2 - 1 if signed else levels - 1 - narrow


def quantizer(node: Op, inputs: list[Constant]) -> Quant:
    """Return the quantizer of a node ``BipolarQuant`` or ``Quant``.

    Args:
        node: the node.
        inputs: the node's inputs: the tensor, and then the constants scale, zero point and bit
            width (``BipolarQuant`` has only the scale).
    """
    if node.kind == "BipolarQuant":
        if len(inputs) != 2:
            raise FormatError(f"{node}: needs a tensor and a scale")
        return quant(node, inputs[1].value, np.zeros((), np.float32), None)
    if len(inputs) != 4:
        raise FormatError(f"{node}: needs a tensor, scale, zero point and bit width")
    return quant(node, inputs[1].value, inputs[2].value, inputs[3].value)


@dataclass(frozen=True, eq=False)
class Trunc:
    """A Trunc node: its results are ``scale * level + offset``.

    A level is a whole number from ``low`` to ``high``; ``integers`` computes the levels.
    """

    integers: Callable[[Array], Array]
    low: int
    high: int
    scale: float
    offset: float


def trunc(node: Op, values: list[Array], least: float, most: float) -> Trunc:
    """Return the Trunc node with parameters ``values``, for inputs from ``least`` to ``most``.

    Version 1 of Trunc does not clip, so its lowest and highest level follow from these bounds.
    """
    if any(value.size != 1 or not np.isfinite(value).all() for value in values):
        raise FormatError(f"{node}: its parameters must be single finite numbers")
    scale, zero, width, *more = (np.float32(value.reshape(-1)[0]) for value in values)
    if not (scale > 0 and more[0] > 0):
        raise FormatError(f"{node}: its scales and bit widths must be positive")
    rounding = ROUND[_rounding(node)]
    if node.version == 1:
        shift, out_scale = np.float32(2.0 ** float(width - more[0])), scale
        offset = -float(zero) * float(out_scale)
        if width != np.rint(width) or more[0] != np.rint(more[0]):
            raise FormatError(f"{node}: its bit widths must be whole numbers")
        # A little wider, for rounding in float32; the results are rounded to integers anyway.
        ends = (least - 1e-6 * abs(least), most + 1e-6 * abs(most))
        low, high = (int(rounding(np.rint(np.float32(e) / scale + zero) / shift)) for e in ends)
    else:
        out_scale, bits = more
        shift = np.float32(2 ** np.round(np.log2(out_scale / scale)))
        if bits != round(float(bits)) or not 1 <= bits <= MAX_BITS:
            raise FormatError(f"{node}: only 1 to {MAX_BITS} output bits can be converted")
        ends = _bounds(int(bits), flag(node, "signed"), flag(node, "narrow"))
        low, high = map(int, ends)
        offset = -float(zero / shift) * float(out_scale)
    if not -(2**20) < low <= high < 2**20 or high - low > MAX_LEVELS:
        raise FormatError(
            f"{node}: has {high - low + 1} values; at most {MAX_LEVELS + 1} can be represented"
        )

    def integers(x: Array) -> Array:
        y = np.rint(x / scale + zero) / shift
        return rounding(np.clip(y, np.float32(low), np.float32(high)))

    return Trunc(integers, low, high, float(out_scale), offset)


def activation(name: str, given: Quant, source: str) -> Activation:
    """Return the activation layer that equals the quantizer ``given``."""
    scale = _one_scale(given)
    if given.bipolar and given.whole_zero_point and not given.zero_point.any():
        return Sign(name, scale, source=source)
    plain = _PLAIN.get(given.rounding)
    if given.rounding == "HALF_UP" and given.low >= 0:
        plain = "half-up"
    widths = range(2, MAX_BITS + 1)
    kinds = [UINT(1), *(UINT(n) for n in widths), *(INT(n) for n in widths)]
    kinds += [INT(n, narrow=True) for n in widths]
    precision = next((p for p in kinds if (p.low, p.high) == (given.low, given.high)), None)
    if not given.bipolar and given.is_plain and plain and precision is not None:
        zero = int(given.zero_point.reshape(-1)[0])
        return Quantize(name, precision, scale, zero, plain, source)
    if given.high - given.low > MAX_LEVELS:
        raise FormatError(f"{given.node}: activations have at most {MAX_BITS} bits")
    zero_point = np.unique(given.zero_point)
    if zero_point.size != 1:
        raise FormatError(f"{given.node}: a zero point per channel cannot be represented")
    step = 2 if given.bipolar else 1
    levels = (given.high - given.low) // step
    lattice = Lattice.of(scale * step, scale * (given.low - float(zero_point[0])), name)

    def level(x: Array) -> Array:
        return (given.integers(x) - given.low) / step

    table = float_thresholds(level, levels)[None, :]
    return MultiThreshold(name, table, lattice.scale, lattice.step, lattice.base, source)


def _one_scale(given: Quant) -> float:
    scales = np.unique(given.scale)
    if scales.size != 1:
        raise FormatError(
            f"{given.node}: an activation with a scale per channel cannot be converted; "
            "the scales of the next layer's inputs would differ"
        )
    return float(scales[0])


def float_thresholds(level: Callable[[Array], Array], levels: int) -> NDArray[np.float32]:
    """Return the smallest float32 at which the rising ``level`` reaches 1, 2, ..., ``levels``.

    They are found by bisection over all float32, so every rounding of ``level`` has its effect.
    """
    row: NDArray[np.float32] = channel_thresholds(lambda x: level(x[:, 0])[:, None], levels, 1)[0]
    return row


def channel_thresholds(
    level: Callable[[Array], Array], levels: int, channels: int
) -> NDArray[np.float32]:
    """Return :func:`float_thresholds` per channel: float32 (channels, levels).

    ``level`` takes and returns arrays (levels, channels). The threshold of a level that it never
    reaches is infinite.
    """
    wanted = np.arange(1, levels + 1)[:, None]
    most = _ordinal(np.float32(np.inf))
    last = np.full((levels, channels), most, np.int64)
    first = -last
    while (first < last).any():
        middle = (first + last) // 2
        with np.errstate(all="ignore"):
            reached = level(_float(middle)) >= wanted
        last = np.where(reached, middle, last)
        # What is never reached stays at infinity, while others are still searched.
        first = np.minimum(np.where(reached, first, middle + 1), last)
    return _float(first).T


def _ordinal(x: Any) -> int:
    """Return the position of a non-negative float32 in the list of all float32 in order.

    0 has the position 0.
    """
    return int(np.asarray(x, np.float32).view(np.int32))


def _float(ordinals: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the float32 at the positions ``ordinals``; negative positions are negative numbers."""
    sizes = np.abs(ordinals).astype(np.int32).view(np.float32)
    return np.where(ordinals < 0, -sizes, sizes).astype(np.float32)

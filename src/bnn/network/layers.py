# SPDX-License-Identifier: BSD-3-Clause
"""The kinds of layers that a trained :class:`~bnn.network.network.Network` is made of.

Frozen dataclasses, checked when created. A layer's ``source`` is the name of the layer that it
reads, ``"input"``, or ``""`` for the layer before it. Maps are channels last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bnn._typing import assert_never
from bnn.errors import NetworkError
from bnn.program.operations import INPUT, MAX_COUNTED_LEVELS, MAX_VALUE_BITS, Borders, Pair
from bnn.program.precision import Precision

Shape = tuple[int, int, int]
Real = NDArray[np.floating[Any]]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]
Rounding = Literal["even", "half-up", "floor", "ceil", "zero"]

_ROUND: dict[Rounding, Callable[[Real], Real]] = {
    "even": np.rint,
    "half-up": lambda x: np.floor(x + x.dtype.type(0.5)),
    "floor": np.floor,
    "ceil": np.ceil,
    "zero": np.trunc,
}


@dataclass(frozen=True)
class Lattice:
    """The real values that small integers q stand for: ``scale * (step * q + base)``.

    Attributes:
        scale, step, base: see above. Sums of convolutions and dense layers use this formula.
        reals: the exact real values of an input's integers, from the lowest integer of its
            precision to the highest, as the framework receives them. Element-wise layers read
            these. Empty if the formula gives them. (Bytes / 255 need a table: the product with
            float32's 1/255 differs from the quotient for 126 of 256 bytes.)
    """

    scale: float = 1.0
    step: int = 1
    base: int = 0
    reals: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if any(not a <= b for a, b in pairwise(self.reals)) or not np.isfinite(self.reals).all():
            raise NetworkError("the real values of an input must be finite and rise")

    def real(self, q: Integers, lowest: int, dtype: Any) -> Real:
        """Return the real values of the integers ``q`` in ``dtype`` (float32 or float64).

        Args:
            q: integers, of any shape.
            lowest: lowest integer of the input's precision; :attr:`reals` begins there. Integers
                outside the precision (of padding) count as the nearest one in it.
            dtype: NumPy type.
        """
        if not self.reals:
            plain: Real = (self.step * q + self.base).astype(dtype) * dtype(self.scale)
            return plain
        table = np.asarray(self.reals, dtype)
        held: Real = table[np.clip(q - lowest, 0, len(table) - 1)]
        return held

    @classmethod
    def of(cls, scale: float, offset: float, name: str = "lattice") -> Lattice:
        """Return the lattice of ``scale * q + offset``.

        Raises:
            NetworkError: offset / scale is not a fraction with a denominator of at most 1024.
        """
        if not (np.isfinite(scale) and np.isfinite(offset) and scale > 0):
            raise NetworkError(
                f"{name}: scale {scale} and offset {offset} must be finite, the scale positive"
            )
        ratio = offset / scale
        fraction = Fraction(ratio).limit_denominator(1024)
        if abs(float(fraction) - ratio) > 1e-6 * max(1.0, abs(ratio)):
            raise NetworkError(f"{name}: offset {offset} is not a simple fraction of scale {scale}")
        step = fraction.denominator
        return cls(scale / step, step, fraction.numerator)


#: Integers that are the real values themselves.
UNIT = Lattice()

# --- layers with weights -------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Conv2d:
    """Correlation of a quantized map with integer kernels (the kernel is not flipped).

    Attributes:
        weights: int16 (out channels, kernel height, kernel width, in channels), each
            within ``precision``; the trained weight is ``scale * weights``. Of more than 16 bits
            (int32) where they are not quantized: see :mod:`bnn.lower.affine`.
        scale: real, (1,) or (out channels,).
        bias: real (out channels,), or None.
        stride: (vertical, horizontal).
        padding: (top, left, bottom, right) positions around the map.
        pad_value: the real value there, a multiple of the source's scale.
    """

    name: str
    weights: NDArray[np.int16]
    precision: Precision
    scale: ArrayLike = 1.0
    bias: ArrayLike | None = None
    stride: Pair = (1, 1)
    padding: Borders = (0, 0, 0, 0)
    pad_value: float = 0.0
    source: str = ""

    def __post_init__(self) -> None:
        _weights(self, 4)


@dataclass(frozen=True, eq=False)
class Linear:
    """Dense layer on a quantized vector.

    Attributes:
        weights: int16 (units, inputs), each within ``precision``. After a
            :class:`Flatten` the inputs are ordered row, column, channel (fastest).
        scale, bias: as in :class:`Conv2d`.
    """

    name: str
    weights: NDArray[np.int16]
    precision: Precision
    scale: ArrayLike = 1.0
    bias: ArrayLike | None = None
    source: str = ""

    def __post_init__(self) -> None:
        _weights(self, 2)


# --- real-valued layers, channel by channel ------------------------------------------


@dataclass(frozen=True, eq=False)
class BatchNorm:
    """Batch normalization with frozen statistics.

    Attributes:
        gamma, beta, mean, inv_std: real, (1,) or (channels,); inv_std is
            ``1 / sqrt(variance + epsilon)``.
        order: order of the operations.

            - ``centered``: ``((x - mean) * inv_std) * gamma + beta`` (Chainer)
            - ``scaled``: ``(x - mean) * (gamma * inv_std) + beta`` (Lasagne)
            - ``folded``: ``x * a + (beta - mean * a)``, ``a = gamma * inv_std``
              (Keras, ONNX Runtime, PyTorch on a CPU)
    """

    name: str
    gamma: ArrayLike
    beta: ArrayLike
    mean: ArrayLike
    inv_std: ArrayLike
    order: Literal["centered", "scaled", "folded"] = "scaled"
    source: str = ""

    def __post_init__(self) -> None:
        for what in ("gamma", "beta", "mean", "inv_std"):
            _freeze(self, what)
        if self.order not in ("centered", "scaled", "folded"):
            raise NetworkError(
                f"{self.name}: order must be centered, scaled or folded, not {self.order!r}"
            )

    @classmethod
    def from_variance(
        cls,
        name: str,
        gamma: ArrayLike,
        beta: ArrayLike,
        mean: ArrayLike,
        variance: ArrayLike,
        epsilon: float,
        order: Literal["centered", "scaled", "folded"] = "folded",
        source: str = "",
    ) -> BatchNorm:
        """Return the layer with ``inv_std`` computed from a variance, in the variance's own dtype.

        Raises:
            NetworkError: variance + epsilon is below the smallest normal float32; another
                parameter is below it and can change the result; or one is not finite.
        """
        given = np.asarray(variance)
        dtype: Any = given.dtype.type if given.dtype.kind == "f" else np.float64
        with np.errstate(all="ignore"):
            total = given.astype(dtype) + dtype(epsilon)
            inv_std = dtype(1) / np.sqrt(total)
        check_deviation(name, total)
        made = cls(name, gamma, beta, mean, inv_std, order, source)
        _check_flushed(made)
        return made


@dataclass(frozen=True, eq=False)
class Scale:
    """``x * factor / divisor + offset``, each (1,) or (channels,); 1, 1 and 0 change nothing.

    There are both factor and divisor, because a quotient is rounded differently from a product
    with the rounded reciprocal.
    """

    name: str
    factor: ArrayLike = 1.0
    offset: ArrayLike = 0.0
    source: str = ""
    divisor: ArrayLike = 1.0

    def __post_init__(self) -> None:
        for what in ("factor", "offset", "divisor"):
            _freeze(self, what)
        if not np.asarray(self.divisor).all():
            raise NetworkError(f"{self.name}: divisor must not be 0")


@dataclass(frozen=True, eq=False)
class Clip:
    """``min(max(x, low), high)``: ReLU as it is, hard tanh with -1 and 1."""

    name: str
    low: float = 0.0
    high: float = np.inf
    source: str = ""

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise NetworkError(
                f"{self.name}: cannot clip to {self.low} .. {self.high}; low must be at most high"
            )


@dataclass(frozen=True, eq=False)
class Leaky:
    """``slope * x`` below zero, else x: leaky ReLU, and PReLU with a slope per channel.

    Attributes:
        slope: real, (1,) or (channels,), none negative (the result would fall, then rise).
    """

    name: str
    slope: ArrayLike
    source: str = ""

    def __post_init__(self) -> None:
        _freeze(self, "slope")
        if (np.asarray(self.slope) < 0).any():
            raise NetworkError(
                f"{self.name}: a negative slope is not possible, results would fall, then rise"
            )


# --- activations: real values to quantized ones --------------------------------------


@dataclass(frozen=True, eq=False)
class Sign:
    """-1 below zero, +1 above; at zero ``at_zero``: +1 (as in BNN-PYNQ), 0 or -1.

    Attributes:
        scale: the real value of +1, positive.
    """

    name: str
    scale: float = 1.0
    at_zero: Literal[1, 0, -1] = 1
    source: str = ""

    def __post_init__(self) -> None:
        _positive(self.name, self.scale)
        if self.at_zero not in (1, 0, -1):
            raise NetworkError(f"{self.name}: the sign of zero cannot be {self.at_zero!r}")

    @property
    def levels(self) -> int:
        """Number of steps from the lowest value to the highest."""
        return 2 if self.at_zero == 0 else 1

    @property
    def base(self) -> int:
        """Lowest whole number of the result."""
        return -1

    @property
    def step(self) -> int:
        """Difference of neighbouring whole numbers: 2 for -1 and +1, 1 for -1, 0 and +1."""
        return 2 // self.levels

    def level(self, x: Real) -> Integers:
        """Return the number of steps above the lowest value, int64 of the shape of ``x``."""
        reached = (x >= 0) if self.at_zero == 1 else (x > 0)
        count: Integers = reached.astype(np.int64)
        return count + (x >= 0) if self.at_zero == 0 else count


@dataclass(frozen=True, eq=False)
class Quantize:
    """Uniform quantizer: ``q = round(clip(x / scale + zero_point))``.

    The result is the whole number ``q - zero_point``; its real value is ``scale`` times that.

    Attributes:
        precision: precision of q, 1 to 16 bits, not bipolar; clipping is to its bounds.
        scale: positive real number.
        zero_point: whole number.
        rounding: ``even`` (halves to even), ``half-up`` (floor of x + 0.5), ``floor``,
            ``ceil`` or ``zero`` (truncation).
    """

    name: str
    precision: Precision
    scale: float = 1.0
    zero_point: int = 0
    rounding: Rounding = "even"
    source: str = ""

    def __post_init__(self) -> None:
        _positive(self.name, self.scale)
        if self.rounding not in _ROUND:
            raise NetworkError(
                f"{self.name}: rounding must be one of {', '.join(_ROUND)}, not {self.rounding!r}"
            )
        if self.precision.kind == "bipolar" or self.precision.bits > MAX_VALUE_BITS:
            raise NetworkError(
                f"{self.name}: a quantizer takes 1 to {MAX_VALUE_BITS} bits, not bipolar, but it "
                f"has {self.precision}"
            )
        if type(self.zero_point) is not int:
            raise NetworkError(f"{self.name}: zero point must be whole: {self.zero_point!r}")

    @property
    def levels(self) -> int:
        """Number of steps from the lowest value to the highest."""
        return self.precision.high - self.precision.low

    @property
    def base(self) -> int:
        """Lowest whole number of the result."""
        return self.precision.low - self.zero_point

    @property
    def step(self) -> int:
        """Difference of neighbouring whole numbers: 1."""
        return 1

    def level(self, x: Real) -> Integers:
        """Return the number of steps above the lowest value, int64 of the shape of ``x``."""
        dtype = x.dtype.type
        q = x / dtype(self.scale) + dtype(self.zero_point)
        q = np.clip(q, dtype(self.precision.low), dtype(self.precision.high))
        q = np.minimum(_ROUND[self.rounding](q), dtype(self.precision.high))
        count: Integers = q.astype(np.int64) - self.precision.low
        return count


@dataclass(frozen=True, eq=False)
class MultiThreshold:
    """Count the thresholds of a channel that x reaches: the result is ``base + step * count``.

    Its real value is ``scale * (base + step * count)``. For QONNX's ``out_scale * count +
    out_bias`` these three are those of ``Lattice.of(out_scale, out_bias)``.

    Attributes:
        thresholds: real (1, levels) or (channels, levels), reached if they are at most x;
            infinities are legal.
        scale: positive real number.
        step, base: whole numbers, step positive.
    """

    name: str
    thresholds: ArrayLike
    scale: float = 1.0
    step: int = 1
    base: int = 0
    source: str = ""

    def __post_init__(self) -> None:
        _positive(self.name, self.scale)
        table = _real(self.name, "thresholds", self.thresholds)
        most = (1 << MAX_VALUE_BITS) - 1
        if table.ndim != 2 or not 1 <= table.shape[1] <= most or np.isnan(table).any():
            raise NetworkError(f"{self.name}: thresholds must be (channels, 1 to {most} levels)")
        object.__setattr__(self, "thresholds", table)
        if type(self.step) is not int or self.step < 1 or type(self.base) is not int:
            raise NetworkError(f"{self.name}: base and step must be whole, step positive")

    @property
    def levels(self) -> int:
        """Thresholds per channel."""
        return int(np.asarray(self.thresholds).shape[1])

    def level(self, x: Real) -> Integers:
        """Return the number of thresholds reached, int64 of the shape of ``x`` (..., channels)."""
        count = np.zeros(x.shape, np.int64)
        table = np.asarray(self.thresholds).astype(x.dtype)
        if self.levels <= MAX_COUNTED_LEVELS:
            for level in table.T:
                count += level <= x
            return count
        for channel in range(x.shape[-1]):  # many thresholds: search the position
            row = np.sort(table[channel % len(table)])
            count[..., channel] = np.searchsorted(row, x[..., channel], side="right")
        return count


# --- layers that only move or add values ---------------------------------------------


@dataclass(frozen=True, eq=False)
class MaxPool:
    """Maximum over windows, channel by channel, of real or quantized maps.

    Attributes:
        kernel, stride: (vertical, horizontal).
        padding: (top, left, bottom, right); never the maximum.
    """

    name: str
    kernel: Pair
    stride: Pair
    padding: Borders = (0, 0, 0, 0)
    source: str = ""


@dataclass(frozen=True, eq=False)
class Add:
    """Sum of two quantized maps of one shape (a residual connection), each times a factor.

    The real value of 1 in each map is ``factor * scale``. The quotient of the two must be a
    fraction of small whole numbers: then the sum is a multiple of one common unit, exactly.

    Attributes:
        factors: factor of ``source`` and factor of ``other``, not zero.
    """

    name: str
    other: str
    source: str = ""
    factors: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        if not (np.isfinite(self.factors).all() and all(self.factors)):
            raise NetworkError(f"{self.name}: factors must be finite and not zero: {self.factors}")


@dataclass(frozen=True, eq=False)
class FixedPoint:
    """A quantized map in fixed point: the integers of :class:`bnn.program.operations.Rescale`.

    ``q = min(max(round((multipliers[c] * v + offsets[c]) / 2**shift), low), high)``, where v is
    the source's whole number in channel c, and halves are rounded to even. The real value is
    ``scale * q``, an approximation of real values that are not multiples of one unit. The code
    that adds this layer reports how exact it is.

    Attributes:
        multipliers, offsets: whole numbers, (channels,).
        shift: 0 to 62.
        low, high: lowest and highest q, at most 32 bits with a sign.
        scale: positive real number.
    """

    name: str
    multipliers: NDArray[np.int64]
    offsets: NDArray[np.int64]
    shift: int
    low: int
    high: int
    scale: float
    source: str = ""

    def __post_init__(self) -> None:
        _positive(self.name, self.scale)
        for what in ("multipliers", "offsets"):
            value = np.array(getattr(self, what), np.int64).reshape(-1)
            value.setflags(write=False)
            object.__setattr__(self, what, value)
        if not -(1 << 31) <= self.low <= self.high < 1 << 31 or not 0 <= self.shift <= 62:
            raise NetworkError(
                f"{self.name}: needs low <= high in 32 bits with a sign, and a shift from 0 to 62"
            )


@dataclass(frozen=True, eq=False)
class Concat:
    """Channels of two quantized maps of one scale side by side, those of ``source`` first."""

    name: str
    other: str
    source: str = ""


@dataclass(frozen=True, eq=False)
class Flatten:
    """(height, width, channels) to (1, 1, height * width * channels), channels fastest."""

    name: str
    source: str = ""


@dataclass(frozen=True, eq=False)
class RealDense:
    """Dense layer with real weights, which the host computes in float64: the end of a network.

    Attributes:
        weights: real (units, inputs).
        bias: real (units,), or None.
    """

    name: str
    weights: ArrayLike
    bias: ArrayLike | None = None
    source: str = ""

    def __post_init__(self) -> None:
        table = _real(self.name, "weights", self.weights)
        if table.ndim != 2 or not table.size or not np.isfinite(table).all():
            raise NetworkError(f"{self.name}: weights must be (units, inputs) of finite numbers")
        object.__setattr__(self, "weights", table)
        if self.bias is not None:
            _freeze(self, "bias")
            if np.size(self.bias) != len(table):
                raise NetworkError(f"{self.name}: bias is for {np.size(self.bias)} units")


Weighted = Conv2d | Linear
RealLayer = BatchNorm | Scale | Clip | Leaky
Activation = Sign | Quantize | MultiThreshold
Layer = (
    Weighted | RealLayer | Activation | MaxPool | Add | Concat | Flatten | RealDense | FixedPoint
)


def sources(layer: Layer) -> tuple[str, ...]:
    """Return the names of the layers that ``layer`` reads, in order."""
    match layer:
        case Add() | Concat():
            return (layer.source, layer.other)
        case Conv2d() | Linear() | RealDense() | BatchNorm() | Scale() | Clip() | Leaky():
            return (layer.source,)
        case Sign() | Quantize() | MultiThreshold() | FixedPoint() | MaxPool() | Flatten():
            return (layer.source,)
    assert_never(layer)


def with_sources(layers: Iterable[Layer]) -> tuple[Layer, ...]:
    """Return ``layers`` with their sources: "" stands for the layer before, or the input."""
    before, named = INPUT, []
    for layer in layers:
        named.append(layer if layer.source else replace(layer, source=before))
        before = layer.name
    return tuple(named)


def used_layers(layers: Iterable[Layer], last: str = "") -> tuple[Layer, ...]:
    """Return the layers that the layer ``last`` depends on, itself included, in their order.

    Args:
        layers: in order, with their sources (:func:`with_sources`).
        last: name of one of them; by default the last one.
    """
    named = tuple(layers)
    wanted = {last or (named[-1].name if named else "")}
    for layer in reversed(named):
        if layer.name in wanted:
            wanted.update(sources(layer))
    return tuple(layer for layer in named if layer.name in wanted)


# --- checks --------------------------------------------------------------------------

#: The smallest normal float32. TensorFlow, and others if set so, compute with 0 in place of
#: smaller numbers, NumPy does not.
_SMALLEST = float(np.finfo(np.float32).tiny)
#: Offsets above this absorb any sum (below 2^24) times a smaller factor than `_SMALLEST`.
_ABSORBING = 2.0**-70


def check_deviation(name: str, total: ArrayLike) -> None:
    """Raise :class:`NetworkError` if a value of ``total``, variance + epsilon, is too small.

    Frameworks compute different roots of such values. ``name``: the layer, for the message.
    """
    values = np.asarray(total).reshape(-1)
    wrong = np.flatnonzero(~(values >= _SMALLEST))
    if len(wrong):
        raise NetworkError(
            f"{name}: variance + epsilon is {values[wrong[0]]:g} in channel {wrong[0]}; below "
            f"{_SMALLEST:.3g} frameworks disagree (some take it as 0 and answer NaN): use a larger "
            "epsilon"
        )


def _check_flushed(norm: BatchNorm) -> None:
    """Refuse a slope that some frameworks take as 0, where that can change an answer."""
    gamma, beta, mean, inv_std = (
        np.asarray(v) for v in (norm.gamma, norm.beta, norm.mean, norm.inv_std)
    )
    with np.errstate(all="ignore"):
        slope = gamma * inv_std
        offset = beta - mean * slope
    tiny = (slope != 0) & (np.abs(slope) < _SMALLEST) | (gamma != 0) & (np.abs(gamma) < _SMALLEST)
    wrong = np.flatnonzero(tiny & (np.abs(offset) < _ABSORBING))
    if len(wrong):
        raise NetworkError(
            f"{norm.name}: its factor in channel {wrong[0]} is below {_SMALLEST:.3g}, which some "
            "frameworks take as 0, and its offset is not larger; set gamma to 0 or to a larger one"
        )


def _positive(name: str, scale: float) -> None:
    if not (np.isfinite(scale) and scale > 0):
        raise NetworkError(f"{name}: scale must be positive: {scale!r}")


def is_real(layer: Weighted) -> bool:
    """Whether the weights are real: their precision has more bits than any operation takes."""
    return layer.precision.bits > MAX_VALUE_BITS


def _weights(layer: Weighted, ndim: int) -> None:
    given = np.asarray(layer.weights)
    kept = given.astype(np.int32 if is_real(layer) else np.int16)
    if kept.ndim != ndim or kept.size == 0 or not np.array_equal(kept, given):
        raise NetworkError(
            f"{layer.name}: weights must be an array of {ndim} dimensions of small integers"
        )
    if not layer.precision.allows(kept):
        raise NetworkError(f"{layer.name}: weights are outside {layer.precision.range_text}")
    kept.setflags(write=False)
    object.__setattr__(layer, "weights", kept)
    _freeze(layer, "scale")
    if layer.bias is not None:
        _freeze(layer, "bias")
    for what, sizes in (("scale", (1, len(kept))), ("bias", (len(kept),))):
        value = getattr(layer, what)
        if value is not None and value.size not in sizes:
            raise NetworkError(
                f"{layer.name}: {what} has {value.size} values, but the weights have {len(kept)} "
                "rows"
            )


def _real(name: str, what: str, values: ArrayLike) -> Real:
    array = np.array(values)
    if array.dtype.kind not in "fiu":
        raise NetworkError(f"{name}: {what} must be real numbers, not {array.dtype}")
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float32 if array.dtype == np.float16 else np.float64)
    array.setflags(write=False)
    return array


def _freeze(layer: Any, what: str) -> None:
    """Replace a parameter by a read-only vector of finite float32 or float64."""
    array = _real(layer.name, what, getattr(layer, what)).reshape(-1)
    if array.size == 0 or not np.isfinite(array).all():
        raise NetworkError(f"{layer.name}: {what} must be finite numbers")
    object.__setattr__(layer, what, array)

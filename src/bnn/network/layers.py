# SPDX-License-Identifier: BSD-3-Clause
"""The kinds of layers that a trained :class:`~bnn.network.network.Network` is made of.

They are frozen dataclasses, which are checked when they are made. A layer's ``source`` is the name
of the layer that it reads, ``"input"``, or ``""`` for the layer before it. Maps are channels last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bnn._typing import assert_never
from bnn.errors import NetworkError
from bnn.program.operations import INPUT, MAX_COUNTED_LEVELS, MAX_VALUE_BITS, Borders, Pair
from bnn.program.precision import Precision

Shape = tuple[int, int, int]
Real: TypeAlias = "NDArray[np.floating[Any]]"  # NumPy 1.21 has no np.floating[Any]
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
    """The real values that an input's integers q stand for: ``scale * (step * q + base)``.

    Attributes:
        scale, step, base: numbers of the formula above. Sums of convolutions and dense layers
            always use the formula.
        reals: the exact real values that the framework receives, one for each integer of the
            input's precision, from the lowest to the highest. Element-wise layers read these
            values. Empty if the formula gives the exact values. (Bytes / 255 need the table: the
            product with float32's 1/255 differs from the quotient for 126 of 256 bytes.)
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
            lowest: lowest integer of the input's precision; it stands for the first value of
                :attr:`reals`. Padding may need integers outside the precision; if there are
                ``reals``, such an integer gets the real value of the nearest integer of the
                precision.
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
        """Return the lattice of the real values ``scale * q + offset``.

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


#: The lattice of integers whose real values are the integers themselves.
UNIT = Lattice()

# --- layers with weights -------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Conv2d:
    """Convolution of a quantized map with integer kernels (the kernels are not flipped).

    Attributes:
        weights: int16 (out channels, kernel height, kernel width, in channels), each within
            ``precision``; the trained weights are ``scale * weights``. Weights that are not
            quantized are int32 and have more than 16 bits, see :mod:`bnn.lower.affine`.
        precision: precision of the weights.
        scale: real, (1,) or (out channels,).
        bias: real (out channels,), or None.
        stride: (vertical, horizontal).
        padding: (top, left, bottom, right) positions around the map.
        pad_value: the real value at these positions, a multiple of the source's scale.
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
        weights: int16 or int32 (units, inputs), as in :class:`Conv2d`. After a :class:`Flatten` the
            inputs are in the order row, column, channel (fastest).
        precision: precision of the weights.
        scale: real, (1,) or (units,).
        bias: real (units,), or None.
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
        """Return the layer with ``inv_std = 1 / sqrt(variance + epsilon)``.

        It is computed in the dtype of ``variance``, or in float64 if that is an integer type.

        Raises:
            NetworkError: variance + epsilon, or gamma or the factor where this can change a result,
                is below the smallest normal float32; or a parameter is not finite.
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
    """Affine layer: ``x * factor / divisor + offset``, computed in this order.

    factor, divisor and offset have the shape (1,) or (channels,). There are both factor and
    divisor, because a quotient is not rounded like a product with the rounded reciprocal.
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
    """``min(max(x, low), high)``: ReLU with the defaults 0 and infinity, hard tanh with -1, 1."""

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
    """``slope * x`` for x below 0, else x: leaky ReLU; PReLU with one slope per channel.

    Attributes:
        slope: real, (1,) or (channels,), not negative: else the result would fall and then rise.
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
    """Sign: the whole number -1 for x below 0, +1 for x above 0, ``at_zero`` for x = 0.

    Attributes:
        scale: the real value of +1, positive.
        at_zero: +1 (as in BNN-PYNQ), 0 or -1.
    """

    name: str
    scale: float = 1.0
    at_zero: Literal[1, 0, -1] = 1
    source: str = ""

    def __post_init__(self) -> None:
        _positive(self.name, self.scale)
        if self.at_zero not in (1, 0, -1):
            raise NetworkError(f"{self.name}: at_zero must be 1, 0 or -1, not {self.at_zero!r}")

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
        """Difference of neighbouring whole numbers of the result: 2 without 0, 1 with 0."""
        return 2 // self.levels

    def level(self, x: Real) -> Integers:
        """Return the number of steps above the lowest value, int64 of the shape of ``x``."""
        reached = (x >= 0) if self.at_zero == 1 else (x > 0)
        count: Integers = reached.astype(np.int64)
        return count + (x >= 0) if self.at_zero == 0 else count


@dataclass(frozen=True, eq=False)
class Quantize:
    """Uniform quantizer: ``q = round(clip(x / scale + zero_point))``.

    The result is the whole number ``v = q - zero_point``; its real value is ``scale * v``.

    Attributes:
        precision: precision of q, 1 to 16 bits, not bipolar; values are clipped to its bounds.
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
        """Difference of neighbouring whole numbers of the result: 1."""
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
    """Counts the thresholds of a channel that x reaches; the result is ``base + step * count``.

    This is the whole number of the result; its real value is ``scale * (base + step * count)``.
    QONNX writes the real value as ``out_scale * count + out_bias``; ``Lattice.of(out_scale,
    out_bias)`` gives scale, step and base for it.

    Attributes:
        thresholds: real (1, levels) or (channels, levels); a threshold is reached if it is at most
            x. Infinities are allowed.
        scale: positive real number.
        step, base: whole numbers; step is positive.
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
        """Number of thresholds per channel."""
        return int(np.asarray(self.thresholds).shape[1])

    def level(self, x: Real) -> Integers:
        """Return how many thresholds ``x`` (..., channels) reaches, int64 of the same shape."""
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
        padding: (top, left, bottom, right) positions around the map; they are never the maximum.
    """

    name: str
    kernel: Pair
    stride: Pair
    padding: Borders = (0, 0, 0, 0)
    source: str = ""


@dataclass(frozen=True, eq=False)
class Add:
    """Sum of two quantized maps of equal shapes, each multiplied by a factor.

    For each map, the product of its factor and its scale is the real value of the whole number 1.
    The quotient of the two products must be a fraction of small whole numbers: then the sum is
    exactly a multiple of one unit.

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
    """Puts a quantized map in fixed point, like :class:`bnn.program.operations.Rescale`.

    The results are ``q = min(max(round((multipliers[c] * v + offsets[c]) / 2**shift), low),
    high)``, where v is the source's whole number in channel c, and halves are rounded to even. The
    real value is ``scale * q``; it approximates a real value that has no common unit with others.
    Lowering adds this layer, and reports the number of fraction bits.

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
    """Joins the channels of two quantized maps with equal scales: ``source``, then ``other``."""

    name: str
    other: str
    source: str = ""


@dataclass(frozen=True, eq=False)
class Flatten:
    """Flattens (height, width, channels) to (1, 1, height * width * channels), channels fastest."""

    name: str
    source: str = ""


@dataclass(frozen=True, eq=False)
class RealDense:
    """Dense layer with real weights at the end of a network; the host computes it in float64.

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
                raise NetworkError(
                    f"{self.name}: bias is for {np.size(self.bias)} units, weights for {len(table)}"
                )


Weighted = Conv2d | Linear
RealLayer = BatchNorm | Scale | Clip | Leaky
Activation = Sign | Quantize | MultiThreshold
Layer = (
    Weighted | RealLayer | Activation | MaxPool | Add | Concat | Flatten | RealDense | FixedPoint
)


def sources(layer: Layer) -> tuple[str, ...]:
    """Return the names of the layers that ``layer`` reads: ``source``, then ``other`` if any."""
    match layer:
        case Add() | Concat():
            return (layer.source, layer.other)
        case Conv2d() | Linear() | RealDense() | BatchNorm() | Scale() | Clip() | Leaky():
            return (layer.source,)
        case Sign() | Quantize() | MultiThreshold() | FixedPoint() | MaxPool() | Flatten():
            return (layer.source,)
    assert_never(layer)


def with_sources(layers: Iterable[Layer]) -> tuple[Layer, ...]:
    """Return ``layers``, in which every source "" is replaced by a name.

    The name is that of the layer before; for the first layer it is ``"input"``.
    """
    before, named = INPUT, []
    for layer in layers:
        named.append(layer if layer.source else replace(layer, source=before))
        before = layer.name
    return tuple(named)


def used_layers(layers: Iterable[Layer], last: str = "") -> tuple[Layer, ...]:
    """Return the layer ``last`` and all layers that it depends on, in their order.

    Args:
        layers: the layers in order, with names of their sources (:func:`with_sources`).
        last: name of a layer; "": the last of ``layers``.
    """
    named = tuple(layers)
    wanted = {last or (named[-1].name if named else "")}
    for layer in reversed(named):
        if layer.name in wanted:
            wanted.update(sources(layer))
    return tuple(layer for layer in named if layer.name in wanted)


# --- checks --------------------------------------------------------------------------

#: The smallest normal float32. TensorFlow, and other frameworks if they are set so, compute with
#: 0 instead of smaller numbers; NumPy does not.
_SMALLEST = float(np.finfo(np.float32).tiny)
#: An offset above this does not change in float32 when a sum (below 2^24) times a factor below
#: `_SMALLEST` is added.
_ABSORBING = 2.0**-70


def check_deviation(name: str, total: ArrayLike) -> None:
    """Raise :class:`NetworkError` if a variance + epsilon is below the smallest normal float32.

    Some frameworks compute with 0 instead of such values, so their results differ.

    Args:
        name: name of the layer, for the message.
        total: values of variance + epsilon.
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
    """Refuse a factor or gamma that some frameworks take as 0, if this can change a result."""
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
    """Whether the weights are not quantized: they have more than 16 bits, as no operation has."""
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
    """Replace the parameter ``what`` by a read-only vector of finite float32 or float64."""
    array = _real(layer.name, what, getattr(layer, what)).reshape(-1)
    if array.size == 0 or not np.isfinite(array).all():
        raise NetworkError(f"{layer.name}: {what} must be finite numbers")
    object.__setattr__(layer, what, array)

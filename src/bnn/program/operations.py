# SPDX-License-Identifier: BSD-3-Clause
"""The ten integer operations of the waist, and the edges between them.

Every trained network is lowered to these operations; runtimes and hardware run these operations
only. ``bnn.program.semantics`` defines their results.

Between operations flow *edges*: integer maps of shape (height, width, channels),
a vector being (1, 1, channels). An edge has a :class:`~bnn.program.precision.Precision`
and proved bounds. Each operation names its source edge(s) and is itself the name
of the edge that it makes; the input's edge is called ``input``.

A program with a :class:`Scan` reads sequences: a batch is one sequence, and the images of the batch
are its columns, in order. All other operations treat each column like an image of its own.

A convolution is a :class:`Window` followed by a :class:`Dot`. A dense layer that reads a map is a
window of the map's size followed by a dot; there is no other operation for flattening.

Arrays may be given in any integer type; an operation keeps a read-only copy of the
type that its attribute declares.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bnn._checked import Checked
from bnn._typing import assert_never
from bnn.errors import ProgramError
from bnn.program.precision import Precision

#: Limits of a program, so that a hostile file cannot exhaust memory or time. CNV with four times
#: its channels on pictures of 224x224 needs 60 % of the values and 40 % of the work.
#: Values of one edge, and of all edges of one image together.
MAX_EDGE_VALUES = 1 << 27
MAX_PROGRAM_VALUES = 1 << 29
#: Weights and thresholds of all operations together.
MAX_PARAMETERS = 1 << 28
#: Steps for one image; see :func:`bnn.program.check.work`.
MAX_WORK = 1 << 38
#: Most columns of a sequence.
MAX_COLUMNS = 1 << 17
#: Most bits of inputs, weights and activations. Sums may have up to 32 bits; a dot may read sums.
MAX_VALUE_BITS = 16
#: Most bits of inputs, weights and activations in the hardware.
NARROW_VALUE_BITS = 8

#: Thresholds of a channel above which a runtime searches instead of counting.
MAX_COUNTED_LEVELS = 255

INPUT = "input"


@dataclass(frozen=True)
class Edge:
    """An integer map between operations.

    Attributes:
        shape: (height, width, channels).
        precision: precision of its values.
        low, high: proved bounds of its values.
    """

    shape: tuple[int, int, int]
    precision: Precision
    low: int
    high: int

    @property
    def is_narrow(self) -> bool:
        """Whether its precision has at most 8 bits, which the hardware's windows and dots need."""
        return self.precision.bits <= NARROW_VALUE_BITS


Pair = tuple[int, int]
Rounding = Literal["even", "up", "zero", "floor"]
Borders = tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class Window:
    """Makes patches of a map, which a dot can read (im2col).

    The result is (out height, out width, kernel height * kernel width * channels). The values of a
    patch are in the order kernel row, kernel column, channel (fastest). The kernel is not flipped.

    Attributes:
        kernel, stride: (vertical, horizontal).
        padding: (top, left, bottom, right) positions around the map.
        pad_value: the integer at these positions; it must be in the source's precision.
    """

    name: str
    source: str
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Borders = (0, 0, 0, 0)
    pad_value: int = 0


@dataclass(frozen=True, eq=False)
class Dot(Checked):
    """Multiplies a matrix by the vector x of every position of a map.

    The result is ``acc[o] = bias[o] + sum_i weights[o, i] * x[i]``. With a ``product_shift``, each
    product is divided by ``2**product_shift`` and rounded before it is added, as in the fixed-point
    arithmetic of LSTM-PYNQ. The result differs from that of rounding the sum.

    With ``groups``, the source's vector is seen as (positions, groups, channels of a group), and
    the rows are divided among the groups in order: a row reads the channels of its own group only.
    A depthwise convolution has as many groups as channels. :func:`bnn.program.grouping.ungrouped`
    makes the equal dot without groups.

    Attributes:
        weights: (out channels, in channels / groups), each within ``precision``; int8 if its values
            fit, else int16. The columns are in the order position, channel of the group (fastest).
        precision: precision of the weights, 1 to 16 bits.
        bias: int32 (out channels,), or None for zeros. With a bias, a dot can compute the
            original's *count of equal bits*: for inputs 0 or 1 and weights -1 or +1, the count is
            the sum of products plus the number of -1 weights (specification, section 2).
        accumulator_bits: declared two's complement width; :class:`Program` proves that no partial
            or final sum exceeds it.
        product_shift: 0 (products are exact) to 30.
        product_rounding: how a shifted product is rounded, see ``rounding`` of :class:`Rescale`.
        groups: a divisor of the out channels; 1: every row reads all channels.
        positions: kernel positions of the source's vector, which is the patch of a window: kernel
            height * kernel width. ``groups * positions`` divides its channels. 1 without groups.
    """

    name: str
    source: str
    weights: NDArray[Any]
    precision: Precision
    bias: NDArray[Any] | None = None
    accumulator_bits: int = 32
    product_shift: int = 0
    product_rounding: Rounding = "even"
    groups: int = 1
    positions: int = 1

    def __post_init__(self) -> None:
        _freeze(self, "weights", weight_type(self.precision), 2, np.int16)
        if self.bias is not None:
            _freeze(self, "bias", np.int32, 1)


@dataclass(frozen=True, eq=False)
class Threshold(Checked):
    """Counts, for each value x, the thresholds of its channel that are reached.

    The result is ``y = base + step * count``. A threshold of channel c is reached if it is at most
    ``signs[c] * x[c]``.

    Attributes:
        thresholds: int32 (channels, levels), ascending along levels; a threshold may be outside the
            source's bounds, and is then always or never reached.
        precision: precision of y, 1 to 16 bits; it must have all results, from base to base + step
            * levels.
        base, step: whole numbers, step not 0; -1 and 2 for bipolar results, -1 and 1 for ternary
            results.
        signs: int8 (channels,) of +1 and -1, or None for all +1. Sign -1 means that the activation
            falls with x, because its batch norm had a negative scale.
    """

    name: str
    source: str
    thresholds: NDArray[Any]
    precision: Precision
    base: int = 0
    step: int = 1
    signs: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        _freeze(self, "thresholds", np.int32, 2)
        if self.signs is not None:
            _freeze(self, "signs", np.int8, 1)


@dataclass(frozen=True, eq=False)
class Pool:
    """Takes the maximum over each window of a map, channel by channel.

    Attributes:
        kernel, stride: (vertical, horizontal).
        padding: (top, left, bottom, right) positions, smaller than the kernel; they are never
            the maximum.
    """

    name: str
    source: str
    kernel: Pair
    stride: Pair
    padding: Borders = (0, 0, 0, 0)


@dataclass(frozen=True, eq=False)
class Add:
    """Adds two edges of equal shapes, element by element.

    Attributes:
        source, other: names of the edges.
        accumulator_bits: declared two's complement width, 1 to 32, which must hold every sum.
    """

    name: str
    source: str
    other: str
    accumulator_bits: int = 32


@dataclass(frozen=True, eq=False)
class Multiply:
    """Multiplies two edges of equal shapes, element by element.

    Attributes:
        source, other: names of the edges; they may be the same.
        accumulator_bits: declared two's complement width, 1 to 32, which must hold every product.
    """

    name: str
    source: str
    other: str
    accumulator_bits: int = 32


@dataclass(frozen=True, eq=False)
class Concat:
    """Joins the channels of two edges of equal height and width: ``source``, then ``other``.

    Attributes:
        source, other: names of the edges.
        precision: precision of the result; it must have all values of both edges.
    """

    name: str
    source: str
    other: str
    precision: Precision


@dataclass(frozen=True, eq=False)
class Rescale(Checked):
    """Fixed-point arithmetic, channel by channel: a product, a sum, a shift, a saturation.

    The result is ``y = min(max(round((multipliers[c] * x[c] + offsets[c]) / 2**shift), low),
    high)``. With the overflow ``wrap`` there are no min and max: the result is then the value from
    ``low`` to ``high`` that differs from the rounded quotient by a multiple of ``high - low + 1``.
    The product and the sum are exact (64 bits hold them). Only the quotient is rounded.

    Attributes:
        multipliers: int32 (channels,).
        offsets: int64 (channels,), each smaller than 2**62 in magnitude, or None for zeros.
        shift: 0 to 62.
        rounding: how the quotient is rounded. ``even``, ``up`` and ``zero``: to the nearest whole
            number, halves to even, up or towards zero. ``floor``: down.
        low, high: least and largest result.
        precision: precision of the result, 1 to 32 bits; it must have all integers from ``low`` to
            ``high``.
        overflow: what becomes of quotients outside ``low`` to ``high``: ``saturate`` or ``wrap``.
            With ``wrap``, ``high - low + 1`` must be a power of two.
    """

    name: str
    source: str
    multipliers: NDArray[Any]
    shift: int
    precision: Precision
    low: int
    high: int
    offsets: NDArray[Any] | None = None
    rounding: Rounding = "even"
    overflow: Literal["saturate", "wrap"] = "saturate"

    def __post_init__(self) -> None:
        _freeze(self, "multipliers", np.int32, 1)
        if self.offsets is not None:
            _freeze(self, "offsets", np.int64, 1)


@dataclass(frozen=True, eq=False)
class ArgMax:
    """Decides the class from a vector of n values; the result has the shape (1, 1, 1).

    Rules (specification, section 5):
        ``first``: index of the maximum, the first one if several are equal.
        ``first-positive``: the same if the maximum is greater than 0, else 0
            (the original's CNV for many images).
        ``highest-positive``: the highest index whose value is greater than 0; 0 if there is none
            (the original's LFC for many images, whose values are bits).
    """

    name: str
    source: str
    rule: Literal["first", "first-positive", "highest-positive"] = "first"


@dataclass(frozen=True)
class Carried:
    """A vector that a :class:`Scan` carries from one column to the next.

    Attributes:
        name: name of the edge of the body that has the vector which the previous column made.
        channels: length of the vector.
        precision: precision of the vector's values, 1 to 16 bits.
        next: name of the edge of the body that becomes the vector for the next column. The check
            proves that it fits: it has ``channels`` channels, and bounds within ``precision`` for
            any carried vector.
        start: value of all elements at the first column; it must be in ``precision``.
    """

    name: str
    channels: int
    precision: Precision
    next: str
    start: int = 0


@dataclass(frozen=True, eq=False)
class Scan(Checked):
    """Repeats operations over the columns of a sequence, and carries vectors between columns.

    A program with a scan runs on one sequence at a time: image n of its batch is column n. The body
    has edges of its own: ``input`` is the column of ``source``, a vector; there is one edge for
    each carried vector; and each operation of the body makes an edge, as in a program.

    Attributes:
        body: what is computed for each column: dot, threshold, add, multiply, concat, rescale.
        carried: vectors that the next column reads.
        result: name of the edge of the body that is the scan's result for the column.
        reverse: whether the columns are visited from the last to the first.
    """

    name: str
    source: str
    body: tuple[BodyOp, ...]
    carried: tuple[Carried, ...]
    result: str
    reverse: bool = False

    def __post_init__(self) -> None:
        for name in ("body", "carried"):
            object.__setattr__(self, name, tuple(getattr(self, name)))


#: Operations that the body of a scan may have.
BodyOp = Dot | Threshold | Add | Multiply | Concat | Rescale
Op = Window | Dot | Threshold | Pool | Add | Multiply | Concat | Rescale | ArgMax | Scan


def sources(op: Op) -> tuple[str, ...]:
    """Return the names of the edges that ``op`` reads, in the order of its attributes."""
    match op:
        case Window() | Dot() | Threshold() | Pool() | Rescale() | ArgMax() | Scan():
            return (op.source,)
        case Add() | Multiply() | Concat():
            return (op.source, op.other)
    assert_never(op)


def each_op(ops: tuple[Op, ...]) -> Iterator[Op]:
    """Yield all operations, in order; the operations in the body of a scan follow the scan."""
    for op in ops:
        yield op
        if isinstance(op, Scan):
            yield from op.body


RULES = ("first", "first-positive", "highest-positive")
ROUNDINGS = ("even", "up", "zero", "floor")
OVERFLOWS = ("saturate", "wrap")
#: Attributes that were added later. Digests and files do not contain them if they have their
#: defaults, so digests and files of older programs do not change.
ADDED = ("product_shift", "product_rounding", "overflow", "groups", "positions")


@dataclass(frozen=True, eq=False)
class Dense(Checked):
    """A dense layer with real weights that the host computes in float64 after :class:`Affine`.

    ``logits = matrix @ min(max(x, low), high) + bias``, where x are the results of the affine.

    Attributes:
        matrix: float64 (classes, scores).
        bias: float64 (classes,).
        low, high: bounds to which x is clipped before the product; infinite if x is not clipped.
    """

    matrix: NDArray[np.float64]
    bias: NDArray[np.float64]
    low: float = -np.inf
    high: float = np.inf

    def __post_init__(self) -> None:
        for name, ndim in (("matrix", 2), ("bias", 1)):
            value = np.array(getattr(self, name), dtype=np.float64, order="C")
            if value.ndim != ndim or not value.size or not np.isfinite(value).all():
                raise ProgramError(f"dense {name} must have {ndim} dimensions of finite numbers")
            value.setflags(write=False)
            object.__setattr__(self, name, value)
        if self.bias.shape != self.matrix.shape[:1]:
            raise ProgramError("dense matrix and bias differ in the number of classes")
        if not float(self.low) <= float(self.high):
            raise ProgramError(f"dense cannot clip to {self.low} .. {self.high}")


@dataclass(frozen=True, eq=False)
class Affine(Checked):
    """Makes real-valued logits of integer scores, on the host: ``scale * score + offset``.

    Attributes:
        scale, offset: float64 (scores,).
        dense: a dense layer that makes the logits of these numbers; None if they are the logits.
    """

    scale: NDArray[np.float64]
    offset: NDArray[np.float64]
    dense: Dense | None = None

    def __post_init__(self) -> None:
        for name in ("scale", "offset"):
            value = np.array(getattr(self, name), dtype=np.float64)
            if value.ndim != 1 or not np.isfinite(value).all():
                raise ProgramError(f"affine {name} must be one finite number per score")
            value.setflags(write=False)
            object.__setattr__(self, name, value)
        if self.scale.shape != self.offset.shape:
            raise ProgramError("affine scale and offset differ in length")
        if self.dense is not None and self.dense.matrix.shape[1:] != self.scale.shape:
            raise ProgramError(
                f"dense matrix is for {self.dense.matrix.shape[1]} scores, not {self.scale.size}"
            )

    @property
    def classes(self) -> int:
        """Number of logits."""
        return int((self.offset if self.dense is None else self.dense.bias).size)

    def logits(self, scores: NDArray[np.int32]) -> NDArray[np.float64]:
        """Convert scores (N, scores) to logits (N, classes), in float64."""
        real: NDArray[np.float64] = scores * self.scale + self.offset
        if self.dense is None:
            return real
        # einsum: a matrix product by BLAS sums in another order for another number of images.
        clipped = np.clip(real, self.dense.low, self.dense.high)
        made: NDArray[np.float64] = np.einsum("ni,ci->nc", clipped, self.dense.matrix)
        return made + self.dense.bias


def weight_type(precision: Precision) -> type[np.signedinteger[Any]]:
    """Return the type in which weights of ``precision`` are kept: int8 if they fit, else int16."""
    return np.int8 if precision.low >= -128 and precision.high <= 127 else np.int16


def _freeze(op: Any, name: str, dtype: Any, ndim: int, wider: Any = None) -> None:
    """Replace the array attribute ``name`` by a read-only copy of the type ``dtype``.

    If a value does not fit into this type, use ``wider``, if given: the check of the program will
    say what is wrong.

    Raises:
        ProgramError: a value does not fit into these types, or the array does not have ``ndim``
            dimensions.
    """
    given = np.asarray(getattr(op, name))
    kept = given.astype(dtype, order="C")  # the native core reads rows
    # An array of the type itself lost nothing: weights are many, and need not be compared.
    lost = given.dtype != dtype and not np.array_equal(kept, given)
    if lost and wider is not None:
        return _freeze(op, name, wider, ndim)
    if kept.ndim != ndim or lost:
        what = f"{ndim} dimensions of whole numbers that fit {np.dtype(dtype).name}"
        raise ProgramError(f"{op.name}: {name} must have {what}")
    kept.setflags(write=False)
    object.__setattr__(op, name, kept)

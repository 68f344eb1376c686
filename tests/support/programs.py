# SPDX-License-Identifier: BSD-3-Clause
"""Random programs: small networks over every operation, precision and odd shape.

A runtime that equals the reference on these is right. :func:`networks` is a hypothesis
strategy: hypothesis draws the structure, so that a failure shrinks to a small network, and
a seed draws the numbers. :class:`Limits` keeps networks within what a runtime can take.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from bnn.errors import ProgramError
from bnn.program import check
from bnn.program.inputs import Input, IntegerInput, PictureInput, RealInput
from bnn.program.operations import (
    INPUT,
    ROUNDINGS,
    RULES,
    Add,
    Affine,
    ArgMax,
    Concat,
    Dense,
    Dot,
    Edge,
    Multiply,
    Op,
    Pool,
    Rescale,
    Threshold,
    Window,
)
from bnn.program.precision import BIPOLAR, INT, TERNARY, UINT, Precision
from bnn.program.program import Program

INT32 = np.iinfo(np.int32)

#: Every precision that a weight or an activation of the hardware may have; the common ones first.
PRECISIONS = (
    BIPOLAR,
    TERNARY,
    *(UINT(bits) for bits in range(1, 9)),
    *(INT(bits) for bits in range(1, 9)),
    *(INT(bits, narrow=True) for bits in range(3, 9)),
)

#: Precisions of more than 8 bits; an input's and a weight's integers fit int16.
LARGE = (UINT(9), UINT(12), UINT(15), INT(9), INT(10), INT(16), INT(12, narrow=True))

Draw = Callable[..., Any]
Random = np.random.Generator


@dataclass(frozen=True)
class Limits:
    """How large and how strange a random network may be.

    Attributes:
        side: largest height and width of the input.
        channels: most channels of the input and most rows of a dot.
        ops: most operations before the last dot.
        levels: most thresholds of one channel.
        kinds: operations to draw from; a window and a dot always end the network.
        inputs: kinds of input to draw from.
        weights, activations: precisions to draw from.
        extremes: whether some thresholds lie at the ends of 32 bits.
        patch: most values of a window's patch.
        kernel: most rows and columns of a window or a pool.
        maps: whether every input is a map, and most windows have a border.
        sums: whether windows and dots may read more than 8 bits.
    """

    side: int = 7
    channels: int = 9
    ops: int = 6
    levels: int = 5
    kinds: tuple[type, ...] = (Window, Dot, Threshold, Pool, Add)
    inputs: tuple[type, ...] = (PictureInput, IntegerInput, RealInput)
    weights: tuple[Precision, ...] = PRECISIONS
    activations: tuple[Precision, ...] = PRECISIONS
    extremes: bool = True
    patch: int = 600
    kernel: int = 4
    maps: bool = False
    sums: bool = False


SMALL = Limits()

#: Everything that a program can say, also what the hardware has no block for.
FULL = Limits(
    levels=400,
    kinds=(Window, Dot, Threshold, Pool, Add, Concat, Rescale),
    weights=(*PRECISIONS, *LARGE),
    activations=(*PRECISIONS, *LARGE),
    sums=True,
)

#: Everything that the hardware has a block for.
HARDWARE = Limits(
    side=5,
    channels=6,
    ops=6,
    levels=4,
    patch=120,
    kinds=(Window, Dot, Threshold, Pool, Add, Multiply, Concat, Rescale, Concat, Rescale, Multiply),
)

#: Large windows with borders: kernels to 11, any padding, strides above the kernel.
MAPS = Limits(side=13, channels=5, ops=4, patch=900, kernel=11, maps=True)


@dataclass
class Growing:
    """A network while operations are added to it."""

    limits: Limits
    random: Random
    input: Input
    edges: dict[str, Edge]
    ops: list[Op] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Of the next operation."""
        return f"op{len(self.ops)}"

    def add(self, op: Op) -> str:
        """Append ``op``; :class:`ProgramError` where it is not legal."""
        self.edges[op.name] = check._op_edge(op, self.edges)
        self.ops.append(op)
        return op.name

    def legal(self, kind: type) -> list[str]:
        """Edges that an operation of this kind can read, the newest first."""
        all_bits = self.limits.sums or kind not in (Window, Dot)
        return [n for n, e in reversed(self.edges.items()) if all_bits or e.is_narrow]


def numbers(random: Random, precision: Precision, shape: Any) -> NDArray[np.int16]:
    """Random integers that ``precision`` allows."""
    if precision == BIPOLAR:
        return (2 * random.integers(0, 2, shape) - 1).astype(np.int16)
    return random.integers(precision.low, precision.high + 1, shape).astype(np.int16)


@st.composite
def networks(draw: Draw, limits: Limits = SMALL) -> Program:
    """Programs that :func:`bnn.program.check.infer` accepts."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    given = _input(draw, limits, random)
    shape = given.shape if len(given.shape) == 3 else (1, 1, *given.shape)
    edge = Edge(shape, given.precision, given.precision.low, given.precision.high)
    net = Growing(limits, random, given, {INPUT: edge})
    for _ in range(draw(st.integers(0, limits.ops))):
        _grow(draw, net)
    return _finish(draw, net)


@st.composite
def residuals(draw: Draw, limits: Limits = SMALL) -> Program:
    """Maps with shortcuts: convolutions that keep the shape, added to what they read."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    side, channels = st.integers(2, limits.side), draw(st.integers(1, limits.channels))
    shape = (draw(side), draw(side), channels)
    precision = draw(st.sampled_from(limits.activations))
    given = IntegerInput(shape, precision)
    net = Growing(limits, random, given, {INPUT: Edge(shape, precision, *_ends(precision))})
    source = INPUT
    for _ in range(draw(st.integers(1, 2))):
        source = _block(draw, net, source, channels)
    return _finish(draw, net)


def _ends(precision: Precision) -> tuple[int, int]:
    return precision.low, precision.high


def _block(draw: Draw, net: Growing, source: str, channels: int) -> str:
    kernel = (draw(st.sampled_from([1, 3])), draw(st.sampled_from([1, 3])))
    around = (kernel[0] // 2, kernel[1] // 2)
    fill = int(numbers(net.random, net.edges[source].precision, ()))
    patches = net.add(Window(net.name, source, kernel, (1, 1), (*around, *around), fill))
    precision = draw(st.sampled_from(net.limits.weights))
    weights = numbers(net.random, precision, (channels, net.edges[patches].shape[2]))
    path = net.add(Dot(net.name, patches, weights, precision))
    if draw(st.booleans()):
        path = _threshold(draw, net, path)
    both = (path, source) if draw(st.booleans()) else (source, path)
    return _threshold(draw, net, net.add(Add(net.name, *both)))


def batches(program: Program, size: int, seed: int) -> NDArray[Any]:
    """``size`` random inputs as runtimes take them (after ``program.input.check``)."""
    random = np.random.default_rng(seed)
    shape = (size, *program.input.shape)
    if isinstance(program.input, PictureInput):
        return random.integers(0, 256, shape).astype(np.uint8)
    return numbers(random, program.input.precision, shape)


def _input(draw: Draw, limits: Limits, random: Random) -> Input:
    kind = draw(st.sampled_from(limits.inputs))
    precision = draw(st.sampled_from(limits.activations))
    side, channels = st.integers(1, limits.side), st.integers(1, limits.channels)
    if limits.maps or draw(st.booleans()):
        shape = (draw(side), draw(side), draw(channels))
    else:
        shape = (draw(side) * draw(side) * draw(channels),)
    if kind is PictureInput:
        return PictureInput(shape, precision, numbers(random, precision, 256))
    if kind is RealInput:
        zero = np.float32(
            [draw(st.sampled_from([0.25, 0.5]))]
        )  # at 0.5 all whole numbers are halves
        rounding, multiplied = draw(st.sampled_from(["even", "up"])), draw(st.booleans())
        return RealInput(shape, precision, np.float32([0.5]), zero, rounding, multiplied)
    return IntegerInput(shape, precision)


def _grow(draw: Draw, net: Growing) -> None:
    kind = draw(st.sampled_from(net.limits.kinds))
    sources = net.legal(kind)
    if not sources:
        return
    source = draw(st.sampled_from(sources[:3]))
    try:
        _MAKERS[kind](draw, net, source)
    except ProgramError:
        return  # this one would have left its accumulator


def _slide(draw: Draw, net: Growing, source: str, padded: bool) -> tuple[Any, Any, Any] | None:
    """Kernel, stride and padding."""
    height, width, _ = net.edges[source].shape
    if net.limits.maps:
        return _large_slide(draw, net.limits, (height, width), padded)
    kernel = (draw(st.integers(1, min(height, 4))), draw(st.integers(1, min(width, 4))))
    stride = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    padding = (0, 0, 0, 0)
    if padded and draw(st.booleans()):
        padding = tuple(draw(st.integers(0, kernel[axis % 2] - 1)) for axis in range(4))
    return kernel, stride, padding


def _large_slide(
    draw: Draw, limits: Limits, sides: tuple[int, int], padded: bool
) -> tuple[Any, Any, Any]:
    """Mostly with a border, whose kernel may be larger than the map and smaller than the stride."""
    padding = [0, 0, 0, 0]
    if padded and draw(st.integers(0, 3)) != 0:
        padding = [draw(st.integers(0, limits.kernel // 2)) for _ in range(4)]
    kernel, stride = [], []
    for axis, side in enumerate(sides):
        before, after = padding[axis], padding[axis + 2]
        most = min(side + before + after, limits.kernel)
        kernel.append(draw(st.integers(max(before, after) + 1, most)))
        stride.append(draw(st.one_of(st.just(1), st.integers(1, kernel[-1] + 2))))
    return tuple(kernel), tuple(stride), tuple(padding)


def _window(draw: Draw, net: Growing, source: str) -> str:
    edge = net.edges[source]
    if draw(st.integers(0, 9 if net.limits.maps else 3)) == 0:  # a dense layer on a map
        kernel, stride, padding = edge.shape[:2], (1, 1), (0, 0, 0, 0)
    else:
        kernel, stride, padding = _slide(draw, net, source, padded=True)
    if kernel[0] * kernel[1] * edge.shape[2] > net.limits.patch:
        raise ProgramError("the patch is too large for a small network")
    fill = _fill(net, edge)
    name = net.add(Window(net.name, source, kernel, stride, padding, fill))
    return name if draw(st.integers(0, 7)) == 0 else _dot(draw, net, name)


def _fill(net: Growing, edge: Edge) -> int:
    """A pad value; small where the map has sums."""
    if edge.precision.bits <= 16:
        return int(numbers(net.random, edge.precision, ()))
    return int(net.random.integers(max(-65535, edge.precision.low), 65536))


def _dot(draw: Draw, net: Growing, source: str, rows: int | None = None) -> str:
    precision = draw(st.sampled_from(net.limits.weights))
    if net.edges[source].precision == TERNARY and TERNARY in net.limits.weights:
        precision = draw(
            st.sampled_from([precision, TERNARY])
        )  # products have a circuit of their own
    groups, positions = _groups(draw, net, source) if rows is None else (1, 1)
    most = max(1, net.limits.channels // groups)
    rows = rows or groups * draw(st.integers(1, most))
    weights = numbers(net.random, precision, (rows, net.edges[source].shape[2] // groups))
    bias = net.random.integers(-40, 40, rows) if draw(st.booleans()) else None
    dot = Dot(net.name, source, weights, precision, bias, groups=groups, positions=positions)
    name = net.add(dot)
    return name if draw(st.integers(0, 2)) == 0 else _after_dot(draw, net, name)


def _groups(draw: Draw, net: Growing, source: str) -> tuple[int, int]:
    """Groups and positions of a dot: those of a convolution, seldom those of any vector."""
    if draw(st.integers(0, 2)) != 0:
        return 1, 1
    values = net.edges[source].shape[2]
    window = next((op for op in net.ops if op.name == source and isinstance(op, Window)), None)
    if window is not None and draw(st.integers(0, 4)) != 0:
        positions = window.kernel[0] * window.kernel[1]
    else:
        positions = draw(st.sampled_from(_divisors(values)))
    channels = values // positions
    groups = draw(st.sampled_from([channels, *_divisors(channels)]))
    return (groups, positions) if 1 < groups <= 64 else (1, 1)


def _divisors(count: int) -> list[int]:
    return [each for each in range(1, count + 1) if count % each == 0]


def _after_dot(draw: Draw, net: Growing, source: str) -> str:
    order = draw(st.sampled_from([(Threshold,), (Threshold, Pool), (Pool, Threshold)]))
    for kind in order:
        if kind in net.limits.kinds:
            source = _MAKERS[kind](draw, net, source)
    return source


def _threshold(draw: Draw, net: Growing, source: str) -> str:
    edge, random = net.edges[source], net.random
    precision = draw(st.sampled_from(net.limits.activations))
    base, step, most = _lattice(draw, precision)
    levels = draw(st.integers(1, max(1, min(most, net.limits.levels))))
    channels = edge.shape[2]
    # Near the middle, where the sums are, and a little beyond the bounds.
    middle, reach = (edge.low + edge.high) // 2, max(2, (edge.high - edge.low) // 6)
    spread = draw(st.sampled_from([reach, 4 * reach]))
    thresholds = random.integers(middle - spread, middle + spread + 1, (channels, levels))
    if net.limits.extremes and draw(st.integers(0, 4)) == 0:
        ends = [INT32.min, INT32.min + 1, INT32.max, INT32.max - 1, edge.low, edge.high + 1]
        mask = random.random(thresholds.shape) < 0.3
        thresholds = np.where(mask, random.choice(ends, thresholds.shape), thresholds)
    thresholds = np.sort(np.clip(thresholds, INT32.min, INT32.max), axis=1)
    signs = numbers(random, BIPOLAR, channels) if draw(st.booleans()) else None
    return net.add(Threshold(net.name, source, thresholds, precision, base, step, signs))


def _lattice(draw: Draw, precision: Precision) -> tuple[int, int, int]:
    """Base, step and most levels whose outputs ``precision`` allows."""
    rising = draw(st.integers(0, 3)) != 0
    if precision == BIPOLAR:
        return (-1, 2, 1) if rising else (1, -2, 1)
    width = precision.high - precision.low
    step = draw(st.integers(1, max(1, min(3, width))))
    most = width // step
    return (precision.low, step, most) if rising else (precision.high, -step, most)


def _pool(draw: Draw, net: Growing, source: str) -> str:
    vector = net.edges[source].shape[:2] == (1, 1)  # scores stay one
    kernel, stride, padding = _slide(draw, net, source, padded=not vector)
    if draw(st.booleans()):  # the usual one: windows side by side
        kernel = tuple(map(min, kernel, net.edges[source].shape[:2]))
        stride, padding = kernel, (0, 0, 0, 0)
    return net.add(Pool(net.name, source, kernel, stride, padding))


def _add(draw: Draw, net: Growing, source: str) -> str:
    shape = net.edges[source].shape
    others = [name for name, edge in net.edges.items() if edge.shape == shape]
    return net.add(Add(net.name, source, draw(st.sampled_from(others))))


def _multiply(draw: Draw, net: Growing, source: str) -> str:
    one = net.edges[source]
    others = [name for name, edge in net.edges.items() if edge.shape == one.shape]
    other = draw(st.sampled_from(others))
    ends = [a * b for a in _of(one) for b in _of(net.edges[other])]
    least = max(_bits(end) for end in ends)
    bits = draw(st.sampled_from([least, 32]))
    return net.add(Multiply(net.name, source, other, bits))


def _of(edge: Edge) -> tuple[int, int]:
    return edge.low, edge.high


def _concat(draw: Draw, net: Growing, source: str) -> str:
    one = net.edges[source]
    others = [name for name, edge in net.edges.items() if edge.shape[:2] == one.shape[:2]]
    other = draw(st.sampled_from(others))
    two = net.edges[other]
    if one.precision == two.precision:
        precision = one.precision
    else:
        precision = INT(max(_bits(end) for edge in (one, two) for end in (edge.low, edge.high)))
    return net.add(Concat(net.name, source, other, precision))


def _bits(value: int) -> int:
    return (value if value >= 0 else ~value).bit_length() + 1


def _rescale(draw: Draw, net: Growing, source: str) -> str:
    edge, random = net.edges[source], net.random
    channels = edge.shape[2]
    shift = draw(st.sampled_from([0, 1, 2, 7, 20, 40, 62]))
    most = draw(st.sampled_from([3, 2 << min(shift, 29), INT32.max]))
    multipliers = random.integers(-most, most, channels, endpoint=True)
    reach = draw(st.sampled_from([1, 1 << shift, (1 << 62) - 1]))
    offsets = random.integers(-reach, reach, channels, endpoint=True)
    precision = draw(st.sampled_from([*net.limits.activations, INT(24), UINT(31), INT(32)]))
    if precision == BIPOLAR:
        precision = TERNARY
    ends = sorted(int(v) for v in random.integers(precision.low, precision.high, 2, endpoint=True))
    low, high = draw(st.sampled_from([(precision.low, precision.high), tuple(ends)]))
    rounding = draw(st.sampled_from(ROUNDINGS))
    given = offsets if draw(st.booleans()) else None
    return net.add(
        Rescale(net.name, source, multipliers, shift, precision, low, high, given, rounding)
    )


_MAKERS: dict[type, Callable[..., str]] = {
    Window: _window,
    Dot: _dot,
    Threshold: _threshold,
    Pool: _pool,
    Add: _add,
    Multiply: _multiply,
    Concat: _concat,
    Rescale: _rescale,
}


def _finish(draw: Draw, net: Growing) -> Program:
    """End in a vector of scores, and decide the class in one of the possible ways."""
    scores = _ending(draw, net)
    endings = [*RULES, "affine", "plain", *(["dense"] if net.limits.sums else [])]
    ending = draw(st.sampled_from(endings))
    affine = decision = None
    if ending in ("affine", "dense"):
        count = net.edges[scores].shape[2]
        dense = None
        if ending == "dense":
            clip = draw(st.sampled_from([(-np.inf, np.inf), (0.0, np.inf), (-1.0, 1.0)]))
            matrix = net.random.normal(size=(draw(st.integers(1, 4)), count))
            dense = Dense(matrix, net.random.normal(size=len(matrix)), *clip)
        affine = Affine(net.random.normal(size=count), net.random.normal(size=count), dense)
    elif ending != "plain":
        decision = net.add(ArgMax(net.name, scores, ending))
    return Program(net.input, tuple(net.ops), scores, decision, affine)


def _ending(draw: Draw, net: Growing) -> str:
    vectors = [op.name for op in net.ops if net.edges[op.name].shape[:2] == (1, 1)]
    if vectors and draw(st.integers(0, 3)) == 0:
        return draw(st.sampled_from(vectors))
    try:
        return _scores(draw, net, net.legal(Window)[0])
    except ProgramError:  # its sums would not fit; the input's do
        return _scores(draw, net, INPUT)


def _scores(draw: Draw, net: Growing, source: str) -> str:
    height, width, channels = net.edges[source].shape
    kernel = (height, width)
    if height * width * channels > net.limits.patch:  # then look at a corner of it
        kernel = (1, 1)
    stride = (height, width)
    window = Window(net.name, source, kernel, stride)
    columns = check._op_edge(window, net.edges).shape[2]
    dot = Dot(f"{net.name}_scores", net.name, numbers(net.random, BIPOLAR, (3, columns)), BIPOLAR)
    check._op_edge(dot, {**net.edges, net.name: check._op_edge(window, net.edges)})
    net.add(window)
    last = net.add(dot)
    return _after_dot(draw, net, last) if draw(st.booleans()) else last

# SPDX-License-Identifier: BSD-3-Clause
"""The input of a QONNX graph: quantized by the graph itself, or on a grid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.errors import FormatError, ProgramError
from bnn.formats.grids import Grid, grid
from bnn.formats.qonnx.constants import Constant
from bnn.formats.qonnx.onnx_file import Graph
from bnn.formats.qonnx.quantizers import Quant, channel_thresholds
from bnn.formats.qonnx.tensor import RawInput
from bnn.network.network import Lattice
from bnn.program.inputs import RealInput
from bnn.program.precision import BIPOLAR, INT, UINT

Array = NDArray[Any]
#: Most steps (of all channels together) that are compared one by one.
MAX_STEPS = 1 << 20


@dataclass(frozen=True)
class Fed:
    """The input of a network, and the real values that the input's integers stand for."""

    input: RealInput
    lattice: Lattice


def is_exact(host: RealInput, raw: RawInput, level: Callable[[Array], Array], levels: int) -> bool:
    """Return whether ``host`` gives the same integer as the graph for every float32 input.

    Both rise with the input, so they are equal if they change at the same numbers. Return False
    too if there are so many steps that comparing them would take too long.

    Args:
        level: the graph's function from scaled inputs, float32 (n, channels), to 0, 1, ...
        levels: the largest value of ``level``.
    """
    channels = max(raw.factor.size, raw.offset.size)
    if channels * levels > MAX_STEPS:
        return False  # not known
    precision = host.precision
    step = 2 if precision == BIPOLAR else 1

    def of_graph(x: Array) -> Array:
        return level(raw.scaled(np.broadcast_to(x, (len(x), channels))))

    def of_host(x: Array) -> Array:
        return (host.quantized(x) - precision.low) // step

    with np.errstate(all="ignore"):
        mine = channel_thresholds(of_host, levels, channels)
        return np.array_equal(mine, channel_thresholds(of_graph, levels, channels))


def quantized_input(given: Quant, raw: RawInput) -> Fed | None:
    """Return an input quantizer of the host that equals ``given`` of ``factor * x + offset``.

    Return None if the host has no such quantizer: for other roundings than to even, more than 16
    bits, a factor that is not positive, or a scale or zero point per channel.
    """
    factor = raw.factor.astype(np.float64)
    if (factor <= 0).any() or given.scale.size != 1 or given.zero_point.size != 1:
        return None
    scale, zero = float(given.scale.reshape(-1)[0]), float(given.zero_point.reshape(-1)[0])
    if given.bipolar:
        if zero:
            return None
        # sign(factor * x + offset) is the sign of x / (1 / factor) + offset
        host = RealInput(raw.given_shape, BIPOLAR, _f32(1 / factor), _f32(raw.offset))
        return Fed(host, Lattice(scale))
    if given.rounding not in ("ROUND", "HALF_EVEN") or zero != round(zero):
        return None
    for precision in [UINT(n) for n in range(1, 16)] + [INT(n) for n in range(2, 17)]:
        for one in (precision, INT(precision.bits, narrow=precision.bits > 1)):
            if (one.low, one.high) == (given.low, given.high):
                host = RealInput(
                    raw.given_shape, one, _f32(scale / factor), _f32(raw.offset / scale + zero)
                )
                return Fed(host, Lattice(scale, 1, -int(zero)))
    return None


def thresholded_input(raw: RawInput, table: object, levels: Lattice) -> Fed | None:
    """Return an input quantizer of the host that equals the thresholds ``table`` of the input.

    Return None if the host has no such quantizer, for example if the thresholds are not evenly
    spaced or differ by channel.
    """
    if not isinstance(table, Constant) or table.value.ndim != 2 or (raw.factor <= 0).any():
        return None
    if len(table.value) not in (1, raw.channels):
        return None
    rows = np.sort(table.value.astype(np.float64), axis=1)
    if (rows != rows[:1]).any() or not np.isfinite(rows).all():
        return None
    steps = np.diff(rows[0])
    step = 1.0 if steps.size == 0 else float(steps.mean())
    if step <= 0 or np.abs(steps - step).max(initial=0) > 1e-5 * step:
        return None
    count, first = rows.shape[1], float(rows[0, 0])
    scale, zero = step / raw.factor, (raw.offset - first) / step
    if count == 1:
        # 0 or 1 thresholds reached: -1 or +1
        host = RealInput(raw.given_shape, BIPOLAR, _f32(scale), _f32(zero))
        if levels.step % 2 == 0:
            half = levels.step // 2
            return Fed(host, Lattice(levels.scale, half, levels.base + half))
        return Fed(host, Lattice(levels.scale / 2, levels.step, 2 * levels.base + levels.step))
    bits = count.bit_length()
    if count == (1 << bits) - 1 and bits <= 8:
        host = RealInput(raw.given_shape, UINT(bits), _f32(scale), _f32(zero + 0.5), "up")
        return Fed(host, levels)
    if count == (1 << bits) - 2 and bits <= 8:
        half = count // 2
        host = RealInput(
            raw.given_shape, INT(bits, narrow=True), _f32(scale), _f32(zero + 0.5 - half), "up"
        )
        return Fed(host, Lattice(levels.scale, levels.step, levels.base + levels.step * half))
    return None


def _f32(value: object) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.asarray(value, np.float32)


def check_fed(graph: Graph, chosen: Grid) -> None:
    """Refuse input values that the type of the graph's input cannot hold.

    Raises:
        FormatError: the type cannot hold the values of ``chosen``.
    """
    values = chosen.values()
    with np.errstate(all="ignore"):
        held = values.astype(graph.kind).astype(np.float32)
    if not np.array_equal(held, values):
        raise FormatError(
            f"input {graph.input!r} is of type {graph.kind}, which does not hold the values of "
            f"{chosen.name} ({chosen.meaning}); choose others with --input"
        )


def unquantized_input(graph: Graph, raw: RawInput) -> Grid:
    """Return the grid that is assumed for an input that the graph does not quantize.

    It is FINN's annotation of the input, if there is one; else the input's own type, if that is an
    integer type; else bytes, if the graph scales its input itself (divides by 255, for example).
    Otherwise square pictures are taken to have values in [0, 1], as PyTorch loads them, and other
    inputs to be whole numbers of 8 bits.
    """
    if graph.datatype and graph.datatype != "FLOAT32":
        name = graph.datatype.lower()
        try:
            return grid("uint1" if name == "binary" else "int2n" if name == "ternary" else name)
        except (FormatError, ProgramError):
            pass
    if np.dtype(graph.kind).kind in "ui":  # the type of the input itself, before any Cast
        return grid("bytes" if np.dtype(graph.kind).kind == "u" else "int8")
    if float(np.abs(raw.factor).max()) < 1 / 64:
        return grid("bytes")
    shape = raw.given_shape
    is_picture = len(shape) == 3 and shape[0] == shape[1] > 1
    return grid("unit" if is_picture else "int8")

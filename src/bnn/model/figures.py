# SPDX-License-Identifier: BSD-3-Clause
"""Figures of a program: output shape, operations and parameter bits of each operation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bnn._typing import assert_never
from bnn.program.inputs import Input, IntegerInput, PictureInput, RealInput
from bnn.program.operations import (
    INPUT,
    Add,
    ArgMax,
    Concat,
    Dot,
    Edge,
    Multiply,
    Op,
    Pool,
    Rescale,
    Scan,
    Threshold,
    Window,
)
from bnn.program.precision import BIPOLAR
from bnn.program.program import Program
from bnn.program.semantics import known_in

if TYPE_CHECKING:
    from bnn.model.model import Model

#: Numbers by channel that are shown one by one.
MAX_NUMBERS = 4


@dataclass(frozen=True)
class Row:
    """Figures of one operation.

    Attributes:
        name, kind: name and kind of the operation.
        shape: shape of the operation's result, (height, width, channels).
        precision: precision of the operation's result.
        weights: name of the weights' precision; "" if the operation has no weights.
        operations: number of operations per image, for a sequence per column. A multiply-add
            counts as two operations, as in the original's figures.
        parameter_bits: number of bits of all parameters: each weight has the bits of its
            precision, each threshold and bias the bits of its accumulator.
    """

    name: str
    kind: str
    shape: tuple[int, int, int]
    precision: str
    weights: str
    operations: int
    parameter_bits: int


def rows(program: Program) -> list[Row]:
    """Return a row for each operation, in order."""
    return [_row(op, program.edges) for op in program.ops]


def _row(op: Op, edges: Mapping[str, Edge]) -> Row:
    edge, source = edges[op.name], edges[op.source]
    positions = edge.shape[0] * edge.shape[1]
    operations = bits = 0
    weights = ""
    match op:
        case Window() | Concat() | ArgMax():
            pass
        case Scan():
            own = known_in(op, edges)
            inner = [_row(each, own) for each in op.body]
            operations = sum(row.operations for row in inner)
            bits = sum(row.parameter_bits for row in inner)
            weights = "/".join(dict.fromkeys(row.weights for row in inner if row.weights))
        case Dot():
            operations = 2 * positions * op.weights.size
            bits = op.weights.size * op.precision.bits
            bits += 0 if op.bias is None else op.bias.size * edge.precision.bits
            weights = op.precision.name
        case Threshold():
            operations = positions * op.thresholds.size
            bits = op.thresholds.size * source.precision.bits
        case Pool():
            operations = positions * edge.shape[2] * op.kernel[0] * op.kernel[1]
        case Add() | Multiply():
            operations = positions * edge.shape[2]
        case Rescale():
            operations = 2 * positions * edge.shape[2]
            bits = 32 * op.multipliers.size + (0 if op.offsets is None else 64 * op.offsets.size)
        case _:
            assert_never(op)
    kind = type(op).__name__.lower()
    return Row(op.name, kind, edge.shape, edge.precision.name, weights, operations, bits)


def input_text(given: Input, edge: Edge) -> str:
    """Return the input as a short text: shape, kind and precision."""
    shape = "x".join(map(str, given.shape))
    match given:
        case PictureInput():
            return f"{shape} 8-bit pictures, looked up as {edge.precision}"
        case IntegerInput():
            return f"{shape} integers, {edge.precision}"
        case RealInput():
            return f"{shape} real values, {_values_text(given)}, quantized to {edge.precision}"
    assert_never(given)


def takes_text(model: Model) -> str:
    """Return a text about the model's input; it has the user's name for the values if given."""
    told = model.provenance.get("input")
    text = input_text(model.program.input, model.program.edges[INPUT])
    return f"{text} ({told})" if isinstance(told, str) else text


def _values_text(given: RealInput) -> str:
    """Return a text with the range and the step of the input values.

    If they differ by channel, it has those of each channel.
    """
    scale, zero = (np.asarray(one, np.float64) for one in (given.scale, given.zero_point))
    step = 1 / scale if given.multiplied else scale
    if given.precision == BIPOLAR:
        return f"+1 from {_numbers(-zero * step)} upwards"
    low, high = ((end - zero) * step for end in (given.precision.low, given.precision.high))
    return f"from {_numbers(low)} to {_numbers(high)} in steps of {_numbers(step)}"


def _numbers(values: NDArray[np.float64]) -> str:
    """Return numbers per channel as text.

    If all are equal, it is one number. If there are at most four channels, it has all numbers;
    otherwise the lowest and the highest.
    """
    texts = [f"{value + 0.0:.6g}" for value in values.tolist()]
    if len(set(texts)) == 1:
        return texts[0]
    if len(texts) <= MAX_NUMBERS:
        return f"({', '.join(texts)} by channel)"
    return f"({values.min():.6g} .. {values.max():.6g} by channel)"


def as_json(model: Model) -> dict[str, Any]:
    """Return the model as plain JSON values.

    They are its name, classes, input, layers, totals, digest, calibration and provenance.
    """
    table = rows(model.program)
    return {
        "name": model.name,
        "classes": list(model.classes),
        "input": input_text(model.program.input, model.program.edges[INPUT]),
        "layers": [asdict(row) for row in table],
        "operations": sum(row.operations for row in table),
        "parameter_bytes": (sum(row.parameter_bits for row in table) + 7) // 8,
        "digest": model.program.digest(),
        "calibration": None if model.calibration is None else model.calibration.to_json(),
        "provenance": dict(model.provenance),
    }

# SPDX-License-Identifier: BSD-3-Clause
"""The program under construction: operations by name, in order, with their bounds."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from bnn._typing import assert_never
from bnn.lower.carried import Carried
from bnn.lower.codes import signed_bits, tightest
from bnn.network.network import Mask, MaxPool, Network, Shape
from bnn.program.check import dot_bounds
from bnn.program.inputs import Input
from bnn.program.operations import (
    INPUT,
    Add,
    ArgMax,
    Concat,
    Dot,
    Multiply,
    Op,
    Pool,
    Rescale,
    Scan,
    Threshold,
    Window,
)
from bnn.program.precision import INT, Precision


class Emitter:
    """The operations that were emitted so far.

    Attributes:
        ops: name -> operation, in order.
        names: name of each layer -> name of its operation, which is a unique identifier.
    """

    def __init__(self, network: Network) -> None:
        self.ops: dict[str, Op] = {}
        self.names = _identifiers(network)
        self._taken = set(self.names.values())
        self._numbers: dict[str, int] = {}
        self._read: dict[str, tuple[int, int]] = {}  # bounds of what each dot reads

    def put(self, op: Op) -> str:
        """Emit ``op``, or replace the operation that has its name; return the name."""
        self.ops[op.name] = op
        return op.name

    def unused(self, name: str) -> str:
        """Return ``name``; if an operation has it, ``name`` with a number, such as ``sum_2``."""
        first = name
        while name in self.ops or name in self._taken or name == INPUT:
            self._numbers[first] = self._numbers.get(first, 1) + 1
            name = f"{first}_{self._numbers[first]}"
        return name

    def dot(self, op: Dot, low: int, high: int) -> tuple[int, int]:
        """Emit or replace a dot, with the narrowest accumulator; return bounds of its sums.

        ``low`` and ``high`` are bounds of the edge that the dot reads.
        """
        lows, highs = dot_bounds(op.weights, op.bias, low, high)
        bounds = int(lows.min()), int(highs.max())
        self._read[op.name] = (low, high)
        self.put(replace(op, accumulator_bits=signed_bits(*bounds)))
        return bounds

    def precision(self, edge: str, given: Input) -> Precision:
        """Return the precision of the edge ``edge``; ``given`` describes the program's input."""
        if edge == INPUT:
            return given.precision
        op = self.ops[edge]
        match op:
            case Threshold() | Rescale() | Concat():
                return op.precision
            case Dot() | Add():
                return INT(op.accumulator_bits)
            case Window() | Pool():
                return self.precision(op.source, given)
            case ArgMax() | Multiply() | Scan():
                raise AssertionError(f"no {type(op).__name__} is emitted")
        assert_never(op)

    def is_own_dot(self, source: Carried) -> bool:
        """Whether the edge of ``source`` is a dot that no other layer reads."""
        return source.is_owned and isinstance(self.ops.get(source.edge), Dot)

    def own_dot(self, source: Carried) -> Carried:
        """Return ``source`` with a dot that no other layer reads; emit a copy of the dot if needed.

        If the edge of ``source`` is not a dot, return ``source`` unchanged.
        """
        op = self.ops.get(source.edge)
        if source.is_owned or not isinstance(op, Dot):
            return source
        name = self.unused(op.name)
        self.dot(replace(op, name=name), *self._read[op.name])
        return replace(source, edge=name, is_owned=True)

    def negatable(self, source: Carried) -> Mask:
        """Return (bool) which rows can be negated without wider weights.

        The rows are those of the dot of ``source``. If it is not a dot, or other layers read it,
        all are False.
        """
        op = self.ops.get(source.edge)
        if not source.is_owned or not isinstance(op, Dot):
            return np.zeros(source.shape[2], bool)
        return np.array([op.precision.allows(-row) for row in op.weights.astype(np.int64)])

    def negated(self, source: Carried, rows: Mask) -> Carried:
        """Negate ``rows`` (bool) of the dot of ``source``; return ``source`` with the new signs.

        The step of these rows is negated too, so the whole numbers do not change. The precision of
        the weights becomes wider if it must.
        """
        if not rows.any():
            return source
        op = self.ops[source.edge]
        assert isinstance(op, Dot)
        signs = np.where(rows, -1, 1)
        weights = op.weights * signs[:, None]
        precision = op.precision
        if not precision.allows(weights):
            precision = tightest([int(weights.min()), int(weights.max())], two_values=False)
        changed = replace(op, weights=weights, precision=precision)
        low, high = self.dot(changed, *self._read[op.name])
        return replace(source, low=low, high=high, step=source.step * signs)

    def with_base_as_bias(self, scores: Carried) -> Carried:
        """Move the base of ``scores`` into the bias of their dot; return ``scores`` with base 0.

        If this is not possible, return ``scores`` unchanged: they are not sums of a dot of their
        own, or a step is not 1.
        """
        op = self.ops.get(scores.edge)
        is_plain = isinstance(op, Dot) and scores.is_owned and (scores.step == 1).all()
        if not is_plain or not scores.base.any():
            return scores
        assert isinstance(op, Dot)
        low, high = self.dot(replace(op, bias=scores.base.astype(np.int32)), *self._read[op.name])
        return replace(scores, low=low, high=high, base=np.zeros_like(scores.base))

    def pool(self, layer: MaxPool, source: Carried, shape: Shape) -> Carried:
        """Emit a max pool of the edge of ``source``; return ``source`` with the new edge.

        ``shape``: shape of the new edge.
        """
        name = self.names[layer.name]
        name = self.unused(name) if name in self.ops else name
        self.put(Pool(name, source.edge, layer.kernel, layer.stride, layer.padding))
        return replace(source, edge=name, shape=shape)


def _identifiers(network: Network) -> dict[str, str]:
    names: dict[str, str] = {}
    taken = {INPUT}
    numbers: dict[str, int] = {}
    for layer in network.layers:
        name = re.sub(r"\W", "_", layer.name, flags=re.ASCII)
        name = name if name.isidentifier() else f"_{name}"
        first = name
        while name in taken:
            numbers[first] = numbers.get(first, 1) + 1
            name = f"{first}_{numbers[first]}"
        taken.add(name)
        names[layer.name] = name
    return names

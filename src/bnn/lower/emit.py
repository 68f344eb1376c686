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
    """Operations emitted so far.

    Attributes:
        ops: name -> operation, in order.
        names: layer name -> operation name: the layer's name as a unique identifier.
    """

    def __init__(self, network: Network) -> None:
        self.ops: dict[str, Op] = {}
        self.names = _identifiers(network)
        self._taken = set(self.names.values())
        self._numbers: dict[str, int] = {}
        self._read: dict[str, tuple[int, int]] = {}  # bounds of what each dot reads

    def put(self, op: Op) -> str:
        """Emit ``op``, or replace the operation of its name. Returns the name."""
        self.ops[op.name] = op
        return op.name

    def unused(self, name: str) -> str:
        """Return ``name``, with a number appended if it is taken."""
        first = name
        while name in self.ops or name in self._taken or name == INPUT:
            self._numbers[first] = self._numbers.get(first, 1) + 1
            name = f"{first}_{self._numbers[first]}"
        return name

    def dot(self, op: Dot, low: int, high: int) -> tuple[int, int]:
        """Emit or replace a dot, with the narrowest accumulator; returns bounds of its sums.

        ``low`` and ``high`` are bounds of the edge that it reads.
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
        """Whether the edge under ``source`` is a dot that no other layer reads."""
        return source.is_owned and isinstance(self.ops.get(source.edge), Dot)

    def own_dot(self, source: Carried) -> Carried:
        """Return ``source`` on a dot of its own: a copy, if other layers read the dot too."""
        op = self.ops.get(source.edge)
        if source.is_owned or not isinstance(op, Dot):
            return source
        name = self.unused(op.name)
        self.dot(replace(op, name=name), *self._read[op.name])
        return replace(source, edge=name, is_owned=True)

    def negatable(self, source: Carried) -> Mask:
        """Return rows (bool) of the dot under ``source`` whose negation needs no wider weights."""
        op = self.ops.get(source.edge)
        if not source.is_owned or not isinstance(op, Dot):
            return np.zeros(source.shape[2], bool)
        return np.array([op.precision.allows(-row) for row in op.weights.astype(np.int64)])

    def negated(self, source: Carried, rows: Mask) -> Carried:
        """Negate the dot's ``rows`` (bool), and return ``source`` with its step negated to match.

        The weights' precision grows where it must.
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
        """Return ``scores`` with base 0 after adding the base to their dot as bias, if possible."""
        op = self.ops.get(scores.edge)
        is_plain = isinstance(op, Dot) and scores.is_owned and (scores.step == 1).all()
        if not is_plain or not scores.base.any():
            return scores
        assert isinstance(op, Dot)
        low, high = self.dot(replace(op, bias=scores.base.astype(np.int32)), *self._read[op.name])
        return replace(scores, low=low, high=high, base=np.zeros_like(scores.base))

    def pool(self, layer: MaxPool, source: Carried, shape: Shape) -> Carried:
        """Emit a max pool of the edge under ``source``; its result has ``shape``."""
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

# SPDX-License-Identifier: BSD-3-Clause
"""The walk through a network that leaves a program behind, one rule a layer kind."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from bnn._typing import assert_never
from bnn.check import dot_bounds
from bnn.errors import NetworkError
from bnn.forward import head
from bnn.inputs import Input, PictureInput
from bnn.lower import pooling
from bnn.lower.carried import Carried
from bnn.lower.codes import Coding, coding, signed_bits, tightest
from bnn.lower.switching import switching_points
from bnn.network import (
    Activation,
    BatchNorm,
    Clip,
    Conv2d,
    Flatten,
    Integers,
    Layer,
    Linear,
    Mask,
    MaxPool,
    MultiThreshold,
    Network,
    Quantize,
    Scale,
    Sign,
    Weighted,
    accumulator_scale,
    whole_pad,
)
from bnn.network import Add as AddLayer
from bnn.program import INPUT, Add, Affine, Borders, Dot, Op, Pool, Program, Threshold, Window


@dataclass(frozen=True, eq=False)
class Lowered:
    """A program, and which of its edges holds which layer's whole numbers.

    Attributes:
        program: the program.
        carried: by layer name, of the quantized layers that the program holds: the
            layer's whole numbers are ``step * q + base`` of the edge's integers q.
    """

    program: Program
    carried: Mapping[str, Carried]


def trace(network: Network) -> Lowered:
    """Lower ``network`` and tell where its layers went; see :func:`bnn.lower.lower`."""
    return _Walk(network).finish()


class _Walk:
    """The operations emitted so far, by name and in order."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.readers = network.readers()
        self.ops: dict[str, Op] = {}
        self.reads: dict[str, tuple[int, int]] = {}  # bounds of what each dot reads
        self.names = _identifiers(network)
        self.input = self._input()
        self.carried: dict[str, Carried] = {INPUT: self._carried_input()}

    def finish(self) -> Lowered:
        for layer in self.network.layers:
            self.carried[layer.name] = self._layer(layer, self.carried[layer.source])
        last = head(self.network)
        scores = self._offset_into_bias(self._pooled(self.carried[last.layer]))
        affine = Affine(
            last.affine.scale * scores.step, last.affine.scale * scores.base + last.affine.offset
        )
        program = Program(self.input, tuple(self.ops.values()), scores.edge, affine=affine)
        held = {n: c for n, c in self.carried.items() if not (c.pending or c.is_owned)}
        return Lowered(program, held)

    def _layer(self, layer: Layer, source: Carried) -> Carried:
        match layer:
            case Conv2d() | Linear():
                return self._weighted(layer, self._codes(layer, source))
            case BatchNorm() | Scale() | Clip():
                return self._shared(layer, source.then(layer))
            case Sign() | Quantize() | MultiThreshold():
                return self._activation(layer, source)
            case MaxPool():
                pooled = source.then(layer)
                now = source.is_codes and not source.pending
                return self._pooled(pooled) if now else self._shared(layer, pooled)
            case AddLayer():
                return self._add(layer, source)
            case Flatten():
                return self._flatten(layer, source)
        assert_never(layer)

    # --- input -----------------------------------------------------------------------

    def _input(self) -> Input:
        """The network's input, its precision widened where a picture is padded with a new value."""
        given = self.network.input
        pads = [
            self._pad_code(INPUT, pad, self.network.lattice.step, self.network.lattice.base)
            for pad in self._pads(INPUT)
        ]
        if not isinstance(given, PictureInput) or all(map(given.precision.allows, pads)):
            return given
        values = [int(given.table.min()), int(given.table.max()), *pads]
        return replace(given, precision=tightest(values, two_values=False))

    def _carried_input(self) -> Carried:
        lattice, shape = self.network.lattice, self.network.signals[INPUT].shape
        precision = self.input.precision
        low, high = precision.low, precision.high
        if isinstance(self.input, PictureInput):
            low, high = int(self.input.table.min()), int(self.input.table.max())
        channels = np.ones(shape[2], np.int64)
        return Carried(
            INPUT,
            shape,
            low,
            high,
            lattice.step * channels,
            lattice.base * channels,
            np.full(1, lattice.scale, self.network.kind),
            is_codes=True,
        )

    # --- padding ---------------------------------------------------------------------

    def _pads(self, name: str) -> set[int]:
        """Pad values (whole numbers v) that readers want on the edge of layer ``name``."""
        pads: set[int] = set()
        for reader in self.readers[name]:
            if isinstance(reader, MaxPool):
                pads |= self._pads(reader.name)
            elif isinstance(reader, Conv2d) and any(reader.padding):
                pads.add(self._whole_pad(reader))
        return pads

    def _whole_pad(self, layer: Conv2d) -> int:
        scale = self.network.signals[layer.source].scale
        assert scale is not None
        return whole_pad(layer, scale)

    def _pad_code(self, name: str, pad: int, step: int, base: int) -> int:
        code, rest = divmod(pad - base, step)
        if rest:
            raise NetworkError(f"{name}: the pad value of its reader lies between its values")
        return code

    # --- dots ------------------------------------------------------------------------

    def _codes(self, layer: Layer, source: Carried) -> Carried:
        """``source`` with its pools done, readable by a window or dot."""
        pooled = self._pooled(source)
        if pooled.pending:
            raise NetworkError(f"{layer.name}: reads real values; an activation must stand before")
        return pooled

    def _weighted(self, layer: Weighted, source: Carried) -> Carried:
        name = self.names[layer.name]
        edge, taps = source.edge, 1
        low, high = source.low, source.high
        if isinstance(layer, Conv2d):
            kernel = (int(layer.weights.shape[1]), int(layer.weights.shape[2]))
            taps = kernel[0] * kernel[1]
            if (kernel, layer.stride) != ((1, 1), (1, 1)) or any(layer.padding):
                edge = self._window(layer, source, kernel)
                window = self.ops[edge]
                assert isinstance(window, Window)
                if any(layer.padding):
                    low, high = min(low, window.pad_value), max(high, window.pad_value)
        rows = layer.weights.reshape(len(layer.weights), -1).astype(np.int64)
        unit = int(abs(source.step[0]))
        weights = rows * np.tile(np.sign(source.step), taps)
        base = rows @ np.tile(source.base, taps)
        low, high = self._dot(Dot(name, edge, weights, layer.precision), low, high)
        shape = self.network.signals[layer.name].shape
        source_scale = self.network.signals[layer.source].scale
        assert source_scale is not None
        made = Carried(
            name,
            shape,
            low,
            high,
            np.full(len(rows), unit),
            base,
            accumulator_scale(layer, source_scale, self.network.kind),
            is_owned=True,
        )
        if layer.bias is not None:
            made = made.then(Scale(layer.name, offset=layer.bias))
        return self._shared(layer, made)

    def _window(self, layer: Conv2d, source: Carried, kernel: tuple[int, int]) -> str:
        pad = 0
        if any(layer.padding):
            wanted = self._whole_pad(layer)
            pad = self._pad_code(layer.name, wanted, int(source.step[0]), int(source.base[0]))
        name = self._unused(f"{self.names[layer.name]}_window")
        self.ops[name] = Window(name, source.edge, kernel, layer.stride, layer.padding, pad)
        return name

    def _dot(self, op: Dot, low: int, high: int) -> tuple[int, int]:
        """Emit (or replace) a dot with as narrow an accumulator as can be; its bounds."""
        least, most = dot_bounds(op.weights, op.bias, low, high)
        bounds = int(least.min()), int(most.max())
        self.reads[op.name] = (low, high)
        self.ops[op.name] = replace(op, accumulator_bits=signed_bits(*bounds))
        return bounds

    def _negate(self, source: Carried, rows: Mask) -> Carried:
        """``source`` with the dot's ``rows`` (bool) negated, and what that means for v.

        The weights' precision grows where it must.
        """
        op = self.ops[source.edge]
        assert isinstance(op, Dot)
        signs = np.where(rows, -1, 1)
        weights = op.weights * signs[:, None]
        precision = op.precision
        if not precision.allows(weights):
            precision = tightest([int(weights.min()), int(weights.max())], two_values=False)
        negated = replace(op, weights=weights, precision=precision)
        low, high = self._dot(negated, *self.reads[op.name])
        return replace(source, low=low, high=high, step=source.step * signs)

    def _negatable(self, source: Carried) -> Mask:
        """Rows (bool) of the dot under ``source`` whose negation needs no wider weights."""
        op = self.ops.get(source.edge)
        if not source.is_owned or not isinstance(op, Dot):
            return np.zeros(source.shape[2], bool)
        return np.array([op.precision.allows(-row) for row in op.weights.astype(np.int64)])

    def _offset_into_bias(self, scores: Carried) -> Carried:
        """Whole scores v themselves, where a bias of the last dot can make them so."""
        op = self.ops.get(scores.edge)
        if not isinstance(op, Dot) or not scores.is_owned or (scores.step != 1).any():
            return scores
        if not scores.base.any():
            return scores
        biased = replace(op, bias=scores.base.astype(np.int32))
        self._dot(biased, *self.reads[op.name])
        return replace(scores, base=np.zeros_like(scores.base))

    # --- activations and pools -------------------------------------------------------

    def _activation(self, layer: Activation, source: Carried) -> Carried:
        code = coding(layer, self._pads(layer.name))
        plan = pooling.plan(layer.name, source, self._can_mirror(layer))
        if plan.pool_first:
            source = self._pool_sums(source, plan.negate)
        levels = self._threshold(layer, source, code, plan.mirror)
        for pool in source.pools:
            levels = self._pool(pool, levels)
        return levels

    def _threshold(self, layer: Activation, source: Carried, code: Coding, mirror: Mask) -> Carried:
        """The threshold, with levels counted downwards where ``mirror`` (bool)."""
        rises = np.prod(source.directions(), axis=0) * np.where(mirror, -1, 1)
        negate = (rises < 0) & self._negatable(source)
        if negate.any():
            source = self._negate(source, negate)
            rises = np.where(negate, 1, rises)
        bare = source.without_pools()

        def level(q: Integers) -> Integers:
            climbed = layer.level(bare.real(q))
            return np.where(mirror, layer.levels - climbed, climbed)

        points = switching_points(layer.name, level, layer.levels, source.low, source.high, rises)
        name = self.names[layer.name]
        signs = rises.astype(np.int8) if (rises < 0).any() else None
        self.ops[name] = Threshold(
            name, source.edge, points.astype(np.int32), code.precision, code.base, code.step, signs
        )
        ends = (code.base, code.base + code.step * layer.levels)
        return Carried(
            name,
            source.shape,
            min(ends),
            max(ends),
            np.where(mirror, -code.unit, code.unit),
            np.where(mirror, code.unit * sum(ends) + code.shift, code.shift),
            np.full(1, layer.scale, self.network.kind),
            is_codes=True,
        )

    def _can_mirror(self, layer: Activation) -> bool:
        """Whether every reader can negate its weights for channels whose values are mirrored."""
        symmetric = 2 * layer.base + layer.step * layer.levels == 0
        readers = self._dots_reading(layer.name)
        return bool(readers) and all(
            isinstance(reader, Conv2d | Linear)
            and reader.precision.allows(-reader.weights.astype(np.int64))
            and not (
                isinstance(reader, Conv2d)
                and any(reader.padding)
                and not (symmetric and self._whole_pad(reader) == 0)
            )
            for reader in readers
        )

    def _dots_reading(self, name: str) -> list[Layer]:
        found: list[Layer] = []
        for reader in self.readers[name]:
            found += self._dots_reading(reader.name) if isinstance(reader, Flatten) else [reader]
        return found

    def _pool_sums(self, source: Carried, negate: Mask) -> Carried:
        """Pools on the accumulators themselves, rows negated first where sums must be mirrored."""
        if negate.any() and not source.is_owned:
            raise NetworkError(f"{source.pools[0].name}: pools falling values of shared sums")
        if negate.any():
            source = self._negate(source, negate)
        pools, pooled = source.pools, source.without_pools()
        for pool in pools:
            pooled = self._pool(pool, pooled)
        return replace(pooled, is_owned=False)

    def _pooled(self, source: Carried) -> Carried:
        """``source`` with its pending pools done, for a reader of whole numbers."""
        if not source.pools:
            return source
        first = source.directions()[0]
        if len(source.pending) > len(source.pools):
            raise NetworkError(f"{source.pools[0].name}: pools real values that no activation ends")
        return self._pool_sums(source, first < 0)

    def _pool(self, pool: MaxPool, source: Carried) -> Carried:
        name = self.names[pool.name]
        if name in self.ops:
            name = self._unused(name)
        self.ops[name] = Pool(name, source.edge, pool.kernel, pool.stride, pool.padding)
        return replace(source, edge=name, shape=self.network.signals[pool.name].shape)

    # --- adding, flattening, fan-out --------------------------------------------------

    def _add(self, layer: AddLayer, source: Carried) -> Carried:
        one, two = self._pooled(source), self._pooled(self.carried[layer.other])
        if (one.step != two.step).any():
            raise NetworkError(f"{layer.name}: adds maps whose integers differ in unit")
        low, high = one.low + two.low, one.high + two.high
        name = self.names[layer.name]
        self.ops[name] = Add(name, one.edge, two.edge, signed_bits(low, high))
        return Carried(
            name, one.shape, low, high, one.step, one.base + two.base, one.scale, is_codes=False
        )

    def _flatten(self, layer: Flatten, source: Carried) -> Carried:
        height, width, channels = self.network.signals[layer.source].shape
        if (height, width) == (1, 1):
            return self._shared(layer, source)
        source = self._codes(layer, source)
        name, whole = self.names[layer.name], (height, width)
        borders: Borders = (0, 0, 0, 0)
        self.ops[name] = Window(name, source.edge, whole, (1, 1), borders)
        taps = height * width
        return replace(
            source,
            edge=name,
            shape=(1, 1, taps * channels),
            step=np.tile(source.step, taps),
            base=np.tile(source.base, taps),
        )

    def _shared(self, layer: Layer, made: Carried) -> Carried:
        """``made``, no longer owned when several layers read it."""
        return replace(made, is_owned=made.is_owned and len(self.readers[layer.name]) <= 1)

    def _unused(self, name: str) -> str:
        while name in self.ops or name in self.names.values() or name == INPUT:
            name += "_"
        return name


def _identifiers(network: Network) -> dict[str, str]:
    """An operation name for each layer: its own, made an identifier, made unique."""
    names: dict[str, str] = {}
    taken = {INPUT}
    for layer in network.layers:
        name = re.sub(r"\W", "_", layer.name, flags=re.ASCII)
        name = name if name.isidentifier() else f"_{name}"
        while name in taken:
            name += "_"
        taken.add(name)
        names[layer.name] = name
    return names

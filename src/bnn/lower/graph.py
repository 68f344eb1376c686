# SPDX-License-Identifier: BSD-3-Clause
"""Lower a network layer by layer, with one rule for each kind of layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from bnn._typing import assert_never
from bnn.errors import NetworkError
from bnn.lower import pooling
from bnn.lower.carried import Carried
from bnn.lower.codes import Coding, coding, signed_bits, tightest
from bnn.lower.emit import Emitter
from bnn.lower.switching import switching_points
from bnn.network.arithmetic import accumulator_scale, whole_pad
from bnn.network.forward import head, rescaling
from bnn.network.network import (
    Activation,
    BatchNorm,
    Clip,
    Conv2d,
    FixedPoint,
    Flatten,
    Integers,
    Layer,
    Leaky,
    Linear,
    Mask,
    MaxPool,
    MultiThreshold,
    Network,
    Quantize,
    RealDense,
    Scale,
    Shape,
    Sign,
    Weighted,
    common,
)
from bnn.network.network import Add as AddLayer
from bnn.network.network import Concat as ConcatLayer
from bnn.program.check import rescale_bounds
from bnn.program.grouping import found_groups, grouped_weights
from bnn.program.inputs import Input, PictureInput
from bnn.program.operations import INPUT, Add, Affine, Concat, Dot, Rescale, Threshold, Window
from bnn.program.precision import BIPOLAR, INT, TERNARY
from bnn.program.program import Program


@dataclass(frozen=True, eq=False)
class Lowered:
    """A program, and which of its edges has the whole numbers of which layer.

    Attributes:
        program: the program.
        carried: name of each quantized layer that has an edge in the program -> this edge: the
            layer's whole numbers are ``step * q + base`` for the edge's integers q.
    """

    program: Program
    carried: Mapping[str, Carried]


def trace(network: Network) -> Lowered:
    """Lower ``network``; return the program, and which edge belongs to which layer.

    Errors are those of :func:`bnn.lower.lower`.
    """
    return _Walk(network).finish()


class _Walk:
    """Lowers the layers in order, with one rule for each kind of layer.

    ``carried`` has the result of each layer that was lowered, by name.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.readers = network.readers()
        self.emit = Emitter(network)
        self.input = self._input()
        self.carried: dict[str, Carried] = {INPUT: self._carried_input()}

    def finish(self) -> Lowered:
        for layer in self.network.layers:
            self.carried[layer.name] = self._layer(layer, self.carried[layer.source])
        last = head(self.network)
        scores = self.emit.with_base_as_bias(self._pooled(self.carried[last.layer]))
        scale, offset = last.affine.scale, last.affine.offset
        affine = Affine(scale * scores.step, scale * scores.base + offset, last.affine.dense)
        program = Program(self.input, tuple(self.emit.ops.values()), scores.edge, affine=affine)
        held = {
            name: carried
            for name, carried in self.carried.items()
            if self.network.signals[name].scale is not None
            and not carried.pending
            and not self.emit.is_own_dot(carried)
        }
        return Lowered(program, held)

    def _layer(self, layer: Layer, source: Carried) -> Carried:
        match layer:
            case Conv2d() | Linear():
                return self._weighted(layer, self._codes(layer, source))
            case BatchNorm() | Scale() | Clip() | Leaky():
                return self._shared(layer, source.then(layer))
            case Sign() | Quantize() | MultiThreshold():
                return self._activation(layer, source)
            case MaxPool():
                pooled = source.then(layer)
                now = source.is_codes and not source.pending
                return self._pooled(pooled) if now else self._shared(layer, pooled)
            case AddLayer():
                return self._add(layer, source)
            case ConcatLayer():
                return self._concat(layer, source)
            case Flatten():
                return self._flatten(layer, source)
            case FixedPoint():
                return self._fixed(layer, source)
            case RealDense():
                return source  # the host's, as head() composes it
        assert_never(layer)

    def _shared(self, layer: Layer, made: Carried) -> Carried:
        """Return ``made``, not owned any more if several layers read ``layer``."""
        return replace(made, is_owned=made.is_owned and len(self.readers[layer.name]) <= 1)

    def _shape(self, layer: Layer) -> Shape:
        return self.network.signals[layer.name].shape

    # --- input and padding -----------------------------------------------------------

    def _input(self) -> Input:
        """Return the program's input: the network's, with a precision that has all pad values."""
        given, lattice = self.network.input, self.network.lattice
        pads = [_code(INPUT, pad, lattice.step, lattice.base) for pad in self._pads(INPUT)]
        if not isinstance(given, PictureInput) or all(map(given.precision.allows, pads)):
            return given
        values = [int(given.table.min()), int(given.table.max()), *pads]
        return replace(given, precision=tightest(values, two_values=False))

    def _carried_input(self) -> Carried:
        lattice, shape = self.network.lattice, self.network.signals[INPUT].shape
        channels = np.ones(shape[2], np.int64)
        return Carried(
            INPUT,
            shape,
            self.input.precision.low,
            self.input.precision.high,
            lattice.step * channels,
            lattice.base * channels,
            np.full(1, lattice.scale, self.network.dtype),
            reals=(lattice, self.network.input.precision.low),
            is_codes=True,
            is_owned=len(self.readers[INPUT]) == 1,
        )

    def _pads(self, name: str) -> set[int]:
        """Return the pad values (whole numbers v) of convolutions that read the layer ``name``.

        They may read it directly or after max pools and concatenations.
        """
        pads: set[int] = set()
        for reader in self.readers[name]:
            match reader:
                case MaxPool() | ConcatLayer():
                    pads |= self._pads(reader.name)
                case Conv2d():
                    pads |= {self._whole_pad(reader)} if any(reader.padding) else set()
                case Linear() | RealDense() | BatchNorm() | Scale() | Clip() | Leaky():
                    pass
                case Sign() | Quantize() | MultiThreshold() | FixedPoint() | AddLayer() | Flatten():
                    pass
                case _:
                    assert_never(reader)
        return pads

    def _whole_pad(self, layer: Conv2d) -> int:
        return whole_pad(layer, self.network.source_scale(layer))

    # --- sums ------------------------------------------------------------------------

    def _codes(self, layer: Layer, source: Carried) -> Carried:
        """Return ``source`` after emitting its max pools: integers that a dot can read.

        Raises:
            NetworkError: the layer ``layer`` reads real values.
        """
        pooled = self._pooled(source)
        if pooled.pending:
            raise NetworkError(f"{layer.name}: reads real values; put an activation before it")
        return pooled

    def _weighted(self, layer: Weighted, source: Carried) -> Carried:
        match layer:
            case Conv2d():
                edge, low, high = self._window(layer, source)
            case Linear():
                edge, low, high = source.edge, source.low, source.high
            case _:
                assert_never(layer)
        rows = layer.weights.reshape(len(layer.weights), -1).astype(np.int64)
        taps = rows.shape[1] // source.shape[2]
        unit = int(np.gcd.reduce(source.step))
        weights = rows * np.tile(source.step // unit, taps)
        precision = layer.precision
        if not precision.allows(weights):
            precision = tightest([int(weights.min()), int(weights.max())], two_values=False)
        name = self.emit.names[layer.name]
        op = Dot(name, edge, weights, precision)
        if isinstance(layer, Conv2d):
            op = _in_groups(op, taps)
        low, high = self.emit.dot(op, low, high)
        made = Carried(
            name,
            self._shape(layer),
            low,
            high,
            np.full(len(rows), unit),
            rows @ np.tile(source.base, taps),
            accumulator_scale(layer, self.network.source_scale(layer), self.network.dtype),
            is_owned=True,
        )
        if layer.bias is not None:
            made = made.then(Scale(layer.name, offset=layer.bias))
        return self._shared(layer, made)

    def _window(self, layer: Conv2d, source: Carried) -> tuple[str, int, int]:
        """Return the edge that the dot of ``layer`` reads, and the bounds of this edge.

        A window is emitted for the patches. A 1x1 kernel with stride 1 without padding needs no
        window: then the edge is that of ``source``.
        """
        kernel = (int(layer.weights.shape[1]), int(layer.weights.shape[2]))
        low, high = source.low, source.high
        if (kernel, layer.stride) == ((1, 1), (1, 1)) and not any(layer.padding):
            return source.edge, low, high
        pad = 0
        if any(layer.padding):
            value = self._whole_pad(layer)
            pairs = zip(source.step.tolist(), source.base.tolist(), strict=True)
            pad, *others = {_code(layer.name, value, step, base) for step, base in pairs}
            if others:
                raise NetworkError(f"{layer.name}: its pad value differs from channel to channel")
            low, high = min(low, pad), max(high, pad)
        name = self.emit.unused(f"{self.emit.names[layer.name]}_window")
        self.emit.put(Window(name, source.edge, kernel, layer.stride, layer.padding, pad))
        return name, low, high

    # --- activations and pools -------------------------------------------------------

    def _activation(self, layer: Activation, source: Carried) -> Carried:
        code = coding(layer, self._pads(layer.name))
        table = self._into_table(layer, source, code)
        if table is not None:
            return table
        plan = pooling.plan(layer.name, source, self._can_mirror(layer))
        if plan.pool_first:
            source = self._pool_sums(source, plan.negate)
        levels = self._threshold(layer, source, code, plan.mirror)
        for pool in source.pools:
            levels = self.emit.pool(pool, levels, self._shape(pool))
        return levels

    def _into_table(self, layer: Activation, source: Carried, code: Coding) -> Carried | None:
        """Put the activation into the table of the picture input; return its result.

        Return None if this is not possible: another layer reads the input, a max pool is before the
        activation, or channels have different values.
        """
        given = self.input
        is_whole = source.edge == INPUT and source.is_owned and not source.pools
        if not is_whole or not isinstance(given, PictureInput):
            return None
        levels = layer.level(source.real(np.tile(given.table[:, None], source.shape[2])))
        if (levels != levels[:, :1]).any():
            return None
        table = (code.base + code.step * levels[:, 0]).astype(np.int16)
        self.input = replace(given, table=table, precision=code.precision)
        del self.carried[INPUT]  # the input edge now holds this activation
        return Carried(
            INPUT,
            source.shape,
            code.precision.low,
            code.precision.high,
            np.full_like(source.step, code.unit),
            np.full_like(source.base, code.shift),
            np.full(1, layer.scale, self.network.dtype),
            is_codes=True,
        )

    def _threshold(self, layer: Activation, source: Carried, code: Coding, mirror: Mask) -> Carried:
        """Emit the threshold of ``layer`` and return its result.

        In channels with ``mirror`` (bool), levels are counted downwards from the highest.
        """
        rises = np.prod(source.directions(), axis=0) * np.where(mirror, -1, 1)
        negate = (rises < 0) & self.emit.negatable(source)
        source = self.emit.negated(source, negate)
        rises = np.where(negate, 1, rises)

        def level(q: Integers) -> Integers:
            climbed = layer.level(source.real(q))
            return np.where(mirror, layer.levels - climbed, climbed)

        points = switching_points(layer.name, level, layer.levels, source.low, source.high, rises)
        op = Threshold(
            self.emit.names[layer.name],
            source.edge,
            points.astype(np.int32),
            code.precision,
            code.base,
            code.step,
            rises.astype(np.int8) if (rises < 0).any() else None,
        )
        ends = (code.base, code.base + code.step * layer.levels)
        return Carried(
            self.emit.put(op),
            source.shape,
            min(ends),
            max(ends),
            np.where(mirror, -code.unit, code.unit),
            np.where(mirror, code.unit * sum(ends) + code.shift, code.shift),
            np.full(1, layer.scale, self.network.dtype),
            is_codes=True,
        )

    def _can_mirror(self, layer: Activation) -> bool:
        """Whether the levels of ``layer`` may be counted downwards: all readers can undo it.

        A reader does this by negating its weights for these channels.
        """
        symmetric = 2 * layer.base + layer.step * layer.levels == 0
        readers = self._past_flattening(layer.name)
        return bool(readers) and all(self._can_undo(reader, symmetric) for reader in readers)

    def _can_undo(self, reader: Layer, symmetric: bool) -> bool:
        """Whether ``reader`` can undo mirrored levels by negating weights.

        Its padding must not change: ``symmetric`` levels, which are the same after mirroring, and
        pad value 0, or no padding.
        """
        match reader:
            case Conv2d():
                pads_zero = symmetric and reader.pad_value == 0
                return (pads_zero or not any(reader.padding)) and _is_negatable(reader)
            case Linear():
                return _is_negatable(reader)
            case BatchNorm() | Scale() | Clip() | Leaky() | MaxPool() | AddLayer() | Flatten():
                return False
            case (
                Sign() | Quantize() | MultiThreshold() | ConcatLayer() | RealDense() | FixedPoint()
            ):
                return False
        assert_never(reader)

    def _past_flattening(self, name: str) -> list[Layer]:
        """Return the layers that read the layer ``name``, directly or after a flattening."""
        found: list[Layer] = []
        for reader in self.readers[name]:
            flat = isinstance(reader, Flatten)
            found += self._past_flattening(reader.name) if flat else [reader]
        return found

    def _pool_sums(self, source: Carried, negate: Mask) -> Carried:
        """Emit the max pools of ``source`` on the sums of its dot; return their result.

        The rows ``negate`` (bool) of the dot are negated before.
        """
        source = self.emit.own_dot(source) if negate.any() else source
        if negate.any() and not self.emit.is_own_dot(source):
            raise NetworkError(
                f"{source.pools[0].name}: pools values that fall as the integers before it rise, "
                "and these are not sums of one layer; put an activation before it"
            )
        source = self.emit.negated(source, negate)
        pooled = source.without_pools()
        for pool in source.pools:
            pooled = self.emit.pool(pool, pooled, self._shape(pool))
        return replace(pooled, is_owned=False)

    def _pooled(self, source: Carried) -> Carried:
        """Return ``source`` after emitting its pending max pools, for a layer that reads integers.

        Raises:
            NetworkError: a real-valued layer is pending together with the max pools.
        """
        if not source.pools:
            return source
        if len(source.pending) > len(source.pools):
            raise NetworkError(
                f"{source.pools[0].name}: pools real values; put an activation before or after it"
            )
        return self._pool_sums(source, source.directions()[0] < 0)

    # --- adding and flattening --------------------------------------------------------

    def _add(self, layer: AddLayer, source: Carried) -> Carried:
        one, two = self._pooled(source), self._pooled(self.carried[layer.other])
        scales = [self.network.signals[name].scale for name in (layer.source, layer.other)]
        by = common(layer, *scales)  # type: ignore[arg-type]  # both are quantized
        steps = [by.one * one.step, by.two * two.step]
        unit = int(np.gcd.reduce(np.concatenate(steps)))
        base = by.one * one.base + by.two * two.base
        if not (steps[0] == steps[1]).all():
            one, two = (
                self._multiplied(layer.name, part, step // unit)
                for part, step in zip((one, two), steps, strict=True)
            )
            steps = [np.full_like(step, unit) for step in steps]
        low, high = one.low + two.low, one.high + two.high
        op = Add(self.emit.names[layer.name], one.edge, two.edge, signed_bits(low, high))
        edge = self.emit.put(op)
        scale = np.full(1, by.unit, self.network.dtype)
        return Carried(edge, one.shape, low, high, steps[0], base, scale)

    def _multiplied(self, name: str, source: Carried, by: Integers) -> Carried:
        """Emit a rescale that multiplies the integers of ``source`` by ``by`` (channels,).

        Return the result; if all of ``by`` are 1, return ``source``.
        """
        if (by == 1).all():
            return source
        ends = np.outer([source.low, source.high], by)
        low, high = int(ends.min()), int(ends.max())
        name = self.emit.unused(f"{self.emit.names[name]}_unit")
        op = Rescale(name, source.edge, by, 0, INT(signed_bits(low, high)), low, high)
        return replace(source, edge=self.emit.put(op), low=low, high=high, is_owned=False)

    def _fixed(self, layer: FixedPoint, source: Carried) -> Carried:
        """Emit a rescale of the integers q of ``source`` that computes ``layer``.

        ``layer`` is defined for the whole numbers ``step * q + base``.
        """
        source = self._pooled(source)
        by = replace(
            layer,
            multipliers=layer.multipliers * source.step,
            offsets=layer.offsets + layer.multipliers * source.base,
        )
        op = rescaling(by, self.emit.names[layer.name], source.edge)
        low, high = rescale_bounds(op, source.low, source.high)
        return Carried(
            self.emit.put(op),
            source.shape,
            low,
            high,
            np.ones_like(source.step),
            np.zeros_like(source.base),
            np.full(1, layer.scale, self.network.dtype),
        )

    def _concat(self, layer: ConcatLayer, source: Carried) -> Carried:
        one, two = self._codes(layer, source), self._codes(layer, self.carried[layer.other])
        precisions = [self.emit.precision(part.edge, self.input) for part in (one, two)]
        low, high = min(one.low, two.low), max(one.high, two.high)
        # Both precisions have codes for the pad values of the readers already.
        precision = precisions[0]
        if precision != precisions[1]:
            kept = [p for p in precisions if p != BIPOLAR and p.covers(low, high)]
            precision = kept[0] if kept else tightest([low, high], two_values=False)
        name = self.emit.names[layer.name]
        return Carried(
            self.emit.put(Concat(name, one.edge, two.edge, precision)),
            self._shape(layer),
            low,
            high,
            np.concatenate([one.step, two.step]),
            np.concatenate([one.base, two.base]),
            one.scale,
            is_codes=one.is_codes and two.is_codes,
        )

    def _flatten(self, layer: Flatten, source: Carried) -> Carried:
        height, width, _ = self.network.signals[layer.source].shape
        taps = height * width
        if taps == 1:
            return self._shared(layer, source)
        source = self._codes(layer, source)
        name = self.emit.names[layer.name]
        return replace(
            source,
            edge=self.emit.put(Window(name, source.edge, (height, width))),
            shape=self._shape(layer),
            step=np.tile(source.step, taps),
            base=np.tile(source.base, taps),
        )


def _is_negatable(layer: Weighted) -> bool:
    return layer.precision.allows(-layer.weights.astype(np.int64))


def _in_groups(op: Dot, positions: int) -> Dot:
    """Return the dot of a convolution with as many groups as its zeros allow; equal sums.

    Weights that were ternary only because of these zeros become -1 and +1 again.
    """
    parts = op.weights.reshape(len(op.weights), positions, -1)
    groups = found_groups(parts)
    if groups == 1:
        return op
    weights = grouped_weights(parts, groups)
    narrow = op.precision == TERNARY and BIPOLAR.allows(weights)
    return replace(
        op,
        weights=weights,
        precision=BIPOLAR if narrow else op.precision,
        groups=groups,
        positions=positions,
    )


def _code(name: str, pad: int, step: int, base: int) -> int:
    """Return the integer q for which ``step * q + base`` is ``pad``; NetworkError if none is."""
    code, rest = divmod(pad - base, step)
    if rest:
        raise NetworkError(f"{name}: the next convolution's pad value must be one of its values")
    return code

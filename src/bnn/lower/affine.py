# SPDX-License-Identifier: BSD-3-Clause
"""Rewrite layers that read affine functions of integers, so that they read the integers.

A convolution or dense layer reads quantized maps only. But networks can have a bias, a batch norm
or a division between two sums: for example between a convolution and an average pool, between two
dense layers, or in a branch before an addition. The second sum then reads an affine function ``f *
v + o`` of integers v, with f and o per channel. Such a function can be moved after the second sum;
in real numbers this is exact:

========================================  ====================================================
layer that reads ``f * v + o``            becomes
========================================  ====================================================
a sum over channels, all f equal          the sum of v; f goes into the scale, o into the bias
the same, all f multiples of one unit     the sum of v; each weight is multiplied by f / unit
a sum of each channel alone (an average)  the sum of v; f and o of the channel follow it
an average of a convolution's sums        one convolution with a larger kernel
an addition, scales with a common unit    the sum of both v; the offsets follow it
a flattening                              the flattened v; f and o follow it
a layer that reads joined channels        the layer for each part; its results are joined
========================================  ====================================================

All other real values that a sum reads are put in fixed point
(:class:`~bnn.network.layers.FixedPoint`): for example values whose scales have no common unit, or
clipped values before an average. Each value is rounded once; it gets as many fraction bits as sums
of 32 bits allow. Such a network is *approximate*; :attr:`Rewritten.approximate` names the layers
and their fraction bits.

Frameworks round the result of each step to float32; moving a function after a sum changes which
steps are rounded. So the last bits of a real value may differ from the framework's
(docs/converting.md). Layers that read integers are not changed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.errors import NetworkError
from bnn.lower.codes import tightest
from bnn.lower.limbs import Part, halves, parts, whole_weights
from bnn.network.arithmetic import real_layer, slope, units, vector, whole_pad
from bnn.network.layers import (
    Add,
    BatchNorm,
    Clip,
    Concat,
    Conv2d,
    FixedPoint,
    Flatten,
    Lattice,
    Layer,
    Leaky,
    Linear,
    MaxPool,
    MultiThreshold,
    Quantize,
    Scale,
    Sign,
    Weighted,
    is_real,
    used_layers,
    with_sources,
)
from bnn.network.network import Signal, common, signal_of
from bnn.program.check import dot_bounds
from bnn.program.inputs import Input
from bnn.program.operations import INPUT
from bnn.program.precision import Precision

Vector = NDArray[np.float64]
#: Layers that act on each channel alone.
_EACH = BatchNorm | Scale | Clip | Leaky | Sign | Quantize | MultiThreshold | MaxPool
#: Bits of values in fixed point, of sums of such values, and of the factors in a rescale.
_FIXED_BITS, _SUM_BITS, _FACTOR_BITS = 28, 30, 26
#: Bits of sums of real weights.
_FIXED_SUM_BITS = 29
_UNQUANTIZED = "its weights are not quantized (no small integers times a scale)"
#: Largest multiple of a unit that may become a factor of weights.
_MAX_MULTIPLE = 1 << 12
#: Most weights of a convolution that includes an average; most positions of the average.
_MAX_WEIGHTS, _MAX_TAPS = 1 << 24, 1 << 14


@dataclass(frozen=True, eq=False)
class _Form:
    """A layer whose real values are an affine function of another layer's.

    They are ``factor * x + offset``, where x are the real values of the quantized layer ``base``.

    Attributes:
        base: name of the quantized layer.
        factor, offset: float64, (1,) or (channels,).
    """

    base: str
    factor: Vector
    offset: Vector

    @property
    def one_factor(self) -> float | None:
        """The factor, if all channels have the same; else None."""
        return float(self.factor[0]) if (self.factor == self.factor[0]).all() else None


@dataclass(frozen=True)
class Rewritten:
    """The result of :func:`reading_integers`.

    Attributes:
        layers: the layers in order.
        approximate: a line of text for each layer that is approximate; empty if all are exact.
    """

    layers: tuple[Layer, ...]
    approximate: tuple[str, ...] = ()


def reading_integers(
    given: Input, lattice: Lattice, layers: Sequence[Layer], dtype: Any = np.float32
) -> Rewritten:
    """Return ``layers``, in which every convolution and dense layer reads integers.

    Layers that read an affine function of integers, or other real values, are rewritten as this
    module says.

    Args:
        given: the network's input.
        lattice: the real values of the input's integers.
        layers: the layers in order, as :class:`~bnn.network.network.Network` takes them.
        dtype: NumPy type of the network's arithmetic.

    Raises:
        NetworkError: weights are not quantized, and the layer cannot be put in fixed point.
    """
    _check_quantized(layers)
    walk = _Walk(given, lattice, dtype, {layer.name for layer in layers})
    for layer in with_sources(layers):
        walk.layer(layer)
    return Rewritten(walk.kept(), tuple(walk.approximate))


def _check_quantized(layers: Sequence[Layer]) -> None:
    """Refuse a network with real weights in which nothing is quantized."""
    real = [layer for layer in layers if isinstance(layer, Conv2d | Linear) and is_real(layer)]
    quantized = any(
        isinstance(layer, Sign | Quantize | MultiThreshold)
        or (isinstance(layer, Conv2d | Linear) and not is_real(layer) and not _is_average(layer))
        for layer in layers
    )
    if real and not quantized:
        raise NetworkError(
            f"{real[0].name}: {_UNQUANTIZED}, and nothing in the file says how to quantize them"
        )


def _is_average(layer: Weighted) -> bool:
    return isinstance(layer, Conv2d) and _is_diagonal(layer.weights)


class _Walk:
    """The layers that were added so far, with signals, bounds and affine forms, by name."""

    def __init__(self, given: Input, lattice: Lattice, dtype: Any, names: set[str]) -> None:
        shape = given.shape if len(given.shape) == 3 else (1, 1, *given.shape)
        height, width, channels = shape
        self.dtype = dtype
        self.names = {INPUT, *names}  # also those of layers that are still to come
        self.signals = {INPUT: Signal((height, width, channels), lattice.scale)}
        ends = [
            lattice.step * q + lattice.base for q in (given.precision.low, given.precision.high)
        ]
        self.bounds = {INPUT: (min(ends), max(ends))}  # of the whole numbers of quantized layers
        self.approximate: list[str] = []
        self.layers: dict[str, Layer] = {}
        self.forms: dict[str, _Form] = {}
        self.waiting: dict[str, Layer] = {}  # bases that no layer reads yet
        self.joins: dict[str, tuple[str, str]] = {}  # maps side by side, not quantized to one scale
        self.changed = False
        self.last = ""

    def kept(self) -> tuple[Layer, ...]:
        """Return all layers; if one was rewritten, only those that the last layer depends on."""
        if not self.changed:
            return tuple(self.layers.values())
        return used_layers(self.layers.values(), self.last)

    def layer(self, layer: Layer) -> None:
        """Add ``layer``; if a sum in it would read real values, add rewritten layers instead."""
        self.last = layer.name
        if layer.source in self.joins and isinstance(layer, _EACH):
            return self._each_part(layer)
        match layer:
            case Conv2d() | Linear():
                if is_real(layer) or self._is_wide_average(layer):
                    return self._real_sums(layer)
                layer = self._weighted(layer)
            case Add():
                return self._add(layer)
            case Flatten():
                layer = self._flattened(layer)
            case Concat():
                one, two = self._scale(layer.source), self._scale(layer.other)
                if one is None or one != two:
                    self._join(layer, layer.source, layer.other)
                    return None
            case _:
                pass
        return self.put(layer)

    def put(self, layer: Layer) -> None:
        """Add ``layer`` unchanged. If its shapes do not fit, :class:`Network` refuses it later."""
        self.layers[layer.name] = layer
        try:
            self.signals[layer.name] = signal_of(layer, self.signals, self.dtype)
        except NetworkError:
            return
        self._bound(layer)
        form = self._form(layer)
        if form is not None:
            self.forms[layer.name] = form

    def _bound(self, layer: Layer) -> None:
        """If ``layer`` is quantized, compute the bounds of its whole numbers and keep them."""
        if self.signals[layer.name].scale is not None:
            self.bounds[layer.name] = bounds_of(layer, self.bounds, self.signals)

    def _scale(self, name: str) -> float | None:
        signal = self.signals.get(name)
        return None if signal is None else signal.scale

    def _unused(self, name: str) -> str:
        found, number = name, 1
        while found in self.names:
            number += 1
            found = f"{name}_{number}"
        self.names.add(found)
        return found

    # --- what is an affine function of which integers --------------------------------

    def _form(self, layer: Layer) -> _Form | None:
        if self.signals[layer.name].scale is not None:
            return _Form(layer.name, np.ones(1), np.zeros(1))
        source = self.forms.get(layer.source)
        match layer:
            case Conv2d() | Linear():
                return self._sums(layer)
            case BatchNorm() | Scale() if source is not None:
                at_zero = real_layer(layer, np.zeros(1))
                by = slope(layer)
                factor, offset = source.factor * by, source.offset * by + at_zero
                if not (np.isfinite(factor).all() and np.isfinite(offset).all()):
                    return None
                return _Form(source.base, _f64(factor), _f64(offset))
            case Flatten() if source is not None:
                return self._flat(layer, source)
            case _:
                return None

    def _sums(self, layer: Weighted) -> _Form:
        """Return the affine form of a layer with weights: a function of its integer sums.

        The base of the form is a new layer that computes the sums only. It waits, and is added when
        another layer reads it, see :meth:`_use`.
        """
        base = self._unused(f"{layer.name}_sums")
        plain = replace(layer, name=base, scale=np.ones(1, np.float32), bias=None)
        self._offer(plain)
        bias = np.zeros(1) if layer.bias is None else vector(layer.bias, np.float64)
        return _Form(base, _f64(vector(layer.scale, np.float64)), _f64(bias))

    def _flat(self, layer: Flatten, source: _Form) -> _Form:
        height, width, _ = self.signals[layer.source].shape
        base = self._unused(f"{layer.name}_flat")
        self._offer(Flatten(base, source.base))
        taps = height * width
        factor, offset = (
            np.tile(values, taps) if values.size > 1 else values
            for values in (source.factor, source.offset)
        )
        return _Form(base, factor, offset)

    def _flattened(self, layer: Flatten) -> Flatten | Scale | Clip:
        """Return a layer with the result of ``layer``; layers before it flatten integers.

        A program can flatten integers only. So if ``layer`` flattens real values, the integers that
        these depend on are flattened, and then scaled or clipped.
        """
        form, signal = self.forms.get(layer.source), self.signals.get(layer.source)
        if signal is None or signal.scale is not None or signal.shape[:2] == (1, 1):
            return layer
        before = self.layers.get(layer.source)
        if isinstance(before, Clip):  # it clips the flattened ones as well
            self.changed = True
            name = self._unused(f"{layer.name}_unclipped")
            self.put(self._flattened(replace(layer, name=name, source=before.source)))
            return replace(before, name=layer.name, source=name)
        if form is None:
            return layer
        flat = self._flat(layer, form)
        factor, offset = flat.factor.astype(self.dtype), flat.offset.astype(self.dtype)
        return Scale(layer.name, factor, offset, self._use(flat.base))

    def _offer(self, layer: Layer) -> None:
        """Put ``layer`` into ``waiting``; :meth:`_use` adds it when another layer reads it."""
        self.waiting[layer.name] = layer
        self.signals[layer.name] = signal_of(layer, self.signals, self.dtype)
        self._bound(layer)

    def _use(self, base: str) -> str:
        """Return ``base``, after adding this layer and its sources if they are waiting."""
        layer = self.waiting.pop(base, None)
        if layer is not None:
            self._use(layer.source)
            self.layers[base] = layer
            self.forms[base] = _Form(base, np.ones(1), np.zeros(1))
        self.changed = True
        return base

    # --- layers that must read integers ----------------------------------------------

    def _weighted(self, layer: Weighted) -> Weighted:
        form = self.forms.get(layer.source)
        if layer.source not in self.signals:
            return layer
        if self._scale(layer.source) is not None:
            return layer if self._holds(layer) else self._in_fixed_point(layer)
        if form is None:
            return self._in_fixed_point(layer)
        rows = layer.weights.reshape(len(layer.weights), -1).astype(np.float64)
        channels = self.signals[layer.source].shape[2]
        if rows.shape[1] % channels:
            return layer  # refused by the network
        factor, padded = form.one_factor, isinstance(layer, Conv2d) and any(layer.padding)
        pad_value = layer.pad_value if isinstance(layer, Conv2d) else 0.0
        if padded and form.offset.any():
            if not (form.offset == form.offset[0]).all():
                return self._in_fixed_point(layer)
            pad_value = pad_value - float(form.offset[0])
        alone = isinstance(layer, Conv2d) and _is_diagonal(layer.weights)
        if factor is None and padded and pad_value:
            return self._in_fixed_point(layer)
        weights = layer.weights
        if factor is None and not alone:
            found = _multiples(form.factor)
            if found is None or np.abs(multiplied := weights * found[0]).max() >= 1 << 15:
                return self._in_fixed_point(layer)
            weights, factor = multiplied, found[1]
        if factor == 0.0:
            return layer
        sums = rows.reshape(len(rows), -1, channels).sum(axis=1) @ np.broadcast_to(
            form.offset, channels
        )
        scale = vector(layer.scale, np.float64)
        bias = scale * sums + (0.0 if layer.bias is None else vector(layer.bias, np.float64))
        scale = scale * (form.factor if factor is None else factor)
        made = replace(
            layer,
            weights=weights,
            precision=_holding(layer.precision, weights),
            source=self._use(form.base),
            scale=scale.astype(self.dtype),
            bias=bias.astype(self.dtype) if bias.any() else None,
        )
        if isinstance(made, Conv2d) and padded and factor:
            made = replace(made, pad_value=pad_value / factor)
        return self._composed(made) if isinstance(made, Conv2d) else made

    def _holds(self, layer: Weighted) -> bool:
        """Whether every sum that ``layer`` can have fits in 32 bits."""
        rows = layer.weights.reshape(len(layer.weights), -1)
        least, most = dot_bounds(rows, None, *self.bounds[layer.source])
        return int(least.min()) >= -(1 << 31) and int(most.max()) < 1 << 31

    def _composed(self, layer: Conv2d) -> Conv2d:
        """Return one convolution for ``layer`` and the convolution before it, if possible.

        It is possible if ``layer`` is an average of the convolution's sums. Else return ``layer``.
        """
        first = self.layers.get(layer.source)
        if (
            not isinstance(first, Conv2d)
            or not _is_diagonal(layer.weights)
            or any(layer.padding)
            or np.asarray(first.scale).tolist() != [1]
            or first.bias is not None
        ):
            return layer
        weights = _product(first, layer)
        if weights is None:
            return layer
        return replace(
            layer,
            weights=weights,
            precision=_holding(first.precision, weights),
            stride=(first.stride[0] * layer.stride[0], first.stride[1] * layer.stride[1]),
            padding=first.padding,
            pad_value=first.pad_value,
            source=first.source,
        )

    def _add(self, layer: Add) -> None:
        one, two = self._scale(layer.source), self._scale(layer.other)
        forms = [self.forms.get(name) for name in (layer.source, layer.other)]
        names = (layer.source, layer.other)
        if any(name not in self.signals for name in names):
            return self.put(layer)
        if one is not None and two is not None:
            by = units(one * layer.factors[0], two * layer.factors[1])
            return self.put(layer) if by is not None else self._add_in_fixed_point(layer)
        if forms[0] is None or forms[1] is None:
            return self._add_in_fixed_point(layer)
        first, second = forms[0], forms[1]
        factors = [first.one_factor, second.one_factor]
        scales = [self._scale(form.base) for form in (first, second)]
        if None in factors or None in scales or 0.0 in factors:
            return self._add_in_fixed_point(layer)
        rounded = [float(self.dtype(f)) * by for f, by in zip(factors, layer.factors, strict=True)]
        if units(scales[0] * rounded[0], scales[1] * rounded[1]) is None:  # type: ignore[operator]
            return self._add_in_fixed_point(layer)
        name = self._unused(f"{layer.name}_sum")
        bases = [self._use(form.base) for form in (first, second)]
        offset = first.offset * layer.factors[0] + second.offset * layer.factors[1]
        whole = Add(name, bases[1], bases[0], (rounded[0], rounded[1]))
        if not offset.any():
            return self.put(replace(whole, name=layer.name))
        self.put(whole)
        return self.put(Scale(layer.name, offset=offset.astype(self.dtype), source=name))

    # --- fixed point ------------------------------------------------------------------

    def _add_in_fixed_point(self, layer: Add) -> None:
        """Add ``layer`` as a sum in fixed point; unchanged if this is not possible."""
        if layer.factors not in ((1.0, 1.0), (1.0, -1.0)):
            return self.put(layer)
        names = (layer.source, layer.other)
        reach = [self._reach(name) for name in names]
        if None in reach or self.signals[names[0]].shape != self.signals[names[1]].shape:
            return self.put(layer)
        bits = _FIXED_BITS - _exponent(sum(reach))  # type: ignore[arg-type]  # no None is left
        one, two = (self._fixed(name, bits) for name in names)
        if one is None or two is None:
            return self.put(layer)
        self.changed = True
        self.approximate.append(f"{layer.name}: a sum of real values, {_text(bits)}")
        return self.put(replace(layer, source=one, other=two))

    def _in_fixed_point(self, layer: Weighted) -> Weighted:
        """Return ``layer``, reading its source in fixed point; unchanged if not possible."""
        reach = self._reach(layer.source)
        if reach is None or reach == 0.0:
            return layer
        rows = np.abs(layer.weights.reshape(len(layer.weights), -1).astype(np.int64)).sum(axis=1)
        bits = min(_FIXED_BITS, _SUM_BITS - int(rows.max()).bit_length()) - _exponent(reach)
        source = self._fixed(layer.source, bits)
        if source is None:
            return layer
        self.changed = True
        self.approximate.append(f"{layer.name}: a sum of real values, {_text(bits)}")
        return replace(layer, source=source)

    def _reach(self, name: str) -> float | None:
        """Return an upper bound of the magnitudes of a layer's real values; None if not known."""
        scale, form = self._scale(name), self.forms.get(name)
        if name in self.joins:
            parts = [self._reach(part) for part in self.joins[name]]
            return None if None in parts else max(part or 0.0 for part in parts)
        if scale is not None:
            return float(max(map(abs, self.bounds[name])) * abs(scale))
        if form is not None:
            ends = np.array(self.bounds[form.base]) * (self._scale(form.base) or 0.0)
            values = form.factor * ends[:, None] + form.offset
            return float(np.abs(values).max())
        layer = self.layers.get(name)
        match layer:
            case Clip():
                reach = self._reach(layer.source)
                if reach is None:
                    return None
                return float(np.abs(np.clip([-reach, reach], layer.low, layer.high)).max())
            case MaxPool() | Flatten():
                return self._reach(layer.source)
            case Leaky():
                reach = self._reach(layer.source)
                most = float(np.abs(vector(layer.slope, np.float64)).max())
                return None if reach is None else reach * max(1.0, most)
            case BatchNorm() | Scale():
                reach = self._reach(layer.source)
                if reach is None:
                    return None
                ends = np.array([[-reach], [reach]])
                return float(np.abs(real_layer(layer, ends)).max())
            case _:
                return None

    def _fixed(self, name: str, bits: int) -> str | None:
        """Add a layer with the real values of ``name`` in fixed point; return the layer's name.

        ``bits``: number of fraction bits. Return None if it is not possible.
        """
        scale, form = self._scale(name), self.forms.get(name)
        channels = self.signals[name].shape[2]
        if name in self.joins:
            first, second = (self._fixed(part, bits) for part in self.joins[name])
            if first is None or second is None:
                return None
            joined = self._unused(f"{name}_fixed")
            self.put(Concat(joined, second, first))
            return joined
        if scale is not None:
            if scale == 2.0**-bits:
                return name
            return self._put_fixed(name, name, np.full(channels, scale), np.zeros(channels), bits)
        if form is not None:
            unit = self._scale(form.base) or 0.0
            factor = np.broadcast_to(form.factor * unit, channels)
            offset = np.broadcast_to(form.offset, channels)
            return self._put_fixed(name, self._use(form.base), factor, offset, bits)
        layer = self.layers.get(name)
        if not isinstance(layer, Clip | MaxPool | BatchNorm | Scale | Flatten | Leaky):
            return None
        # What is scaled or clipped may be much larger or smaller before: it has its own unit.
        reach = self._reach(layer.source)
        if reach is None:
            return None
        moves = isinstance(layer, MaxPool | Flatten)
        source_bits = bits if moves else _FIXED_BITS - _exponent(reach)
        source = self._fixed(layer.source, source_bits)
        if source is None:
            return None
        unit = 2.0**-source_bits
        match layer:
            case Clip():
                ends = (layer.low, layer.high)
                one, zero = np.full(channels, unit), np.zeros(channels)
                return self._put_fixed(name, source, one, zero, bits, ends)
            case Leaky():
                return self._leaky_fixed(layer, name, source, unit, bits)
            case BatchNorm() | Scale():
                added = real_layer(layer, np.zeros(channels))
                slope = real_layer(layer, np.ones(channels)) - added
                return self._put_fixed(name, source, slope * unit, added, bits)
            case _:
                made = replace(layer, name=self._unused(f"{name}_fixed"), source=source)
                self.put(made)
                return made.name

    def _leaky_fixed(
        self, layer: Leaky, name: str, source: str, unit: float, bits: int
    ) -> str | None:
        """Add a leaky ReLU in fixed point: ``slope * x + (1 - slope) * max(x, 0)``.

        Return the name of the layer that adds both; None if it is not possible.
        """
        channels = self.signals[name].shape[2]
        slope = np.broadcast_to(vector(layer.slope, np.float64), channels)
        rest, zero = 1.0 - slope, np.zeros(channels)
        if (rest < 0).any() and (rest > 0).any():
            return None
        ends = (0.0, np.inf) if (rest >= 0).all() else (-np.inf, 0.0)
        below = self._put_fixed(name, source, slope * unit, zero, bits)
        above = self._put_fixed(name, source, rest * unit, zero, bits, ends)
        if below is None or above is None:
            return None
        made = Add(self._unused(f"{name}_fixed"), above, below)
        self.put(made)
        return made.name

    def _put_fixed(
        self,
        name: str,
        source: str,
        factor: Any,
        offset: Any,
        bits: int,
        ends: tuple[float, float] = (-np.inf, np.inf),
    ) -> str | None:
        """Add a layer with the real values ``factor * v + offset`` in fixed point; return its name.

        v are the whole numbers of ``source``. ``bits``: number of fraction bits. ``ends``: real
        bounds to which the values are clipped. Return None if the numbers are too large.
        """
        by = factor * 2.0**bits
        shift = min(max(_FACTOR_BITS - _exponent(float(np.abs(by).max())), 0), 62)
        if (by * 2.0**shift == by[0]).all() and float(by[0]).is_integer():
            shift = 0  # exact
        # The offset is a number of at most 62 bits as well.
        shift = max(0, min(shift, 61 - _exponent(float(np.abs(offset).max()) * 2.0**bits)))
        multipliers = np.rint(by * 2.0**shift)
        offsets = np.rint(offset * 2.0 ** (bits + shift))
        limit = (1 << 31) - 1
        low, high = (int(np.clip(np.rint(end * 2.0**bits), -limit, limit)) for end in ends)
        if np.abs(multipliers).max() > limit or np.abs(offsets).max() >= 2.0**62:
            return None
        # Nothing but a clip of the network may saturate.
        most = max(map(abs, self.bounds[source]))
        reached = float((np.abs(by) * most + np.abs(offset) * 2.0**bits).max())
        if min(reached, max(map(abs, ends)) * 2.0**bits) > limit:
            return None
        layer = FixedPoint(
            self._unused(f"{name}_fixed"),
            multipliers.astype(np.int64),
            offsets.astype(np.int64),
            shift,
            low,
            high,
            2.0**-bits,
            source,
        )
        self.put(layer)
        return layer.name

    # --- weights that are not quantized -----------------------------------------------

    def _real_sums(self, layer: Weighted) -> None:
        """Add a layer of real weights: several layers of short weights, summed in fixed point.

        A wide average (:meth:`_is_wide_average`) is added in the same way, with unchanged weights.
        """
        if layer.source not in self.signals:
            return self.put(layer)
        weights = whole_weights(layer.weights, layer.scale)
        bias = np.zeros(len(weights))
        if layer.bias is not None:
            bias = bias + vector(layer.bias, np.float64)
        read = self._read_by(layer)
        if read is None or weights.shape[-1] % max(read.factor.size, 1):
            raise NetworkError(
                f"{layer.name}: {_UNQUANTIZED}, and the values that it reads are not quantized "
                "either; put a quantizer before it"
            )
        taps = weights.sum(axis=tuple(range(1, weights.ndim - 1)))
        bias = bias + (taps * read.offset).sum(axis=1)
        weights = weights * read.factor
        reach = np.abs(weights).reshape(len(weights), -1).sum(axis=1)
        reach = reach * max(map(abs, self.bounds[read.base])) + np.abs(bias)
        bits = _FIXED_SUM_BITS - _exponent(float(reach.max()))
        names = self._halves(read.base)
        made: list[str] = []
        for source, times in names:
            most = max(map(abs, self.bounds[source]))
            whole = [Part(layer.weights, np.abs(weights).reshape(len(weights), -1).max(axis=1))]
            for part in (parts(weights, most) or ()) if is_real(layer) else whole:
                name = self._unused(f"{layer.name}_part")
                self.put(_with_weights(layer, name, source, part.integers))
                added = np.zeros(len(bias)) if made else bias
                made += [self._put_fixed(name, name, part.factor * times, added, bits) or ""]
        if len(made) < max(2, len(names)) or "" in made:
            raise NetworkError(
                f"{layer.name}: {_UNQUANTIZED}, and it has too many weights for sums of 32 bits"
            )
        self.changed = True
        what = "real weights" if is_real(layer) else "a sum of real values"
        self.approximate.append(f"{layer.name}: {what}, {_text(bits)}")
        total = made[0]
        for number, name in enumerate(made[1:], 2):
            last = number == len(made)
            into = layer.name if last else self._unused(f"{layer.name}_sum")
            self.put(Add(into, name, total))
            total = into
        return None

    def _is_wide_average(self, layer: Weighted) -> bool:
        """Return whether ``layer`` is an average that needs fixed point.

        Its sums exceed 32 bits, or it reads real values without an affine form, such as clipped
        values.
        """
        if not _is_average(layer) or not (layer.weights[layer.weights != 0] == 1).all():
            return False
        if isinstance(layer, Conv2d) and any(layer.padding):
            return False
        source = layer.source
        if self._scale(source) is not None:
            return not self._holds(layer)
        return source not in self.forms and bool(self._reach(source))

    def _read_by(self, layer: Weighted) -> _Form | None:
        """Return the affine form of the values that a layer of real weights reads.

        Return None if the values have no known bounds, or the padding is not possible.
        """
        source, padded = layer.source, isinstance(layer, Conv2d) and any(layer.padding)
        if isinstance(layer, Conv2d) and layer.pad_value:
            return None
        scale, form = self._scale(source), self.forms.get(source)
        channels = self.signals[source].shape[2]
        if scale is not None and source == INPUT and padded:
            # As it is, in a precision that has a 0.
            ones, none = np.ones(channels, np.int64), np.zeros(channels, np.int64)
            low, high = self.bounds[INPUT]
            name = self._unused("input_with_zero")
            self.put(FixedPoint(name, ones, none, 0, min(low, 0), max(high, 0), scale, INPUT))
            source = name
        if scale is not None:
            return _Form(source, np.full(1, scale), np.zeros(1))
        if form is not None and not (padded and form.offset.any()):
            unit = self._scale(form.base) or 0.0
            return _Form(self._use(form.base), form.factor * unit, form.offset)
        reach = self._reach(source)
        if not reach:
            return None
        bits = _FIXED_BITS - _exponent(reach)
        fixed = self._fixed(source, bits)
        return None if fixed is None else _Form(fixed, np.full(1, 2.0**-bits), np.zeros(1))

    def _halves(self, name: str) -> list[tuple[str, float]]:
        """Split a layer into layers of at most 16 bits; return their (name, factor).

        The whole numbers of the layer ``name`` are the sum of the new layers' whole numbers, each
        multiplied by its factor. A layer of at most 16 bits is returned itself, with factor 1.
        """
        low, high = self.bounds[name]
        bits = halves(low, high)
        if not bits:
            return [(name, 1.0)]
        channels, scale = self.signals[name].shape[2], self._scale(name) or 1.0
        ones, none = np.ones(channels, np.int64), np.zeros(channels, np.int64)
        upper, rest, lower = (self._unused(f"{name}_{what}") for what in ("upper", "rest", "lower"))
        ends = (low >> bits, (high >> bits) + 1)
        self.put(FixedPoint(upper, ones, none, bits, *ends, scale * 2.0**bits, name))
        self.put(Add(rest, upper, name, (1.0, -1.0)))
        half = 1 << (bits - 1)  # nothing is cut off: what is rounded differs by at most a half
        self.put(FixedPoint(lower, ones, none, 0, -half, half, scale, rest))
        return [(upper, 2.0**bits), (lower, 1.0)]

    # --- channels side by side -------------------------------------------------------

    def _join(self, layer: Layer, one: str, two: str) -> None:
        """Add ``layer``, which joins the channels of two layers with different scales."""
        shapes = [self.signals[name].shape for name in (one, two) if name in self.signals]
        if len(shapes) != 2 or shapes[0][:2] != shapes[1][:2]:
            return self.put(layer)
        self.joins[layer.name] = (one, two)
        shape = (*shapes[0][:2], shapes[0][2] + shapes[1][2])
        self.layers[layer.name] = layer
        self.signals[layer.name] = Signal(shape, None)
        return None

    def _each_part(self, layer: Any) -> None:
        """Add ``layer`` for each part of the joined map that it reads, and join the results."""
        self.changed = True
        parts = self.joins[layer.source]
        first = self.signals[parts[0]].shape[2]
        count = first + self.signals[parts[1]].shape[2]
        names = [self._unused(f"{layer.name}_{number}") for number in (1, 2)]
        for name, part, channels in zip(
            names, parts, (slice(0, first), slice(first, None)), strict=True
        ):
            self.layer(_of_channels(replace(layer, name=name, source=part), channels, count))
        self.last = layer.name
        if any(name not in self.signals for name in names):
            return self.put(layer)
        joined = Concat(layer.name, names[1], names[0])
        scales = [self._scale(name) for name in names]
        if scales[0] is None or scales[0] != scales[1]:
            return self._join(joined, *names)
        return self.put(joined)


def _with_weights(layer: Weighted, name: str, source: str, weights: NDArray[np.int16]) -> Weighted:
    """Return ``layer`` with the name, source and weights given, scale 1 and no bias."""
    ends = [int(weights.min()), int(weights.max())]
    return replace(
        layer,
        name=name,
        source=source,
        weights=weights,
        precision=tightest(ends, two_values=False),
        scale=np.ones(1, np.float32),
        bias=None,
    )


def _holding(precision: Precision, weights: NDArray[Any]) -> Precision:
    """Return ``precision`` if it has codes for all ``weights``; else the narrowest that has."""
    if precision.allows(weights):
        return precision
    return tightest([int(weights.min()), int(weights.max())], two_values=False)


def _multiples(factor: Vector) -> tuple[NDArray[np.int64], float] | None:
    """Return small whole numbers and a unit; their products equal ``factor`` exactly.

    Return None if there is no such unit.
    """
    exact = [Fraction(float(value)) for value in factor]
    first = next(value for value in exact if value)
    ratios = [value / first for value in exact]
    common = math.lcm(*(ratio.denominator for ratio in ratios))
    whole = [int(ratio * common) for ratio in ratios]
    shared = math.gcd(*whole)
    if common > _MAX_MULTIPLE or max(map(abs, whole)) // shared > _MAX_MULTIPLE:
        return None
    unit = first * shared / common
    return np.array([one // shared for one in whole]), float(unit)


def _f64(values: Any) -> Vector:
    return np.asarray(values, np.float64)


def bounds_of(
    layer: Layer, bounds: Mapping[str, tuple[int, int]], signals: Mapping[str, Signal]
) -> tuple[int, int]:
    """Return bounds of the whole numbers that a quantized layer can have."""
    if isinstance(layer, Sign | Quantize | MultiThreshold):
        return layer.base, layer.base + layer.step * layer.levels
    low, high = bounds[layer.source]
    match layer:
        case Conv2d() | Linear():
            if isinstance(layer, Conv2d) and any(layer.padding):
                pad = whole_pad(layer, signals[layer.source].scale or 1.0)
                low, high = min(low, pad), max(high, pad)
            rows = layer.weights.reshape(len(layer.weights), -1)
            least, most = dot_bounds(rows, None, low, high)
            return int(least.min()), int(most.max())
        case Add():
            scales = [signals[name].scale or 1.0 for name in (layer.source, layer.other)]
            by = common(layer, *scales)
            ends = np.outer(bounds[layer.source], [by.one]), np.outer(bounds[layer.other], [by.two])
            return int(sum(e.min() for e in ends)), int(sum(e.max() for e in ends))
        case Concat():
            other = bounds[layer.other]
            return min(low, other[0]), max(high, other[1])
        case FixedPoint():
            made = [
                (m * end + b) / 2.0**layer.shift
                for m, b in zip(layer.multipliers.tolist(), layer.offsets.tolist(), strict=True)
                for end in (low, high)
            ]
            least, most = math.floor(min(made)), math.ceil(max(made))
            return max(least, layer.low), min(most, layer.high)
        case _:
            return low, high


def _exponent(value: float) -> int:
    """Return the least whole number e with ``value <= 2**e``; 0 if ``value`` is 0."""
    return math.ceil(math.log2(value)) if value > 0 else 0


def _text(bits: int) -> str:
    return f"in fixed point of {bits} fraction bits"


def _of_channels(layer: Any, channels: slice, count: int) -> Any:
    """Return ``layer`` with the parameters of ``channels`` only; it has ``count`` channels."""
    change = {}
    for what in ("gamma", "beta", "mean", "inv_std", "factor", "offset", "divisor", "slope"):
        value = np.asarray(getattr(layer, what, 0.0))
        if value.size == count > 1:
            change[what] = value.reshape(-1)[channels]
    table = np.asarray(getattr(layer, "thresholds", np.zeros((0, 0))))
    if len(table) == count > 1:
        change["thresholds"] = table[channels]
    return replace(layer, **change)


def _is_diagonal(weights: NDArray[Any]) -> bool:
    """Return whether every output i has weights other than 0 for channel i only."""
    out, _, _, channels = weights.shape
    if out != channels:
        return False
    each = np.arange(out)
    own = weights[each, :, :, each]
    return bool(np.count_nonzero(own) == np.count_nonzero(weights))


def _product(first: Conv2d, second: Conv2d) -> NDArray[np.int16] | None:
    """Return the weights of one convolution that equals ``first`` followed by ``second``.

    ``second`` must be diagonal (:func:`_is_diagonal`). Return None if the weights would be too many
    or too large.
    """
    out, height, width, channels = first.weights.shape
    rows, columns = second.weights.shape[1:3]
    size = (first.stride[0] * (rows - 1) + height, first.stride[1] * (columns - 1) + width)
    if out * size[0] * size[1] * channels > _MAX_WEIGHTS or rows * columns > _MAX_TAPS:
        return None
    made = np.zeros((out, *size, channels), np.int64)
    each = np.arange(out)
    for row in range(rows):
        for column in range(columns):
            y, x = first.stride[0] * row, first.stride[1] * column
            taps = second.weights[each, row, column, each].astype(np.int64)
            made[:, y : y + height, x : x + width] += taps[:, None, None, None] * first.weights
    small = np.abs(made).max() < 1 << 15
    return made.astype(np.int16) if small else None

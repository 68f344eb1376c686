# SPDX-License-Identifier: BSD-3-Clause
"""LSTM and GRU whose every value is an integer, and their exact lowering to a program.

All values below are whole numbers, stored as float32, which has each of them exactly:

===========  ==========================================================================
value        meaning
===========  ==========================================================================
gate         0 to 16: sixteenths of a sigmoid
candidate    -16 to 16: sixteenths of a tanh
cell         of the LSTM, -2048 to 2047: 256ths; it saturates
state        of the GRU, -256 to 256: 256ths
hidden       what dots read: ``activations`` bits of the GRU's state or the LSTM's output
===========  ==========================================================================

    LSTM: cell = clip(round(forget * cell / 16) + input * candidate)
          output = gate * sixteenths of tanh(cell)
    GRU:  state = round((16 - update) * state / 16) + update * candidate
          the candidate's sum is 16 * (W x) + reset * (U h), so it needs no rounding

``round`` is to the nearest whole number, halves to even. A gate's sum is normalized before its
curve by a batch norm that uses running statistics in training too, one set for all steps of a
sequence. Its scale is positive, so norm and curve together are thresholds of the sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bnn.program.inputs import RealInput
from bnn.program.operations import (
    INPUT,
    Add,
    Affine,
    BodyOp,
    Carried,
    Dot,
    Multiply,
    Rescale,
    Scan,
    Threshold,
)
from bnn.program.precision import BIPOLAR, INT, UINT, Precision
from bnn.program.program import Program
from bnn.train.quantizers import quantize_weight

GATE, FRACTION = 16, 256
CELL = INT(12)
#: Gates in the order of the rows of the weights; the last is the candidate, which has a tanh.
GATES = {"lstm": ("i", "f", "o", "c"), "gru": ("r", "z", "n")}
EPSILON = 1e-4
MIN_GAMMA = 1e-2
#: Levels up to which comparing with each is faster than searching.
FEW = 3
#: Limits of what may be trained.
MAX_UNITS, MAX_FEATURES = 1024, 4096


@dataclass(frozen=True)
class Shape:
    """What a recurrent network is, before training.

    Attributes:
        cell: ``lstm`` or ``gru``.
        features: values of a step of the sequence.
        units: hidden units.
        classes: number of classes.
        weights: bits of all weights: 1 (-1, +1), 2 (-1, 0, +1) or 4 (-7 to 7).
        activations: bits of the hidden values that dots read; the values are as for ``weights``.
        input_bits: bits of the input's integers.
    """

    cell: Literal["lstm", "gru"]
    features: int
    units: int
    classes: int
    weights: int
    activations: int
    input_bits: int


def precision_of(bits: int) -> Precision:
    """Return the precision of weights and hidden values of so many bits."""
    return BIPOLAR if bits == 1 else Precision(bits, "narrow")


def sigmoid_edges() -> Tensor:
    """Return where the rounded sigmoid steps up: float32 (16,), ascending."""
    share = (torch.arange(1, GATE + 1, dtype=torch.float64) - 0.5) / GATE
    return torch.logit(share).float()


def tanh_edges() -> Tensor:
    """Return where the rounded tanh steps up: float32 (32,), ascending."""
    share = (torch.arange(1 - GATE, GATE + 1, dtype=torch.float64) - 0.5) / GATE
    return torch.atanh(share).float()


def hidden_edges(precision: Precision) -> Tensor:
    """Return the least 256ths of each level of a hidden value but the lowest: float32, whole."""
    if precision == BIPOLAR:
        return torch.zeros(1)
    levels = torch.arange(precision.low + 1, precision.high + 1, dtype=torch.float64)
    return torch.ceil(FRACTION * (levels - 0.5) / (precision.high + 0.5)).float()


class _Given(torch.autograd.Function):
    """Return ``hard``; the gradient for ``soft`` is multiplied by ``slope``."""

    @staticmethod
    def forward(ctx: Any, soft: Tensor, hard: Tensor, slope: Tensor) -> Tensor:  # noqa: ARG004
        ctx.save_for_backward(slope)
        return hard

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        (slope,) = ctx.saved_tensors
        return grad * slope, None, None


def _count(x: Tensor, edges: Tensor) -> Tensor:
    """Return how many of the ascending ``edges`` each value of ``x`` reaches, float32."""
    given = x.detach()
    if len(edges) <= FEW:
        return sum(((given >= edge).float() for edge in edges.tolist()), torch.zeros_like(given))
    return torch.bucketize(given.contiguous(), edges, right=True).float()


def _nearest(x: Tensor) -> Tensor:
    """Round halves to even; the gradient passes. Exact: ``x`` has four bits after the point."""
    return x + (x.detach().round() - x.detach())


class Recurrent(nn.Module):
    """A recurrent layer and a dense layer that reads its hidden values after the last step."""

    mean: Tensor
    variance: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.gates = GATES[shape.cell]
        rows = len(self.gates) * shape.units
        self.precision = precision_of(shape.weights)
        self.hidden = precision_of(shape.activations)
        self.from_input = nn.Parameter(torch.empty(rows, shape.features).uniform_(-1, 1))
        self.from_hidden = nn.Parameter(torch.empty(rows, shape.units).uniform_(-1, 1))
        self.out = nn.Parameter(torch.empty(shape.classes, shape.units).uniform_(-1, 1))
        self.gamma = nn.Parameter(torch.ones(rows))
        beta = torch.zeros(len(self.gates), shape.units)
        beta[1] = 1.0 if shape.cell == "lstm" else -1.0  # at first, the state is kept
        self.beta = nn.Parameter(beta.reshape(-1))
        self.scale = nn.Parameter(torch.tensor(1.0 / (shape.units**0.5 * self.hidden.high)))
        self.offset = nn.Parameter(torch.zeros(shape.classes))
        self.register_buffer("mean", torch.zeros(rows))
        self.register_buffer("variance", torch.full((rows,), 100.0))
        self.momentum = 0.0  # of the running statistics; 0: they do not change

    def project(self) -> None:
        """Keep weights in [-1, 1] and scales positive; call it after every step."""
        for one in (self.from_input, self.from_hidden, self.out):
            one.data.clamp_(-1, 1)
        self.gamma.data.clamp_(min=MIN_GAMMA)
        self.scale.data.clamp_(min=1e-4)

    def slope(self) -> Tensor:
        """Return the factor of each gate's sum, float32 (gates * units,)."""
        return self.gamma / torch.sqrt(self.variance + EPSILON)

    def normal(self, sums: Tensor, rows: slice, slope: Tensor) -> Tensor:
        """Return the batch norm of the sums of ``rows``; each operation rounds once."""
        return (sums - self.mean[rows]).mul(slope[rows]).add(self.beta[rows])

    def forward(self, steps: Tensor) -> Tensor:
        """Return the scores, float32 (N, classes), of integers (N, steps, features)."""
        units, count = self.shape.units, len(self.gates)
        weights = [
            quantize_weight(one, self.precision)
            for one in (self.from_input, self.from_hidden, self.out)
        ]
        inputs = steps.transpose(0, 1) @ weights[0].T
        turned, slope = weights[1].T, self.slope()
        state = torch.zeros(len(steps), units)
        hidden = torch.full((len(steps), units), float(self.start))
        seen: list[Tensor] = []
        curves = count - 1
        cut = slice(0, curves * units)
        last = slice(curves * units, count * units)
        for given in inputs:
            sums = hidden @ turned
            if self.shape.cell == "lstm":
                sums = given + sums
                gates = self._sigmoid(self.normal(sums[:, cut], cut, slope))
                candidate_sums = sums[:, last]
            else:
                gate_sums = given[:, cut] + sums[:, cut]
                gates = self._sigmoid(self.normal(gate_sums, cut, slope))
                candidate_sums = GATE * given[:, last] + gates[:, :units] * sums[:, last]
                sums = torch.cat([gate_sums, candidate_sums], 1)
            candidate = self._tanh(self.normal(candidate_sums, last, slope), 1.0)
            if self.momentum:
                seen.append(sums.detach())
            if self.shape.cell == "lstm":
                enter, keep, gate = torch.split(gates, units, 1)
                state = _nearest(keep * state / GATE) + enter * candidate
                state = state.clamp(CELL.low, CELL.high)
                hidden = self._hidden(gate * self._tanh(state, 1 / FRACTION))
            else:
                update = gates[:, units:]
                state = _nearest((GATE - update) * state / GATE) + update * candidate
                hidden = self._hidden(state)
        if seen:
            self._observe(torch.stack(seen).flatten(0, 1))
        scores: Tensor = hidden @ weights[2].T
        return scores

    @property
    def start(self) -> int:
        """The hidden value before the first step: that of a state of 0."""
        return 1 if self.hidden == BIPOLAR else 0

    def logits(self, scores: Tensor) -> Tensor:
        """Return the logits of scores."""
        return scores * self.scale + self.offset

    def _observe(self, sums: Tensor) -> None:
        with torch.no_grad():
            self.mean.lerp_(sums.mean(0), self.momentum)
            self.variance.lerp_(sums.var(0, unbiased=False), self.momentum)

    def _sigmoid(self, x: Tensor) -> Tensor:
        if not self.training:
            return _count(x, sigmoid_edges())
        with torch.no_grad():  # it differs from the counts by rounding errors of the sigmoid only
            exact = torch.sigmoid(x)
            hard, slope = (exact * GATE).round_(), GATE * exact * (1 - exact)
        return _apply(x, hard, slope)

    def _tanh(self, x: Tensor, unit: float) -> Tensor:
        """Return sixteenths of ``tanh(unit * x)``; ``unit`` is a power of two."""
        if not self.training:
            return _count(x, tanh_edges() / unit) - GATE
        with torch.no_grad():
            exact = torch.tanh(x * unit)
            hard, slope = (exact * GATE).round_(), GATE * unit * (1 - exact * exact)
        return _apply(x, hard, slope)

    def _hidden(self, x: Tensor) -> Tensor:
        counts = _count(x, hidden_edges(self.hidden))
        hard = 2 * counts - 1 if self.hidden == BIPOLAR else counts + self.hidden.low
        if not self.training:
            return hard
        per_unit = torch.tensor((self.hidden.high + 0.5) / FRACTION)
        return _apply(x, hard, per_unit)


def _apply(x: Tensor, hard: Tensor, slope: Tensor) -> Tensor:
    made: Tensor = _Given.apply(x, hard, slope)  # type: ignore[no-untyped-call]
    return made


# --- lowering -----------------------------------------------------------------------------------


def to_program(net: Recurrent, scale: NDArray[Any], zero_point: NDArray[Any]) -> Program:
    """Return the program whose scores of the last column are those of ``net``, bit for bit.

    Args:
        net: a trained network; it is put into evaluation mode.
        scale, zero_point: how real values become the input's integers, see
            :class:`~bnn.program.inputs.RealInput`.
    """
    net.eval()
    given = RealInput(
        (net.shape.features,),
        UINT(net.shape.input_bits),
        np.asarray(scale, np.float32),
        np.asarray(zero_point, np.float32),
    )
    body = _lstm(net, given.precision) if net.shape.cell == "lstm" else _gru(net, given.precision)
    units = net.shape.units
    state = CELL if net.shape.cell == "lstm" else INT(10)
    carried = (
        Carried("hidden", units, net.hidden, "hidden_next", net.start),
        Carried("state", units, state, "state_next"),
    )
    scan = Scan("steps", INPUT, body, carried, "hidden_next")
    out = Dot("scores", "steps", _quantized(net, net.out), net.precision)
    one = np.ones(net.shape.classes)
    affine = Affine(one * float(net.scale.detach()), net.offset.detach().double().numpy())
    return Program(given, (scan, out), "scores", affine=affine)


def _quantized(net: Recurrent, weights: Tensor) -> NDArray[np.int16]:
    with torch.no_grad():
        whole: NDArray[np.int16] = quantize_weight(weights, net.precision).numpy().astype(np.int16)
    return whole


def _dots(net: Recurrent, index: int, gate: str) -> tuple[BodyOp, BodyOp]:
    rows = slice(index * net.shape.units, (index + 1) * net.shape.units)
    return (
        Dot(f"x_{gate}", INPUT, _quantized(net, net.from_input[rows]), net.precision),
        Dot(f"h_{gate}", "hidden", _quantized(net, net.from_hidden[rows]), net.precision),
    )


def _curve(net: Recurrent, index: int, gate: str, largest: int) -> Threshold:
    """Return norm and curve of a gate as thresholds of its sum.

    They are searched with the arithmetic of the trained network itself: norm and curve never fall,
    so the least sum that reaches a level is found by halving. ``largest``: bound of the sum.
    """
    rows = slice(index * net.shape.units, (index + 1) * net.shape.units)
    is_tanh = index == len(net.gates) - 1
    edges = tanh_edges() if is_tanh else sigmoid_edges()
    low = torch.full((len(edges), net.shape.units), -largest - 1.0)  # not reached, as far as known
    high = torch.full((len(edges), net.shape.units), largest + 1.0)  # reached, or never
    with torch.no_grad():
        slope = net.slope()
        while bool((high - low > 1).any()):
            middle = torch.floor((low + high) / 2)
            reached = net.normal(middle, rows, slope) >= edges[:, None]
            high, low = torch.where(reached, middle, high), torch.where(reached, low, middle)
    table = high.T.numpy().astype(np.int32)
    if is_tanh:
        return Threshold(f"gate_{gate}", f"sum_{gate}", table, INT(6), -GATE)
    return Threshold(f"gate_{gate}", f"sum_{gate}", table, UINT(5))


def _hidden_op(net: Recurrent, source: str) -> Threshold:
    edges = hidden_edges(net.hidden).numpy().astype(np.int32)
    table = np.repeat(edges[np.newaxis], net.shape.units, axis=0)
    step = 2 if net.hidden == BIPOLAR else 1
    return Threshold("hidden_next", source, table, net.hidden, net.hidden.low, step)


def _scaled(net: Recurrent, name: str, source: str, into: Precision, **more: Any) -> Rescale:
    """Return a rescale of all units to the range of ``into``, or to ``ends`` within it."""
    units = net.shape.units
    low, high = more.pop("ends", (into.low, into.high))
    by = np.full(units, more.pop("by", 1))
    offset = more.pop("offset", 0)
    offsets = np.full(units, offset) if offset else None
    return Rescale(name, source, by, more.pop("shift", 0), into, low, high, offsets)


def _largest(net: Recurrent, precision: Precision) -> tuple[int, int]:
    """Return bounds of the sums of a gate: of its input's products and of its hidden ones."""
    most = net.precision.high
    return (
        net.shape.features * precision.high * most,
        net.shape.units * net.hidden.high * most,
    )


def _lstm(net: Recurrent, precision: Precision) -> tuple[BodyOp, ...]:
    largest = sum(_largest(net, precision))
    body: list[BodyOp] = []
    for index, gate in enumerate(net.gates):
        body += [*_dots(net, index, gate), Add(f"sum_{gate}", f"x_{gate}", f"h_{gate}")]
        body.append(_curve(net, index, gate, largest))
    tanh = np.ceil((tanh_edges() * FRACTION).numpy()).astype(np.int32)
    table = np.repeat(tanh[np.newaxis], net.shape.units, axis=0)
    return (
        *body,
        Multiply("kept_exact", "gate_f", "state"),
        _scaled(net, "kept", "kept_exact", INT(13), shift=4),
        Multiply("new", "gate_i", "gate_c"),
        Add("state_exact", "kept", "new"),
        _scaled(net, "state_next", "state_exact", CELL),
        Threshold("curve", "state_next", table, INT(6), -GATE),
        Multiply("output", "gate_o", "curve"),
        _hidden_op(net, "output"),
    )


def _gru(net: Recurrent, precision: Precision) -> tuple[BodyOp, ...]:
    inputs, hidden = _largest(net, precision)
    body: list[BodyOp] = []
    for index, gate in enumerate(net.gates[:2]):
        body += [*_dots(net, index, gate), Add(f"sum_{gate}", f"x_{gate}", f"h_{gate}")]
        body.append(_curve(net, index, gate, inputs + hidden))
    return (
        *body,
        *_dots(net, 2, "n"),
        Multiply("reset_n", "gate_r", "h_n"),
        _scaled(net, "wide_n", "x_n", INT(32), by=GATE),
        Add("sum_n", "wide_n", "reset_n"),
        _curve(net, 2, "n", GATE * (inputs + hidden)),
        _scaled(net, "keep", "gate_z", UINT(5), by=-1, offset=GATE),
        Multiply("kept_exact", "keep", "state"),
        _scaled(net, "kept", "kept_exact", INT(14), shift=4),
        Multiply("new", "gate_z", "gate_n"),
        Add("state_exact", "kept", "new"),
        _scaled(net, "state_next", "state_exact", INT(10), ends=(-FRACTION, FRACTION)),
        _hidden_op(net, "state_next"),
    )

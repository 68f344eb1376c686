# SPDX-License-Identifier: BSD-3-Clause
"""Continue training from a deployed model or an original parameter set: ``bnn train --init MODEL``.

A program contains integer weights and thresholds, but not the batch norms from which the thresholds
were made. Any batch norms that give the same thresholds can replace them. The batch norms made here
also have the mean and variance that the model's sums have on real pictures. So training starts
from exactly the deployed function.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bnn._typing import assert_never
from bnn.errors import TrainError
from bnn.network.topology import Act, Conv, Dense, Layer, Norm, Pool, Topology
from bnn.program.operations import Add, Concat, Dot, Multiply, Rescale, Scan, Threshold
from bnn.program.precision import BIPOLAR, TERNARY, Precision
from bnn.program.program import Program
from bnn.train.layers import BatchNorm, Weighted
from bnn.train.stack import Stack
from bnn.train.transfer import BIPOLAR_MEAN_MAGNITUDE

#: Real value of a ternary weight that is not 0: halfway between the step at 1/2 and the clip at 1.
TERNARY_MAGNITUDE = 0.75


def adopt(program: Program, wanted: Topology, pictures: Tensor, source: str) -> Stack:
    """Return a trainable stack that gives the same scores as ``program``.

    Bipolar and ternary activations switch at exactly the program's thresholds. Activations with
    more levels get evenly spaced thresholds, near those of the program.

    Args:
        program: what ``bnn train`` deployed, or what an original parameter set contains.
        wanted: topology with the same layers; widths and precisions are taken from the program.
        pictures: uint8 (N, *input shape), a few hundred, of which the batch norms' means and
            variances are computed.
        source: name of the program, for error messages.

    Raises:
        TrainError: the program has other layers than ``wanted``.
    """
    for op in program.ops:
        if isinstance(op, Add):
            raise TrainError(f"{source}: has residual sums, which a topology cannot have")
        if isinstance(op, Concat | Rescale | Multiply | Scan):
            raise TrainError(f"{source}: {op.name} is of a kind that a topology cannot have")
        if isinstance(op, Dot) and op.product_shift:
            raise TrainError(f"{source}: {op.name} rounds its products, which a topology cannot")
        if isinstance(op, Dot) and op.groups > 1:
            raise TrainError(f"{source}: {op.name} has groups, which a topology cannot have")
    if program.affine is not None and program.affine.dense is not None:
        raise TrainError(f"{source}: its last layer has real weights, which a topology cannot have")
    pairs = list(_weighted(program))
    if program.input.shape != wanted.input:
        raise TrainError(f"{source}: takes pictures of {program.input.shape}, not {wanted.input}")
    stack = Stack(_topology(wanted, pairs, source)).eval()
    x = stack.maps(pictures)
    at = -1
    with torch.no_grad():
        for layer in (*stack.body, *stack.head):
            match layer:
                case Weighted():
                    at += 1
                    _take_weights(layer, *pairs[at], source)
                case BatchNorm() if len(layer.gamma) == 1:
                    _take_logits(layer, x, program)
                case BatchNorm():
                    dot, steps = pairs[at]
                    edge = program.edges[dot.name]
                    _take_thresholds(layer, x, *_thresholds(dot, steps, edge.low, edge.high))
            x = layer(x)
    return stack


def _weighted(program: Program) -> Iterator[tuple[Dot, Threshold | None]]:
    """Yield every dot and the threshold after it (None if there is none)."""
    for index, op in enumerate(program.ops):
        if isinstance(op, Dot):
            after: Threshold | None = None
            for later in program.ops[index + 1 :]:
                if isinstance(later, Dot):
                    break
                after = later if isinstance(later, Threshold) else after
            yield op, after


def _topology(wanted: Topology, pairs: list[tuple[Dot, Threshold | None]], source: str) -> Topology:
    """Return ``wanted`` with the widths and precisions of the program."""
    count = sum(isinstance(layer, Conv | Dense) for layer in wanted.layers)
    if count != len(pairs):
        raise TrainError(
            f"{source}: has {len(pairs)} layers with weights, but {wanted.name} has {count}"
        )
    layers: list[Layer] = []
    rest = iter(pairs)
    steps: Threshold | None = None
    for layer in wanted.layers:
        match layer:
            case Conv() | Dense():
                dot, steps = next(rest)
                rows, weights = len(dot.weights), dot.precision
                wide = {"channels": rows} if isinstance(layer, Conv) else {"units": rows}
                layers.append(replace(layer, weights=weights, **wide))  # type: ignore[arg-type]
            case Act():
                layers.append(Act(_precision(steps, source)))
            case Pool() | Norm():
                layers.append(layer)
            case _:
                assert_never(layer)
    return replace(wanted, layers=tuple(layers))


def _precision(steps: Threshold | None, source: str) -> Precision:
    if steps is None:
        raise TrainError(f"{source}: has a hidden layer without an activation")
    # One threshold is a sign, whether its two values are called 0, 1 or -1, 1.
    return BIPOLAR if steps.thresholds.shape[1] == 1 else steps.precision


def _take_weights(layer: Weighted, dot: Dot, steps: Threshold | None, source: str) -> None:
    matrix = dot.weights.astype(np.float32)
    if steps is not None and steps.signs is not None:
        matrix *= steps.signs[:, None]  # a falling activation is a negated row
    shape = layer.weight.shape
    if matrix.size != layer.weight.numel():
        raise TrainError(
            f"{source}: {dot.name} has {matrix.shape[1]} columns, but {tuple(shape)} is needed"
        )
    if len(shape) == 4:  # rows, channels, kernel
        outputs, inputs, height, width = shape
        matrix = matrix.reshape(outputs, height, width, inputs).transpose(0, 3, 1, 2)
    layer.weight.data.copy_(torch.from_numpy(matrix) * _magnitude(layer.precision))


def _magnitude(precision: Precision) -> float:
    if precision == BIPOLAR:
        return BIPOLAR_MEAN_MAGNITUDE
    return TERNARY_MAGNITUDE if precision == TERNARY else 1 / precision.high


def _thresholds(
    dot: Dot, steps: Threshold | None, low: int, high: int
) -> tuple[NDArray[np.float64], int]:
    """Return real thresholds for the dot's sums, and the activation's lowest value.

    Thresholds are float64 (rows, levels), each halfway between two integers, so that no sum is
    equal to a threshold.
    """
    assert steps is not None  # else _precision raised an error
    levels = steps.thresholds.astype(np.float64)
    reached = np.clip(levels, low, high + 1)  # "never" and "always" become the bounds
    if dot.bias is not None:
        sign = 1 if steps.signs is None else steps.signs[:, None]
        reached = reached - sign * dot.bias[:, None]
    return reached - 0.5, 0 if levels.shape[1] == 1 else steps.base


def _take_thresholds(norm: BatchNorm, x: Tensor, levels: NDArray[np.float64], least: int) -> None:
    """Set ``norm`` so that the activation after it switches at ``levels`` (channels, levels)."""
    mean, variance = _measured(x)
    count = levels.shape[1]
    centre = torch.from_numpy(levels.mean(1))
    if count == 1:
        span, middle = torch.sqrt(variance + norm.epsilon), 0.0
    else:
        # Between equal thresholds is a value that never occurs: both steps are in the same half.
        span = torch.from_numpy((levels[:, -1] - levels[:, 0]) / (count - 1)).clamp(min=0.5)
        middle = least + count / 2
    # gamma / deviation = 1 / span; gamma must not be below its smallest value.
    variance = torch.maximum(variance, (span * 2 * norm.MIN_GAMMA) ** 2)
    deviation = torch.sqrt(variance + norm.epsilon)
    norm.mean.copy_(mean)
    norm.variance.copy_(variance)
    norm.gamma.data.copy_(deviation / span)
    norm.beta.data.copy_(middle - (centre - mean) / span)


def _take_logits(norm: BatchNorm, x: Tensor, program: Program) -> None:
    """Set ``norm`` so that it makes the program's logits.

    If the program has no affine, ``norm`` keeps the gamma and beta of a new network.
    """
    mean, variance = _measured(x.reshape(-1, 1))
    norm.mean.copy_(mean)
    norm.variance.copy_(variance)
    if program.affine is not None:
        scale = float(program.affine.scale.mean())
        norm.gamma.data.copy_(scale * torch.sqrt(variance + norm.epsilon))
        norm.beta.data.copy_(float(program.affine.offset.mean()) + scale * mean)


def _measured(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the variance per channel, float64.

    The variance is at least 1, because sums are integers.
    """
    rows = x.double().transpose(0, 1).flatten(1)
    return rows.mean(1), rows.var(1, unbiased=False).clamp(min=1.0)

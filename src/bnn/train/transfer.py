# SPDX-License-Identifier: BSD-3-Clause
"""Start from the weights of another run: ``bnn train --init RUN``.

A coarse network learns faster from a finer one of the same shape than from nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from torch import Tensor, nn

from bnn.errors import TrainError
from bnn.program.precision import BIPOLAR, Precision
from bnn.train.layers import Activation, BatchNorm, Weighted
from bnn.train.stack import Stack

#: Mean magnitude that real weights are brought to when their precision changes: a third of
#: ternary ones then starts as 0; bipolar ones start as far from 0 as fresh ones do.
MEAN_MAGNITUDE, BIPOLAR_MEAN_MAGNITUDE = 0.7, 0.25


def transfer(source: Stack, target: Stack, path: Path) -> int:
    """Copy the values of ``source`` that fit into ``target``.

    Between networks that differ, the statistics of batch norms do too, and are measured anew.

    Layers are matched in order, and fit where their shapes are equal: other classes, for
    example, leave the last layer as it was. Precisions may differ.

    Args:
        source, target: the second is changed.
        path: of the source, for the message.

    Returns:
        The number of layers with weights that were copied.

    Raises:
        TrainError: not a single one fits.
    """
    copied = 0
    for old, new in zip(_weighted(source), _weighted(target), strict=False):
        if old.weight.shape == new.weight.shape:
            new.weight.data.copy_(_rescaled(old.weight.data, old.precision, new.precision))
            copied += 1
    if not copied:
        raise TrainError(f"{path}: no layer of {source.topology.name} fits {target.topology.name}")
    same = source.topology.layers == target.topology.layers
    for (norm, high), (later, wanted) in zip(_norms(source), _norms(target), strict=False):
        if norm.gamma.shape == later.gamma.shape:
            later.gamma.data.copy_(norm.gamma.data * (wanted / high))
            later.beta.data.copy_(norm.beta.data * (wanted / high))
            if same:
                later.mean.copy_(norm.mean)
                later.variance.copy_(norm.variance)
    target.project()
    return copied


def _weighted(stack: Stack) -> Iterator[Weighted]:
    return (layer for layer in stack.body if isinstance(layer, Weighted))


def _norms(stack: Stack) -> Iterator[tuple[BatchNorm, int]]:
    """Batch norms, each with the largest value of the activation after it (1 if there is none)."""
    layers: list[nn.Module] = [*stack.body, *stack.head]
    for index, layer in enumerate(layers):
        if isinstance(layer, BatchNorm):
            later = (one for one in layers[index + 1 :] if isinstance(one, Activation))
            act = next(later, None)
            yield layer, 1 if act is None else act.precision.high


def _rescaled(weights: Tensor, before: Precision, after: Precision) -> Tensor:
    """Weights rescaled for quantizer ``after``: the next batch norm removes any scale factor."""
    if before == after:
        return weights
    wanted = BIPOLAR_MEAN_MAGNITUDE if after == BIPOLAR else MEAN_MAGNITUDE
    return weights * (wanted / weights.abs().mean().clamp(min=1e-6))

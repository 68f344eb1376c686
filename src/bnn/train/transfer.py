# SPDX-License-Identifier: BSD-3-Clause
"""Start from the weights of another run: ``bnn train --init RUN``.

A network of few bits is trained faster if it starts from the weights of a network of the same
shape with more bits than if it starts from random weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from torch import Tensor, nn

from bnn.errors import TrainError
from bnn.program.precision import BIPOLAR, Precision
from bnn.train.layers import Activation, BatchNorm, Weighted
from bnn.train.stack import Stack

#: Mean magnitude to which real weights are scaled when their precision changes: then a third of
#: ternary weights starts as 0, and bipolar ones start with the magnitudes of random weights.
MEAN_MAGNITUDE, BIPOLAR_MEAN_MAGNITUDE = 0.7, 0.25


def transfer(source: Stack, target: Stack, path: Path, *, same_classes: bool = True) -> int:
    """Copy the values of ``source`` into ``target``, for the layers that have the same shape.

    Layers are compared in order; their precisions may differ. If the numbers of classes differ,
    for example, the last layer is not copied. Weights, gamma and beta are copied, and rescaled for
    other precisions. The running statistics of batch norms are copied only if all layers of the
    two networks are the same.

    Args:
        source, target: networks; ``target`` is changed.
        path: path of the source, for the error message.
        same_classes: whether the classes of both are the same, in the same order; else the last
            layer and the batch norm after it are not copied.

    Returns:
        The number of layers with weights that were copied.

    Raises:
        TrainError: no layer fits.
    """
    copied = 0
    last = list(_weighted(target))[-1]
    for old, new in zip(_weighted(source), _weighted(target), strict=False):
        if new is last and not same_classes:
            break
        if old.weight.shape == new.weight.shape:
            new.weight.data.copy_(_rescaled(old.weight.data, old.precision, new.precision))
            copied += 1
    if not copied:
        raise TrainError(f"{path}: no layer of {source.topology.name} fits {target.topology.name}")
    same = source.topology.layers == target.topology.layers
    for (norm, high), (later, wanted) in zip(_norms(source), _norms(target), strict=False):
        if later in list(target.head) and not same_classes:
            break
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
    """Yield each batch norm, and the largest value of the activation after it.

    The value is 1 if there is no activation.
    """
    layers: list[nn.Module] = [*stack.body, *stack.head]
    for index, layer in enumerate(layers):
        if isinstance(layer, BatchNorm):
            later = (one for one in layers[index + 1 :] if isinstance(one, Activation))
            act = next(later, None)
            yield layer, 1 if act is None else act.precision.high


def _rescaled(weights: Tensor, before: Precision, after: Precision) -> Tensor:
    """Return ``weights``, rescaled if the precision changes from ``before`` to ``after``.

    The factor does not change the network, because the next batch norm removes it.
    """
    if before == after:
        return weights
    wanted = BIPOLAR_MEAN_MAGNITUDE if after == BIPOLAR else MEAN_MAGNITUDE
    return weights * (wanted / weights.abs().mean().clamp(min=1e-6))

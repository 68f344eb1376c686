# SPDX-License-Identifier: BSD-3-Clause
"""Start from another run, or learn from it: ``bnn train --init RUN``, ``--teacher RUN``.

A coarse network learns faster from a finer one of the same shape than from nothing:
its weights start where the finer one's ended, and it is told not only the right class of
a picture but how alike the others look. Both leave the deployed network what it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from bnn.errors import TrainError
from bnn.precision import BIPOLAR, Precision
from bnn.train.layers import Activation, BatchNorm, Weighted
from bnn.train.stack import Stack

#: Mean magnitude that real weights are brought to when their precision changes: a third of
#: ternary ones then starts as 0; bipolar ones start as far from 0 as fresh ones do.
MEAN_MAGNITUDE, BIPOLAR_MEAN_MAGNITUDE = 0.7, 0.25


def transfer(source: Stack, target: Stack, path: Path) -> int:
    """Copy the values of ``source`` that fit into ``target``; statistics are measured anew.

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
    for (norm, high), (later, wanted) in zip(_norms(source), _norms(target), strict=False):
        if norm.gamma.shape == later.gamma.shape:
            later.gamma.data.copy_(norm.gamma.data * (wanted / high))
            later.beta.data.copy_(norm.beta.data * (wanted / high))
    target.project()
    return copied


def _weighted(stack: Stack) -> Iterator[Weighted]:
    return (layer for layer in stack.body if isinstance(layer, Weighted))


def _norms(stack: Stack) -> Iterator[tuple[BatchNorm, int]]:
    """Batch norms, each with the largest value of the activation behind it (1 if none is)."""
    layers: list[nn.Module] = [*stack.body, *stack.head]
    for index, layer in enumerate(layers):
        if isinstance(layer, BatchNorm):
            behind = (one for one in layers[index + 1 :] if isinstance(one, Activation))
            act = next(behind, None)
            yield layer, 1 if act is None else act.precision.high


def _rescaled(weights: Tensor, before: Precision, after: Precision) -> Tensor:
    """The batch norm behind divides any scale away, so it may be what suits the new steps."""
    if before == after:
        return weights
    wanted = BIPOLAR_MEAN_MAGNITUDE if after == BIPOLAR else MEAN_MAGNITUDE
    return weights * (wanted / weights.abs().mean().clamp(min=1e-6))


class Teachers:
    """Trained networks whose mean opinion of a picture a student shall share.

    Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015, section 2.

    Args:
        stacks: at least one, of the student's input and classes; put into evaluation mode.
        temperature: logits of both sides are divided by it, so that the less likely classes
            count.
    """

    def __init__(self, stacks: Sequence[Stack], temperature: float) -> None:
        self.stacks, self.temperature = [stack.eval() for stack in stacks], temperature

    def to(self, device: torch.device) -> None:
        """Bring them to where the pictures are."""
        for stack in self.stacks:
            stack.to(device)

    def loss(self, pictures: Tensor, logits: Tensor) -> Tensor:
        """Cross entropy to the teachers' probabilities, of gradients independent of temperature.

        Args:
            pictures: uint8 (N, *input shape).
            logits: the student's, float32 (N, classes).
        """
        with torch.no_grad():
            answers = [(stack(pictures) / self.temperature).softmax(1) for stack in self.stacks]
            wanted = torch.stack(answers).mean(0)
        return F.cross_entropy(logits / self.temperature, wanted) * self.temperature**2


def check_teacher(teacher: Stack, student: Stack, path: Path) -> None:
    """Refuse a teacher of other pictures or classes.

    Raises:
        TrainError: it is one, named by ``path``.
    """
    for what in ("input", "classes"):
        has, wanted = (getattr(stack.topology, what) for stack in (teacher, student))
        if has != wanted:
            raise TrainError(f"{path}: its network has {what} {has}, the one to teach {wanted}")

# SPDX-License-Identifier: BSD-3-Clause
"""Numbers that are not finite (NaN, infinite) are refused, with the name of the layer.

A network with such a value still gives classes, and all runtimes give the same classes. So a
comparison of the scores would not find the value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from bnn.errors import TrainError
from bnn.train.layers import BatchNorm
from bnn.train.stack import Stack


def check_stack(stack: Stack, where: str) -> None:
    """Refuse a stack with a value that is not finite.

    Weights, biases, the gamma, beta, mean and variance of batch norms, and the scale that follows
    from gamma and variance are checked.

    Args:
        stack: the network to check.
        where: start of the error message: a file, or an epoch.

    Raises:
        TrainError: a value is not finite, or a variance is negative; the message names the layer
            and the value.
    """
    for index, layer in enumerate((*stack.body, *stack.head)):
        name = f"layer {index} ({type(layer).__name__})"
        for key, values in (*layer.named_parameters(), *layer.named_buffers()):
            _check(values, f"{where}: {name}: {key}")
        if isinstance(layer, BatchNorm):
            if bool((layer.variance < 0).any()):
                raise TrainError(f"{where}: {name}: variance is negative")
            with torch.no_grad():
                _check(layer.gamma * layer.inv_std(), f"{where}: {name}: scale")


def check_logits(stack: Stack, scores: Tensor, where: str) -> None:
    """Refuse scores, int32 (N, classes), from which the stack makes logits that are not finite."""
    x = scores.float()
    with torch.no_grad():
        for layer in stack.head:
            x = layer(x)
    _check(x, f"{where}: logits")


def check_history(rows: Sequence[Mapping[str, Any]], where: str) -> None:
    """Refuse a history in which a figure of an epoch is not a finite number."""
    for number, row in enumerate(rows, start=1):
        for key, value in row.items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise TrainError(f"{where}: {key} of epoch {number} is not a number")
            if not math.isfinite(value):
                raise TrainError(f"{where}: {key} of epoch {number} is not finite: {value}")


def _check(values: Tensor, what: str) -> None:
    wrong = int(values.numel() - torch.isfinite(values).sum())
    if wrong:
        raise TrainError(f"{what}: {wrong} of {values.numel()} values are not finite")

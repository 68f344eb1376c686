# SPDX-License-Identifier: BSD-3-Clause
"""From a trained stack to a :class:`bnn.network.network.Network` with the trained values.

Nothing is rounded or folded here; ``bnn.lower`` does that. The network's float32
arithmetic is the one that the stack's layers define for evaluation mode.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from bnn.errors import TrainError
from bnn.network import network as net
from bnn.program.precision import BIPOLAR
from bnn.train import layers
from bnn.train.stack import Stack


def extract(stack: Stack) -> net.Network:
    """Return the values of ``stack`` as a network; the stack is not changed.

    Raises:
        NetworkError: the layers are not a valid network, for example a dense layer reads real
            values.
    """
    trained = (*stack.body, *stack.head)
    kept = tuple(_layer(layer, f"layer{index}") for index, layer in enumerate(trained))
    return net.Network(input=stack.input, layers=kept, arithmetic="float32")


def _layer(layer: nn.Module, name: str) -> net.Layer:
    match layer:
        case layers.Conv2d():
            kernels = _array(layer.integers()).transpose(0, 2, 3, 1)
            return net.Conv2d(
                name,
                kernels.astype(np.int16),
                layer.precision,
                bias=_bias(layer),
                stride=layer.stride,
                padding=layer.padding,
            )
        case layers.Dense():
            matrix = _array(layer.integers()).astype(np.int16)
            return net.Linear(name, matrix, layer.precision, bias=_bias(layer))
        case layers.BatchNorm():
            gamma, beta = _array(layer.gamma), _array(layer.beta)
            mean, inv_std = _array(layer.mean), _array(layer.inv_std())
            return net.BatchNorm(name, gamma, beta, mean, inv_std, order="scaled")
        case layers.Activation(precision=precision) if precision == BIPOLAR:
            return net.Sign(name)
        case layers.Activation():
            return net.Quantize(name, layer.precision, rounding="half-up")
        case layers.MaxPool():
            return net.MaxPool(name, layer.kernel, layer.stride)
        case layers.Flatten():
            return net.Flatten(name)
    raise TrainError(f"{name}: a {type(layer).__name__} cannot be deployed")


def _bias(layer: layers.Weighted) -> NDArray[np.float32] | None:
    return None if layer.bias is None else _array(layer.bias)


def _array(values: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = values.detach().cpu().numpy()
    return array

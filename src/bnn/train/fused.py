# SPDX-License-Identifier: BSD-3-Clause
"""Batch norm and activation in one step, and 2x2 pools, in C++, for training on a CPU.

Between two convolutions, PyTorch reads and writes each map a dozen times. This takes more time than
the arithmetic. The functions here read or write a map twice forward and twice backward, and keep
one map instead of three. They are used only in training and in bfloat16, where it does not matter
how results are rounded: what is deployed is computed by :mod:`bnn.train.layers`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bnn import _native
from bnn.program.precision import BIPOLAR
from bnn.train.layers import Activation, BatchNorm, MaxPool

#: (lowest value, highest value, whether it is a sign, whether its estimator is ``approx``).
Quantizer: TypeAlias = tuple[float, float, bool, bool]


def run(layers: Iterable[nn.Module], x: Tensor) -> Tensor:
    """Return the result of ``layers``, applied to ``x`` one after the other.

    Layers for which there is a faster function here are replaced by it, if ``x`` allows it.
    """
    for layer in _fused(list(layers)) if _suits(layers, x) else layers:
        x = layer(x)
    return x


def _suits(layers: Iterable[nn.Module], x: Tensor) -> bool:
    training = any(layer.training for layer in layers)
    return training and x.device.type == "cpu" and x.dtype == torch.bfloat16


def _fused(layers: list[nn.Module]) -> Iterator[Any]:
    """Yield the layers as functions.

    A batch norm per channel and the activation after it become one function; a 2x2 max pool
    becomes :func:`pool`.
    """
    index = 0
    while index < len(layers):
        match layers[index : index + 2]:
            case [BatchNorm() as norm, Activation() as act] if len(norm.gamma) > 1:
                yield lambda x, norm=norm, act=act: norm_act(x, norm, act)
                index += 1
            case [MaxPool(kernel=(2, 2), stride=(2, 2)), *_]:
                yield pool
            case [layer, *_]:
                yield layer
        index += 1


def quantizer_of(act: Activation) -> Quantizer:
    """Return the description of an activation that functions of the native module take."""
    low, high = float(act.precision.low), float(act.precision.high)
    bipolar = act.precision == BIPOLAR
    return low, high, bipolar, bipolar and act.estimator == "approx"


def norm_act(x: Tensor, norm: BatchNorm, act: Activation) -> Tensor:
    """Return ``act(norm(x))`` of a training step; x is bfloat16 (N, channels[, height, width])."""
    quantizer = quantizer_of(act)
    result: Tensor = _NormAct.apply(x, norm.gamma, norm.beta, norm, quantizer)  # type: ignore[no-untyped-call]
    return result


def pool(x: Tensor) -> Tensor:
    """Return the maximum over windows of 2x2 of bfloat16 maps (N, channels, height, width)."""
    result: Tensor = _Pool.apply(x)  # type: ignore[no-untyped-call]
    return result


class _NormAct(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        gamma: Tensor,
        beta: Tensor,
        norm: BatchNorm,
        quantizer: Quantizer,
    ) -> Tensor:
        x = _channels_last(x)
        y = torch.empty_like(x)
        mean, inv_std, variance = (torch.empty_like(gamma) for _ in range(3))
        _native.norm_act_forward(
            _rows(x),
            array_of(gamma),
            array_of(beta),
            norm.epsilon,
            quantizer,
            _rows(y),
            array_of(mean),
            array_of(inv_std),
            array_of(variance),
            torch.get_num_threads(),
        )
        norm.observe(mean, variance, x.numel() // len(gamma))
        ctx.save_for_backward(x, gamma, beta, mean, inv_std)
        ctx.quantizer = quantizer
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, gamma, beta, mean, inv_std = ctx.saved_tensors
        grad_x, grad_gamma, grad_beta = (torch.empty_like(one) for one in (x, gamma, beta))
        _native.norm_act_backward(
            _rows(_channels_last(grad)),
            _rows(x),
            array_of(gamma),
            array_of(beta),
            array_of(mean),
            array_of(inv_std),
            ctx.quantizer,
            _rows(grad_x),
            array_of(grad_gamma),
            array_of(grad_beta),
            torch.get_num_threads(),
        )
        return grad_x, grad_gamma, grad_beta, None, None


class _Pool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = _channels_last(x)
        count, channels, height, width = x.shape
        y = torch.empty(
            (count, channels, height // 2, width // 2),
            dtype=x.dtype,
            memory_format=torch.channels_last,
        )
        _native.pool_forward(_maps(x), _maps(y), torch.get_num_threads())
        ctx.save_for_backward(x, y)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        x, y = ctx.saved_tensors
        grad_x = torch.empty_like(x)
        grad_bits, threads = _maps(_channels_last(grad)), torch.get_num_threads()
        _native.pool_backward(grad_bits, _maps(x), _maps(y), _maps(grad_x), threads)
        return grad_x


def _channels_last(x: Tensor) -> Tensor:
    order = torch.channels_last if x.dim() == 4 else torch.contiguous_format
    return x.contiguous(memory_format=order)


def array_of(tensor: Tensor) -> NDArray[Any]:
    """Return an array that shares the tensor's memory.

    NumPy has no bfloat16: the array of such a tensor has its bits, as uint16.
    """
    plain = tensor.detach()
    bits = plain.dtype == torch.bfloat16
    return plain.view(torch.int16).numpy().view(np.uint16) if bits else plain.numpy()


def _maps(x: Tensor) -> NDArray[np.uint16]:
    """Return the bits of maps, uint16 (N, height, width, channels), in the same memory."""
    return array_of(x.detach().permute(0, 2, 3, 1))


def _rows(x: Tensor) -> NDArray[np.uint16]:
    """Return the bits of maps or rows, uint16 (positions, channels), in the same memory."""
    return _maps(x).reshape(-1, x.shape[1]) if x.dim() == 4 else array_of(x)

# SPDX-License-Identifier: BSD-3-Clause
"""Quantizers: real numbers to small integers, with a pseudo-gradient for training.

A quantizer's true derivative is zero almost everywhere, so each quantizer defines a
*pseudo-gradient* for its backward pass. The results of the forward pass are whole numbers (stored
as floats), exactly those that the deployed network computes with. A quantizer has no scale: the
next batch norm would remove it. The code reads and writes memory as few times as possible, because
this takes most of the time on a CPU.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bnn.errors import TrainError
from bnn.program.precision import BIPOLAR, Precision


class _Sign(torch.autograd.Function):
    """``q = +1 if x >= 0 else -1``; ``dq/dx := 1 where |x| < 1, else 0``.

    The straight-through estimator with clipping: Hubara, Courbariaux et al.,
    "Binarized Neural Networks", 2016, section 1.3 (specification, section 8).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return _sign(x + 0.0)  # -0 becomes +0: a threshold cannot distinguish them

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        (x,) = ctx.saved_tensors
        return _inside(grad, x, -1, 1)


class _ApproxSign(_Sign):
    """``q = +1 if x >= 0 else -1``; ``dq/dx := 2 - 2|x| where |x| < 1, else 0``.

    The derivative of a piecewise quadratic, which approximates the step better than the
    clipped identity does: Liu et al., "Bi-Real Net", 2018, section 3.3.
    """

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        (x,) = ctx.saved_tensors
        return x.abs().mul_(-2).add_(2).clamp_(min=0).mul_(grad)


class _Uniform(torch.autograd.Function):
    """``q = floor(clip(x, low, high) + 1/2)``; ``dq/dx := 1 where low < x < high, else 0``.

    ``low`` and ``high`` are the precision's bounds. Ternary (2-bit) activations are -1, 0 and +1,
    with the boundaries -1/2 and +1/2; a value on a boundary becomes the upper number
    (specification, section 8).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, low: int, high: int) -> Tensor:
        ctx.save_for_backward(x)
        ctx.bounds = low, high
        return x.clamp(low, high).add_(0.5).floor_()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        (x,) = ctx.saved_tensors
        return _inside(grad, x, *ctx.bounds), None, None


class _Weight(torch.autograd.Function):
    """Quantize real weights in [-1, 1] to ``precision``; the gradient passes unchanged.

    Bipolar: +1 if x >= 0, else -1. Other precisions: ``q = floor(high * x + 1/2)``. The gradient
    needs no limits, because weights are clipped to [-1, 1] after every step (specification,
    section 8).
    """

    @staticmethod
    def forward(_ctx: Any, x: Tensor, precision: Precision) -> Tensor:
        if precision == BIPOLAR:
            return _sign(x)
        return (x * precision.high).clamp_(precision.low, precision.high).add_(0.5).floor_()

    @staticmethod
    def backward(_ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return grad, None


#: Names of the sign's pseudo-gradients.
ESTIMATORS = {"ste": _Sign, "approx": _ApproxSign}


def quantize_activation(x: Tensor, precision: Precision, estimator: str = "ste") -> Tensor:
    """Quantize real values to whole numbers of ``precision`` (same shape and dtype).

    Args:
        x: floating-point tensor of any shape.
        precision: bipolar, or 2 to 8 bits signed, narrow or unsigned (unsigned also 1).
        estimator: pseudo-gradient of the sign, one of :data:`ESTIMATORS`.
    """
    if precision == BIPOLAR:
        if estimator not in ESTIMATORS:
            raise TrainError(f"no such gradient estimator: {estimator!r}")
        return _apply(ESTIMATORS[estimator], x)
    return _apply(_Uniform, x, precision.low, precision.high)


def quantize_weight(x: Tensor, precision: Precision) -> Tensor:
    """Quantize real weights in [-1, 1] to whole numbers of ``precision`` (same shape and dtype)."""
    return _apply(_Weight, x, precision)


def _apply(function: type[torch.autograd.Function], *args: Any) -> Tensor:
    result: Tensor = function.apply(*args)  # type: ignore[no-untyped-call]
    return result


def _sign(x: Tensor) -> Tensor:
    """Return -1 where the sign bit is set (also for -0), else +1."""
    # Many times faster on a CPU than torch.where, see bench/train_step.py.
    return torch.copysign(torch.ones((), dtype=x.dtype, device=x.device), x)


def _inside(grad: Tensor, x: Tensor, low: float, high: float) -> Tensor:
    """Return ``grad`` where low < x < high, and 0 elsewhere.

    It reads memory once; comparisons and a product would read it four times.
    """
    result: Tensor = torch.ops.aten.hardtanh_backward(grad, x, low, high)
    return result

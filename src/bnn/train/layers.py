# SPDX-License-Identifier: BSD-3-Clause
"""Layers whose weights and activations are small integers, as plain PyTorch modules.

In training mode they use PyTorch's fused kernels, in bfloat16 under autocast. In evaluation
mode their arithmetic is *defined*: sums of integers are exact, and real values are float32 in
the stated order of operations. ``bnn.train.extract`` makes a
:class:`bnn.network.network.Network` that computes the same as evaluation mode. So the deployed
integers equal the forward pass of the trained network in evaluation mode.

Maps are (N, channels, height, width) in PyTorch's ``channels_last`` memory format.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from bnn.program.operations import Borders, Pair
from bnn.program.precision import BIPOLAR, Precision
from bnn.train import together
from bnn.train.quantizers import quantize_activation, quantize_weight


class Weighted(nn.Module):
    """Base of convolution and dense layer: real weights, used as integers.

    Args:
        shape: shape of the weights, outputs first.
        precision: precision of the integer weights.
        bias: whether a real bias is added. It is not needed before a batch norm, which has a bias
            of its own (beta).

    Attributes:
        weight: float32 parameter of ``shape``, kept within [-1, 1] by :meth:`project`.
        bias: float32 parameter (outputs,), or None.
    """

    def __init__(self, shape: tuple[int, ...], precision: Precision, bias: bool) -> None:
        super().__init__()
        self.precision = precision
        # Ternary weights within (-1/2, 1/2) would all be zero, and no gradient would pass.
        reach = 0.5 if precision == BIPOLAR else 1.0
        self.weight = nn.Parameter(torch.empty(shape).uniform_(-reach, reach))
        self.bias = nn.Parameter(torch.zeros(shape[0])) if bias else None

    def integers(self) -> Tensor:
        """Return the weights as they are deployed: whole numbers in float32, of the same shape."""
        return quantize_weight(self.weight.detach(), self.precision)

    def project(self) -> None:
        """Clip the real weights to [-1, 1]; call it after every step of the optimiser."""
        self.weight.data.clamp_(-1, 1)

    def _quantized(self, x: Tensor) -> Tensor:
        # In float32, as deployed: rounded to 16 bits first, weights just below 1/2 would be 1 in
        # training and 0 after it, and ternary weights gather there.
        return quantize_weight(self.weight, self.precision).to(x.dtype)

    def _finish(self, sums: Tensor) -> Tensor:
        if sums.dtype == torch.float32 and not self.training:
            # Some convolution algorithms are inexact even where all sums fit float32.
            sums = sums.round_()
        if self.bias is None:
            return sums
        return sums + self.bias.to(sums.dtype).view(-1, *[1] * (sums.dim() - 2))


class Dense(Weighted):
    """``y = W x``, plus a bias if ``bias`` is true.

    Shapes: (N, inputs) to (N, outputs).
    """

    def __init__(
        self, inputs: int, outputs: int, precision: Precision = BIPOLAR, bias: bool = False
    ) -> None:
        super().__init__((outputs, inputs), precision, bias)

    def forward(self, x: Tensor) -> Tensor:
        return self._finish(F.linear(x, self._quantized(x)))


class Conv2d(Weighted):
    """Correlation, plus a bias if ``bias`` is true.

    Shapes: (N, inputs, height, width) to (N, outputs, ...).

    Args:
        kernel, stride: (vertical, horizontal).
        padding: (top, left, bottom, right) zeros.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: Pair = (3, 3),
        precision: Precision = BIPOLAR,
        stride: Pair = (1, 1),
        padding: Borders = (0, 0, 0, 0),
        bias: bool = False,
    ) -> None:
        super().__init__((outputs, inputs, *kernel), precision, bias)
        self.weight.data = self.weight.data.contiguous(memory_format=torch.channels_last)
        self.stride, self.padding = stride, padding

    def forward(self, x: Tensor) -> Tensor:
        if any(self.padding):
            top, left, bottom, right = self.padding
            x = F.pad(x, (left, right, top, bottom))
        weight = self._quantized(x)
        if x.dtype != torch.float32 and x.shape[2:] == weight.shape[2:]:
            # One window per picture: a matrix product is ten times faster backward on a CPU.
            rows = (one.permute(0, 2, 3, 1).flatten(1) for one in (x, weight))
            return self._finish(F.linear(*rows)[:, :, None, None])
        return self._finish(F.conv2d(x, weight, stride=self.stride))


class BatchNorm(nn.Module):
    """Batch normalization per channel (axis 1), or with one set of parameters for all values.

    Evaluation: ``(x - mean) * (gamma * inv_std) + beta``, every operation rounded to
    float32, ``inv_std = 1 / sqrt(variance + epsilon)``.

    gamma is kept positive. With a negative gamma the activation would fall when its input rises,
    and a max pool after it would have to come before it; BNN-PYNQ's accelerators cannot do so
    (specification, section 8). The network can still learn the same functions: the layer before
    can negate a row of its weights instead.

    Args:
        channels: number of channels; 1 for one set of parameters for all values.
        epsilon: number that is added to the variance.
        gain: initial value of gamma.
    """

    MIN_GAMMA = 1e-2

    mean: Tensor
    variance: Tensor

    def __init__(self, channels: int, epsilon: float = 1e-4, gain: float = 1.0) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.momentum = 0.1  # how far the running statistics move towards those of a batch
        self.gamma = nn.Parameter(torch.full((channels,), gain))
        self.beta = nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            alike = x.view(-1, 1) if len(self.gamma) == 1 else x
            # Without gradients the statistics are measured, of a batch that all processes have.
            if torch.is_grad_enabled() and together.processes() > 1:
                return self._together(alike).view_as(x)
            args = self.mean, self.variance, self.gamma, self.beta
            return F.batch_norm(alike, *args, True, self.momentum, self.epsilon).view_as(x)
        if x.dtype != torch.float32:  # a teacher's forward pass: its rounding does not matter
            args = self.mean, self.variance, self.gamma, self.beta
            alike = x.view(-1, 1) if len(self.gamma) == 1 else x
            return F.batch_norm(alike, *args, False, 0.0, self.epsilon).view_as(x)
        shape = (-1, *[1] * (x.dim() - 2))
        slope = (self.gamma * self.inv_std()).view(shape)
        # Three separate operations: a fused multiply-add would round once less.
        return (x - self.mean.view(shape)).mul_(slope).add_(self.beta.view(shape))

    def _together(self, x: Tensor) -> Tensor:
        """Return the batch norm of training, over the batch of all processes."""
        values, mean, variance, count = together.normalized(x, self.epsilon)
        self.observe(mean, variance, count)
        shape = (-1, *[1] * (x.dim() - 2))
        return (values * self.gamma.view(shape) + self.beta.view(shape)).to(x.dtype)

    def inv_std(self) -> Tensor:
        """Return 1 / sqrt(variance + epsilon), float32 (channels,), as evaluation mode uses it."""
        return 1 / torch.sqrt(self.variance + self.epsilon)

    def observe(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Move the running statistics towards the statistics of a batch.

        ``mean`` and ``variance`` (biased) are those of ``count`` values per channel.
        """
        self.mean.lerp_(mean, self.momentum)
        self.variance.lerp_(variance * (count / max(1, count - 1)), self.momentum)

    def project(self) -> None:
        """Keep gamma positive; call it after every step of the optimiser."""
        self.gamma.data.clamp_(min=self.MIN_GAMMA)


class Activation(nn.Module):
    """Quantizes real values to ``precision``; see :mod:`bnn.train.quantizers`."""

    def __init__(self, precision: Precision = BIPOLAR, estimator: str = "ste") -> None:
        super().__init__()
        self.precision, self.estimator = precision, estimator

    def forward(self, x: Tensor) -> Tensor:
        return quantize_activation(x, self.precision, self.estimator)


class MaxPool(nn.Module):
    """Maximum over windows, of quantized or real maps. Incomplete windows are dropped."""

    def __init__(self, kernel: Pair = (2, 2), stride: Pair | None = None) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride or kernel

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, self.kernel, self.stride)


class Flatten(nn.Module):
    """(N, channels, height, width) to (N, height * width * channels), channels fastest."""

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 1).flatten(1) if x.dim() == 4 else x

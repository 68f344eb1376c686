# SPDX-License-Identifier: BSD-3-Clause
"""A whole training step in small integers, by the native module's look-up tables, on a CPU.

Binary and ternary layers need no floating-point products, neither after deployment nor in
training. In the forward pass, the sums are the integers that the deployed network has. In the
backward pass, gradients are rounded to 6 or 7 bits at random (up or down in proportion), so that
their mean is right: Zhou et al., "DoReFa-Net: Training Low Bitwidth Convolutional Neural Networks
with Low Bitwidth Gradients", 2016, section 2.4. Gradients of inputs have a scale for each image,
gradients of weights have a scale for each channel.

The first layer reads bytes. If it is a convolution, it is computed in C++ too
(``first_layer.hpp``): exactly in the forward pass, in float32 in the backward pass. PyTorch
computes a dense first layer, and everything after the scores.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor, nn

from bnn import _native
from bnn.program.operations import Borders
from bnn.program.precision import BIPOLAR, Precision
from bnn.train.fused import array_of, quantizer_of
from bnn.train.layers import Activation, BatchNorm, Conv2d, Dense, Flatten, MaxPool, Weighted
from bnn.train.quantizers import quantize_weight

#: Largest sum: sums are int16.
MAX_SUM = 2**15 - 1


@dataclass(frozen=True)
class Stage:
    """A layer with weights, and the layers after it up to the next layer with weights.

    Attributes:
        weighted: the layer with weights.
        bipolar_inputs: True if the inputs of this layer are -1 and +1 only, False if they are also
            0; None if inputs or weights have other values (as in the first layer).
        pool_sums: whether a pool of 2x2 comes before the batch norm.
        norm, act: batch norm and activation; None in the last stage.
        pool_codes: whether a pool of 2x2 comes after the activation.
    """

    weighted: Conv2d | Dense
    bipolar_inputs: bool | None
    pool_sums: bool = False
    norm: BatchNorm | None = None
    act: Activation | None = None
    pool_codes: bool = False

    @property
    def padding(self) -> Borders:
        """Padding of a convolution, (top, left, bottom, right)."""
        return self.weighted.padding if isinstance(self.weighted, Conv2d) else (0, 0, 0, 0)

    def parameters(self) -> list[nn.Parameter]:
        """Return the trained parameters: weights, gamma and beta."""
        norm = [] if self.norm is None else [self.norm.gamma, self.norm.beta]
        return [self.weighted.weight, *norm]


def available() -> bool:
    """Return whether look-up tables are faster than floating point on this CPU."""
    return _native.lut_kernel() != "portable"


def stages_of(body: Sequence[nn.Module], inputs: Collection[int]) -> list[Stage] | None:
    """Return the layers of a stack as stages, or None if look-up tables cannot compute all of them.

    Args:
        body: layers of the network; the first reads the input's integers, the last makes the
            scores.
        inputs: the values that the input's integers may have.
    """
    stages: list[Stage] = []
    values: Collection[int] = inputs
    rest = [layer for layer in body if not isinstance(layer, Flatten)]
    while rest:
        stage, rest = _first_stage(rest, values)
        if stage is None or (stages and stage.bipolar_inputs is None):
            return None
        stages.append(stage)
        if stage.act is not None:
            values = _values(stage.act.precision)
    return stages if len(stages) > 1 else None


def _values(precision: Precision) -> Collection[int]:
    return (-1, 1) if precision == BIPOLAR else range(precision.low, precision.high + 1)


def _first_stage(
    layers: list[nn.Module], values: Collection[int]
) -> tuple[Stage | None, list[nn.Module]]:
    """Return the first stage of ``layers``, and the layers after it.

    The stage is None if the first layers cannot be a stage. ``values`` are the values that the
    first layer may read.
    """
    weighted, *rest = layers
    if not isinstance(weighted, Conv2d | Dense) or not _suits(weighted, max(map(abs, values))):
        return None, rest
    few = set(values) <= {-1, 0, 1} and _is_small(weighted.precision)
    bipolar = 0 not in values if few else None
    taken: dict[str, Any] = {}
    for name, kind in (
        ("pool_sums", MaxPool),
        ("norm", BatchNorm),
        ("act", Activation),
        ("pool_codes", MaxPool),
    ):
        if rest and isinstance(rest[0], kind):
            layer = rest.pop(0)
            taken[name] = True if kind is MaxPool else layer
            if isinstance(layer, MaxPool) and (layer.kernel, layer.stride) != ((2, 2), (2, 2)):
                return None, rest
    whole = {"norm", "act"} <= set(taken) or not (taken or rest)
    norm = taken.get("norm")
    if not whole or (norm is not None and len(norm.gamma) == 1):
        return None, rest
    return Stage(weighted, bipolar, **taken), rest


def _is_small(precision: Precision) -> bool:
    return precision.low == -1 and precision.high == 1


def _suits(weighted: Weighted, most: int) -> bool:
    """Return whether look-up tables can compute a layer.

    It must have no bias, no stride, a padding smaller than its kernel, and sums that fit in 16
    bits. ``most`` is the largest absolute value that it reads.
    """
    if weighted.bias is not None:
        return False
    if isinstance(weighted, Conv2d):
        top, left, bottom, right = weighted.padding
        height, width = weighted.weight.shape[2:]
        if weighted.stride != (1, 1) or max(top, bottom) >= height or max(left, right) >= width:
            return False
    heaviest = max(-weighted.precision.low, weighted.precision.high)
    return weighted.weight[0].numel() * most * heaviest <= MAX_SUM


def scores(stages: Sequence[Stage], inputs: Tensor) -> Tensor:
    """Return the scores of a training step, float32 (N, classes), with their gradient.

    Args:
        stages: result of :func:`stages_of`.
        inputs: the integers that the first layer reads, float32 (N, channels, height, width)
            or (N, features).
    """
    parameters = [one for stage in stages for one in stage.parameters()]
    result: Tensor = _Step.apply(stages, inputs, *parameters)  # type: ignore[no-untyped-call]
    return result


@dataclass
class _Kept:
    """The results of a stage's forward pass that its backward pass needs; channels are last."""

    inputs: Tensor
    weights: Tensor
    sums: Tensor | None = None  # before a pool
    pooled: Tensor | None = None  # after the pool, or the same
    statistics: tuple[Tensor, Tensor] | None = None
    codes: Tensor | None = None  # before a pool
    outputs: Tensor | None = None


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, stages: Sequence[Stage], inputs: Tensor, *_: Tensor) -> Tensor:
        ctx.stages, ctx.kept = stages, []
        x = inputs if stages[0].bipolar_inputs is None else _channels_last(inputs).to(torch.int8)
        for stage in stages:
            kept = _first_sums(stage, x) if stage.bipolar_inputs is None else _sums(stage, x)
            _activate(stage, kept)
            ctx.kept.append(kept)
            assert kept.outputs is not None
            x = kept.outputs
        return x.flatten(1).float()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        grad = grad.to(torch.bfloat16)[:, None, None, :].contiguous()
        grads: list[Tensor] = []
        for index in reversed(range(len(ctx.stages))):
            stage, kept = ctx.stages[index], ctx.kept[index]
            grad, norms = _deactivate(stage, kept, grad)
            plain = stage.bipolar_inputs is None
            weights = _first_gradient(stage, kept, grad) if plain else _gradient(stage, kept, grad)
            grads = [weights, *norms, *grads]
            if index > 0:
                grad = _back(stage, kept, grad)
        ctx.kept = None
        return None, None, *grads


def _first_sums(stage: Stage, inputs: Tensor) -> _Kept:
    weights = stage.weighted.integers()
    if isinstance(stage.weighted, Dense):
        inputs = _flat(inputs)
        sums = F.linear(inputs, weights)[:, None, None, :]
        return _Kept(inputs, weights, sums=sums.round().to(torch.int16).contiguous())
    maps = _channels_last(inputs).to(torch.int16)
    weights = weights.permute(0, 2, 3, 1).to(torch.int16).contiguous()
    sums = _empty_sums(stage, maps, weights)
    _native.correlate_first(
        array_of(maps), array_of(weights), stage.padding, sums.numpy(), _threads()
    )
    return _Kept(maps, weights, sums=sums)


def _empty_sums(stage: Stage, x: Tensor, weights: Tensor) -> Tensor:
    count, height, width, _ = x.shape
    channels, rows, columns, _ = weights.shape
    top, left, bottom, right = stage.padding
    shape = count, height + top + bottom - rows + 1, width + left + right - columns + 1, channels
    return torch.empty(shape, dtype=torch.int16)


def _channels_last(maps: Tensor) -> Tensor:
    return maps.permute(0, 2, 3, 1).contiguous() if maps.dim() == 4 else maps


def _flat(maps: Tensor) -> Tensor:
    return _channels_last(maps).flatten(1)


def _sums(stage: Stage, x: Tensor) -> _Kept:
    weights = quantize_weight(stage.weighted.weight.detach(), stage.weighted.precision)
    weights = weights.to(torch.int8)
    if isinstance(stage.weighted, Conv2d):
        weights = weights.permute(0, 2, 3, 1).contiguous()
    else:
        x, weights = x.flatten(1)[:, None, None, :], weights[:, None, None, :]
    sums = _empty_sums(stage, x, weights)
    bipolar = stage.weighted.precision == BIPOLAR
    _native.correlate(
        array_of(x), array_of(weights), stage.padding, bipolar, sums.numpy(), _threads()
    )
    return _Kept(x, weights, sums=sums)


def _activate(stage: Stage, kept: _Kept) -> None:
    """Compute what follows the sums of a stage: pool, batch norm, activation; fill ``kept``."""
    assert kept.sums is not None
    kept.pooled = kept.outputs = _pooled(kept.sums) if stage.pool_sums else kept.sums
    if stage.norm is None or stage.act is None:
        return
    norm, x = stage.norm, kept.pooled
    y = torch.empty(x.shape, dtype=torch.int8)
    mean, inv_std, variance = (torch.empty_like(norm.gamma) for _ in range(3))
    _native.norm_act_forward(
        _rows(x),
        array_of(norm.gamma),
        array_of(norm.beta),
        norm.epsilon,
        quantizer_of(stage.act),
        _rows(y),
        array_of(mean),
        array_of(inv_std),
        array_of(variance),
        _threads(),
    )
    norm.observe(mean, variance, x.numel() // len(mean))
    kept.statistics = mean, inv_std
    kept.codes = y
    kept.outputs = _pooled(y) if stage.pool_codes else y


def _deactivate(stage: Stage, kept: _Kept, grad: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Return the gradient of a stage's sums, and those of gamma and beta.

    ``grad`` is the gradient of the stage's outputs.
    """
    norms: list[Tensor] = []
    if stage.norm is not None and stage.act is not None:
        assert kept.codes is not None
        assert kept.pooled is not None
        assert kept.statistics is not None
        grad = grad.view(*kept.outputs.shape)  # type: ignore[union-attr]  # not flat any more
        if stage.pool_codes:
            grad = _spread(grad, kept.codes, kept.outputs)
        gamma, beta = stage.norm.gamma, stage.norm.beta
        grad_x, norms = torch.empty_like(grad), [torch.empty_like(gamma), torch.empty_like(beta)]
        mean, inv_std = kept.statistics
        _native.norm_act_backward(
            _rows(grad),
            _rows(kept.pooled),
            array_of(gamma),
            array_of(beta),
            array_of(mean),
            array_of(inv_std),
            quantizer_of(stage.act),
            _rows(grad_x),
            array_of(norms[0]),
            array_of(norms[1]),
            _threads(),
        )
        grad = grad_x
    if stage.pool_sums:
        grad = _spread(grad, kept.sums, kept.pooled)
    return grad, norms


def _first_gradient(stage: Stage, kept: _Kept, grad: Tensor) -> Tensor:
    if isinstance(stage.weighted, Dense):
        return grad.flatten(1).float().T @ kept.inputs
    result = torch.empty(kept.weights.shape)
    _native.correlate_first_weights(
        array_of(grad), array_of(kept.inputs), stage.padding, result.numpy(), _threads()
    )
    return result.permute(0, 3, 1, 2)


def _gradient(stage: Stage, kept: _Kept, grad: Tensor) -> Tensor:
    result = torch.empty(kept.weights.shape)
    bipolar = bool(stage.bipolar_inputs)
    _native.correlate_weights(
        array_of(grad),
        array_of(kept.inputs),
        stage.padding,
        bipolar,
        _seed(),
        result.numpy(),
        _threads(),
    )
    return result.permute(0, 3, 1, 2) if isinstance(stage.weighted, Conv2d) else result[:, 0, 0]


def _back(stage: Stage, kept: _Kept, grad: Tensor) -> Tensor:
    """Return the gradient of a stage's inputs; ``grad`` is the gradient of its sums."""
    result = torch.empty(kept.inputs.shape, dtype=torch.bfloat16)
    bipolar = stage.weighted.precision == BIPOLAR
    _native.correlate_back(
        array_of(grad),
        array_of(kept.weights),
        stage.padding,
        bipolar,
        _seed(),
        array_of(result),
        _threads(),
    )
    return result


def _pooled(maps: Tensor) -> Tensor:
    count, height, width, channels = maps.shape
    pooled = torch.empty((count, height // 2, width // 2, channels), dtype=maps.dtype)
    _native.pool_forward(array_of(maps), array_of(pooled), _threads())
    return pooled


def _spread(grad: Tensor, maps: Tensor | None, pooled: Tensor | None) -> Tensor:
    """Return the gradient of ``maps``; ``grad`` is the gradient of the pooled maps."""
    assert maps is not None
    assert pooled is not None
    result = torch.empty(maps.shape, dtype=torch.bfloat16)
    _native.pool_backward(
        array_of(grad), array_of(maps), array_of(pooled), array_of(result), _threads()
    )
    return result


def _threads() -> int:
    return torch.get_num_threads()


def _seed() -> int:
    """Return the seed of one random rounding.

    It is drawn from PyTorch's generator, so that a run can be repeated.
    """
    return int(torch.randint(0, 2**32, ()))


def _rows(maps: Tensor) -> NDArray[Any]:
    """Return maps (N, height, width, channels) as rows (positions, channels), without a copy."""
    array = array_of(maps)
    return array.reshape(-1, array.shape[-1])

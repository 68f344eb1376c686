# SPDX-License-Identifier: BSD-3-Clause
"""Several processes that train one network together, each on its share of every batch.

Lightning starts the processes and averages their gradients. For the result to be that of one
process, the batch norms take the statistics of the whole batch (synchronized batch norm), and the
shares of the loss are weighted by their sizes. PyTorch's ``SyncBatchNorm`` takes no CPU tensors.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from bnn.errors import TrainError

#: What gloo and NCCL say when another process has gone; they have no class of errors for it.
_GONE = ("Connection closed", "Connection reset", "Broken pipe", "Socket closed", "NCCL", "gloo")


def processes() -> int:
    """Return how many processes train together; 1 if this process trains alone."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def total(share: Tensor) -> Tensor:
    """Return the sum of ``share`` over all processes; gradients flow through it."""
    found: Tensor = _Total.apply(share)  # type: ignore[no-untyped-call]
    return found


class _Total(torch.autograd.Function):
    """A sum over processes. Its gradient is such a sum too: every process has used the result."""

    @staticmethod
    def forward(_: Any, share: Tensor) -> Tensor:  # type: ignore[override]
        return _summed(share)

    @staticmethod
    def backward(_: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        return _summed(grad)


def _summed(share: Tensor) -> Tensor:
    found = share.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(found)
    return found


def normalized(x: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor, int]:
    """Normalize ``x`` with the statistics of the batch of which every process has a share.

    Args:
        x: float (N, channels, ...); N may differ between processes.
        epsilon: number that is added to the variance.

    Returns:
        The normalized values, float32; mean and biased variance of each channel, float32
        (channels,); and the number of values per channel in all processes.
    """
    x = x.float()
    axes = [axis for axis in range(x.dim()) if axis != 1]
    shape = (-1, *[1] * (x.dim() - 2))
    own = torch.full((1,), float(x.numel() // x.shape[1]), device=x.device)
    sums = total(torch.cat([x.sum(axes), own]))
    count = sums[-1].detach()
    mean = sums[:-1] / count
    centred = x - mean.view(shape)
    variance = total(centred.square().sum(axes)) / count
    values = centred * torch.rsqrt(variance + epsilon).view(shape)
    return values, mean.detach(), variance.detach(), int(count)


@contextmanager
def told_if_gone(folder: Path) -> Iterator[None]:
    """Raise an error of one line where another process of the training has ended.

    Raises:
        TrainError: another process was killed, or failed.
    """
    try:
        yield
    except RuntimeError as reason:
        if processes() == 1 or not any(one in str(reason) for one in _GONE):
            raise
        raise TrainError(
            "another process of this training has ended (killed, or short of memory); the last "
            f"whole epoch is kept; go on with: bnn train --resume {folder}"
        ) from reason

# SPDX-License-Identifier: BSD-3-Clause
"""A topology as a trainable stack of layers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from bnn._typing import assert_never
from bnn.network.quantizers import encoded_input
from bnn.network.topology import Act, Conv, Dense, Norm, Pool, Topology, Weighted
from bnn.program.inputs import PictureInput
from bnn.program.precision import BIPOLAR
from bnn.train import fused, layers, lut

#: Initial standard deviation of the logits: large enough for the loss to separate classes.
LOGIT_GAIN = 2.0


class Stack(nn.Module):
    """A trainable network from uint8 (N, *input shape) to logits, float32 (N, classes).

    Args:
        topology: layers of the network; :func:`deployable` of them is trained.
        estimator: pseudo-gradient of the sign, see ``bnn.train.quantizers``.

    Attributes:
        topology: the layers that are trained.
        body: the layers that make the integer scores from the input's integers.
        head: the layers that make logits from the scores: one batch norm.
    """

    table: Tensor

    def __init__(self, topology: Topology, estimator: str = "ste") -> None:
        super().__init__()
        self.topology = deployable(topology)
        built = list(_layers(self.topology, estimator))
        cut = 1 + max(i for i, one in enumerate(built) if isinstance(one, layers.Weighted))
        self.body, self.head = nn.ModuleList(built[:cut]), nn.ModuleList(built[cut:])
        self.input, _ = encoded_input(topology.input, topology.encoding)
        assert isinstance(self.input, PictureInput)
        table = torch.from_numpy(self.input.table.astype("float32"))
        self.register_buffer("table", table, persistent=False)
        self._stages: list[lut.Stage] | None = None

    def use_luts(self) -> bool:
        """Use small integers in training steps from now on (``bnn.train.lut``), if possible.

        Returns:
            Whether it is possible; if it is not, floating point is used.
        """
        inputs = {int(value) for value in self.table.flatten().tolist()}
        self._stages = lut.stages_of(list(self.body), inputs)
        return self.uses_luts

    @property
    def uses_luts(self) -> bool:
        """Whether training steps use small integers."""
        return self._stages is not None

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the logits, float32 (N, classes).

        Under autocast everything before the head is rounded to autocast's dtype (bfloat16), and so
        is not exact.
        """
        device = pictures.device.type
        fast = torch.is_autocast_enabled(device)
        kind = torch.get_autocast_dtype(device) if fast else torch.float32
        # Layers choose their dtypes themselves: autocast would cast every weight once more.
        with torch.autocast(device, enabled=False):
            if self.training and self._stages is not None:
                x = lut.scores(self._stages, self.maps(pictures))
            else:
                x = self._sums(pictures, kind).float()
            for layer in self.head:
                x = layer(x)
        return x

    def scores(self, pictures: Tensor) -> Tensor:
        """Return the integer scores, int32 (N, classes); in evaluation mode only."""
        assert not self.training
        with torch.no_grad(), torch.autocast(pictures.device.type, enabled=False):
            return self._sums(pictures, torch.float32).to(torch.int32)

    def weights(self) -> list[nn.Parameter]:
        """Return the real weights. Their learning rate is not that of the other parameters."""
        return [layer.weight for layer in self.body if isinstance(layer, layers.Weighted)]

    def project(self) -> None:
        """Clip every parameter to its range, after a step of the optimiser."""
        for layer in (*self.body, *self.head):
            if isinstance(layer, layers.Weighted | layers.BatchNorm):
                layer.project()

    def measure(self, batches: Iterable[Tensor]) -> None:
        """Set the batch norms' statistics to the mean over ``batches``, with the present weights.

        The running statistics of training are less exact: they are from earlier weights too, and
        mostly from the last few batches.

        Args:
            batches: at least one; each uint8 (N, *input shape), all of the same size.
        """
        norms = [one for one in self.modules() if isinstance(one, layers.BatchNorm)]
        training, momenta = self.training, [norm.momentum for norm in norms]
        self.train()
        with torch.no_grad():
            for number, pictures in enumerate(batches, start=1):
                for norm in norms:
                    norm.momentum = 1 / number
                self(pictures)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        self.train(training)

    def maps(self, pictures: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return the first layer's inputs as ``dtype``, (N, channels, height, width)."""
        x = self.table.to(dtype)[pictures.int()]
        return x.permute(0, 3, 1, 2) if x.dim() == 4 else x

    def _sums(self, pictures: Tensor, kind: torch.dtype) -> Tensor:
        return fused.run(self.body, self.maps(pictures, kind))


def deployable(topology: Topology) -> Topology:
    """Return ``topology`` as it is trained: without biases that have no effect, with one last norm.

    A bias before a batch norm has no effect, because the batch norm subtracts it. Batch norms at
    the end are replaced by one with the same parameters for all classes: then the largest integer
    score decides, and neither a runtime nor an accelerator needs real numbers.
    """
    kept = list(topology.layers)
    for index, layer in enumerate(kept):
        later = [one for one in kept[index + 1 :] if not isinstance(one, Pool)]
        if isinstance(layer, Weighted) and (not later or isinstance(later[0], Norm)):
            kept[index] = replace(layer, bias=False)
    while isinstance(kept[-1], Norm):
        kept.pop()
    return replace(topology, layers=(*kept, Norm(scalar=True)))


def _layers(topology: Topology, estimator: str) -> Iterator[nn.Module]:
    shapes = topology.shapes()
    for index, layer in enumerate(topology.layers):
        height, width, channels = shapes[index]
        match layer:
            case Conv():
                sizes = channels, layer.channels, layer.kernel
                more = layer.stride, layer.padding, layer.bias
                yield layers.Conv2d(*sizes, layer.weights, *more)
            case Dense():
                inputs = height * width * channels
                yield layers.Flatten()
                yield layers.Dense(inputs, layer.units, layer.weights, layer.bias)
            case Norm():
                gain = _gain(topology, index)
                yield layers.BatchNorm(1 if layer.scalar else channels, layer.epsilon, gain)
            case Pool():
                yield layers.MaxPool(layer.kernel, layer.stride)
            case Act():
                yield layers.Activation(layer.precision, estimator)
            case _:
                assert_never(layer)


def _gain(topology: Topology, index: int) -> float:
    """Return the initial gamma of a batch norm; it depends on the range of the activation after."""
    for layer in topology.layers[index + 1 :]:
        if isinstance(layer, Act):
            high = 1.0 if layer.precision == BIPOLAR else float(layer.precision.high)
            # Unsigned: half of the values are 0; most of the others should not be clipped.
            return high if layer.precision.low < 0 or high == 1 else high / 3
    return LOGIT_GAIN

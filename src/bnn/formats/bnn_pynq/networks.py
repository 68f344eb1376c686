# SPDX-License-Identifier: BSD-3-Clause
"""The original's five networks and their foldings (specification, section 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bnn.errors import ParameterError

MAX_CLASSES = 64
#: Bits of a word of weights; a PE reads one word per cycle.
WORD_BITS = 64

#: (PE, SIMD) of every layer.
Folding = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Layer:
    """One layer of an original network, with its folding (specification, section 1).

    Attributes:
        rows, columns: size of the padded weight matrix.
        pe, simd: rows and columns computed in parallel (the folding).
        used_columns: columns before padding.
        convolution: whether the layer has a 3x3 window before the dot.
        pool: whether the layer has a 2x2 maximum after the activation.
        last: whether this is the last layer. Its rows after the classes are padding.
    """

    rows: int
    columns: int
    pe: int
    simd: int
    used_columns: int
    convolution: bool = False
    pool: bool = False
    last: bool = False

    @property
    def neuron_fold(self) -> int:
        """Rows that each PE computes, one after the other; the original calls it NF or TMEM."""
        return self.rows // self.pe

    @property
    def synapse_fold(self) -> int:
        """Weight words in a row; the original calls it SF."""
        return self.columns // self.simd

    @property
    def weight_words(self) -> int:
        """Weight words in the memory of each PE; the original calls it WMEM."""
        return self.neuron_fold * self.synapse_fold


@dataclass(frozen=True)
class OriginalNetwork:
    """One of the five networks.

    Attributes:
        name: name in the original, such as ``cnvW1A1``.
        weight_bits, activation_bits: 1 or 2.
        layers: its layers in order.
    """

    name: str
    weight_bits: int
    activation_bits: int
    layers: tuple[Layer, ...]

    @property
    def is_cnv(self) -> bool:
        """Whether this is a CNV network (ends in scores), not an LFC network (ends in bits)."""
        return self.name.startswith("cnv")

    def levels(self, index: int) -> int:
        """Return the number of thresholds per row of a layer; 0 if it has no activation."""
        if index < len(self.layers) - 1:
            return self.activation_bits
        return 0 if self.is_cnv else 1


def _cnv_layers(folding: tuple[tuple[int, int], ...]) -> tuple[Layer, ...]:
    shapes = [(64, 27), (64, 576), (128, 576), (128, 1152), (256, 1152), (256, 2304)]
    shapes += [(512, 256), (512, 512), (64, 512)]
    return tuple(
        Layer(*shape, *fold, shape[1], convolution=index < 6, pool=index in (1, 3), last=index == 8)
        for index, (shape, fold) in enumerate(zip(shapes, folding, strict=True))
    )


_CNV_W1 = _cnv_layers(
    ((16, 3), (32, 32), (16, 32), (16, 32), (4, 32), (1, 32), (1, 4), (1, 8), (4, 1))
)
_CNV_W2 = _cnv_layers(((8, 3), (16, 16), (8, 16), (8, 16), (4, 8), (1, 8), (1, 2), (2, 2), (4, 1)))
_LFC = (
    Layer(1024, 832, 32, 64, 784),
    Layer(1024, 1024, 64, 32, 1024),
    Layer(1024, 1024, 32, 64, 1024),
    Layer(64, 1024, 16, 8, 1024, last=True),
)

NETWORKS = {
    network.name: network
    for network in (
        OriginalNetwork("cnvW1A1", 1, 1, _CNV_W1),
        OriginalNetwork("cnvW1A2", 1, 2, _CNV_W1),
        OriginalNetwork("cnvW2A2", 2, 2, _CNV_W2),
        OriginalNetwork("lfcW1A1", 1, 1, _LFC),
        OriginalNetwork("lfcW1A2", 1, 2, _LFC),
    )
}


def refold(network: OriginalNetwork, folding: Folding) -> OriginalNetwork:
    """Return ``network`` with another (PE, SIMD) for each layer.

    Raises:
        ParameterError: ``folding`` has too few or too many pairs, a PE does not divide the rows
            of its layer, a SIMD does not divide the columns, or SIMD weights exceed a word.
    """
    if len(folding) != len(network.layers):
        raise ParameterError(
            f"{network.name} has {len(network.layers)} layers, the folding {len(folding)}"
        )
    for index, (layer, (pe, simd)) in enumerate(zip(network.layers, folding, strict=True)):
        if pe < 1 or simd < 1 or layer.rows % pe or layer.columns % simd:
            raise ParameterError(
                f"{network.name} layer {index}: PE {pe} and SIMD {simd} "
                f"do not divide {layer.rows} rows and {layer.columns} columns"
            )
        if simd * network.weight_bits > WORD_BITS:
            raise ParameterError(
                f"{network.name} layer {index}: {simd} weights of {network.weight_bits} bits "
                f"exceed a word of {WORD_BITS}"
            )
    layers = zip(network.layers, folding, strict=True)
    folded = tuple(replace(layer, pe=pe, simd=simd) for layer, (pe, simd) in layers)
    return replace(network, layers=folded)

# SPDX-License-Identifier: BSD-3-Clause
"""Report of a conversion: what was read, not used, and not kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bnn.lower.affine import reading_integers
from bnn.network.arithmetic import vector
from bnn.network.network import Conv2d, Lattice, Layer, Linear, Network, Weighted
from bnn.program.inputs import Input


@dataclass
class Report:
    """Report on a conversion: what was read, not used and not kept. The readers of files fill it.

    Attributes:
        format: name of the format that was read.
        layers: tuples (layer, description, arrays used as ``name (shape)``).
        ignored: names of arrays and nodes that have no effect.
        lost: notes on what the converted network changes, or does not keep.
        approximate: a line for each layer whose values are rounded, which says how; empty if the
            converted network is exact.
        rounded: one line that says how many layers have sums that the source rounds in float32; ""
            if there is no such layer.
        assumed: name of the grid (:mod:`bnn.formats.grids`) that was assumed for the input; ""
            if the file quantizes its input.
        final: the function that the source applies to the scores (``softmax``, ``sigmoid`` or
            ``log_softmax``): then the source's outputs are not logits; else "".
    """

    format: str
    layers: list[tuple[str, str, str]] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    approximate: list[str] = field(default_factory=list)
    rounded: str = ""
    assumed: str = ""
    final: str = ""

    def used(self, layer: str, what: str, arrays: Mapping[str, Any] | None = None) -> None:
        """Add a layer to the report, with the arrays (by name) from which it was made."""
        named = (f"{name} {_shape(array)}" for name, array in (arrays or {}).items())
        self.layers.append((layer, what, ", ".join(named)))

    def lines(self) -> list[str]:
        """Return the report as lines of text."""
        text = [f"read {self.format}"]
        text += [f"  {name}: {what}" + (f"; {a}" if a else "") for name, what, a in self.layers]
        text += [f"  not used: {name}" for name in self.ignored]
        text += [f"  not kept: {note}" for note in self.lost]
        text += [f"  approximate: {note}" for note in self.approximate]
        text += [f"  float32: {self.rounded}"] if self.rounded else []
        return text

    def network(self, given: Input, layers: Sequence[Layer], lattice: Lattice) -> Network:
        """Return the network of the layers that were read.

        Layers that sum real values are replaced by layers that sum integers; the lines of
        ``approximate`` say which of them are not exact.

        Raises:
            NetworkError: a layer does not fit the layers before it.
        """
        made = reading_integers(given, lattice, layers)
        self.approximate += made.approximate
        network = Network(given, made.layers, lattice)
        self.rounded = _rounded(network)
        return network


def _rounded(network: Network) -> str:
    """Return a line that says how many layers have sums that are not exact in float32.

    Return "" if there is no such layer.
    """
    weighted = [layer for layer in network.layers if isinstance(layer, Conv2d | Linear)]
    count = sum(not _is_exact(layer, network) for layer in weighted)
    if not count:
        return ""
    return (
        f"the source rounds the sums of {count} of {len(weighted)} layers, whose scales are not "
        "powers of two; a sum very close to a threshold may be on its other side there"
    )


def _is_exact(layer: Weighted, network: Network) -> bool:
    """Return whether float32 represents every partial sum of a layer exactly.

    It does if the scales of its weights and of its inputs are powers of two.
    """
    scales = np.append(vector(layer.scale, np.float64), network.source_scale(layer))
    return bool((np.abs(np.frexp(scales)[0]) == 0.5).all())


def _shape(array: Any) -> str:
    return f"({', '.join(map(str, np.shape(array)))})"


@dataclass(frozen=True)
class Converted:
    """A network read from another framework's file.

    Attributes:
        network: the trained network.
        report: what was read, not used and not kept.
        classes: names of the classes, if the file has them.
    """

    network: Network
    report: Report
    classes: tuple[str, ...] | None = None

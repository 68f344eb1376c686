# SPDX-License-Identifier: BSD-3-Clause
"""Report of a conversion: what was read, not used, and not kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bnn.lower.affine import reading_integers
from bnn.network.network import Lattice, Layer, Network
from bnn.program.inputs import Input


@dataclass
class Report:
    """Report on a conversion: what was read, not used and not kept; a reader adds to it.

    Attributes:
        format: name of the format that was read.
        layers: tuples (layer, description, arrays used as ``name (shape)``).
        ignored: names of arrays and nodes without effect.
        lost: notes on what the converted network does not keep, or changes.
        approximate: a line for each layer whose values are rounded, and how; empty if the
            converted network is exact.
        assumed: name of the grid (:mod:`bnn.formats.grids`) that was assumed for the input; ""
            if the file quantizes its input.
        final: function after the scores in the source (``softmax``, ``sigmoid`` or
            ``log_softmax``), so that its outputs are not logits; else "".
    """

    format: str
    layers: list[tuple[str, str, str]] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    approximate: list[str] = field(default_factory=list)
    assumed: str = ""
    final: str = ""

    def used(self, layer: str, what: str, arrays: Mapping[str, Any] | None = None) -> None:
        """Add a layer, and the arrays (by name) that it is made of."""
        named = (f"{name} {_shape(array)}" for name, array in (arrays or {}).items())
        self.layers.append((layer, what, ", ".join(named)))

    def lines(self) -> list[str]:
        """Return the report as lines of text."""
        text = [f"read {self.format}"]
        text += [f"  {name}: {what}" + (f"; {a}" if a else "") for name, what, a in self.layers]
        text += [f"  not used: {name}" for name in self.ignored]
        text += [f"  not kept: {note}" for note in self.lost]
        text += [f"  approximate: {note}" for note in self.approximate]
        return text

    def network(self, given: Input, layers: Sequence[Layer], lattice: Lattice) -> Network:
        """Return the network of the layers that were read; sums of real values are rewritten.

        The report notes what is approximate. NetworkError: a layer does not fit.
        """
        made = reading_integers(given, lattice, layers)
        self.approximate += made.approximate
        return Network(given, made.layers, lattice)


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

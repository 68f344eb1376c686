# SPDX-License-Identifier: BSD-3-Clause
"""What is known about a layer's result while a network is lowered."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bnn.errors import NetworkError
from bnn.network.arithmetic import direction, real_layer, vector
from bnn.network.network import Integers, Lattice, MaxPool, Real, RealLayer, Shape


@dataclass(frozen=True, eq=False)
class Carried:
    """A layer's result: an edge of the program, and layers that still follow the edge.

    The edge has integers q; they stand for the whole numbers ``v = step * q + base``. The pending
    layers are applied to the real values ``scale * v``; the result is the layer's real values.

    Attributes:
        edge: name of the edge.
        shape: shape of the edge.
        low, high: bounds of q.
        step, base: int64 (channels,); step is not zero.
        scale: real, (1,) or (channels,).
        pending: real-valued layers and max pools that follow the edge, in order, and are not in the
            program yet.
        reals: for the edge of the input, the lattice with the real values of its integers, and its
            lowest integer. None for other edges: their real values are ``scale * v``.
        is_codes: whether the edge comes from an activation or the input, so that a window or dot
            can read it.
        is_owned: whether the edge is the input or a dot, and no other layer reads it, so that it
            may still be changed: rows of the dot are negated, or the input's table is replaced.
    """

    edge: str
    shape: Shape
    low: int
    high: int
    step: Integers
    base: Integers
    scale: Real
    pending: tuple[RealLayer | MaxPool, ...] = ()
    reals: tuple[Lattice, int] | None = None
    is_codes: bool = False
    is_owned: bool = False

    def then(self, layer: RealLayer | MaxPool) -> Carried:
        """Return a copy with ``layer`` after the pending layers."""
        return replace(self, pending=(*self.pending, layer))

    @property
    def pools(self) -> tuple[MaxPool, ...]:
        """The max pools among the pending layers, in order."""
        return tuple(layer for layer in self.pending if isinstance(layer, MaxPool))

    def without_pools(self) -> Carried:
        """Return a copy without the max pools among the pending layers."""
        kept = tuple(layer for layer in self.pending if not isinstance(layer, MaxPool))
        return replace(self, pending=kept)

    def real(self, q: Integers) -> Real:
        """Return the real values (n, channels) that the pending layers make of the integers ``q``.

        Max pools are skipped. ``q`` has the shape (n, channels).

        Raises:
            NetworkError: a value is infinite or NaN in the network's arithmetic.
        """
        dtype: Any = self.scale.dtype.type
        with np.errstate(all="ignore"):
            x = self._start(q, dtype)
            for layer in self.without_pools().pending:
                x = real_layer(layer, x)  # type: ignore[arg-type]
                if not np.isfinite(x).all():
                    raise NetworkError(f"{layer.name}: values overflow {x.dtype}")
        return x

    def _start(self, q: Integers, dtype: Any) -> Real:
        if self.reals is None:
            plain: Real = (self.step * q + self.base).astype(dtype) * self.scale
            return plain
        lattice, lowest = self.reals
        return lattice.real(q, lowest, dtype)

    def directions(self) -> list[Integers]:
        """Return where the pending layers rise (+1) or fall (-1): int64 (channels,) each.

        The list has one array for the layers before the first max pool, one for the layers between
        each two max pools, and one for the layers after the last.
        """
        dtype: Any = self.scale.dtype.type
        parts = [np.sign(self.step) * np.where(vector(self.scale, dtype) < 0, -1, 1)]
        for layer in self.pending:
            if isinstance(layer, MaxPool):
                parts.append(np.ones_like(self.step))
            else:
                parts[-1] = parts[-1] * direction(layer, dtype)
        return parts

# SPDX-License-Identifier: BSD-3-Clause
"""A layer's result while a network is lowered."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bnn.errors import NetworkError
from bnn.network.arithmetic import direction, real_layer, vector
from bnn.network.network import Integers, Lattice, MaxPool, Real, RealLayer, Shape


@dataclass(frozen=True, eq=False)
class Carried:
    """An integer edge of the program, and the real-valued layers still to be applied to it.

    The edge holds integers q; the layer's whole numbers are ``v = step * q + base``, its
    real values ``pending(scale * v)``.

    Attributes:
        edge: name of the edge.
        shape: shape of the edge.
        low, high: bounds of q.
        step, base: int64 (channels,), step not zero.
        scale: real, (1,) or (channels,).
        pending: real-valued layers and max pools after it, in order.
        reals: for the input edge: the lattice with the real values of its integers, and the
            lowest integer; else None, and the real values are ``scale * v``.
        is_codes: whether q are integers of an activation or the input, which a window or dot can
            read.
        is_owned: whether the edge is the input or that of a dot, and no other layer reads it, so
            that it may still be changed (rows negated, a table replaced).
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
        """Return a copy with one more pending layer."""
        return replace(self, pending=(*self.pending, layer))

    @property
    def pools(self) -> tuple[MaxPool, ...]:
        """Max pools among the pending layers."""
        return tuple(layer for layer in self.pending if isinstance(layer, MaxPool))

    def without_pools(self) -> Carried:
        """Return a copy without the max pools among the pending layers."""
        kept = tuple(layer for layer in self.pending if not isinstance(layer, MaxPool))
        return replace(self, pending=kept)

    def real(self, q: Integers) -> Real:
        """Return the real values of the integers ``q`` (n, channels), without pools.

        Raises:
            NetworkError: they overflow the arithmetic.
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
        """Return the signs (channels,) of the slopes before, between and after the max pools."""
        dtype: Any = self.scale.dtype.type
        parts = [np.sign(self.step) * np.where(vector(self.scale, dtype) < 0, -1, 1)]
        for layer in self.pending:
            if isinstance(layer, MaxPool):
                parts.append(np.ones_like(self.step))
            else:
                parts[-1] = parts[-1] * direction(layer, dtype)
        return parts

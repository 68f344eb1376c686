# SPDX-License-Identifier: BSD-3-Clause
"""8-bit grids: the values of an input that a source model does not quantize.

Such a network takes real numbers, which are nearly always scaled bytes. The grid gives the scale,
so that every such input is represented exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bnn.errors import FormatError, ProgramError
from bnn.network.network import Lattice
from bnn.program.inputs import RealInput, Shape
from bnn.program.precision import BIPOLAR, UINT, Precision, parse

#: (product, added): ``x * product + added``, as Keras' Rescaling computes it.
Step = tuple[float, float]


@dataclass(frozen=True)
class Grid:
    """Input values ``q / divisor - minus`` with q of ``precision``.

    Attributes:
        name: name on the command line.
        meaning: description of the values, for messages.
    """

    name: str
    meaning: str
    precision: Precision
    divisor: float = 1.0
    minus: float = 0.0

    @property
    def scale(self) -> float:
        """Difference from one value to the next."""
        return 1 / self.divisor

    @property
    def zero_point(self) -> float:
        """The q (whole or not) of the value 0."""
        return self.minus * self.divisor

    def values(self) -> NDArray[np.float32]:
        """Return the framework's input value of each q in order, float32."""
        q = np.arange(self.precision.low, self.precision.high + 1, dtype=np.float32)
        fed: NDArray[np.float32] = q / np.float32(self.divisor) - np.float32(self.minus)
        return fed

    def input(self, shape: Shape) -> RealInput:
        """Return the input description for arrays (N, *shape)."""
        return real_input(shape, self.precision, self.scale, self.zero_point)

    def lattice(
        self, factor: float = 1.0, offset: float = 0.0, steps: Sequence[Step] | None = None
    ) -> Lattice:
        """Return the real values of q after ``factor * x + offset``.

        Args:
            factor, offset: total product and sum that are applied to the input.
            steps: the products and sums that the framework computes one after the other in
                float32; by default one step.
        """
        start = offset - factor * self.scale * self.zero_point
        formula = Lattice.of(factor * self.scale, start, "input")
        reals = self.values()
        for product, added in ((factor, offset),) if steps is None else steps:
            reals = reals * np.float32(product) + np.float32(added)
        q = np.arange(self.precision.low, self.precision.high + 1)
        if np.array_equal(reals, formula.real(q, 0, np.float32)):
            return formula
        return replace(formula, reals=tuple(map(float, reals)))


def real_input(
    shape: Shape,
    precision: Precision,
    scale: ArrayLike,
    zero_point: ArrayLike,
    rounding: Literal["even", "up"] = "even",
) -> RealInput:
    """Return a :class:`~bnn.program.inputs.RealInput` made from numbers of any type."""
    scales, zeros = np.asarray(scale, np.float32), np.asarray(zero_point, np.float32)
    return RealInput(shape, precision, scales, zeros, rounding)


GRIDS = (
    Grid("bytes", "whole numbers from 0 to 255", UINT(8)),
    Grid("unit", "bytes divided by 255", UINT(8), 255.0),
    Grid("symmetric", "bytes divided by 127.5, minus 1", UINT(8), 127.5, 1.0),
    Grid("bipolar", "-1 and +1", BIPOLAR),
)


def grid(name: str) -> Grid:
    """Return the grid called ``name``: one of :data:`GRIDS`, a precision such as ``int4``, or a
    precision of fractions such as ``int8/16`` (sixteenths). Raises FormatError for other names.
    """
    for known in GRIDS:
        if known.name == name:
            return known
    spelled, _, parts = name.partition("/")
    try:
        precision = parse(spelled)
        divisor = float(parts) if parts else 1.0
    except (ProgramError, ValueError):
        known_names = ", ".join(known.name for known in GRIDS)
        raise FormatError(
            f"no such input: {name!r}; there are {known_names}, precisions like int4, and "
            "fractions like int8/16"
        ) from None
    if not 0 < divisor < 1e6:
        raise FormatError(f"no such input: {name!r}: cannot divide by {parts}")
    meaning = f"whole numbers from {precision.low} to {precision.high}"
    if divisor != 1:
        meaning += f" divided by {parts}"
    return Grid(name, meaning, precision, divisor)

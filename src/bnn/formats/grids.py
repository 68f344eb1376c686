# SPDX-License-Identifier: BSD-3-Clause
"""Grids: the values that occur at an input that the source model does not quantize.

A framework gives such a network real numbers; nearly always these are scaled bytes. A grid with
the same scale represents each of these numbers exactly. Values of sensors are rounded to a grid of
up to 16 bits; before that, each channel can be normalized by its mean and standard deviation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bnn.errors import FormatError, ProgramError
from bnn.network.network import Lattice
from bnn.program.inputs import RealInput, Shape
from bnn.program.operations import MAX_VALUE_BITS
from bnn.program.precision import BIPOLAR, UINT, Precision, parse

#: (product, added): ``x * product + added``, as Keras' Rescaling computes it.
Step = tuple[float, float]


@dataclass(frozen=True)
class Grid:
    """Input values ``q / divisor - minus``, for all integers q of ``precision``.

    Attributes:
        name: name on the command line.
        meaning: description of the values, for messages.
        mean, std: one number per channel, or one for all channels. The host computes
            ``(x - mean) / std`` of each input x, and rounds the result to the grid. If ``mean`` and
            ``std`` are empty, the host rounds x itself.
    """

    name: str
    meaning: str
    precision: Precision
    divisor: float = 1.0
    minus: float = 0.0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    @property
    def scale(self) -> float:
        """Difference between a value of the grid and the next one."""
        return 1 / self.divisor

    @property
    def zero_point(self) -> float:
        """The number q that stands for the value 0; it may be a fraction."""
        return self.minus * self.divisor

    def values(self) -> NDArray[np.float32]:
        """Return the framework's input value for each integer of the precision, float32 (values,).

        They are in the order of the integers, from the lowest to the highest.
        """
        q = np.arange(self.precision.low, self.precision.high + 1, dtype=np.float32)
        fed: NDArray[np.float32] = q / np.float32(self.divisor) - np.float32(self.minus)
        return fed

    def input(self, shape: Shape) -> RealInput:
        """Return the input description for arrays (N, *shape)."""
        if not self.mean:
            return real_input(shape, self.precision, self.scale, self.zero_point)
        if len(self.mean) not in (1, shape[-1]):
            raise FormatError(
                f"input {self.name}: has {len(self.mean)} means and deviations for {shape[-1]} "
                "channels; give one per channel, or one for all"
            )
        mean, std = np.array(self.mean), np.array(self.std)
        scale, zero_point = std / self.divisor, -mean * self.divisor / std
        if max(scale.max(), np.abs(zero_point).max()) > np.finfo(np.float32).max:
            raise FormatError(f"input {self.name}: is outside the range of float32")
        return real_input(shape, self.precision, scale, zero_point)

    def lattice(
        self, factor: float = 1.0, offset: float = 0.0, steps: Sequence[Step] | None = None
    ) -> Lattice:
        """Return the real values that the integers of the grid have after scaling.

        The scaled value of an input x is ``factor * x + offset``.

        Args:
            factor, offset: product and sum of all the framework's steps together.
            steps: pairs (product, sum) that the framework computes one after the other in
                float32; by default one step with ``factor`` and ``offset``.
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


_FIXED = re.compile(r"(u?)fixed<([0-9]{1,2}),(-?[0-9]{1,2})>")
_MAX_CHANNELS = 4096

GRIDS = (
    Grid("bytes", "whole numbers from 0 to 255", UINT(8)),
    Grid("unit", "bytes divided by 255", UINT(8), 255.0),
    Grid("symmetric", "bytes divided by 127.5, minus 1", UINT(8), 127.5, 1.0),
    Grid("bipolar", "-1 and +1", BIPOLAR),
)


def grid(name: str) -> Grid:
    """Return the grid called ``name``.

    It is one of :data:`GRIDS`, a precision such as ``int4``, a precision of fractions such
    as ``int8/16`` (sixteenths), or fixed point such as ``fixed<16,6>`` (16 bits, 6 of
    them before the point, the sign included).

    A precision or fixed point can be followed by a mean and a standard deviation, as in
    ``int8/16,mean=0.5,std=0.25``. Numbers per channel have colons between them:
    ``mean=0.49:0.46:0.41,std=0.23:0.22:0.23``. Without a precision before it, as here, the grid
    is ``fixed<16,6>``.

    Raises:
        FormatError: ``name`` is not the name of a grid.
    """
    first, *rest = re.split(r",(?![^<]*>)", name)
    if "=" in first:
        first, rest = "fixed<16,6>", [first, *rest]
    plain = _plain(first)
    if not rest:
        return plain
    if plain in GRIDS:
        raise FormatError(
            f"no such input: {name!r}: {first} has no mean and std; remove {first}, or replace it "
            "by a grid such as fixed<16,6>"
        )
    numbers = {key: _numbers(name, value) for key, _, value in (one.partition("=") for one in rest)}
    if set(numbers) != {"mean", "std"} or len(rest) != 2:
        raise FormatError(
            f"no such input: {name!r}; give mean=...,std=... alone or after a grid and a comma"
        )
    mean, std = numbers["mean"], numbers["std"]
    if min(std) <= 0 or (len(mean) != len(std) and 1 not in (len(mean), len(std))):
        raise FormatError(
            f"no such input: {name!r}; give one mean and one positive std per channel"
        )
    count = max(len(mean), len(std))
    mean, std = (one * count if len(one) == 1 else one for one in (mean, std))
    meaning = f"(x - mean) / std as {plain.meaning}"
    return replace(plain, name=name, meaning=meaning, mean=mean, std=std)


def _numbers(name: str, text: str) -> tuple[float, ...]:
    try:
        found = tuple(float(part) for part in text.split(":"))
    except ValueError:
        found = (np.nan,)
    if not np.isfinite(found).all() or len(found) > _MAX_CHANNELS:
        raise FormatError(f"no such input: {name!r}: {text!r} is not a list of numbers")
    return found


def _plain(name: str) -> Grid:
    for known in GRIDS:
        if known.name == name:
            return known
    fixed = _FIXED.fullmatch(name)
    if fixed is not None:
        bits, whole = int(fixed[2]), int(fixed[3])
        name_of = f"{'uint' if fixed[1] else 'int'}{bits}"
        if not 1 <= bits <= MAX_VALUE_BITS or not -16 <= bits - whole <= 16:
            raise FormatError(
                f"no such input: {name!r}; fixed point has 1 to {MAX_VALUE_BITS} bits, and at most "
                "16 of them after the point"
            )
        return replace(_plain(f"{name_of}/{2.0 ** (bits - whole)!r}"), name=name)
    spelled, _, parts = name.partition("/")
    try:
        precision = parse(spelled)
        divisor = float(parts) if parts else 1.0
    except (ProgramError, ValueError):
        known_names = ", ".join(known.name for known in GRIDS)
        raise FormatError(
            f"no such input: {name!r}; there are {known_names}, precisions like int4, "
            "fractions like int8/16, and fixed point like fixed<16,6>"
        ) from None
    if not 0 < divisor < 1e6:
        raise FormatError(
            f"no such input: {name!r}; the number after / must be positive and below 1000000, as "
            "in int8/16"
        )
    meaning = f"whole numbers from {precision.low} to {precision.high}"
    if divisor != 1:
        meaning += f" divided by {parts}"
    return Grid(name, meaning, precision, divisor)

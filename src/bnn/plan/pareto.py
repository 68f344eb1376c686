# SPDX-License-Identifier: BSD-3-Clause
"""The plans of a model that are Pareto-optimal in images per second, LUTs and block RAMs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources

from bnn.hw.parts import Part
from bnn.plan.search import Budget, Found, Search
from bnn.program.program import Program

#: Number of limits of cycles that are tried while the speed doubles.
_PLANS_PER_DOUBLING = 3
#: The slowest plan takes at most this multiple of the fastest plan's cycles.
_MAX_SLOWDOWN = 100
#: Plans are drawn up to this multiple of the part's LUTs.
_MAX_LUT_SHARE = 1.5


@dataclass(frozen=True)
class Point:
    """One plan of a curve.

    Attributes:
        fps: images per second.
        cycles: cycles per image of the slowest block.
        lut, bram36: estimated numbers of cells.
        bottleneck: name of the layer with the slowest block.
        fits: whether the plan fits the part.
    """

    fps: float
    cycles: int
    lut: float
    bram36: float
    bottleneck: str
    fits: bool


@dataclass(frozen=True)
class Curve:
    """The Pareto-optimal plans of a model.

    Attributes:
        name: name of the model.
        points: the plans, the slowest first.
        accuracy: test accuracy in per cent from the model's card; None if there is no card.
    """

    name: str
    points: tuple[Point, ...]
    accuracy: float | None = None

    @property
    def best(self) -> Point | None:
        """The fastest plan that fits; None if no plan fits."""
        return max((p for p in self.points if p.fits), key=lambda p: p.fps, default=None)


def curve(
    name: str, program: Program, part: Part, clock_mhz: float, *, loadable: bool, fill: float
) -> Curve:
    """Return the Pareto-optimal plans of ``program``, also some that are too large for ``part``.

    Args:
        name: name of the model, to find its accuracy.
        program: the model's program.
        part: the part.
        clock_mhz: clock in MHz.
        loadable: whether parameters are written at run time.
        fill: share of the part's LUTs that may be used.
    """
    budget = Budget(fill * part.luts, part.ffs, part.bram36, part.dsps)
    search = Search(program, budget, loadable=loadable)
    fastest = search.fastest()
    most = search.max_cycles()
    if fastest is not None:
        most = min(most, _MAX_SLOWDOWN * fastest.design.cycles)
    bounds = set(_bounds(search.least_cycles(), most))
    if fastest is not None:
        bounds.add(fastest.design.cycles)
    found: dict[int, Found] = {}
    for bound in sorted(bounds, reverse=True):
        plan = search.within(bound)
        if plan is None:
            continue
        if plan.cost.lut > _MAX_LUT_SHARE * part.luts:
            break
        found.setdefault(plan.design.cycles, plan)
    points = [
        Point(
            clock_mhz * 1e6 / cycles,
            cycles,
            plan.cost.lut,
            plan.cost.bram36,
            plan.design.bottleneck.layer,
            not budget.excess(plan.cost),
        )
        for cycles, plan in sorted(found.items(), reverse=True)
    ]
    return Curve(name, tuple(_unbeaten(points)), card_accuracy(name))


def _bounds(least: int, most: int) -> list[int]:
    bounds, bound = [], float(most)
    while bound >= max(least, 1):
        bounds.append(int(bound))
        bound /= 2 ** (1 / _PLANS_PER_DOUBLING)
    return bounds


def _unbeaten(points: list[Point]) -> list[Point]:
    """Return the Pareto-optimal points of ``points``.

    A point is removed if another point is at least as good in each of fps, LUT and BRAM.
    """

    def beats(one: Point, other: Point) -> bool:
        return (
            one != other
            and one.fps >= other.fps
            and one.lut <= other.lut
            and one.bram36 <= other.bram36
        )

    return [point for point in points if not any(beats(other, point) for other in points)]


def card_accuracy(name: str) -> float | None:
    """Return the test accuracy in per cent of a bundled model; None if it has no model card."""
    card = resources.files("bnn") / "models" / f"{name}.md"
    if not card.is_file():
        return None
    said = re.search(r"\*\*(\d+(?:\.\d+)?) %\*\*", card.read_text(encoding="utf-8"))
    return float(said[1]) if said else None

# SPDX-License-Identifier: BSD-3-Clause
"""Speed against size: the plans of a network that no other beats in all of fps, LUT and BRAM."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources

from bnn.hw.parts import Part
from bnn.plan.search import Budget, Found, Search
from bnn.program.program import Program

#: Plans tried for each doubling of the speed.
_STEPS = 3
#: The slowest plan's cycles, in those of the fastest.
_SLOWEST = 100
#: Times the part's LUTs at which plans end that would want another part.
_BEYOND = 1.5


@dataclass(frozen=True)
class Point:
    """One plan.

    Attributes:
        bottleneck: the layer of its slowest block.
        fits: whether the part holds it.
    """

    fps: float
    cycles: int
    lut: float
    bram36: float
    bottleneck: str
    fits: bool


@dataclass(frozen=True)
class Curve:
    """The plans of a model, the slowest first.

    Attributes:
        accuracy: of the model's card in per cent, if it has one.
    """

    name: str
    points: tuple[Point, ...]
    accuracy: float | None = None

    @property
    def best(self) -> Point | None:
        """The fastest that fits."""
        return max((p for p in self.points if p.fits), key=lambda p: p.fps, default=None)


def curve(
    name: str, program: Program, part: Part, clock_mhz: float, *, loadable: bool, fill: float
) -> Curve:
    """Plans from slow ones to some that the part does not hold any more, without beaten ones."""
    budget = Budget(fill * part.luts, part.ffs, part.bram36, part.dsps)
    search = Search(program, budget, loadable=loadable)
    fastest = search.fastest()
    most = search.max_cycles()
    if fastest is not None:
        most = min(most, _SLOWEST * fastest.design.cycles)
    bounds = set(_bounds(search.least_cycles(), most))
    if fastest is not None:
        bounds.add(fastest.design.cycles)
    found: dict[int, Found] = {}
    for bound in sorted(bounds, reverse=True):
        plan = search.within(bound)
        if plan is None:
            continue
        if plan.cost.lut > _BEYOND * part.luts:
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
        bound /= 2 ** (1 / _STEPS)
    return bounds


def _unbeaten(points: list[Point]) -> list[Point]:
    """Those that no other is at least as good as in every respect."""

    def beats(one: Point, other: Point) -> bool:
        return (
            one != other
            and one.fps >= other.fps
            and one.lut <= other.lut
            and one.bram36 <= other.bram36
        )

    return [point for point in points if not any(beats(other, point) for other in points)]


def card_accuracy(name: str) -> float | None:
    """Test accuracy in per cent that a bundled model's card says."""
    card = resources.files("bnn") / "models" / f"{name}.md"
    if not card.is_file():
        return None
    said = re.search(r"\*\*(\d+(?:\.\d+)?) %\*\*", card.read_text(encoding="utf-8"))
    return float(said[1]) if said else None

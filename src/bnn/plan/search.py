# SPDX-License-Identifier: BSD-3-Clause
"""Search for the cheapest folding with a limit of cycles, and for the fastest that fits.

For each layer, independently of the other layers, the option with the lowest cost is taken. The
cost is the number of LUTs plus a price for each block RAM. The price is raised until the block RAMs
of all layers fit. The converters between layers are known only after the whole design was built;
then their cost is subtracted from the budget, and the options are chosen again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from bnn.errors import PlanError
from bnn.hw.design import Design, build
from bnn.hw.design.needs import Needs
from bnn.hw.folding import Folding, LayerFolding
from bnn.plan import cost
from bnn.plan.cost import Cost
from bnn.plan.layers import Layer, Option, layers
from bnn.program.program import Program

#: Highest price of a block RAM, in LUTs.
_MAX_PRICE = 1 << 12
_ROUNDS = 6
#: How many smaller limits of cycles are tried after the bisection; factor from one to the next.
_MAX_TRIES, _STEP = 14, 0.94


@dataclass(frozen=True)
class Budget:
    """The number of cells of each kind that a plan may use."""

    lut: float
    ff: float
    bram36: float
    dsp: float

    def excess(self, used: Cost) -> dict[str, tuple[float, float]]:
        """Return kind of cell -> (used, allowed), for the kinds of which ``used`` has too many."""
        pairs = {
            "LUT": (used.lut, self.lut),
            "FF": (used.ff, self.ff),
            "BRAM36": (used.bram36, self.bram36),
            "DSP": (used.dsp, self.dsp),
        }
        return {kind: pair for kind, pair in pairs.items() if pair[0] > pair[1]}


@dataclass(frozen=True, eq=False)
class Found:
    """A design and its estimated cost."""

    design: Design
    cost: Cost


class Search:
    """A search over the foldings of one program.

    Args:
        program: the program.
        budget: the cells that a design may use.
        loadable: whether parameters are written at run time.
        probes: which streams have a probe, see :class:`bnn.hw.folding.Folding`.
    """

    def __init__(
        self, program: Program, budget: Budget, *, loadable: bool = False, probes: str = "none"
    ) -> None:
        self.program = program
        self.budget = budget
        self.loadable, self.probes = loadable, probes
        self.layers = layers(Needs.of(program), loadable=loadable)
        self._found: dict[int, Found | None] = {}

    def within(self, bound: int) -> Found | None:
        """Return the best design that was found with at most ``bound`` cycles per image.

        It has the fewest LUTs, if possible among designs whose block RAMs fit; it may exceed the
        budget. Return None if no design is so fast.
        """
        if bound not in self._found:
            self._found[bound] = self._within(bound)
        return self._found[bound]

    def fastest(self) -> Found | None:
        """Search for the fastest design that fits the budget; return None if no design fits."""
        low, high = self.least_cycles(), self.max_cycles()
        # Deep constants cost more LUTs: the narrowest design may not be the cheapest.
        while self._fitting(high) is None and high > low:
            high = max(low, high // 2)
        first = self._fitting(high)
        if first is not None:
            high = first.design.cycles
            while low < high:
                middle = math.isqrt(low * high)
                found = self._fitting(middle)
                if found is None:
                    low = middle + 1
                else:
                    high = min(middle, found.design.cycles)
            # Foldings are divisors: a smaller bound may fit though a larger one does not.
            for step in range(1, _MAX_TRIES + 1):
                self._fitting(max(1, int(high * _STEP**step)))
        known = [each for each in self._found.values() if each and self._fits(each)]
        return min(known, key=lambda each: (each.design.cycles, each.cost.lut), default=None)

    def least_cycles(self) -> int:
        """Return the cycles per image that every design takes at least.

        They are the cycles of the slowest layer if each layer has its fastest folding.
        """
        return max((layer.fastest for layer in self.layers), default=1)

    def max_cycles(self) -> int:
        """Return the cycles per image of the slowest block if all PE, SIMD and pixels are 1."""
        narrow = Folding({layer.name: LayerFolding() for layer in self.layers}, self.loadable)
        return build(self.program, narrow).cycles

    def slowest_layer(self) -> Layer:
        """Return the layer that is the slowest if each layer has its fastest folding."""
        return max(self.layers, key=lambda layer: layer.fastest)

    def slower_than(self, bound: int) -> Layer | None:
        """Return a layer without an option of at most ``bound`` cycles; None if each has one."""
        return next((e for e in self.layers if next(e.options(bound), None) is None), None)

    def _fitting(self, bound: int) -> Found | None:
        found = self.within(bound)
        return found if found is not None and self._fits(found) else None

    def _fits(self, found: Found) -> bool:
        return not self.budget.excess(found.cost)

    def _within(self, bound: int) -> Found | None:
        best: Found | None = None
        joins = Cost()
        for _ in range(_ROUNDS):
            chosen = self._choose(bound, self.budget.bram36 - joins.bram36)
            if chosen is None:
                return best
            folding = Folding(
                {
                    layer.name: option.fold
                    for layer, option in zip(self.layers, chosen, strict=True)
                },
                self.loadable,
                probes=self.probes,
            )
            design = build(self.program, folding)
            if design.cycles > bound:
                if not self._ban(design, chosen, bound):
                    return best
                continue
            found = Found(design, cost.of_design(design))
            if best is None or self._rank(found) < self._rank(best):
                best = found
            before, joins = joins, found.cost - cost.total(option.cost for option in chosen)
            if found.cost.bram36 <= self.budget.bram36 or before == joins:
                break
        return best

    def _rank(self, found: Found) -> tuple[bool, float]:
        return (found.cost.bram36 > self.budget.bram36, found.cost.lut)

    def _ban(self, design: Design, chosen: list[Option], bound: int) -> bool:
        """Exclude each chosen option with a block that takes more than ``bound`` cycles.

        Return whether an option was excluded.
        """
        slow = {each.layer for each in design.instances if each.block.cycles > bound}
        banned = False
        for layer, option in zip(self.layers, chosen, strict=True):
            made = layer.after.name if layer.after else layer.name
            names = {layer.name, made} | ({layer.window.name} if layer.window else set())
            if names & slow:
                layer.banned.add(option.fold)
                banned = True
        return banned

    def _choose(self, bound: int, brams: float) -> list[Option] | None:
        """Return an option per layer: few LUTs and, if possible, at most ``brams`` block RAMs.

        Return None if a layer has no option of at most ``bound`` cycles.
        """
        table = [list(layer.options(bound)) for layer in self.layers]
        if not all(table):
            return None

        def priced(price: float) -> list[Option]:
            def rank(option: Option) -> tuple[float, float, int]:
                used = option.cost
                return (used.lut + price * used.bram36, used.bram36, option.cycles)

            return [min(options, key=rank) for options in table]

        return _least_price(priced, brams)


def _least_price(priced: Callable[[float], list[Option]], brams: float) -> list[Option]:
    """Return the options for the lowest price of a block RAM at which the block RAMs fit.

    If they do not fit at the highest price, return the options for the highest price.

    Args:
        priced: function from the price of a block RAM in LUTs to an option per layer.
        brams: number of block RAMs that may be used.
    """

    def used(chosen: list[Option]) -> float:
        return cost.total(option.cost for option in chosen).bram36

    free = priced(0.0)
    if used(free) <= brams:
        return free
    low, high = 0.0, float(_MAX_PRICE)
    best = priced(high)
    if used(best) > brams:
        return best
    for _ in range(14):
        middle = (low + high) / 2
        chosen = priced(middle)
        if used(chosen) <= brams:
            best, high = chosen, middle
        else:
            low = middle
    return best


def none_so_fast(search: Search, bound: int, clock: float) -> PlanError:
    """Return the error for a speed that no folding reaches; it names the nearest speed.

    Args:
        search: the search.
        bound: cycles per image that were required at most.
        clock: clock in Hz.
    """
    layer, least = search.slowest_layer(), search.least_cycles()
    return PlanError(
        f"{layer.name}: at most {bound:,} cycles per image are required, but its fastest folding "
        f"takes {least:,}; the nearest is {clock / least:,.0f} fps"
    )

# SPDX-License-Identifier: BSD-3-Clause
"""Find the cheapest plan for a requested speed, or the fastest plan that fits the part."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from bnn.errors import PlanError
from bnn.hw import boards, clocks
from bnn.hw import folding as folds
from bnn.hw.blocks.matrix import Matrix
from bnn.hw.boards import Board
from bnn.hw.clocks import RoutedClock
from bnn.hw.design import Design, Instance
from bnn.hw.folding import Folding, LayerFolding, check_probes
from bnn.hw.parts import Part
from bnn.model.model import Model
from bnn.plan import cost
from bnn.plan.cost import Cost
from bnn.plan.events import Timing
from bnn.plan.fifos import sized
from bnn.plan.fit import largest_memory
from bnn.plan.search import Budget, Found, Search, none_so_fast
from bnn.plan.untrained import program_of
from bnn.program.operations import INPUT
from bnn.program.program import Program

#: Default share of a part's LUTs that a plan may use: fuller designs often cannot be routed.
FILL = 0.85
#: If FIFOs make a plan too large, the next limit of cycles is larger by 1/16 of this one.
_SLOWER = 16


@dataclass(frozen=True)
class LayerPlan:
    """One matrix of a plan, with the blocks between the previous matrix and it.

    Attributes:
        name: name of the dot.
        rows, columns: size of the matrix, padding included.
        fold: its folding.
        cycles: cycles per image of the slowest of these blocks.
        cost: estimated cost of these blocks.
    """

    name: str
    rows: int
    columns: int
    fold: LayerFolding
    cycles: int
    cost: Cost


@dataclass(frozen=True, eq=False)
class Plan:
    """A design for a part at a clock, with its estimated size.

    Attributes:
        design: the design of the program with the folding of the plan.
        cost: estimated cost of the whole accelerator.
        part: the part that the design is for.
        clock_mhz: clock in MHz.
        timing: timing from the event model; None if the design moves too many words for the model.
        board: the board that was requested; None if a part was requested.
    """

    design: Design
    cost: Cost
    part: Part
    clock_mhz: float
    timing: Timing | None
    board: Board | None = None

    @property
    def planned_only(self) -> str:
        """Why ``bnn build`` cannot build the plan; "" if it can."""
        return boards.planned_only(self.part, self.board)

    @property
    def folding(self) -> Folding:
        """The folding of the plan, for ``bnn build`` and the runtime ``sim``."""
        return self.design.folding

    @property
    def cycles(self) -> int:
        """Cycles from one image to the next.

        They are from the event model; without :attr:`timing`, the cycles of the slowest block.
        """
        return self.design.cycles if self.timing is None else self.timing.interval

    @property
    def fps(self) -> float:
        """Images per second at the clock of the plan."""
        return self.clock_mhz * 1e6 / self.cycles

    @property
    def routed(self) -> RoutedClock | None:
        """The plan's slowest kind of block and its clock out of context; None if not known."""
        return clocks.routed(self.design, self.part)

    @property
    def clock_is(self) -> str:
        """How well the clock of the plan was tried: "estimated" or "hoped for".

        "estimated": every kind of block in the design was routed out of context on this part and
        reached the clock. "hoped for": at least one kind did not reach the clock, or was not routed
        on this part. Only ``bnn build --pnr``, which routes the whole design, proves a clock.
        """
        return clocks.clock_is(self.design, self.part, self.clock_mhz)

    @property
    def bottleneck(self) -> str:
        """Name of the layer with the slowest block."""
        return self.design.bottleneck.layer

    @property
    def layers(self) -> tuple[LayerPlan, ...]:
        """The matrices in order, each with the blocks between the previous matrix and it.

        Blocks after the last matrix are in none of them.
        """
        found: list[LayerPlan] = []
        waiting: list[Instance] = []
        for instance in self.design.instances:
            waiting.append(instance)
            if isinstance(instance.block, Matrix):
                found.append(_layer(waiting, instance.block, self.folding))
                waiting = []
        return tuple(found)

    @property
    def used(self) -> dict[str, tuple[float, float]]:
        """Kind of cell -> (estimated number that the plan uses, number in the part)."""
        have = self.part.cells
        use = (self.cost.lut, self.cost.ff, self.cost.bram36, self.cost.dsp)
        return {kind: (used, float(have[kind])) for kind, used in zip(have, use, strict=True)}

    def as_json(self) -> dict[str, Any]:
        """Return the plan as values that JSON can express.

        The value of ``folding`` has the format of the file that ``bnn build --folding`` reads.
        """
        return {
            "part": self.part.name,
            "board": None if self.board is None else self.board.name,
            "planned_only": self.planned_only or None,
            "clock_mhz": self.clock_mhz,
            "clock_is": self.clock_is,
            "probes": self.folding.probes,
            "cycles": self.cycles,
            "latency": None if self.timing is None else self.timing.latency,
            "fps": self.fps,
            "routed": self._routed_json(),
            "bottleneck": self.bottleneck,
            "used": {kind: use for kind, (use, _) in self.used.items()},
            "available": {kind: have for kind, (_, have) in self.used.items()},
            "error_percent": dict(cost.errors()),
            "error_measured_on": cost.measured(),
            "layers": [
                {
                    "name": layer.name,
                    "rows": layer.rows,
                    "columns": layer.columns,
                    "pe": layer.fold.pe,
                    "simd": layer.fold.simd,
                    "pixels": layer.fold.pixels,
                    "style": layer.fold.style,
                    "cycles": layer.cycles,
                    "lut": layer.cost.lut,
                    "bram36": layer.cost.bram36,
                }
                for layer in self.layers
            ],
            "folding": folds.as_json(self.folding),
        }

    def _routed_json(self) -> dict[str, Any] | None:
        if self.routed is None:
            return None
        mhz = self.routed.mhz
        return {"mhz": mhz, "module": self.routed.module, "fps": mhz * 1e6 / self.cycles}


def _layer(instances: list[Instance], matrix: Matrix, folding: Folding) -> LayerPlan:
    blocks = [instance.block for instance in instances]
    return LayerPlan(
        matrix.name,
        matrix.rows,
        matrix.columns,
        folding.of(matrix.name),
        max(block.cycles for block in blocks),
        cost.total(map(cost.of_block, blocks)),
    )


def plan(
    model: Model | Program | str,
    *,
    fps: float | None = None,
    on: Part | Board | str = "xc7z020",
    clock_mhz: float | None = None,
    loadable: bool = False,
    probes: str = "none",
    fill: float = FILL,
) -> Plan:
    """Return the cheapest plan with at least ``fps`` images per second.

    Without ``fps``, return the fastest plan that fits the part.

    Args:
        model: a model, a program, what :func:`bnn.load` takes, or a topology file (``.toml``): then
            the plan is that of the network once it is trained.
        fps: required images per second; None: as many as possible.
        on: the part or board, or its name, see :func:`bnn.hw.boards.find`.
        clock_mhz: clock in MHz, 1 to 1000; None: the clock in the file of the board or
            part.
        loadable: True: parameters are written at run time; False: they are constants, which need
            fewer cells.
        probes: which streams have a probe, which counts words while the design runs: "none", "ends"
            (the two streams from and to memory) or "all". The plan includes the probes' cells.
        fill: share of the part's LUTs that the plan may use, above 0, at most 1.

    Raises:
        PlanError: no plan is so fast or fits the part: the message says which cells are too few,
            and what the nearest plan is. Or an argument is wrong.
        BuildError: the hardware has no block for an operation of the program.
    """
    target, board = _target(on)
    clock = clock_mhz
    if clock is None:
        clock = target.clock_mhz if board is None else board.clock_mhz
    if wrong := boards.clock_error(clock):
        raise PlanError(wrong)
    if not 0 < fill <= 1:
        raise PlanError(f"fill is {100 * fill:g} %; it must be above 0 and at most 100 %")
    program = _program(model)
    budget = Budget(fill * target.luts, target.ffs, target.bram36, target.dsps)
    probes = check_probes(probes, "probes")
    search = Search(program, budget, loadable=loadable, probes=probes)
    return replace(_search(search, target, clock, fps), board=board)


def _target(on: Part | Board | str) -> tuple[Part, Board | None]:
    if isinstance(on, str):
        return boards.find(on)
    return (on.part, on) if isinstance(on, Board) else (on, None)


def _search(search: Search, target: Part, clock: float, fps: float | None) -> Plan:
    """Return the cheapest plan with at least ``fps`` images per second; the fastest if None."""
    if fps is None:
        return _fastest(search, target, clock)
    if not (fps > 0 and math.isfinite(fps)):
        raise PlanError(f"fps is {fps:g}; it must be a positive number")
    bound = wanted = int(clock * 1e6 / fps)
    while True:
        cheapest = search.within(bound) if bound >= search.least_cycles() else None
        if cheapest is None or search.budget.excess(cheapest.cost):
            faster = search.fastest()  # FIFOs may still make it smaller than the cheapest so far
            if faster is None or faster.design.cycles > wanted:
                raise _unmet(search, cheapest, target, fps, clock)
            return _fastest(search, target, clock)
        made = _plan(cheapest, target, clock)
        if made.cycles <= wanted and not search.budget.excess(made.cost):
            return made
        # It stalls: search with slightly faster layers.
        bound = min(bound - 1, bound * wanted // made.cycles)


def _fastest(search: Search, target: Part, clock: float) -> Plan:
    found = search.fastest()
    while found is not None:
        made = _plan(found, target, clock)
        if not search.budget.excess(made.cost):
            return made
        # The FIFOs that it needs do not fit: try a slightly slower design.
        found = _slower(search, found.design.cycles)
    raise PlanError(_too_large(search, target))


def _slower(search: Search, cycles: int) -> Found | None:
    """Return a design that fits and takes slightly more than ``cycles`` cycles per image.

    Return None if no slower design fits.
    """
    bound, most = cycles, search.max_cycles()
    while bound < most:
        bound += max(1, bound // _SLOWER)
        found = search.within(bound)
        if found and found.design.cycles > cycles and not search.budget.excess(found.cost):
            return found
    return None


def _plan(found: Found, target: Part, clock: float) -> Plan:
    design, timing = sized(found.design)
    return Plan(design, cost.of_design(design), target, clock, timing)


def _program(model: Model | Program | str) -> Program:
    if isinstance(model, Program):
        return model
    if isinstance(model, Model):
        return model.program
    return program_of(model)


def _unmet(
    search: Search, cheapest: Found | None, target: Part, fps: float, clock: float
) -> PlanError:
    nearest = search.fastest()
    if cheapest is None:
        if nearest is None:
            return none_so_fast(search, int(clock * 1e6 / fps), clock * 1e6)
        cycles = clock * 1e6 / fps
        slow = search.slower_than(int(cycles))
        which = f"no folding of {slow.name} and its window" if slow else "nothing that joins layers"
        if slow is None and nearest is not None and nearest.design.bottleneck.layer == INPUT:
            which = "no design that reads images as bytes"
        why = f"at most {cycles:,.4g} cycles per image, and {which} is that fast"
    else:
        why = _excess(search, cheapest)
    if nearest is None:
        return PlanError(f"{_speed(fps)} on {target.name} take {why}; no slower plan fits either")
    found, used = nearest.design.cycles, nearest.cost
    return PlanError(
        f"{_speed(fps)} on {target.name} take {why}; the nearest plan that fits has "
        f"{_speed(clock * 1e6 / found)} ({found:,} cycles per image, {used.lut:,.0f} LUT, "
        f"{used.bram36:g} BRAM36)"
    )


def _speed(fps: float) -> str:
    return f"{fps:,.0f} fps" if fps >= 100 else f"{fps:.3g} fps"


def _slow(search: Search) -> str:
    return search.slowest_layer().name


def _excess(search: Search, found: Found) -> str:
    """Return a phrase: which cells of ``found`` exceed the budget, and by how many.

    If block RAMs exceed the budget, it also names the layer that uses most of them.
    """
    true = _without_substitutes(search, found)
    excess = search.budget.excess(true.cost)
    parts = [
        f"{used:,.0f} {kind} of {allowed:,.0f} ({used - allowed:,.0f} too many)"
        for kind, (used, allowed) in excess.items()
    ]
    text = " and ".join(parts)
    if "BRAM36" not in excess:
        return text
    name, bram36 = largest_memory(true.design)
    return f"{text}; the weights of {name} alone take {bram36:,.4g} BRAM36"


def _without_substitutes(search: Search, found: Found) -> Found:
    """Return a design that shows the true reason why ``found`` does not fit the part.

    If the part has too few block RAMs, the search puts weights into LUTs; then LUTs exceed the
    budget, but the true reason is block RAM. In this case, return a design that is planned with
    unlimited block RAM; else return ``found``.
    """
    budget = search.budget
    much = replace(budget, bram36=math.inf)
    roomy = Search(search.program, much, loadable=search.loadable, probes=search.probes)
    other = roomy.within(found.design.cycles) or roomy.within(search.max_cycles())
    if other is not None and set(budget.excess(other.cost)) == {"BRAM36"}:
        return other
    return found


def _too_large(search: Search, target: Part) -> str:
    least = search.within(search.max_cycles())
    if least is None:
        return f"{target.name}: no folding of {_slow(search)} can be built"
    if not search.budget.excess(least.cost):
        return f"{target.name} is too small for the FIFOs that keep the layers' pace"
    return f"{target.name} is too small: even the narrowest design takes {_excess(search, least)}"

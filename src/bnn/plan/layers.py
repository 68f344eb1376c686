# SPDX-License-Identifier: BSD-3-Clause
"""The options of one layer: its possible foldings, with their cycles and costs.

A layer in this module is a dot, together with the window before it if only the dot reads the
window. The functions that make a design also make the blocks of a layer, so a layer has the same
cycles as in a design.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from bnn.errors import BuildError
from bnn.hw.blocks.block import Block, divisors
from bnn.hw.blocks.matrix import Matrix
from bnn.hw.design import Port
from bnn.hw.design.dots import dot as place_dot
from bnn.hw.design.needs import Needs
from bnn.hw.design.windows import window as place_window
from bnn.hw.design.windows import window_lanes
from bnn.hw.design.wiring import Wiring
from bnn.hw.folding import Folding, LayerFolding
from bnn.plan import cost
from bnn.plan.cost import Cost
from bnn.program.operations import INPUT, Dot, Op, Threshold, Window, sources

#: Costs are computed for foldings whose rough number of LUTs is at most this multiple of the
#: smallest rough number; and for at most this number of foldings.
_SLACK, _MAX_COSTED = 2.0, 60
#: Largest SIMD: a popcount of more columns would need more pipeline stages.
_MAX_COLUMNS = 1152
#: Most values of a word between two converters; wider words cost more LUTs than they save.
_MAX_COMMON_WIDTH = 4608
STYLES = ("auto", "block", "distributed")


@dataclass(frozen=True)
class Option:
    """One folding of a layer, with the cycles per image and the estimated cost of its blocks."""

    fold: LayerFolding
    cycles: int
    cost: Cost


@dataclass
class Layer:
    """A dot of a program, with the window that only it reads, and its possible foldings.

    Attributes:
        needs: which operations run on the accelerator, and which operations read each edge.
        dot: the dot.
        loadable: whether parameters are written at run time, see :class:`bnn.hw.folding.Folding`.
        banned: foldings that :meth:`options` does not yield any more.
    """

    needs: Needs
    dot: Dot
    loadable: bool
    banned: set[LayerFolding] = field(default_factory=set)

    def __post_init__(self) -> None:
        program = self.needs.program
        source = next((op for op in self.needs.ops if op.name == self.dot.source), None)
        alone = isinstance(source, Window) and self.needs.reading_dot(source) is self.dot
        self.window = source if alone and isinstance(source, Window) else None
        self.after: Threshold | None = self.needs.threshold_of(self.dot)
        height, self.width, _ = program.edges[self.dot.name].shape
        self.positions = height * self.width
        read = program.edges[self.window.source if self.window else self.dot.source]
        self.edge = read
        flat = self.window is not None and self.needs.flattens(self.window)
        self.vector = flat or (self.window is None and read.shape[:2] == (1, 1))
        rows, columns = map(int, self.dot.weights.shape)
        self.rows, self.columns = rows, columns
        first = self.window.source if self.window else self.dot.source
        self.is_first = first == INPUT and self.vector
        self._table = self._grid()
        self._known: dict[LayerFolding, tuple[Option, ...]] = {}

    @property
    def name(self) -> str:
        """Name of the dot."""
        return self.dot.name

    def _grid(self) -> NDArray[np.int64]:
        """Return all foldings, int64 (n, 5): PE, SIMD, pixels, cycles, rough number of LUTs."""
        # A vector from memory is padded to a multiple of SIMD.
        columns = -(-self.columns // 64) * 64 if self.is_first else self.columns
        widths = {d for d in (*divisors(self.columns), *divisors(columns)) if d <= _MAX_COLUMNS}
        channels = self.edge.shape[2]
        if not self.is_first:
            widths = {
                d for d in widths if math.lcm(d, channels) <= max(_MAX_COMMON_WIDTH, channels)
            }
        most = 1 if self.vector else self.width
        groups = {-(-self.positions // p): p for p in range(most, 0, -1)}
        grid = np.array(
            [
                (pe, simd, pixels, count * (self.rows // pe) * -(-self.columns // simd))
                for pe in divisors(self.rows)
                for simd in sorted(widths)
                for count, pixels in groups.items()
            ],
            np.int64,
        )
        pe, simd, pixels = grid[:, 0], grid[:, 1], grid[:, 2]
        bits = self.edge.precision.bits
        guess = pe * simd * pixels * bits * self.dot.precision.bits
        # If words of the window do not have SIMD values, converters are needed.
        meet = np.lcm(simd, channels) * pixels * bits
        return np.column_stack([grid, guess + np.where(self._natural(grid), 0, meet)])

    def _natural(self, grid: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return for each row of ``grid`` whether the matrix needs no converter before it."""
        simd, pixels = grid[:, 1], grid[:, 2]
        channels = self.edge.shape[2]
        found: NDArray[np.bool_] = channels % simd == 0
        if self.vector:
            return np.ones_like(found)
        if self.window is not None:
            places = self.window.kernel[0] * self.window.kernel[1]
            lanes = np.maximum(simd // places, 1)
            found |= (simd % places == 0) & (channels % lanes == 0) & (self.width % pixels == 0)
        return found

    @property
    def fastest(self) -> int:
        """Cycles per image of the matrix with its fastest folding."""
        return int(self._table[:, 3].min())

    def options(self, bound: int) -> Iterator[Option]:
        """Yield the options of low cost with at most ``bound`` cycles per image, in any order.

        A rough number of LUTs decides for which foldings the cost is computed.
        """
        fast = self._table[self._table[:, 3] <= bound]
        if not len(fast):
            return
        near = fast[fast[:, 4] <= _SLACK * fast[:, 4].min()]
        for pe, simd, pixels, _, _ in near[np.argsort(near[:, 4], kind="stable")][:_MAX_COSTED]:
            fold = LayerFolding(int(pe), int(simd), int(pixels))
            for option in self._costed(fold):
                if option.cycles <= bound and option.fold not in self.banned:
                    yield option

    def _costed(self, fold: LayerFolding) -> tuple[Option, ...]:
        """Return the options for ``fold``: one for each memory style, without equal costs."""
        if fold not in self._known:
            self._known[fold] = self._options_of(fold)
        return self._known[fold]

    def _options_of(self, fold: LayerFolding) -> tuple[Option, ...]:
        try:
            blocks = self.blocks(fold)
        except BuildError:
            return ()
        cycles = max(block.cycles for block in blocks)
        matrix = next(block for block in blocks if isinstance(block, Matrix))
        rest = cost.total(cost.of_block(block) for block in blocks if block is not matrix)
        found: dict[Cost, Option] = {}
        for style in STYLES:
            whole = rest + cost.of_block(replace(matrix, style=style))
            found.setdefault(whole, Option(replace(fold, style=style), cycles, whole))
        return tuple(found.values())

    def blocks(self, fold: LayerFolding) -> list[Block]:
        """Return the blocks that the layer has in a design: window, converters, matrix."""
        return [instance.block for instance in self._wired(fold).instances]

    def _wired(self, fold: LayerFolding) -> Wiring:
        made: Op = self.after or self.dot
        ops: tuple[Op, ...] = (*((self.window,) if self.window else ()), self.dot)
        merged = {self.after.name: self.dot} if self.after else {}
        chain = (*ops, *((self.after,) if self.after else ()))
        (source,) = sources(chain[0])
        readers: dict[str, tuple[Op, ...]] = {source: (chain[0],), made.name: ()}
        for before, op in itertools.pairwise(chain):
            readers[before.name] = (op,)
        needs = Needs(self.needs.program, made.name, ops, readers, merged)
        wiring = Wiring(self.needs.program, Folding({self.name: fold}, self.loadable), needs)
        height, width, channels = self.edge.shape
        positions = height * width
        lanes = fold.simd
        if self.is_first:
            channels, positions = -(-positions * channels // lanes) * lanes, 1
        elif self.window is not None and not self.vector:
            lanes = window_lanes(wiring, self.window)
        elif channels % lanes:
            lanes = channels
        port = Port("source", lanes, channels, positions, self.edge.precision, 0)
        wiring.offer(source, port)
        if self.window is not None:
            place_window(wiring, self.window)
        place_dot(wiring, self.dot)
        return wiring


def layers(needs: Needs, *, loadable: bool) -> list[Layer]:
    """Return the layers of a program, in the order of its dots."""
    return [Layer(needs, dot, loadable) for dot in needs.dots]

# SPDX-License-Identifier: BSD-3-Clause
"""Programs with scans as the accelerator computes them: one flat list of operations, and states.

The body of a scan becomes operations like all others, called ``SCAN_OPERATION``. A vector that the
scan carries becomes a *state*: an edge without an operation, whose words for the next column are
those of another edge, and for the first column the start value.

A column of the sequence is one image of the accelerator. If the scans visit the columns in both
directions, an image has two columns, number n from the front and number n from the back: operations
that depend on scans of one direction read one of them. What depends on both directions is computed
by the host.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from bnn.errors import BuildError, ProgramError
from bnn.hw.host_tail import device_edge
from bnn.program.grouping import without_groups
from bnn.program.inputs import Input
from bnn.program.operations import INPUT, Add, Concat, Edge, Multiply, Op, Scan, sources
from bnn.program.precision import INT, Precision
from bnn.program.program import Program

#: Ending of names on the side that reads columns from the last to the first, if there are two.
BACKWARD = "_backward"
#: Name of the edge that joins what both directions give.
JOINED = "both_directions"
_INSTEAD = "run it on the cpu runtime"


@dataclass(frozen=True)
class State:
    """A carried vector.

    Attributes:
        name: name of the edge.
        next: name of the edge that becomes the vector for the next column.
        start: value of all elements at the first column.
    """

    name: str
    next: str
    start: int


@dataclass(frozen=True)
class Side:
    """What the accelerator computes of columns that are visited in one direction.

    Attributes:
        reverse: whether the columns are visited from the last to the first.
        input: name of the edge that has the column.
        edge: name of the program's edge that this side gives.
        flat: name of the same edge in the circuit.
    """

    reverse: bool
    input: str
    edge: str
    flat: str


@dataclass(frozen=True, eq=False)
class Circuit:
    """The operations of a program with scans that the accelerator computes.

    Attributes:
        program: the program.
        ops: the operations, in order.
        edges: every edge that an operation reads or makes, by name.
        states: the carried vectors.
        sides: one side, or two: forward, then backward.
        target: name of the edge that the accelerator delivers.
    """

    program: Program
    ops: tuple[Op, ...]
    edges: Mapping[str, Edge]
    states: tuple[State, ...]
    sides: tuple[Side, ...]
    target: str

    @property
    def input(self) -> Input:
        """The input of the program: a column."""
        return self.program.input

    def op(self, name: str) -> Op:
        """Return the operation called ``name``."""
        return next(op for op in self.ops if op.name == name)


def flat(program: Program) -> Program | Circuit:
    """Return ``program`` without groups, or the circuit of a program with scans.

    The hardware has no block for groups yet: its dots have zeros for the channels of other groups.

    Raises:
        BuildError: the accelerator cannot compute the program's scans, or the program is too large
            with these zeros.
    """
    try:
        program = without_groups(program)
    except ProgramError as reason:
        raise BuildError(f"{reason}, with the zeros of its groups; {_INSTEAD}") from reason
    return circuit(program) if program.is_sequence else program


def circuit(program: Program) -> Circuit:
    """Return the circuit of a program with scans; errors as of :func:`flat`."""
    fronts = _fronts(program)
    both = len(fronts) == 2
    ops: list[Op] = []
    states: list[State] = []
    edges: dict[str, Edge] = {}
    sides: list[Side] = []
    for reverse, edge in fronts:
        apart = BACKWARD if both and reverse else ""
        side = _Flattened(program, apart)
        made = side.needed(edge)
        if side.names[INPUT] not in side.edges:
            raise BuildError(f"{edge}: does not depend on the columns of the input; {_INSTEAD}")
        ops += made
        states += side.states
        edges |= side.edges
        sides.append(Side(reverse, f"{INPUT}{apart}", edge, side.names[edge]))
    target = sides[0].flat
    if both:
        last = Concat(JOINED, sides[0].flat, sides[1].flat, _common(edges, sides))
        one, two = edges[last.source], edges[last.other]
        shape = (1, 1, one.shape[2] + two.shape[2])
        edges[JOINED] = Edge(shape, last.precision, min(one.low, two.low), max(one.high, two.high))
        ops.append(last)
        target = JOINED
    if target not in {op.name for op in ops}:
        raise BuildError(f"{sides[0].edge}: is not made by an operation of the scan; {_INSTEAD}")
    return Circuit(program, tuple(ops), edges, tuple(states), tuple(sides), target)


def _common(edges: Mapping[str, Edge], sides: list[Side]) -> Precision:
    """Return a precision that has all values that both sides give."""
    first, second = (edges[side.flat] for side in sides)
    if first.precision == second.precision:
        return first.precision
    ends = (first.low, first.high, second.low, second.high)
    return INT(max((v if v >= 0 else ~v).bit_length() + 1 for v in ends))


def _fronts(program: Program) -> list[tuple[bool, str]]:
    """Return (reverse, edge) of each direction: the last edges that depend on one direction only.

    Raises:
        BuildError: there are more than two such edges, or an edge would be needed on both sides.
    """
    end = device_edge(program)
    ways = _ways(program)
    if len(ways[end]) < 2:
        return [(True in ways[end], end)]
    fronts: dict[bool, str] = {}
    wanted = {end}
    for op in reversed(program.ops):
        if op.name not in wanted:
            continue
        if isinstance(op, Scan):
            raise BuildError(
                f"{op.name}: reads what a scan of the other direction made, which needs a memory "
                f"for a whole sequence; {_INSTEAD}"
            )
        for name in sources(op):
            found = ways[name]
            if len(found) == 2:
                wanted.add(name)
                continue
            (way,) = found or {False}
            if not found or fronts.setdefault(way, name) != name:
                raise BuildError(
                    f"{op.name}: joins {name!r} with both directions; the accelerator gives one "
                    f"edge of each direction; {_INSTEAD}"
                )
    return sorted(fronts.items())


def _ways(program: Program) -> dict[str, frozenset[bool]]:
    """Return for each edge the directions (reverse or not) of the scans that it depends on."""
    ways: dict[str, frozenset[bool]] = {INPUT: frozenset()}
    for op in program.ops:
        ways[op.name] = frozenset().union(*(ways[name] for name in sources(op)))
        if isinstance(op, Scan):
            ways[op.name] |= {op.reverse}
    return ways


class _Flattened:
    """One side while it is made.

    Attributes:
        names: name of an edge of the program -> its name in the circuit.
        edges, states: as in :class:`Circuit`.
    """

    def __init__(self, program: Program, apart: str) -> None:
        self.names = {INPUT: f"{INPUT}{apart}"}
        self.edges = {self.names[INPUT]: program.edges[INPUT]}
        self.states: list[State] = []
        self._ops: list[Op] = []
        for op in program.ops:
            if isinstance(op, Scan):
                self._scan(program, op, apart)
            else:
                name = f"{op.name}{apart}"
                self._ops.append(_renamed(op, name, lambda edge: self.names[edge]))
                self.names[op.name] = name
                self.edges[name] = program.edges[op.name]

    def _scan(self, program: Program, scan: Scan, apart: str) -> None:
        inside = {INPUT: self.names[scan.source]}
        for each in (*scan.carried, *scan.body):
            inside[each.name] = f"{scan.name}_{each.name}{apart}"
            self.edges[inside[each.name]] = program.edges[f"{scan.name}.{each.name}"]
        for op in scan.body:
            self._ops.append(_renamed(op, inside[op.name], lambda edge: inside[edge]))
        for carried in scan.carried:
            self.states.append(State(inside[carried.name], inside[carried.next], carried.start))
        self.names[scan.name] = inside[scan.result]

    def needed(self, edge: str) -> list[Op]:
        """Return the operations that ``edge`` of the program needs; drop all others, and states."""
        made = {op.name: op for op in self._ops}
        nexts = {state.name: state.next for state in self.states}
        wanted: set[str] = set()
        waiting = [self.names[edge]]
        while waiting:
            name = waiting.pop()
            if name in wanted:
                continue
            wanted.add(name)
            waiting += sources(made[name]) if name in made else ()
            waiting += [nexts[name]] if name in nexts else []
        self.states = [state for state in self.states if state.name in wanted]
        self.edges = {name: each for name, each in self.edges.items() if name in wanted}
        return [op for op in self._ops if op.name in wanted]


def _renamed(op: Op, name: str, names: Callable[[str], str]) -> Op:
    """Return ``op`` with another name, and other names of the edges that it reads."""
    if isinstance(op, Add | Multiply | Concat):
        return replace(op, name=name, source=names(op.source), other=names(op.other))
    return replace(op, name=name, source=names(op.source))

# SPDX-License-Identifier: BSD-3-Clause
"""Where each edge is stored while a program in C runs: one array for each type of number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bnn.program.operations import INPUT, Edge
from bnn.program.program import Program
from bnn.program.semantics import last_readers

#: C types from small to large, and the ends of their values.
_TYPES = (
    ("uint8_t", 0, 0xFF),
    ("int8_t", -0x80, 0x7F),
    ("uint16_t", 0, 0xFFFF),
    ("int16_t", -0x8000, 0x7FFF),
    ("int32_t", -0x8000_0000, 0x7FFF_FFFF),
)
BYTES = {"uint8_t": 1, "int8_t": 1, "uint16_t": 2, "int16_t": 2, "int32_t": 4}


def c_type(low: int, high: int) -> str:
    """Return the smallest C type that holds all integers from ``low`` to ``high``."""
    return next(name for name, least, most in _TYPES if least <= low and high <= most)


@dataclass(frozen=True)
class Place:
    """Where the values of an edge are stored.

    Attributes:
        array: C type of the values. There is one array for each type, which has this type.
        first: index of the first value in this array.
        size: number of values.
    """

    array: str
    first: int
    size: int

    @property
    def text(self) -> str:
        """C expression of a pointer to the first value."""
        return f"{array_name(self.array)} + {self.first}"


def array_name(c: str) -> str:
    """Return the name of the C array that stores the edges of type ``c``."""
    return f"maps_{c.removesuffix('_t')}"


def size_of(edge: Edge) -> int:
    """Return the number of values of an edge."""
    height, width, channels = edge.shape
    return height * width * channels


def places(program: Program, fused: Iterable[str]) -> dict[str, Place]:
    """Return the place of each edge; edges that are alive at the same time do not overlap.

    Args:
        program: the program.
        fused: edges that are never stored: windows whose patches a dot copies one by one. The
            edge that such a window reads stays alive until the last of these dots has run.
    """
    alive: dict[str, Place] = {}
    found: dict[str, Place] = {}
    last = _last_use(program, set(fused))
    for step, name in enumerate([INPUT, *(op.name for op in program.ops)]):
        if name not in fused:
            edge = program.edges[name]
            found[name] = alive[name] = _free(alive, c_type(edge.low, edge.high), size_of(edge))
        for other in [each for each in alive if last[each] <= step]:
            del alive[other]
    return found


def _last_use(program: Program, fused: set[str]) -> dict[str, int]:
    """Return for each edge the last step that reads the edge (step 1 is the first operation).

    For edges that no operation reads, this is a step after the last operation: they are results.
    """
    steps = {op.name: step for step, op in enumerate(program.ops, 1)}
    never = len(steps) + 1
    last = {edge: steps[name] for name, edges in last_readers(program).items() for edge in edges}
    for name in (INPUT, *steps):
        last.setdefault(name, never)
    for op in reversed(program.ops):
        if op.name in fused:
            last[op.source] = max(last[op.source], last[op.name])
    return last


def _free(alive: Mapping[str, Place], array: str, size: int) -> Place:
    """Return the first place in ``array`` for ``size`` values that is free of living edges."""
    first = 0
    for place in sorted(alive.values(), key=lambda each: each.first):
        if place.array == array and first < place.first + place.size and place.first < first + size:
            first = place.first + place.size
    return Place(array, first, size)


def totals(found: Mapping[str, Place]) -> dict[str, int]:
    """Return the length of the array of each C type that is used."""
    lengths: dict[str, int] = {}
    for place in found.values():
        lengths[place.array] = max(lengths.get(place.array, 0), place.first + place.size)
    return lengths

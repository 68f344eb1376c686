# SPDX-License-Identifier: BSD-3-Clause
"""What Yosys makes of an array on 7-series parts: block RAMs, RAM in LUTs, or logic.

Yosys' ``memory_libmap`` takes the kind of memory with the lowest cost in its library. This module
has the same costs, so the number of block RAMs is computed, not fitted.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Block RAMs: (size in RAMB36, cost, shapes as (bits, words)).
_BLOCKS = (
    (0.5, 129, ((36, 512), (18, 1024), (9, 2048), (4, 4096), (2, 8192), (1, 16384))),
    (1.0, 257, ((72, 512), (36, 1024), (18, 2048), (9, 4096), (4, 8192), (2, 16384), (1, 32768))),
)
#: Shapes (bits, words) of four LUTs as simple dual-port RAM: RAM32M, RAM64M.
_QUADS = ((6, 32), (3, 64))
#: Cost of four LUTs: a constant, and a share for the bits used.
_QUAD_BASE, _QUAD_WIDTH = 1, 7
#: Cost per bit of a constant memory in logic: a LUT6 holds 64 bits.
_CONSTANT_BIT = 1 / 64
#: Words of a one-bit table in a LUT6; most such tables that a slice's multiplexers join.
_TABLE, _TABLES = 64, 4
#: Cost per bit of a two-way multiplexer, which joins memories that are not deep enough.
_MULTIPLEXER = 0.5


@dataclass(frozen=True)
class Memory:
    """``count`` equal arrays of ``depth`` words of ``bits`` bits.

    Attributes:
        constant: whether the arrays are never written.
        style: requested memory style: ``auto``, ``block`` or ``distributed``.
        registered: whether the read port has a register; without it, block RAM is not possible.
    """

    bits: int
    depth: int
    count: int = 1
    constant: bool = False
    style: str = "auto"
    registered: bool = True


@dataclass(frozen=True)
class Mapped:
    """The cells that arrays become.

    Attributes:
        bram36: block RAMs of 36 kbit; 0.5 is a block RAM of 18 kbit.
        quads: groups of four LUTs used as RAM.
        logic: LUTs of constant arrays of at most 64 words.
        tables: LUTs of constant arrays of 65 to 256 words with style ``distributed``.
        deep: LUT6 that other constant arrays need at least; Yosys uses more.
        multiplexed: bits of the two-way multiplexers that join memories which are not deep enough.
    """

    bram36: float = 0.0
    quads: int = 0
    logic: float = 0.0
    tables: float = 0.0
    deep: float = 0.0
    multiplexed: float = 0.0


def mapped(memory: Memory) -> Mapped:
    """Return the cells that all arrays of ``memory`` together become."""
    cost, block = _block(memory)
    other_cost, other = _other(memory)
    # With style auto, a single word or bit never becomes a memory.
    auto = memory.style == "auto" and cost < other_cost
    forced = memory.style == "block" and memory.depth > 1
    best = block if memory.registered and (auto or forced) else other
    return Mapped(
        best.bram36 * memory.count,
        best.quads * memory.count,
        best.logic * memory.count,
        best.tables * memory.count,
        best.deep * memory.count,
        best.multiplexed * memory.count,
    )


def _block(memory: Memory) -> tuple[float, Mapped]:
    bits, depth = memory.bits, memory.depth
    found = []
    for size, price, shapes in _BLOCKS:
        for width, words in shapes:
            deep = -(-depth // words)
            # Memories of a constant table that is too deep are side by side, without multiplexers.
            count = -(-bits * deep // width) if memory.constant else -(-bits // width) * deep
            switch = bits * (deep - 1)
            found.append((price * count + _MULTIPLEXER * switch, size * count, switch))
    cost, bram36, switch = min(found)
    return cost, Mapped(bram36=bram36, multiplexed=switch)


def _other(memory: Memory) -> tuple[float, Mapped]:
    bits, depth = memory.bits, memory.depth
    if memory.constant:
        return bits * depth * _CONSTANT_BIT, _logic(bits, depth, memory.style)
    found = []
    for width, words in _QUADS:
        deep = -(-depth // words)
        wide = -(-bits // width)
        switch = bits * (deep - 1)
        full = wide * _QUAD_BASE + _QUAD_WIDTH * bits / width
        found.append((full * deep + _MULTIPLEXER * switch, wide * deep, switch))
    cost, quads, switch = min(found)
    return cost, Mapped(quads=quads, multiplexed=switch)


def _logic(bits: int, depth: int, style: str) -> Mapped:
    """Return the cells of a constant array in LUTs.

    With fewer than 16 words, some of its columns of bits must be equal; these share a LUT.
    """
    tables = -(-depth // _TABLE)
    if tables == 1:
        return Mapped(logic=min(bits, 2**depth - 2) if depth < 16 else bits)
    if style != "distributed" or tables > _TABLES:
        return Mapped(deep=tables * bits)
    return Mapped(tables=(2 if tables == 2 else _TABLES) * bits)

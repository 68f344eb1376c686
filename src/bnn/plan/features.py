# SPDX-License-Identifier: BSD-3-Clause
"""Features of a module: numbers that its size in cells depends on, and its memories.

Every feature grows with parallelism and widths, and no coefficient is negative. So a larger block
never gets a smaller estimate than a smaller block of the same kind.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bnn.hw.blocks.block import Generic
from bnn.plan.memory import Memory, mapped

Features = dict[str, float]
#: Bits of the two factors of a DSP slice; bits of a part of a wider factor; fewest bits of a factor
#: and of a product for which Yosys takes a DSP slice.
_DSP_BITS, _DSP_PART = (25, 18), 17
_LEAST_FACTOR, _LEAST_PRODUCT = 2, 9


def features(module: str, generics: Mapping[str, Generic]) -> Features:
    """Return name -> value of the features of one instance; ``one`` is always 1."""
    g: Any = generics
    found: Features = {"one": 1.0}
    match module:
        case "bnn_matrix":
            found |= _matrix(g)
        case "bnn_window":
            found |= _window(g)
        case "bnn_patches":
            found |= _patches(g)
        case "bnn_widen" | "bnn_narrow":
            found["bits"] = g["BITS"] * g["RATIO"] * g["GROUPS"]
            found["moved"] = g["BITS"] * (g["RATIO"] - 1) * g["GROUPS"]
            found["counters"] = math.log2(g["RATIO"])
        case "bnn_unpack":
            found |= _unpack(g)
        case "bnn_serialize":
            found["bits"] = g["BITS"] * g["NF"] * g["PIXELS"]
            found["shifted"] = g["BITS"] * g["NF"] * (g["PIXELS"] - 1)
            found["counters"] = math.log2(g["NF"] * g["PIXELS"] * g["GROUPS"])
        case "bnn_fifo":
            found |= _fifo(g["BITS"], g["DEPTH"])
            block = mapped(memories(module, g)[0]).bram36 > 0  # it contains the output register
            found["word"] = g["BITS"] * (not block)
        case "bnn_max":
            found["bits"] = g["LANES"] * g["BITS"]
            # The maxima of several folds are in a memory, those of one fold in registers.
            found["held"] = g["LANES"] * g["BITS"] * (2 if g["FOLDS"] == 1 else 1)
            found["best"] = g["LANES"] * g["BITS"] * (g["FOLDS"] > 1)
            found["compared"] = g["LANES"] * (g["BITS"] - 1)
        case "bnn_add":
            found["bits"] = g["LANES"] * g["BITS"]
        case "bnn_threshold":
            found["thresholds"] = g["LANES"] * g["LEVELS"] * g["ACC"]
            found["in"] = g["LANES"] * g["IBITS"]
            found |= _fifo(g["LANES"] * g["OBITS"], g["DEPTH"])
        case "bnn_table":
            found["in"] = g["LANES"] * g["IBITS"]
            found |= _fifo(g["LANES"] * g["OBITS"], g["DEPTH"])
        case "bnn_state":
            found["bits"] = g["LANES"] * g["BITS"]
            found["start"] = math.log2(g["WORDS"] + 1)
        case "bnn_deal":
            found["count"] = math.log2(g["A_WORDS"] + g["B_WORDS"])
        case "bnn_rescale":
            found |= _rescale(g)
        case "bnn_multiply":
            found |= _multiply(g)
        case "bnn_concat":
            found["bits"] = g["LANES"] * g["BITS"]
            found["count"] = math.log2(g["A_WORDS"] + g["B_WORDS"])
        case "bnn_reader":
            found["parts"] = float(g.get("REST", 0) > 0)
        case "bnn_trim" | "bnn_pad":
            found["bits"] = g["BITS"]
            found["count"] = math.log2(g["TOTAL"])
        case "bnn_probe":
            found["fill"] = g["FILL"]
        case "bnn_probe_select":
            found["counts"] = g["COUNT"]
        case "bnn_fork":
            found["copies"] = g["COPIES"]
    arrays = [mapped(memory) for memory in memories(module, generics)]
    if arrays:
        found["quads"] = sum(array.quads for array in arrays)
        found["logic"] = sum(array.logic for array in arrays)
        found["tables"] = sum(array.tables for array in arrays)
        found["deep"] = sum(array.deep for array in arrays)
        found["multiplexed"] = sum(array.multiplexed for array in arrays)
    return found


def _matrix(g: Any) -> Features:
    rows, pixels, bits = g["PE"], g["PIXELS"], g["ABITS"]
    lanes = rows * pixels
    # A ternary weight that is stored as two bipolar ones takes two columns (bnn_matrix).
    simd = g["SIMD"] * (g["WBITS"] if g["XNOR"] else 1)
    levels = g["LEVELS"] * g["ACC"] + g["FALLING"] if g["LEVELS"] else g["OBITS"]
    words = g["SIMD"] * g["WBITS"], levels
    found = {
        "accumulators": lanes * g["ACC"],
        # A single threshold is the initial value of the accumulator (bnn_matrix, SIGN).
        "thresholds": lanes * g["LEVELS"] * g["ACC"] * (g["LEVELS"] > 1),
        "biases": lanes * g["OBITS"] * (g["LEVELS"] == 0),
        "inputs": pixels * g["SIMD"] * bits,
        "kept": pixels * g["SIMD"] * bits * (g["NF"] > 1),
        "weights": rows * g["SIMD"] * g["WBITS"],
        "bus": g["LOADABLE"],
        "items": rows * sum(-(-bits // 32) for bits in words) * g["LOADABLE"],
        "counters": math.log2(g["NF"] * g["SF"] + 1),
        **_fifo(lanes * g["OBITS"], g["DEPTH"]),
    }
    if g["SUMS"]:
        return found | _chains(g, simd)
    pairs = 1 if g.get("TERNARY") or g["XNOR"] else g["WBITS"]
    pairs *= 1 if g.get("TERNARY") else bits
    lanes *= pairs
    wide = lanes * math.log2(simd + 1)
    found |= {"sums": wide, "planes": lanes * (pairs - 1) / pairs * g["ACC"]}
    if g["STAGES"] == 1:  # one or two look-up tables count all columns
        return found | {"few": lanes * simd * (2 if g.get("TERNARY") else 1)}
    luts, columns, registers = _counters(simd, xnor=bool(g["XNOR"]), ternary=bool(g.get("TERNARY")))
    return found | {
        "counted": lanes * luts,
        "columns": lanes * columns,
        "held": lanes * registers,
        "parity": pixels * bits * -(-simd // 3) * g["XNOR"],
    }


def _chains(g: Any, simd: int) -> Features:
    """Return the features of adder chains (bnn_dot_adder_chain) with their pairs (bnn_pairs)."""
    lanes, terms, bits = g["PE"] * g["PIXELS"], (simd + 1) // 2, g["ABITS"] + 1
    first = bits + 1
    widths = [min(first + (s + 1).bit_length(), g["ACC"]) for s in range(terms - 1)]
    return {
        "chain": lanes * (first + sum(widths)),
        "chained": lanes * sum(widths),
        "pairs": g["PIXELS"] * 2 * bits * terms,
        "delayed": g["PIXELS"] * 2 * bits * sum(range(1, terms)),
        "late": g["PE"] * 2 * sum(range(1, terms - 1)),
    }


def _unpack(g: Any) -> Features:
    """Return the features of ``bnn_unpack``; its parameters are computed here as they are there."""
    lanes, values, code = g["LANES"], g["VALUES"], g["OBITS"]
    unit = math.gcd(8, lanes, values)
    word, beat, tail = 8 // unit, lanes // unit, -(-(values % lanes) // unit)
    early = lanes >= code
    places = beat + word - 1
    bits = unit * (code if early else 8)
    # From where a unit can come: a word in several places, a higher unit, itself.
    ways = [
        sum(p <= n < p + word for p in range(beat))
        + (n + beat < places)
        + (beat > 1 and n < beat)
        + (tail > 0 and values % 8 > 0 and n + tail < places)
        for n in range(places)
    ]
    return {
        "held": places * bits,
        "muxed": sum(bits * (way - 1) / 3 for way in ways),
        "looked": (8 if early else lanes) * _table_luts(g["TABLE"], code),
        "masked": (lanes - values % lanes) % lanes * code * (tail > 0),
        "counters": math.log2(-(-values // lanes)) + math.log2(places + 1),
    }


def _table_luts(table: str, bits: int) -> int:
    """Return the LUT6 of one lookup of a byte: of each bit, by how many bits it depends on."""
    value = int(table.partition("'h")[2], 16)
    codes = [value >> (byte * bits) for byte in range(256)]
    total = 0
    for place in range(bits):
        column = [code >> place & 1 for code in codes]
        inputs = sum(
            any(column[byte] != column[byte ^ 1 << bit] for byte in range(256)) for bit in range(8)
        )
        total += 0 if inputs < 2 else 1 << max(0, inputs - 6)
    return total


def _counters(simd: int, *, xnor: bool, ternary: bool) -> tuple[int, int, int]:
    """Return three numbers for one population count: LUT6, 6:3 counters, registers.

    The circuits are ``bnn_xnor_popcount``, ``bnn_ternary`` and ``bnn_popcount``: full adders over
    triples of bits, then 6:3 counters over the adders' sums (ones) and carries (twos). Adders
    follow, with one summand per 6:3 counter.
    """
    triples = -(-simd // 3)
    ones, twos, tables = triples, triples, 2 * triples
    if ternary:
        twos, tables = triples + simd, tables + simd
    if xnor:
        ones = -(-triples // 3)
        twos, tables = triples + ones, triples + 2 * ones
    columns = -(-ones // 6) - (-twos // 6)
    return tables + 3 * columns, columns, ones + twos + 3 * columns


def _rescale(g: Any) -> Features:
    lanes, wide, shift = g["LANES"], g["WIDE"], g["SHIFT"]
    quotient = max(wide - shift, g["OBITS"] + 1)
    factor = value_of(g["FACTOR"])
    found = {
        "inputs": lanes * g["USED"],
        "numbers": lanes * (g["MBITS"] + g["ABITS"]),
        "sums": lanes * wide * (g["ABITS"] > 0),
        "rounded": lanes * (wide - shift) * (g["ROUNDING"] > 0),
        "clipped": lanes * quotient * (g["CLIP_LOW"] + g["CLIP_HIGH"]),
        "out": lanes * g["OBITS"],
        "bus": g["LOADABLE"],
        **_fifo(lanes * g["OBITS"], g["DEPTH"]),
    }
    if g["MBITS"] or factor <= 0 or factor & (factor - 1):
        value = g["USED"] if g["ISIGNED"] else g["USED"] + 1
        # A constant has as many bits as it needs.
        by = g["MBITS"] or (factor if factor >= 0 else ~factor).bit_length() + 1
        product = Product.of(value, by, min(wide, value + by))
        found |= {
            "dsp": lanes * product.dsp,
            "soft": lanes * product.soft,
            "split": lanes * product.split,
        }
    # A DSP slice also adds.
    return found | {"added": found["sums"] * (found.get("dsp", 0) == 0)}


def value_of(generic: Generic) -> int:
    """Return a parameter of 32 bits with a sign as a number."""
    if isinstance(generic, int):
        return generic
    return int(generic.split("'h")[1], 16) - (1 << 32)


def _multiply(g: Any) -> Features:
    a, b = (g[f"{port}_USED"] + (not g[f"{port}_SIGNED"]) for port in "AB")
    product = Product.of(a, b, min(a + b, g["BITS"]))
    alone = g["LANES"] * (product.dsp == 0)  # else DSP slices contain the registers
    return {
        "dsp": g["LANES"] * product.dsp,
        "soft": g["LANES"] * product.soft,
        "split": g["LANES"] * product.split,
        "rows": alone * max(a, b) * (min(a, b) > 3),
        "inputs": alone * (g["A_USED"] + g["B_USED"]),
        "products": alone * g["BITS"],
    }


@dataclass(frozen=True)
class Product:
    """What Yosys makes of a product of two signed numbers, see its ``mul2dsp.v``.

    Attributes:
        dsp: DSP slices, of 25 x 18 bits.
        soft: products of two bits in LUTs, of factors that are too small for a DSP slice.
        split: bits of the sums of parts, if a factor is too wide for a DSP slice.
    """

    dsp: int
    soft: int
    split: int

    @classmethod
    def of(cls, one: int, other: int, made: int) -> Product:
        """Return the product of factors of ``one`` and ``other`` bits, in ``made`` bits."""
        return cls._split(max(one, other), min(one, other), made)

    @classmethod
    def _split(cls, a: int, b: int, made: int) -> Product:
        """Return the product of ``a`` and ``b`` bits; a part above the result's bits is nothing."""
        if made <= 0:
            return cls(0, 0, 0)
        if a <= _DSP_BITS[0] and b <= _DSP_BITS[1]:
            if min(a, b) < _LEAST_FACTOR or made < _LEAST_PRODUCT:
                return cls(0, a * b, 0)
            return cls(1, 0, 0)
        # A factor that is too wide is split in parts of 17 bits, and the rest.
        first = a > _DSP_BITS[0]
        cut = a if first else b
        parts = []
        for low in range(0, cut, _DSP_PART):
            bits = min(_DSP_PART + 1, cut - low)
            parts.append(cls._split(*((bits, b) if first else (a, bits)), made - low))
        return cls(
            sum(part.dsp for part in parts),
            sum(part.soft for part in parts),
            sum(part.split for part in parts) + (len(parts) - 1) * made,
        )


def _window(g: Any) -> Features:
    depth = g["ROWS"] * g["IN_W"] * g["FOLDS"]
    return {
        "words": g["PIXELS"] * g["BITS"],
        "walks": g["PIXELS"] * math.log2(depth + 1),
        "pixels": g["PIXELS"],
    }


def _patches(g: Any) -> Features:
    memory = _patch_memory(g)
    field = g["LANES"] * g["BITS"]
    return {
        "copies": memory.count,
        "chosen": memory.count * field * math.log2(g["TAKE"]),
        "words": memory.count * field,
        "walks": math.log2(memory.depth + 1),
    }


def _patch_memory(g: Any) -> Memory:
    """Return the buffer of ``bnn_patches``, which has several copies of the map rows.

    There is one copy for each pixel of the map that a group of positions reads in one cycle.
    """
    reach = g["K_W"] + (g["PIXELS"] - 1) * g["S_W"]
    depth = g["ROWS"]
    for size in (g["IN_W"], g["PARTS"]):
        depth *= 1 << (size - 1).bit_length()
    return Memory(g["TAKE"] * g["LANES"] * g["BITS"], depth, g["K_H"] * reach, style=g["STYLE"])


def _fifo(bits: int, depth: int) -> Features:
    return {"fifo": bits, "places": math.log2(depth + 1)}


def memories(module: str, generics: Mapping[str, Generic]) -> list[Memory]:
    """Return the memories in one instance of ``module``."""
    g: Any = generics
    match module:
        case "bnn_matrix":
            level_bits = g["LEVELS"] * g["ACC"] + g["FALLING"] if g["LEVELS"] else g["OBITS"]
            kept = [Memory(g["PIXELS"] * g["SIMD"] * g["ABITS"], g["SF"], registered=False)]
            return [
                *_parameters(g, g["SIMD"] * g["WBITS"], g["NF"] * g["SF"], g["WSTYLE"]),
                *_parameters(g, level_bits, g["NF"], g.get("TSTYLE", "auto")),
                *(kept if g["NF"] > 1 else []),
                Memory(g["PIXELS"] * g["PE"] * g["OBITS"], g["DEPTH"]),
            ]
        case "bnn_window":
            depth = g["ROWS"] * g["IN_W"] * g["FOLDS"]
            return [Memory(g["BITS"], depth, g["PIXELS"], style=g["STYLE"])]
        case "bnn_patches":
            return [_patch_memory(g)]
        case "bnn_fifo":
            return [Memory(g["BITS"], g["DEPTH"], style=g["STYLE"])]
        case "bnn_max":
            bits = g["LANES"] * g["BITS"]
            return [Memory(bits, g["FOLDS"], registered=False)] if g["FOLDS"] > 1 else []
        case "bnn_threshold":
            level_bits = g["LEVELS"] * g["ACC"] + g["FALLING"]
            return [
                *_parameters({**g, "PE": g["LANES"]}, level_bits, g["FOLDS"], "auto"),
                Memory(g["LANES"] * g["OBITS"], g["DEPTH"]),
            ]
        case "bnn_table":
            entries = Memory(g["OBITS"], g["ENTRIES"], g["LANES"], constant=True)
            return [entries, Memory(g["LANES"] * g["OBITS"], g["DEPTH"])]
        case "bnn_state":
            return [Memory(g["LANES"] * g["BITS"], g["WORDS"])]
        case "bnn_rescale":
            bits = g["MBITS"] + g["ABITS"]
            numbers = _parameters({**g, "PE": g["LANES"]}, bits, g["FOLDS"], "auto")
            return [*(numbers if bits else []), Memory(g["LANES"] * g["OBITS"], g["DEPTH"])]
        case "bnn_reader" | "bnn_writer":
            return [Memory(64, 64)]
    return []


def _parameters(g: Any, bits: int, depth: int, style: str) -> list[Memory]:
    """Return the memories of ``bnn_parameters`` for words of ``bits`` bits per PE.

    Loadable parameters need a memory per PE and 32-bit chunk; constants are one table.
    """
    if not g["LOADABLE"]:
        return [Memory(g["PE"] * bits, depth, constant=True, style=style)]
    full, rest = divmod(bits, 32)
    chunks = [Memory(32, depth, g["PE"] * full, style=style)] if full else []
    return chunks + ([Memory(rest, depth, g["PE"], style=style)] if rest else [])

# SPDX-License-Identifier: BSD-3-Clause
"""What of a module's parameters its size depends on: numbers that a fit weights, and memories.

Every feature grows with the parallelism and the widths, and the fit's weights are never
negative: a larger block never counts as smaller.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from bnn.hw.block import Generic
from bnn.plan.memory import Memory, mapped

Features = dict[str, float]


def features(module: str, generics: Mapping[str, Generic]) -> Features:
    """Features of one instance; every module has ``one``, those with memories their LUTs."""
    g: Any = generics
    found: Features = {"one": 1.0}
    match module:
        case "bnn_matrix":
            found |= _matrix(g)
        case "bnn_window":
            found |= _window(g)
        case "bnn_widen" | "bnn_narrow":
            found["bits"] = g["BITS"] * g["RATIO"] * g["GROUPS"]
        case "bnn_serialize":
            found["bits"] = g["BITS"] * g["NF"] * g["PIXELS"]
        case "bnn_fifo":
            found |= _fifo(g["BITS"], g["DEPTH"])
        case "bnn_max":
            found["bits"] = g["LANES"] * g["BITS"]
            found["kept"] = g["LANES"] * g["BITS"] * (g["FOLDS"] > 1)
        case "bnn_add":
            found["bits"] = g["LANES"] * g["BITS"]
        case "bnn_threshold":
            found |= {"levels": g["LANES"] * g["LEVELS"] * g["ACC"], "in": g["LANES"] * g["IBITS"]}
            found |= _fifo(g["LANES"] * g["OBITS"], g["DEPTH"])
        case "bnn_trim" | "bnn_pad":
            found["bits"] = g["BITS"]
            found["count"] = math.log2(g["TOTAL"])
        case "bnn_fork":
            found["copies"] = g["COPIES"]
    arrays = [mapped(memory) for memory in memories(module, generics)]
    if arrays:
        found["quads"] = sum(array.quads for array in arrays)
        found["logic"] = sum(array.logic for array in arrays)
        found["multiplexed"] = sum(array.multiplexed for array in arrays)
    return found


def _matrix(g: Any) -> Features:
    lanes = g["PE"] * g["PIXELS"]
    pairs = g["WBITS"] * g["ABITS"]
    simd = g["SIMD"]
    return {
        # A population count of few bits is one table; of many, a tree of counters.
        "few": lanes * pairs * min(simd, 6),
        "many": lanes * pairs * max(simd - 6, 0),
        "sums": lanes * pairs * math.log2(simd + 1),
        "planes": lanes * (pairs - 1) * g["ACC"],
        "accumulators": lanes * g["ACC"],
        "levels": lanes * g["LEVELS"] * g["ACC"],
        "biases": lanes * g["OBITS"] * (g["LEVELS"] == 0),
        "inputs": g["PIXELS"] * simd * g["ABITS"],
        "weights": g["PE"] * simd * g["WBITS"],
        "parameters": g["PE"] * max(g["LEVELS"] * g["ACC"] + g["FALLING"], 1) * g["LOADABLE"],
        "items": g["PE"] * math.ceil(simd * g["WBITS"] / 32) * g["LOADABLE"],
        "counters": math.log2(g["NF"] * g["SF"] + 1),
        **_fifo(lanes * g["OBITS"], g["DEPTH"]),
    }


def _window(g: Any) -> Features:
    depth = g["ROWS"] * g["IN_W"] * g["FOLDS"]
    return {
        "words": g["PIXELS"] * g["BITS"],
        "walks": g["PIXELS"] * math.log2(depth + 1),
        "pixels": g["PIXELS"],
    }


def _fifo(bits: int, depth: int) -> Features:
    return {"fifo": bits, "places": math.log2(depth + 1)}


def memories(module: str, generics: Mapping[str, Generic]) -> list[Memory]:
    """The arrays of one instance."""
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
        case "bnn_reader" | "bnn_writer":
            return [Memory(64, 64)]
    return []


def _parameters(g: Any, bits: int, depth: int, style: str) -> list[Memory]:
    """``bnn_parameters``: loadable, 32-bit chunks for each PE; constant, one wide table."""
    if not g["LOADABLE"]:
        return [Memory(g["PE"] * bits, depth, constant=True, style=style)]
    full, rest = divmod(bits, 32)
    chunks = [Memory(32, depth, g["PE"] * full, style=style)] if full else []
    return chunks + ([Memory(rest, depth, g["PE"], style=style)] if rest else [])

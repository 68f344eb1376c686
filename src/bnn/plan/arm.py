# SPDX-License-Identifier: BSD-3-Clause
"""Instructions of layers on the ARM processor of a board, counted under qemu.

``arm.json`` has the instructions of one image for each layer of CNV and LFC, and for the whole
models (``tools/count_arm.py``): the package's own kernels for NEON on a 32-bit ARM. They include
the values' way from 16-bit integers and to 32-bit ones. Those of other layers are estimated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from bnn.program.operations import INPUT, Dot, Pool, Threshold, Window
from bnn.program.program import Program
from bnn.system.files import parse_json

FILE = Path(__file__).parent / "arm.json"
#: Images per call of the counts: one, and as many as share one reading of the weights.
ONE, MANY = 1, 32


@dataclass(frozen=True)
class Count:
    """Instructions per image.

    Attributes:
        neon: those of NEON.
        others: all others.
        counted: whether they were counted; else they are estimated.
    """

    neon: float
    others: float
    counted: bool


def count(program: Program, images: int) -> Count:
    """Return the instructions per image of a part.

    Args:
        program: the part.
        images: :data:`ONE` or :data:`MANY` images per call.
    """
    known = _file()["counted"].get(signature(program))
    if known is not None:
        every, neon = known[str(images)]
        return Count(neon, every - neon, counted=True)
    work = features(program)
    neon, others = (
        sum(rate * amount for rate, amount in zip(_file()[kind], work, strict=True))
        for kind in ("neon", "others")
    )
    return Count(neon, others, counted=False)


def errors() -> tuple[float, float]:
    """Return the mean and the largest error of estimated cycles on the layers that were counted.

    They are fractions; a NEON instruction counts as two cycles.
    """
    return float(_file()["mean_error"]), float(_file()["largest_error"])


@cache
def _file() -> dict[str, Any]:
    values: dict[str, Any] = parse_json(FILE.read_bytes())
    return values


def features(program: Program) -> list[float]:
    """Return the amounts of work of one image on which the estimate depends.

    Products of bits, input values, results, comparisons with thresholds, patch values, pooled
    values, and one call.
    """
    bits = comparisons = patches = pooled = 0.0
    for op in program.ops:
        made = math.prod(program.edges[op.name].shape)
        match op:
            case Dot():
                read = program.edges[op.source].precision.bits
                bits += made * op.weights.shape[1] * read * op.precision.bits
            case Threshold():
                comparisons += made * op.thresholds.shape[1]
            case Window() if op.kernel != program.edges[op.source].shape[:2]:
                patches += made
            case Pool():
                pooled += made * op.kernel[0] * op.kernel[1]
            case _:
                pass
    inputs = math.prod(program.edges[INPUT].shape)
    return [bits, inputs, program.score_count, comparisons, patches, pooled, 1.0]


def signature(program: Program) -> str:
    """Return a text that is equal for parts whose instructions are equally many."""
    edge = program.edges[INPUT]
    kind = type(program.input).__name__
    found = [f"{kind} {'x'.join(map(str, edge.shape))} {edge.precision}"]
    for op in program.ops:
        match op:
            case Window():
                found.append(f"window {op.kernel} {op.stride} {op.padding} {op.pad_value}")
            case Dot():
                bias = "" if op.bias is None else " bias"
                apart = f" in {op.groups} groups" if op.groups > 1 else ""
                shape = "x".join(map(str, op.weights.shape))
                found.append(f"dot {shape} {op.precision}{bias}{apart}")
            case Threshold():
                signs = "" if op.signs is None else " signs"
                levels = op.thresholds.shape[1]
                found.append(f"threshold {levels} {op.base} {op.step} {op.precision}{signs}")
            case Pool():
                found.append(f"pool {op.kernel} {op.stride} {op.padding}")
            case _:
                found.append(type(op).__name__)
    return ", ".join(found)

# SPDX-License-Identifier: BSD-3-Clause
"""The time of layers on the ARM processor of a board, by a model from counted instructions.

``arm.json`` has the instructions of one image for each layer of CNV and LFC, counted under qemu
(``tools/count_arm.py``): the package's own kernels for NEON on a 32-bit ARM, with the values' way
from and to 16-bit and 32-bit integers. Other layers are estimated from these.
"""

from __future__ import annotations

from pathlib import Path

from bnn.program.operations import INPUT, Dot, Pool, Threshold, Window
from bnn.program.program import Program

FILE = Path(__file__).parent / "arm.json"


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
                found.append(f"dot {'x'.join(map(str, op.weights.shape))} {op.precision}{bias}")
            case Threshold():
                signs = "" if op.signs is None else " signs"
                levels = op.thresholds.shape[1]
                found.append(f"threshold {levels} {op.base} {op.step} {op.precision}{signs}")
            case Pool():
                found.append(f"pool {op.kernel} {op.stride} {op.padding}")
            case _:
                found.append(type(op).__name__)
    return ", ".join(found)

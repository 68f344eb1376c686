# SPDX-License-Identifier: BSD-3-Clause
"""Estimates of LUTs, flip-flops, block RAMs and DSPs of blocks, from their modules' parameters.

Block RAMs are computed (:mod:`bnn.plan.memory`). LUTs and flip-flops are weighted sums of features
(:mod:`bnn.plan.features`); the weights, called coefficients, were fitted to synthesis results of
many single blocks. The file ``coefficients.json`` has the coefficients and the errors of the fit;
``tools/calibrate_costs.py`` and ``tools/fit_costs.py`` make this file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from bnn.hw.blocks.block import Block, Generic
from bnn.hw.design import Design
from bnn.hw.render import reader_generics
from bnn.plan.features import features, memories
from bnn.plan.memory import mapped


@dataclass(frozen=True)
class Cost:
    """Numbers of cells of a 7-series part, counted as ``bnn build --synth`` counts them."""

    lut: float = 0.0
    ff: float = 0.0
    bram36: float = 0.0
    dsp: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.lut + other.lut,
            self.ff + other.ff,
            self.bram36 + other.bram36,
            self.dsp + other.dsp,
        )

    def __sub__(self, other: Cost) -> Cost:
        return Cost(
            self.lut - other.lut,
            self.ff - other.ff,
            self.bram36 - other.bram36,
            self.dsp - other.dsp,
        )


@cache
def coefficients() -> Mapping[str, Any]:
    """Return the contents of ``coefficients.json``.

    ``modules``: module -> ``LUT`` or ``FF`` -> feature -> coefficient: cells per unit of the
    feature. ``errors``: kind of cell -> largest measured error in per cent. ``measured``: a phrase
    that says on which designs the errors were measured.
    """
    text = (resources.files(__package__) / "coefficients.json").read_text(encoding="utf-8")
    loaded: Mapping[str, Any] = json.loads(text)
    return loaded


def of_module(module: str, generics: Mapping[str, Generic]) -> Cost:
    """Return the estimated cost of one instance of ``module`` with the parameters ``generics``."""
    table = coefficients()["modules"].get(module, {})
    found = features(module, generics)
    cells = {
        kind: sum(table.get(kind, {}).get(name, 0.0) * value for name, value in found.items())
        for kind in ("LUT", "FF")
    }
    bram36 = sum(mapped(memory).bram36 for memory in memories(module, generics))
    return Cost(cells["LUT"], cells["FF"], bram36, found.get("dsp", 0.0))


def of_block(block: Block) -> Cost:
    """Return the estimated cost of one block."""
    return of_module(block.module, block.generics())


def total(costs: Iterable[Cost]) -> Cost:
    """Return the sum of several costs."""
    return sum(costs, Cost())


def around(design: Design) -> Cost:
    """Return the cost of what every design has: registers, memory master, parameter bus."""
    units = sum(instance.unit is not None for instance in design.instances)
    bus = Cost(lut=units) if design.folding.loadable else Cost()
    ends: tuple[tuple[str, dict[str, Generic]], ...] = (
        ("bnn_control", {}),
        ("bnn_reader", reader_generics(design)),
        ("bnn_writer", {"WORDS": design.target.memory_words}),
    )
    return total((bus, *(of_module(module, generics) for module, generics in ends)))


def of_probes(design: Design) -> Cost:
    """Return the cost of the design's probes, and of the block that selects a count; may be 0."""
    watched = design.probes
    if not watched:  # nearly always, and a search asks often
        return Cost()
    fills = design.fills
    each = (of_module("bnn_probe", {"FILL": fills.get(stream, 1)}) for stream in watched)
    return total((*each, of_module("bnn_probe_select", {"COUNT": len(watched)})))


def of_design(design: Design) -> Cost:
    """Return the cost of the whole accelerator: ``bnn_top`` with all blocks and probes."""
    blocks = (of_block(each.block) for each in design.instances)
    return total((around(design), of_probes(design), *blocks))


def errors() -> Mapping[str, float]:
    """Return kind of cell -> largest measured error in per cent; see :func:`measured`."""
    found: Mapping[str, float] = coefficients()["errors"]
    return found


def measured() -> str:
    """Return a phrase that says on which designs the errors were measured."""
    return str(coefficients()["measured"])

# SPDX-License-Identifier: BSD-3-Clause
"""The report on a design: as plain values, and as text; :mod:`bnn.hw.report_page` is its page."""

from __future__ import annotations

import dataclasses
from typing import Any

from bnn.hw.blocks.matrix import Matrix
from bnn.hw.blocks.thresholds import ThresholdUnit
from bnn.hw.blocks.window import SlidingWindow
from bnn.hw.boards import Board
from bnn.hw.clocks import clock_is
from bnn.hw.design import Design, Instance
from bnn.hw.toolchain.route import Routed

#: Cells of one block or of a whole design: kind of cell -> number.
Cells = dict[str, float]


def as_json(
    design: Design,
    board: Board,
    cells: dict[str, Cells] | None = None,
    routed: Routed | None = None,
    interval: int | None = None,
) -> dict[str, Any]:
    """Return the report as values that JSON can express.

    Args:
        cells: name of each instance, and ``total`` -> its LUT, FF, BRAM36 and DSP; None: without
            synthesis.
        routed: result of place and route; None: not routed.
        interval: cycles from one image to the next, for a design with a loop, which is slower than
            its slowest block; None: the cycles of the slowest block.
    """
    cycles = design.cycles
    clock = board.clock_mhz * 1e6
    report: dict[str, Any] = {
        "board": board.name,
        "part": board.device,
        "clock_mhz": board.clock_mhz,
        "clock_is": _clock_is(design, board, routed),
        "cycles": interval or cycles,
        "fps": clock / (interval or cycles),
        "bottleneck": design.bottleneck.name,
        "loadable": design.folding.loadable,
        "probes": design.folding.probes,
        "input": design.input,
        "output": design.output,
        "bytes_in": design.source.image_bytes,
        "words_in": design.source.memory_words,
        "words_out": design.target.memory_words,
        "blocks": [_block(instance, cycles) for instance in design.instances],
    }
    if cells is not None:
        report["cells"] = cells
        report["used"] = {
            kind: cells["total"].get(kind, 0) / have for kind, have in board.part.cells.items()
        }
    if routed is not None:
        report["route"] = {
            "fmax_mhz": routed.fmax_mhz,
            "used": routed.used,
            "path": [dataclasses.asdict(step) for step in routed.path],
        }
    return report


def _clock_is(design: Design, board: Board, routed: Routed | None) -> str:
    """Return how well the clock was tried: "routed", "not reached", or see :func:`clock_is`."""
    if routed is None:
        return clock_is(design, board.part, board.clock_mhz)
    return "routed" if routed.fmax_mhz >= board.clock_mhz else "not reached"


#: Value of ``clock_is`` -> sentence about the clock for the reader of the report.
_CLOCKS = {
    "routed": "the whole design reached it when it was routed",
    "not reached": "the whole design did not reach it when it was routed",
    "estimated": "estimated: each kind of block reached it when it was routed alone",
    "hoped for": "hoped for: not each kind of block reached it when it was routed alone",
}


#: How images are stored -> words about it for the reader of the report.
_INPUTS = {"bytes": "images are read as bytes", "packed": "the host packs images"}


def _block(instance: Instance, slowest: int) -> dict[str, Any]:
    block = instance.block
    values: dict[str, Any] = {
        "name": instance.name,
        "layer": instance.layer,
        "block": block.module,
        "cycles": block.cycles,
        "busy": block.cycles / slowest,
        "bits": block.output_bits,
        "words": block.output_words,
    }
    if isinstance(block, Matrix):
        values |= {
            "rows": block.rows,
            "columns": block.columns,
            "positions": block.positions,
            "pe": block.pe,
            "simd": block.simd,
            "pixels": block.pixels,
            "weight": block.weight.name,
            "source": block.source.name,
            "weight_bits": block.rows * block.columns * block.weight.bits,
            "threshold_bits": block.rows * block.thresholds.word_bits,
            "synapses": block.synapses,
        }
    if isinstance(block, ThresholdUnit):
        values |= {"threshold_bits": block.channels * block.thresholds.word_bits}
    if isinstance(block, SlidingWindow):
        values |= {"buffer_bits": block.pixels * block.buffer_rows * _row_bits(block)}
    return values


def _row_bits(block: SlidingWindow) -> int:
    return block.shape[1] * block.shape[2] * block.bits


def as_text(report: dict[str, Any]) -> str:
    """Return the report as text for a terminal."""
    speed = f"{report['cycles']} cycles per image, {report['fps']:.0f} images/s"
    where = "written at run time" if report["loadable"] else "constants"
    sizes = f"an image is {report['bytes_in']} bytes, a result {8 * report['words_out']}"
    stored = _INPUTS[report["input"]]
    if report["output"] == "int32":
        stored += ", scores are int32"
    lines = [
        f"{report['board']} ({report['part']}) at {report['clock_mhz']:g} MHz",
        f"clock: {_CLOCKS[report['clock_is']]}",
        f"{speed}; slowest: {report['bottleneck']}",
        f"parameters: {where}; probes: {report['probes']}; {sizes}; {stored}",
        "",
        f"{'block':24}{'cycles':>9}{'busy':>7}{'bits':>7}  parallelism",
    ]
    lines += [
        f"{block['name']:24}{block['cycles']:>9}{100 * block['busy']:>6.0f}%"
        f"{block['bits']:>7}  {parallelism(block)}"
        for block in report["blocks"]
    ]
    if "cells" in report:
        lines += ["", f"{'cells':24}{'LUT':>9}{'FF':>9}{'BRAM36':>9}{'DSP':>7}"]
        for name, counts in report["cells"].items():
            lines.append(
                f"{name:24}{counts.get('LUT', 0):>9.0f}{counts.get('FF', 0):>9.0f}"
                f"{counts.get('BRAM36', 0):>9.1f}{counts.get('DSP', 0):>7.0f}"
            )
    if "route" in report:
        path = report["route"]["path"]
        ends = f", from {path[0]['source']} to {path[-1]['sink']}" if path else ""
        lines += ["", f"routed: {report['route']['fmax_mhz']:.1f} MHz at most{ends}; bnn.bit"]
    return "\n".join(lines) + "\n"


def parallelism(block: dict[str, Any]) -> str:
    if "pe" not in block:
        return str(block["block"]).removeprefix("bnn_")
    text = f"{block['rows']} x {block['columns']}: PE {block['pe']}, SIMD {block['simd']}"
    if block["pixels"] > 1:
        text += f", {block['pixels']} pixels"
    return f"{text}; {block['weight']} x {block['source']}"

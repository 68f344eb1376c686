# SPDX-License-Identifier: BSD-3-Clause
"""The foldings of the original's networks are those of the specification's tables, section 1."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import bnn
from bnn.hw import folding as folds

SPECIFICATION = Path(__file__).parents[2] / "docs" / "specification.md"


def numbers(text: str) -> list[int]:
    return [int(each.replace(" ", "")) for each in re.findall(r"\d[\d ]*\d|\d", text)]


def rows(head: str) -> list[list[str]]:
    """The cells of the table below a head, without the line of dashes."""
    lines = SPECIFICATION.read_text("utf-8").splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith(head))
    found = []
    for line in lines[at + 2 :]:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


#: Model -> (PE, SIMD, cycles) of each layer, and (H, W).
def cnv(column: int) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    sizes = [(int(row[6]), int(row[7])) for row in rows("| L | layer | channels |")]
    given = [row[column].split(", ") for row in rows("| L | W1A1 and W1A2: PE, SIMD")]
    return [
        ((int(pe), int(simd), numbers(cycles)[0]), size)
        for (pe, simd, _, _, cycles), size in zip(given, sizes, strict=True)
    ]


def lfc() -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    table = rows("| L | neurons | H | W | PE | SIMD |")
    kept = [[numbers(cell)[-1] if numbers(cell) else 0 for cell in row] for row in table]
    return [((row[4], row[5], row[9]), (row[2], row[3])) for row in kept]


@pytest.mark.parametrize("name", ["cnv-w1a1", "cnv-w1a2", "cnv-w2a2", "lfc-w1a1", "lfc-w1a2"])
def test_foldings_of_the_original(name: str) -> None:
    program = bnn.load(name).program
    found = folds.original(program)
    wanted = lfc() if "lfc" in name else cnv(2 if "w2a2" in name else 1)
    layers = folds.dots(program)
    assert len(layers) == len(wanted)
    for dot, ((pe, simd, cycles), (height, width)) in zip(layers, wanted, strict=True):
        own = found.of(dot.name)
        assert (own.pe, own.simd) == (pe, simd)
        assert folds.cycles(program, dot, own) == cycles
        assert dot.weights.shape[1] in (width, 784)
        assert dot.weights.shape[0] == height or dot is layers[-1]
        assert height % pe == width % simd == 0
    assert found.loadable
    assert found.of(layers[-1].name).rows == 64


def test_the_tables_are_their_own_formulas() -> None:
    """WMEM = NF x SF, TMEM = NF; what the test above reads is what is written there."""
    sizes = [(int(row[6]), int(row[7])) for row in rows("| L | layer | channels |")]
    for row, (height, width) in zip(rows("| L | W1A1 and W1A2: PE, SIMD"), sizes, strict=True):
        for cell in row[1:]:
            pe, simd, wmem, tmem, _ = (numbers(each)[0] for each in cell.split(", "))
            assert (wmem, tmem) == (height // pe * (width // simd), height // pe)


def test_cycles_are_positions_times_steps() -> None:
    program = bnn.load("cnv-w1a1").program
    second = folds.dots(program)[1]
    for fold in (folds.LayerFolding(32, 32), folds.LayerFolding(64, 64), folds.LayerFolding(1, 1)):
        expected = 28 * 28 * (64 // fold.pe) * (576 // fold.simd)
        assert folds.cycles(program, second, fold) == expected
    assert np.prod(program.edges[second.name].shape[:2]) == 28 * 28

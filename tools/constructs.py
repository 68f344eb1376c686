#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Write the table of constructs in docs/converting.md, from the readers' own tables.

``python tools/constructs.py`` writes it; ``--check`` only says whether it is current (exit status 1
if not). ``tests/tools/test_constructs.py`` runs the check.
"""

import sys
from collections.abc import Iterable
from pathlib import Path

from bnn.formats.keras import qkeras, settings
from bnn.formats.keras.read import _HANDLERS
from bnn.formats.qonnx.operators import OPERATORS
from bnn.formats.qonnx.rules import FINAL, LAYOUT, RULES
from bnn.formats.qonnx.rules.curves import STARTING

PAGE = Path(__file__).resolve().parents[1] / "docs" / "converting.md"
FIRST, LAST = "<!-- constructs: written by tools/constructs.py -->", "<!-- constructs: end -->"
#: Layers whose results can have no common unit: the report says so where they are approximate.
SUMS = {"Add", "Sub", "Concat", "AveragePool", "GlobalAveragePool", "ReduceMean"}
SUMS |= {"Conv", "MatMul", "Gemm", "Concatenate"}
KINDS = ("Conv", "Dense", "Average")


def main() -> int | str:
    """Write or check the table; return the exit status, or what is wrong."""
    page = PAGE.read_text()
    made = replaced(page)
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(made)
        return 0
    if made != page:
        return f"{PAGE}: its table of constructs is old; run python {Path(__file__).name}"
    return 0


def replaced(page: str) -> str:
    """``page`` with the table that belongs there."""
    before, _, rest = page.partition(FIRST)
    _, _, after = rest.partition(LAST)
    return f"{before}{FIRST}\n{table()}\n{LAST}{after}"


def table() -> str:
    """The table, in Markdown."""
    rows = [*onnx(), *keras()]
    lines = ["| reader | construct | read |", "|---|---|---|"]
    return "\n".join(lines + [f"| {reader} | {names} | {how} |" for reader, names, how in rows])


Row = tuple[str, str, str]


def onnx() -> Iterable[Row]:
    """Rows of ONNX' and QONNX' operators."""
    chains = set(STARTING)
    folded = set(OPERATORS) - set(RULES)
    plain = set(RULES) - chains - LAYOUT - FINAL - SUMS
    yield "ONNX, QONNX", _names(plain), "exactly"
    yield "", _names(SUMS & set(RULES)), _EITHER
    yield "", _names(LAYOUT), "exactly: no values change"
    yield "", _names(chains), "exactly, of each value alone, where a quantizer or few values follow"
    yield (
        "",
        _names(FINAL),
        "at the end: scores are what it reads (a Sigmoid before a quantizer: exactly)",
    )
    yield "", _names(folded), "on constants only"


def keras() -> Iterable[Row]:
    """Rows of layers and quantizers of Keras, Larq, QKeras and HGQ."""
    layers = set(_HANDLERS)
    assert layers < set(settings.LAYERS)
    sums = {name for name in layers if any(kind in name for kind in KINDS)} | (SUMS & layers)
    yield "Keras, Larq, QKeras, HGQ: layers", _names(layers - sums), "exactly"
    yield "", _names(sums), _EITHER
    quantizers = set(settings.THINGS) | set(qkeras.NAMES)
    yield (
        "quantizers and activations",
        _names(quantizers),
        "exactly, but for settings refused by name",
    )


_EITHER = (
    "exactly where weights are quantized, and what is summed has a common unit; else in fixed "
    "point, and the report says “approximate”"
)


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"{name}" for name in sorted(set(names), key=str.lower))


if __name__ == "__main__":
    sys.exit(main())

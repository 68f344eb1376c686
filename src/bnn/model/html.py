# SPDX-License-Identifier: BSD-3-Clause
"""HTML of a model and a classifier for notebooks; every text from a file is escaped."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from bnn.model.figures import Row, input_text, rows
from bnn.program.operations import INPUT
from bnn.system.terminal import harmless

if TYPE_CHECKING:
    from bnn.model.model import Model

#: Most class names that are listed; the number of the others is added.
MAX_NAMES = 20
#: Heads of the table; the first columns are texts, the others numbers.
_HEADS, _TEXTS = ("layer", "kind", "output", "precision", "weights", "operations", "bytes"), 5


def escape(text: str) -> str:
    """Return ``text`` with HTML's special characters escaped.

    Characters that reverse or hide text are replaced by their code.
    """
    return html.escape(harmless(text))


def model_html(model: Model) -> str:
    """Return HTML with name, input, classes and a table of the layers of ``model``."""
    edge = model.program.edges[INPUT]
    names = ", ".join(model.classes[:MAX_NAMES])
    more = f" and {len(model.classes) - MAX_NAMES} more" if len(model.classes) > MAX_NAMES else ""
    return (
        f"<p><b>{escape(model.name)}</b>: {escape(input_text(model.program.input, edge))}; "
        f"{len(model.classes)} classes: {escape(names)}{more}</p>{_table(rows(model.program))}"
    )


def run_html(model: Model, text: str, speed: str) -> str:
    """Return HTML that shows how a classifier was made, its speed and its model.

    ``text`` is how it was made; ``speed`` is "" if it was not run yet.
    """
    told = f"{text}; last run: {speed}" if speed else f"{text}; not run yet"
    return f"<p><code>{escape(told)}</code></p>{model_html(model)}"


def _table(layers: list[Row]) -> str:
    heads = "".join(f"{_opened('th', at >= _TEXTS)}{head}</th>" for at, head in enumerate(_HEADS))
    body = "".join(
        _line(
            (row.name, row.kind, "x".join(map(str, row.shape)), row.precision, row.weights),
            (row.operations, (row.parameter_bits + 7) // 8),
        )
        for row in layers
    )
    total = _line(
        ("sum", "", "", "", ""),
        (
            sum(row.operations for row in layers),
            (sum(row.parameter_bits for row in layers) + 7) // 8,
        ),
    )
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{body}{total}</tbody></table>"


def _line(texts: tuple[str, ...], numbers: tuple[int, ...]) -> str:
    cells = [f"{_opened('td', False)}{escape(text)}</td>" for text in texts]
    cells += [f"{_opened('td', True)}{number:,}</td>" for number in numbers]
    return f"<tr>{''.join(cells)}</tr>"


def _opened(tag: str, is_number: bool) -> str:
    """Return the opening tag of a table's cell; numbers are aligned to the right.

    The style is in the tag, so that every notebook program shows it in the same way.
    """
    return f'<{tag} style="padding: 0 .6em; text-align: {"right" if is_number else "left"}">'

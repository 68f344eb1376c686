# SPDX-License-Identifier: BSD-3-Clause
"""Print texts on terminals: control characters are escaped, tables are not cut.

It works with any encoding of the output.
"""

from __future__ import annotations

import codecs
import io
import os
import shutil
import sys
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bnn.errors import BnnWarning

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

#: Columns of the usual terminal: on a narrower one, tables become lists.
NARROW = 80
#: A table becomes a list if the terminal has fewer columns than the table needs, plus these.
_SPACE = 20
#: Most spaces before a cell of a list.
_INDENT = 4
#: Replacements of drawing characters for outputs without Unicode; all others become "?".
_PLAIN = {"█": "#", "…": "."}
_HANDLER = "bnn.plainer"


def harmless(text: str) -> str:
    """Return ``text`` as one line, with control characters and line breaks escaped."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )


def notice(text: str) -> None:
    """Print a message for the user as one line on standard error."""
    with suppress(OSError, ValueError):  # standard error is closed, or has no reader any more
        sys.stderr.write(f"bnn: {harmless(text)}\n")
        sys.stderr.flush()


def plain_where_needed() -> None:
    """Let standard output accept any text: characters outside its encoding are replaced.

    Where a stream is closed (``>&-``, as some daemons start programs), what is printed is lost.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            nothing = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  # to the end
            setattr(sys, name, nothing)
    codecs.register_error(_HANDLER, _plainer)
    # COLUMNS=0 means "not known", but Rich would print lines of width 0.
    if not _is_positive(os.environ.get("COLUMNS", "")):
        os.environ.pop("COLUMNS", None)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors=_HANDLER)


def _plainer(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    wrong = error.object[error.start : error.end]
    return "".join(_PLAIN.get(c, "?") for c in wrong), error.end


def _is_positive(text: str) -> bool:
    return text.isdecimal() and len(text) < 10 and int(text) > 0


def print_whole(renderable: RenderableType, least: int | None = None) -> None:
    """Print to standard output; no cell of a table is cut off.

    If the terminal is narrow, and a table is wider than it, the table is printed as a list: for
    each row the first cell, and below it a line for each other cell. A terminal that is not narrow
    wraps or scrolls lines that are too long.

    Args:
        renderable: a table, a text, or a Rich group of tables and texts.
        least: number of columns that the tables need if their cells are wrapped; a terminal with
            fewer than ``least`` + 20 columns is narrow. None: cells are not wrapped, and a terminal
            with fewer than 80 columns is narrow.
    """
    from rich.console import Console
    from rich.measure import Measurement

    width = max(1, shutil.get_terminal_size().columns)
    needed = _tables_width(renderable)
    if width < needed and width < (NARROW if least is None else least + _SPACE):
        listed = _listed(renderable)
        wide = Console(width=1 << 12)
        # No word is broken: a terminal does that where it must.
        least_whole = Measurement.get(wide, wide.options, listed).minimum
        Console(width=max(width, least_whole + _INDENT)).print(listed)
        return
    Console(width=max(width, needed if least is None else least)).print(renderable)


def _listed(renderable: RenderableType) -> RenderableType:
    """Return ``renderable`` with lists instead of tables, for narrow terminals."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    if isinstance(renderable, Group):
        return Group(*map(_listed, renderable.renderables))
    if not isinstance(renderable, Table):
        return renderable
    cells = [list(column.cells) for column in renderable.columns]
    if renderable.show_footer:
        for own, column in zip(cells, renderable.columns, strict=True):
            own.append(column.footer)
    names = [_words(column.header) if renderable.show_header else Text() for column in
             renderable.columns]  # fmt: skip
    lines = [] if renderable.title is None else [_words(renderable.title)]
    for first, *others in zip(*cells, strict=True):
        if not renderable.show_header:
            texts = [text for text in map(_words, (first, *others)) if text.plain.strip()]
            lines.append(Text("  ").join(texts))
            continue
        lines.append(_words(first))
        for name, cell in zip(names[1:], others, strict=True):
            text = _words(cell)
            if text.plain.strip():
                lines.append(Text.assemble("  ", name, " " if name.plain else "", _indented(text)))
    return Group(*lines)


def _words(cell: object) -> Text:
    """Return the text of a cell; it is empty for drawings such as bars."""
    from rich.text import Text

    if isinstance(cell, Text):
        return cell
    return Text.from_markup(cell) if isinstance(cell, str) else Text()


def _indented(text: Text) -> Text:
    """Return a text of several lines, each in a new line and indented; other texts unchanged."""
    from rich.text import Text

    lines = text.split("\n")
    return (
        text if len(lines) < 2 else Text.assemble(*(Text.assemble("\n    ", one) for one in lines))
    )


def echo_folded(text: str, indent: int = 0) -> None:
    """Print a line of words; on a terminal of fewer than 80 columns, break it between words.

    The second line and the following ones begin with ``indent`` spaces. Without a terminal the line
    is not broken, so that programs can read it.
    """
    columns = shutil.get_terminal_size().columns
    if (sys.stdout.isatty() or os.environ.get("COLUMNS")) and columns < NARROW:
        indent = min(indent, columns // 4)
        text = "\n".join(
            textwrap.wrap(
                text, columns, subsequent_indent=" " * indent,
                break_long_words=False, break_on_hyphens=False,
            )
        )  # fmt: skip
    sys.stdout.write(f"{text}\n")


def fits(renderable: RenderableType) -> bool:
    """Whether the tables in ``renderable`` fit on the terminal without wrapped cells."""
    return _tables_width(renderable) <= shutil.get_terminal_size().columns


def _tables_width(renderable: RenderableType) -> int:
    """Return how many columns the widest table needs if no cell is wrapped or cut."""
    from rich.console import Console, Group
    from rich.measure import Measurement
    from rich.table import Table

    wide = Console(width=1 << 12)
    parts = renderable.renderables if isinstance(renderable, Group) else [renderable]
    tables = [part for part in parts if isinstance(part, Table)]
    return max((Measurement.get(wide, wide.options, table).maximum for table in tables), default=0)


@contextmanager
def notices_on_one_line() -> Iterator[None]:
    """In a ``with`` statement, print warnings of this package as one line each, and only once."""
    usual = warnings.showwarning

    def show(message: Any, category: Any, *more: Any, **named: Any) -> None:
        if issubclass(category, BnnWarning):
            sys.stderr.write(f"bnn: {harmless(str(message))}\n")
        else:
            usual(message, category, *more, **named)

    with warnings.catch_warnings():
        warnings.simplefilter("default", BnnWarning)
        warnings.showwarning = show
        yield

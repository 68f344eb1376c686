# SPDX-License-Identifier: BSD-3-Clause
"""Text for terminals: control characters are escaped, tables are not cut, any encoding works."""

from __future__ import annotations

import codecs
import io
import os
import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from bnn.errors import BnnWarning

if TYPE_CHECKING:
    from rich.console import RenderableType

#: Replacements of drawing characters for outputs without Unicode; all others become "?".
_PLAIN = {"█": "#", "…": "."}
_HANDLER = "bnn.plainer"


def harmless(text: str) -> str:
    """Return ``text`` as one line with control characters escaped."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )


def notice(text: str) -> None:
    """Print one line on standard error, for messages that a user should see."""
    with suppress(OSError, ValueError):  # standard error is closed, or has no reader any more
        sys.stderr.write(f"bnn: {harmless(text)}\n")
        sys.stderr.flush()


def plain_where_needed() -> None:
    """Let standard output accept any text: characters that its encoding lacks are replaced."""
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
    """Print to standard output with no cell of a table cut off.

    A table that is wider than the terminal is not cut: terminals wrap or scroll long lines.

    Args:
        renderable: a table, a text, or a group of them.
        least: columns that it needs if its cells may be wrapped; None: its tables are measured.
    """
    from rich.console import Console

    width = max(1, shutil.get_terminal_size().columns)
    console = Console(width=max(width, _tables_width(renderable) if least is None else least))
    console.print(renderable)


def fits(renderable: RenderableType) -> bool:
    """Whether the terminal is as wide as the tables in ``renderable``, none of them wrapped."""
    return _tables_width(renderable) <= shutil.get_terminal_size().columns


def _tables_width(renderable: RenderableType) -> int:
    """Return the columns of the widest table if no cell is wrapped or cut."""
    from rich.console import Console, Group
    from rich.measure import Measurement
    from rich.table import Table

    wide = Console(width=1 << 12)
    parts = renderable.renderables if isinstance(renderable, Group) else [renderable]
    tables = [part for part in parts if isinstance(part, Table)]
    return max((Measurement.get(wide, wide.options, table).maximum for table in tables), default=0)


@contextmanager
def notices_on_one_line() -> Iterator[None]:
    """Print the warnings of this package on standard error, one line each, each only once."""
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

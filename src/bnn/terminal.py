# SPDX-License-Identifier: BSD-3-Clause
"""What a terminal may be sent: no control sequences of a file, no characters that it lacks."""

from __future__ import annotations

import codecs
import io
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bnn.errors import BnnWarning

#: Our own drawing characters where the output has no Unicode; all others become "?".
_PLAIN = {"█": "#", "…": "."}
_HANDLER = "bnn.plainer"


def harmless(text: str) -> str:
    """``text`` on one line, its control characters spelled out: a file's names move no cursor."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )


def plain_where_needed() -> None:
    """Let standard output take any text, whatever its encoding (``LANG=C``)."""
    codecs.register_error(_HANDLER, _plainer)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors=_HANDLER)


def _plainer(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    wrong = error.object[error.start : error.end]
    return "".join(_PLAIN.get(c, "?") for c in wrong), error.end


@contextmanager
def notices_on_one_line() -> Iterator[None]:
    """Print the notices of this package as one line each on standard error, each of them once."""
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

# SPDX-License-Identifier: BSD-3-Clause
"""What becomes of a file: a digest of what is read, or the refusal."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from bnn.errors import BnnError, BnnWarning
from bnn.formats.convert import Options, convert
from support.changes import Change
from support.converted import FIXTURES
from support.golden import digest


def outcome(path: Path, made: Any) -> str:
    """A digest of what ``made`` returns, or the refusal, without words of other libraries."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", BnnWarning)
            warnings.simplefilter("ignore", RuntimeWarning)  # numbers that become infinite
            return digest(repr(made()))
    except BnnError as error:
        text = str(error).replace(str(path), "FILE").replace(str(path.parent), "FOLDER")
        text = text.replace(str(FIXTURES), "FIXTURES")
        cause = error.__cause__
        return text if cause is None else text.replace(str(cause), f"({type(cause).__name__})")


def converted(path: Path, options: Options | None = None, source: str | None = None) -> Any:
    """What decides an answer, and the report."""
    made = convert(path, source, options)
    model = made.model
    return model.program.digest(), model.classes, model.preprocess, made.report.lines()


def all_of(made: list[Change], path: Path, read: Any) -> dict[str, str]:
    found = {}
    for name, data in made:
        path.write_bytes(data())
        found[name] = outcome(path, lambda: read(path))
    return found

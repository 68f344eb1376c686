# SPDX-License-Identifier: BSD-3-Clause
"""What to run next, at the end of a command, for people: not in a file and not in a pipe."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import typer

from bnn.system.terminal import harmless


def next_step(*words: str | Path, why: str) -> None:
    """Print a command that may come next, if standard output is a terminal.

    Args:
        words: its words after ``bnn``; they are quoted for a shell.
        why: what it does, a few words.
    """
    if sys.stdout.isatty():
        typer.echo(harmless(f"next: bnn {shlex.join(map(str, words))}  ({why})"))

# SPDX-License-Identifier: BSD-3-Clause
"""The line ``next: bnn ...`` at the end of a command, if its output goes to a terminal."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import typer

from bnn.system.terminal import harmless


def next_step(*words: str | Path, why: str) -> None:
    """Print a command that may come next, if standard output is a terminal.

    Args:
        words: the command's words after ``bnn``; they are quoted for a shell.
        why: what the command does, in a few words.
    """
    if sys.stdout.isatty():
        typer.echo(harmless(f"next: bnn {shlex.join(map(str, words))}  ({why})"))

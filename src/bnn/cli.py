# SPDX-License-Identifier: BSD-3-Clause
"""The command line: parse, call, print. Work is imported by the command that does it."""

from __future__ import annotations

from typing import Annotated

import typer

import bnn

app = typer.Typer(
    name="bnn",
    help="Binarized neural networks, exact and fast.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"bnn {bnn.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line on ``sys.argv``."""
    app()

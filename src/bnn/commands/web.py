# SPDX-License-Identifier: BSD-3-Clause
"""``bnn web``: the page that runs the core in a browser."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from bnn.system.terminal import harmless


def web(
    port: Annotated[
        int | None,
        typer.Option("--port", min=0, max=65535, help="Of this machine; by default any free one."),
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option("--export", metavar="DIR", help="Write the page there, for any static host."),
    ] = None,
    runtime: Annotated[
        str | None,
        typer.Option(
            "--runtime", "-r", help="cpu, sim or board: compare with this machine, image by image."
        ),
    ] = None,
    no_open: Annotated[
        bool, typer.Option("--no-open", help="Do not open a browser; print the address only.")
    ] = False,
) -> None:
    """Show the networks at work in a browser: camera, drawn digits, dropped pictures, their bits.

    The page runs the same C++ core, compiled to WebAssembly. No picture leaves the browser, and
    nothing is loaded from elsewhere. The server listens on this machine only.

    With --runtime the page sends each image to this server too, and shows browser, CPU and
    accelerator side by side: time, cycles, and the bytes that were copied. The simulator (sim) is
    compiled when a model is first chosen, which takes minutes.

    Examples: [bold]bnn web[/bold], [bold]bnn web --runtime sim[/bold]
    """
    from bnn.errors import InputError, UnknownNameError
    from bnn.web.site import export as write
    from bnn.web.site import files

    if export is not None:
        for name, is_given in (("--port", port is not None), ("--no-open", no_open)):
            if is_given:
                raise InputError(f"{name} is for the server; --export only writes files")
        if runtime is not None:
            raise InputError("--runtime needs this server; an exported page has none")
        count = write(export)
        typer.echo(harmless(f"{export}: {count} files; put them on any static host"))
        return
    from bnn.web.machine import RUNTIMES, Machine
    from bnn.web.serve import PageServer

    if runtime is not None and runtime not in RUNTIMES:
        raise UnknownNameError(f"--runtime is one of {', '.join(RUNTIMES)}, not {runtime!r}")
    machine = None if runtime is None else Machine(runtime)
    with PageServer(files(), port or 0, machine) as server:
        typer.echo(f"the page is at {server.url} (Ctrl-C ends it)")
        if not no_open and sys.stdout.isatty():
            import webbrowser

            webbrowser.open(server.url)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()

# SPDX-License-Identifier: BSD-3-Clause
"""``bnn serve``: models over HTTP."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from bnn.errors import RuntimeUnavailableError
from bnn.system import install
from bnn.system.terminal import harmless, notice


def serve(
    models: Annotated[
        list[str],
        typer.Argument(metavar="MODEL...", help="MODEL, NAME=MODEL or NAME:VERSION=MODEL."),
    ],
    runtime: Annotated[str, typer.Option("--runtime", "-r", help="cpu, reference, sim, board.")] = (
        "cpu"
    ),
    threads: Annotated[
        int | None, typer.Option("--threads", "-t", min=1, help="Threads of the cpu runtime.")
    ] = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any free one.")] = 8000,
    token_file: Annotated[
        Path | None,
        typer.Option("--token-file", help="Clients must send its line as a bearer token."),
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option("--ssl-certfile", help="TLS certificate (PEM).")
    ] = None,
    key: Annotated[Path | None, typer.Option("--ssl-keyfile", help="Its key (PEM).")] = None,
    max_body: Annotated[
        int, typer.Option("--max-body", min=1, max=2048, help="MiB of one request.")
    ] = 64,
    max_pixels: Annotated[
        int, typer.Option("--max-pixels", min=1, max=64, help="Millions, of one picture.")
    ] = 16,
    max_requests: Annotated[
        int, typer.Option("--max-requests", min=1, help="In progress; one more is answered 429.")
    ] = 256,
    max_connections: Annotated[
        int, typer.Option("--max-connections", min=1, help="Open; one more is answered 429.")
    ] = 1024,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, help="Seconds in which a request must arrive.")
    ] = 30.0,
    grace: Annotated[
        float, typer.Option("--grace", min=1, help="Seconds to finish requests at the end.")
    ] = 30.0,
    quiet: Annotated[bool, typer.Option("--quiet", help="No log line for each request.")] = False,
) -> None:
    """Serve models over HTTP, by the Open Inference Protocol v2 (KServe, Triton).

    A model's name in addresses is that of its file, or NAME=MODEL. Logs are JSON lines on standard
    error. Needs the extra serve: bnn doctor shows how to get it. docs/serving.md has examples.

    Example: [bold]bnn serve lfc-w1a1 digits:2=run/model.bnn --port 8000[/bold]
    """
    from bnn.serve.settings import Limits, Settings, read_token

    limits = Limits(
        body=max_body << 20,
        pixels=max_pixels * 1_000_000,
        requests=max_requests,
        connections=max_connections,
        seconds=timeout,
        grace_seconds=grace,
    )
    token = None if token_file is None else read_token(token_file)
    settings = Settings(host, port, limits, token, certificate, key)
    try:
        from bnn.serve.gate import State
        from bnn.serve.server import serve as run
    except ImportError as reason:
        raise RuntimeUnavailableError(
            f"bnn serve needs the extra serve ({reason}): {install.command('serve')}"
        ) from None
    from bnn.serve.logs import Log
    from bnn.serve.models import Repository, Source

    if token is not None and certificate is None and not settings.is_local:
        notice("without --ssl-certfile, the token and the pictures can be read on the network")
    options = {} if threads is None else {"threads": threads}
    repository = Repository([Source.parse(text) for text in models], runtime, options)

    def started(url: str) -> None:
        names = " ".join(f"{one['name']}:{one['version']}" for one in repository.index())
        typer.echo(harmless(f"serving {names} at {url} (Ctrl-C ends it)"))

    state = State(settings, Log(requests=not quiet))
    with contextlib.suppress(KeyboardInterrupt):
        run(repository, settings, state, started)

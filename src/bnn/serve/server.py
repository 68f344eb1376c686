# SPDX-License-Identifier: BSD-3-Clause
"""The server: uvicorn with limits. It finishes all accepted requests before it ends."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn

from bnn.errors import ServeError
from bnn.serve.app import Service
from bnn.serve.connection import connection_class
from bnn.serve.gate import State
from bnn.serve.logs import Handler
from bnn.serve.models import Repository
from bnn.serve.settings import Settings

#: Seconds from the signal to the end of listening: clients see that the server is not ready any
#: more, and each answer closes its connection.
DRAIN_S = 0.5
_KEEP_ALIVE_S = 60


class Server(uvicorn.Server):
    """Serves a repository until SIGTERM or Ctrl-C.

    Args:
        repository: the models.
        state: settings, log and figures.
        started: function that is called with the server's address when it listens.
    """

    def __init__(
        self, repository: Repository, state: State, started: Callable[[str], None]
    ) -> None:
        self._state, self._started = state, started
        settings = state.settings
        self._service = Service(repository, state)
        super().__init__(
            uvicorn.Config(
                self._service.app,  # type: ignore[arg-type]  # the types of scopes differ
                interface="asgi3",
                host=settings.host,
                port=settings.port,
                http=connection_class(settings.limits),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=max(1, round(settings.limits.grace_seconds)),
                ssl_certfile=settings.certificate,
                ssl_keyfile=settings.key,
            )
        )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle a signal: the first begins to end the server, a second Ctrl-C ends it at once."""
        super().handle_exit(sig, frame)
        self._state.ended = self.force_exit

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen, and call ``started`` with the address."""
        await super().startup(sockets)
        if self.should_exit or not self.servers:
            return
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        scheme = "https" if self._state.settings.certificate else "http"
        shown = f"[{host}]" if ":" in host else host
        self._started(f"{scheme}://{shown}:{port}")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish the requests that were accepted, then close the server."""
        self._state.draining = True
        self._state.log.event("ending", in_progress=self._state.in_progress)
        if not self.force_exit:
            await asyncio.sleep(DRAIN_S)
        await super().shutdown(sockets)
        self._service.close()
        self._state.log.event("ended")


def serve(
    repository: Repository, settings: Settings, state: State, started: Callable[[str], None]
) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Args:
        repository: the models.
        settings: where to listen, and the limits.
        state: settings, log and figures.
        started: function that is called with the server's address when it listens.

    Raises:
        ServeError: the address, the certificate or its key cannot be used.
    """
    logger = logging.getLogger("uvicorn.error")
    logger.handlers, logger.propagate = [Handler(state.log)], False
    logger.setLevel(logging.WARNING)
    server = Server(repository, state, started)
    try:
        server.config.load()
    except OSError as reason:
        raise ServeError(
            f"{settings.certificate}: certificate or key cannot be used: "
            f"{reason.strerror or reason}"
        ) from None
    _check_free(settings)
    try:
        server.run()
    except SystemExit:
        raise ServeError(
            f"{settings.host}:{settings.port}: the server cannot start; the log says why"
        ) from None


def _check_free(settings: Settings) -> None:
    """Raise ServeError, with the reason, if the address cannot be used."""
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
        family, _, _, _, address = found[0]
        with socket.socket(family, socket.SOCK_STREAM) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
    except (OSError, OverflowError, UnicodeError) as reason:
        why = getattr(reason, "strerror", None) or reason
        raise ServeError(
            f"{settings.host} port {settings.port}: cannot be used: {why}; choose another --port"
        ) from None

# SPDX-License-Identifier: BSD-3-Clause
"""uvicorn's HTTP connection, with limits: time, length of headers, number of connections."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from bnn.serve.settings import Limits

#: Most bytes of a request besides its body: request line, headers, lengths of chunks.
MAX_HEAD = 1 << 16

_TOO_MANY = "too many connections; try again"
_TOO_LATE = "the request did not arrive in time"
_TOO_LONG = "the headers are too long"


def connection_class(limits: Limits) -> type[HttpToolsProtocol]:
    """Return a class of connections with these limits, for ``uvicorn.Config(http=...)``."""

    class Connection(_Connection):
        _limits = limits

    return Connection


class _Connection(HttpToolsProtocol):
    _limits: Limits

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._deadline: asyncio.TimerHandle | None = None
        self._head = 0
        self._refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept a new connection, or refuse it (status 429) if too many connections are open."""
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections:
            self.connections.discard(self)
            self._refuse(b"429 Too Many Requests", _TOO_MANY, b"retry-after: 1\r\n")
            return
        self._bound_writing(transport)
        self._begin_time()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the time limit of a connection that was closed."""
        self._end_time()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Process bytes from the client; the time of a request begins with its first byte."""
        if self._refused:
            return
        if self._deadline is None and (self.cycle is None or self.cycle.response_complete):
            self._begin_time()
        super().data_received(data)
        self._head += len(data)
        if self._head > MAX_HEAD + len(data) and not self.transport.is_closing():
            self._refuse(b"431 Request Header Fields Too Large", _TOO_LONG)

    def on_message_begin(self) -> None:
        """Begin a request; it may follow another request without a pause."""
        self._head = 0
        if self._deadline is None:
            self._begin_time()
        super().on_message_begin()

    def on_body(self, body: bytes) -> None:
        """Process a part of a body, which does not count as a part of the headers."""
        self._head -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End the time limit: the request has arrived completely."""
        self._end_time()
        super().on_message_complete()

    def _bound_writing(self, transport: asyncio.Transport) -> None:
        """Let the operating system close the connection if the client does not read its answers."""
        option = getattr(socket, "TCP_USER_TIMEOUT", None)
        connected = transport.get_extra_info("socket")
        if option is not None and connected is not None:
            with contextlib.suppress(OSError):
                milliseconds = int(1000 * self._limits.seconds)
                connected.setsockopt(socket.IPPROTO_TCP, option, milliseconds)

    def _begin_time(self) -> None:
        self._deadline = self.loop.call_later(self._limits.seconds, self._late)

    def _end_time(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        self._deadline = None
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            answered = self.cycle.response_started
            self.cycle.disconnected = True  # whoever reads the body is told
            self.cycle.message_event.set()
            if answered:
                self.transport.abort()
                return
        self._refuse(b"408 Request Timeout", _TOO_LATE)

    def _refuse(self, status: bytes, text: str, more: bytes = b"") -> None:
        """Send an error answer without calling the application, and close the connection."""
        self._refused = True
        self._end_time()
        body = b'{"error": "' + text.encode() + b'"}'
        length = str(len(body)).encode()
        head = b"HTTP/1.1 " + status + b"\r\ncontent-type: application/json\r\n" + more
        self.transport.write(
            head + b"content-length: " + length + b"\r\nconnection: close\r\n\r\n" + body
        )
        self.transport.close()

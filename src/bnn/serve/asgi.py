# SPDX-License-Identifier: BSD-3-Clause
"""Small parts of ASGI: refusals with a status, reading a bounded body, sending one answer."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from contextlib import AbstractContextManager
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]

JSON = b"application/json"
_CLOSE = (b"connection", b"close")


class RefusedError(Exception):
    """A request is refused; the answer is an error.

    Args:
        status: HTTP status of the answer.
        message: one line for the client.
        headers: further headers of the answer.
    """

    def __init__(self, status: int, message: str, headers: Headers = ()) -> None:
        super().__init__(message)
        self.status = status
        self.headers = tuple(headers)


class GoneError(Exception):
    """The connection is closed: no answer to this request can be sent.

    The client closed it; or the client sent too slowly, got the status 408, and the server closed
    it.
    """


def busy(message: str) -> RefusedError:
    """Return a refusal with the status 429: the server is busy, the client can try again."""
    return RefusedError(429, message, [(b"retry-after", b"1")])


def header(scope: Scope, name: bytes) -> bytes | None:
    """Return the value of a request's header, or None; ``name`` is in lower case.

    Raises:
        RefusedError: the header occurs twice: a proxy and this server could use different values.
    """
    found: bytes | None = None
    for key, value in scope["headers"]:
        if key == name:
            if found is not None:
                raise RefusedError(400, f"header {name.decode()} is there twice")
            found = value
    return found


def number(text: bytes | None, what: str) -> int | None:
    """Return the value ``text`` of a header as a whole number; None if ``text`` is None.

    ``what``: name of the header, for the message.

    Raises:
        RefusedError: the text is not a whole number.
    """
    if text is None:
        return None
    if not text.isdigit() or len(text) > 18:
        raise RefusedError(400, f"{what} must be a whole number")
    return int(text)


class Room:
    """A limit of the bytes of all clients' requests that are in memory at one time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.held = 0

    def take(self, count: int) -> None:
        """Reserve ``count`` bytes.

        Raises:
            RefusedError: status 429: so many bytes are not free now.
        """
        if self.held + count > self._most:
            raise busy("the server has no memory for this request now; try again")
        self.held += count

    def give_back(self, count: int) -> None:
        """Free ``count`` bytes that were reserved."""
        self.held -= count


class Body(AbstractContextManager["Body"]):
    """The body of a request, which is read with a limit.

    Use it in a ``with`` statement: at its end the reserved memory is free again.

    Args:
        scope, receive: ASGI's arguments for this request.
        most: largest number of bytes that the body may have.
        room: the memory that all requests share.
        option: name of the option of ``bnn serve`` that sets ``most``; "" if there is no option.
    """

    def __init__(
        self, scope: Scope, receive: Receive, most: int, room: Room, option: str = ""
    ) -> None:
        self._scope, self._receive, self._most, self._room = scope, receive, most, room
        self._option = option
        self._taken = 0

    def __exit__(self, *_: object) -> None:
        self._room.give_back(self._taken)

    async def read(self) -> bytes:
        """Return the whole body.

        Raises:
            RefusedError: status 413: the body is too large; status 429: no memory is free now.
            GoneError: the connection is closed.
        """
        declared = number(header(self._scope, b"content-length"), "Content-Length")
        if declared is not None:
            self._check(declared)
            self._take(declared)
        message = await self._next()
        first: bytes = message.get("body", b"")
        if not message.get("more_body", False):
            self._reserve(len(first))
            return first
        body = bytearray(first)
        self._reserve(len(body))
        while message.get("more_body", False):
            message = await self._next()
            body += message.get("body", b"")
            self._reserve(len(body))
        return bytes(body)

    async def _next(self) -> Message:
        message = await self._receive()
        if message["type"] != "http.request":
            raise GoneError
        return message

    def _reserve(self, size: int) -> None:
        self._check(size)
        if size > self._taken:
            self._take(size - self._taken)

    def _take(self, count: int) -> None:
        self._room.take(count)
        self._taken += count

    def _check(self, size: int) -> None:
        if size > self._most:
            text = f"the body has more than {self._most} bytes, the limit of this server"
            text += f" (bnn serve {self._option})" if self._option else " for such a request"
            raise RefusedError(413, text, [_CLOSE])


async def answer(
    send: Send, status: int, body: bytes, kind: bytes = JSON, headers: Headers = ()
) -> None:
    """Send one whole answer."""
    own = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": own})
    await send({"type": "http.response.body", "body": body})


async def answer_json(send: Send, value: Mapping[str, Any] | list[Any], status: int = 200) -> None:
    """Send a value as JSON."""
    await answer(send, status, json.dumps(value, separators=(",", ":")).encode())


async def answer_error(send: Send, error: RefusedError) -> None:
    """Send a refusal in the form that the protocol defines: an object with one line of text."""
    line = " ".join(str(error).split())
    body = json.dumps({"error": line}).encode()
    await answer(send, error.status, body, headers=error.headers)

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
    """A request that is answered with an error: its status, one line, further headers."""

    def __init__(self, status: int, message: str, headers: Headers = ()) -> None:
        super().__init__(message)
        self.status = status
        self.headers = tuple(headers)


class GoneError(Exception):
    """The client has closed its connection, or sent too slowly; there is nobody to answer."""


def busy(message: str) -> RefusedError:
    """Return the refusal of a request for which there is no room now."""
    return RefusedError(429, message, [(b"retry-after", b"1")])


def header(scope: Scope, name: bytes) -> bytes | None:
    """Return the value of a request's header, or None; ``name`` is in lower case.

    Raises:
        RefusedError: the header is there twice: a proxy and this server could use different ones.
    """
    found = [value for key, value in scope["headers"] if key == name]
    if len(found) > 1:
        raise RefusedError(400, f"header {name.decode()} is there twice")
    return found[0] if found else None


def number(text: bytes | None, what: str) -> int | None:
    """Return the whole number in a header's text; None without the header.

    ``what``: the header's name, for the message.

    Raises:
        RefusedError: the text is not a whole number.
    """
    if text is None:
        return None
    if not text.isdigit() or len(text) > 18:
        raise RefusedError(400, f"{what} must be a whole number")
    return int(text)


class Room:
    """How many bytes of requests may be in memory at once, over all clients."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.held = 0

    def take(self, count: int) -> None:
        """Reserve bytes.

        Raises:
            RefusedError: 429: there is no room now.
        """
        if self.held + count > self._most:
            raise busy("the server has no memory for this request now; try again")
        self.held += count

    def give_back(self, count: int) -> None:
        """Free what was reserved."""
        self.held -= count


class Body(AbstractContextManager["Body"]):
    """A request's body, read with a limit. Use ``with``, so that its memory is freed.

    Args:
        scope, receive: ASGI's arguments for this request.
        most: most bytes that the body may have.
        room: the memory that all requests share.
        option: option of ``bnn serve`` that sets ``most``; "" if none does.
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
            RefusedError: 413: it is too large; 429: there is no room.
            GoneError: the client has gone.
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
    """Send a refusal as the protocol has it: an object with one line."""
    line = " ".join(str(error).split())
    body = json.dumps({"error": line}).encode()
    await answer(send, error.status, body, headers=error.headers)

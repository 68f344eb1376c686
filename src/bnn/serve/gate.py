# SPDX-License-Identifier: BSD-3-Clause
"""What is done first and last for every request.

First the client and the number of requests in progress are checked; at the end the request is
written to the log and counted for the metrics.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from bnn.errors import BnnError, UnknownNameError
from bnn.serve.asgi import (
    GoneError,
    Message,
    Receive,
    RefusedError,
    Scope,
    Send,
    answer_error,
    busy,
    header,
)
from bnn.serve.logs import Log, request_id
from bnn.serve.metrics import Metrics
from bnn.serve.settings import Settings

App = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Addresses that are answered without a token, and if too many requests are in progress: the
#: answers have no information about the models.
_HEALTH = "/v2/health/"
_METRICS = "/metrics"
#: Host names that programs on this machine use; a web page of another site uses another name.
_OWN_NAMES = (b"127.0.0.1", b"localhost", b"[::1]")


@dataclass(eq=False)
class State:
    """State of a server, which all requests share.

    Attributes:
        draining: whether the server was asked to end; each answer then closes its connection.
        ended: whether the server was asked to end at once; requests in progress are then not
            finished.
        in_progress: number of requests that are being read or computed.
    """

    settings: Settings
    log: Log
    metrics: Metrics = field(default_factory=Metrics)
    draining: bool = False
    ended: bool = False
    in_progress: int = 0


class Gate:
    """An ASGI application that passes requests to the application ``app``.

    An error that ``app`` raises becomes an answer with one line of text. A defect of this program
    becomes an answer with the status 500 and without details; its traceback goes to the log.
    """

    def __init__(self, app: App, state: State) -> None:
        self._app = app
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = self._state
        began = time.perf_counter()
        given = next((value for key, value in scope["headers"] if key == b"x-request-id"), None)
        name = request_id(given)
        more = [(b"x-request-id", name.encode())]
        if state.draining:
            more.append((b"connection", b"close"))
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *more]
            await send(message)

        counted = not scope["path"].startswith((_HEALTH, _METRICS))
        state.in_progress += counted
        scope["bnn"] = told = {"id": name}
        scope["app"] = self  # so that Starlette raises its refusals, and does not answer itself
        try:
            self._admit(scope, counted)
            await self._app(scope, receive, sending)
        except GoneError:
            status = status or 499
        except asyncio.CancelledError:
            if not (state.ended or state.draining):
                raise
            if not status:  # the time to finish is over
                await answer_error(sending, _ENDED)
        except Exception as error:  # every request is answered
            refusal = _ENDED if state.ended else _refusal(error)
            if refusal.status >= 500 and not state.ended:
                state.log.failure(name, error)
            if not status:
                await answer_error(sending, refusal)
        finally:
            state.in_progress -= counted
        self._tell(scope, status, told, time.perf_counter() - began)

    def _admit(self, scope: Scope, counted: bool) -> None:
        state = self._state
        path: str = scope["path"]
        if state.settings.token is not None:
            if not path.startswith(_HEALTH):
                _check_token(scope, state.settings.token)
        else:
            _check_own(scope)
        if counted and state.in_progress > state.settings.limits.requests:
            raise busy(f"{state.settings.limits.requests} requests are in progress; try again")
        if state.draining and path == f"{_HEALTH}ready":
            raise RefusedError(503, "the server ends")

    def _tell(self, scope: Scope, status: int, told: dict[str, Any], seconds: float) -> None:
        kind = told.get("kind", "other")
        self._state.metrics.answered(kind, status)
        if kind == "infer" and status == 200:
            images = told["images"]
            self._state.metrics.inferred(told["model"], told["version"], images, seconds)
        client = scope.get("client")
        fields = {key: value for key, value in told.items() if key != "kind"}
        self._state.log.request(
            **fields,
            method=scope["method"],
            path=scope["path"][:200],
            status=status,
            ms=round(1e3 * seconds, 3),
            client=client[0] if client else "",
        )


_ENDED = RefusedError(503, "the server was ended while it computed the answer; send it again")


def _refusal(error: Exception) -> RefusedError:
    from starlette.exceptions import HTTPException

    if isinstance(error, RefusedError):
        return error
    if isinstance(error, HTTPException):
        headers = (error.headers or {}).items()
        text = "no such address" if error.status_code == 404 else error.detail
        own = [(key.lower().encode(), value.encode()) for key, value in headers]
        return RefusedError(error.status_code, text, own)
    if isinstance(error, UnknownNameError):
        return RefusedError(404, str(error))
    if isinstance(error, BnnError):
        return RefusedError(400, str(error))
    return RefusedError(500, "the server failed; its log has the reason under this request's id")


def _check_token(scope: Scope, token: str) -> None:
    given = header(scope, b"authorization") or b""
    scheme, _, secret = given.partition(b" ")
    # Both are always compared, in a time that does not depend on where they differ.
    equal = hmac.compare_digest(secret.strip(), token.encode("ascii"))
    if scheme.lower() != b"bearer" or not equal:
        text = "a token is needed: Authorization: Bearer TOKEN"
        raise RefusedError(401, text, [(b"www-authenticate", b"Bearer")])


def _check_own(scope: Scope) -> None:
    """Refuse requests that a web page sends, through a browser on this machine."""
    host = (header(scope, b"host") or _OWN_NAMES[0]).lower()
    name = host if host.endswith(b"]") else host.rsplit(b":", 1)[0]
    if name not in _OWN_NAMES:
        raise RefusedError(403, "without a token this server answers to 127.0.0.1 and localhost")
    if header(scope, b"origin") is not None:
        raise RefusedError(403, "this server does not answer to pages in a browser")

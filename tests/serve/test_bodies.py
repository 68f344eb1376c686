# SPDX-License-Identifier: BSD-3-Clause
"""Bodies that are read with a limit, and headers: each limit exactly, and one beyond it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="serving is not installed (extra `serve`)")

from bnn.serve import asgi
from bnn.serve.asgi import Body, GoneError, RefusedError, Room
from bnn.serve.connection import connection_class


def message(body: bytes | None, more: bool | None = None) -> dict[str, Any]:
    """A part of a request; ASGI's defaults are an empty body, and no more."""
    made: dict[str, Any] = {"type": "http.request"}
    if body is not None:
        made["body"] = body
    if more is not None:
        made["more_body"] = more
    return made


def read(
    messages: list[dict[str, Any]],
    most: int = 8,
    room: Room | None = None,
    declared: str = "",
    **given: Any,
) -> bytes:
    left = list(messages)

    async def receive() -> Any:
        return left.pop(0)

    headers = [(b"content-length", declared.encode())] if declared else []
    shared = Room(100) if room is None else room
    with Body({"headers": headers}, receive, most, shared, **given) as body:
        found = asyncio.run(body.read())
        assert shared.held >= len(found)
    assert not left
    return found


@pytest.mark.parametrize(
    ("messages", "found"),
    [
        ([message(b"abc")], b"abc"),
        ([message(b"abc", False)], b"abc"),
        ([message(None)], b""),
        ([message(b"ab", True), message(b"c", False)], b"abc"),
        ([message(b"ab", True), message(b"c")], b"abc"),
        ([message(b"ab", True), message(None)], b"ab"),
        ([message(None, True), message(b"a", True), message(b"b", True), message(b"c")], b"abc"),
    ],
)
def test_parts(messages: list[dict[str, Any]], found: bytes) -> None:
    assert read(messages) == found


@pytest.mark.parametrize("count", [8, 9])
@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("declared", [True, False])
def test_the_largest_body(count: int, parts: int, declared: bool) -> None:
    text = b"x" * count
    cut = [text[i::parts] for i in range(parts)]
    messages = [message(part, i < parts - 1) for i, part in enumerate(cut)]
    length = str(count) if declared else ""
    room = Room(100)
    if count == 8:
        assert read(messages, 8, room, length) == text
    else:
        with pytest.raises(RefusedError, match=r"more than 8 bytes.*for such a request") as refused:
            read(messages, 8, room, length)
        assert refused.value.status == 413
        assert (b"connection", b"close") in refused.value.headers
    assert room.held == 0


def test_the_option_that_sets_the_limit_is_named() -> None:
    with pytest.raises(RefusedError, match=r"the limit of this server \(bnn serve --most\)"):
        read([message(b"abc")], 2, option="--most")


@pytest.mark.parametrize("declared", ["", "5"])
def test_the_room_of_all(declared: str) -> None:
    room = Room(9)
    room.take(4)
    assert read([message(b"12345")], 8, room, declared) == b"12345"
    assert room.held == 4
    room.take(1)
    with pytest.raises(RefusedError, match="no memory for this request") as refused:
        read([message(b"12345")], 8, room, declared)
    assert refused.value.status == 429
    assert (b"retry-after", b"1") in refused.value.headers
    assert room.held == 5


def test_a_client_that_has_gone() -> None:
    room = Room(10)
    with pytest.raises(GoneError):
        read([message(b"ab", True), {"type": "http.disconnect"}], 8, room)
    assert room.held == 0


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (None, None),
        (b"0", 0),
        (b"17", 17),
        (b"9" * 18, int("9" * 18)),
        (b"9" * 19, RefusedError),
        (b"", RefusedError),
        (b"-1", RefusedError),
        (b"1.5", RefusedError),
        (b" 1", RefusedError),
        (b"0x1", RefusedError),
    ],
)
def test_numbers_in_headers(text: bytes | None, found: Any) -> None:
    if found is not RefusedError:
        assert asgi.number(text, "Content-Length") == found
        return
    with pytest.raises(RefusedError, match=r"^Content-Length must be a whole number") as refused:
        asgi.number(text, "Content-Length")
    assert refused.value.status == 400


def test_headers() -> None:
    scope = {"headers": [(b"a", b"1"), (b"b", b"2"), (b"c", b"3"), (b"b", b"2")]}
    assert (asgi.header(scope, b"a"), asgi.header(scope, b"d")) == (b"1", None)
    with pytest.raises(RefusedError, match="header b is there twice"):
        asgi.header(scope, b"b")


def test_answers() -> None:
    sent: list[Any] = []

    async def send(one: Any) -> None:
        sent.append(one)

    error = RefusedError(418, "two\n lines", [(b"x", b"y")])
    asyncio.run(asgi.answer_error(send, error))
    start, body = sent
    assert body["body"] == b'{"error": "two lines"}'
    assert (start["status"], body["type"]) == (418, "http.response.body")
    assert dict(start["headers"]) == {
        b"content-type": b"application/json",
        b"content-length": str(len(body["body"])).encode(),
        b"x": b"y",
    }


def test_after_a_refusal_nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a client goes on to send is no request any more."""
    made = connection_class(None)  # type: ignore[arg-type]
    seen: list[bytes] = []
    base = made.__mro__[2]
    monkeypatch.setattr(base, "data_received", lambda _, data: seen.append(data))
    connection = made.__new__(made)
    connection._refused, connection._deadline, connection._head = False, object(), 0  # type: ignore[assignment]
    connection.cycle = None  # type: ignore[assignment]
    written: list[bytes] = []

    class Transport:
        write = staticmethod(written.append)
        close = staticmethod(lambda: None)
        is_closing = staticmethod(lambda: False)

    connection.transport = Transport()  # type: ignore[assignment]
    connection.data_received(b"first")
    connection._deadline = None
    connection._refuse(b"429 Too Many Requests", "no", b"retry-after: 1\r\n")
    connection.data_received(b"second")
    assert seen == [b"first"]
    head, _, body = written[0].partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"HTTP/1.1 429 Too Many Requests",
        b"content-type: application/json",
        b"retry-after: 1",
        b"content-length: %d" % len(body),
        b"connection: close",
    ]
    assert body == b'{"error": "no"}'

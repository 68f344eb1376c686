# SPDX-License-Identifier: BSD-3-Clause
"""Bad requests, bad clients and too many of them: 4xx with one line, and the server goes on."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bnn
from support.served import binary, outputs, tensor

if TYPE_CHECKING:
    from .conftest import Running, Start

INFER = "/v2/models/lfc-w1a1/infer"
IMAGE = np.random.default_rng(5).integers(0, 256, (1, 28, 28, 1), np.uint8)
GOOD = tensor(IMAGE)


def _alive(server: Running) -> None:
    """Check that a good request is still answered with the right scores."""
    body, length = binary(IMAGE, "scores")
    headers = {"Inference-Header-Content-Length": str(length)}
    status, more, answer = server.ask("POST", INFER, body, headers)
    assert status == 200, answer
    expected = bnn.Classifier("lfc-w1a1", "reference").scores(IMAGE)
    np.testing.assert_array_equal(outputs(more, answer)["scores"], expected)


def _one(**changed: Any) -> dict[str, Any]:
    return {"inputs": [{**GOOD, **changed}]}


def _without(key: str) -> dict[str, Any]:
    return {"inputs": [{k: v for k, v in GOOD.items() if k != key}]}


WRONG: dict[str, tuple[Any, str]] = {
    "empty": (b"", "not JSON"),
    "no JSON": (b"{", "not JSON"),
    "no text": (b"\xff\xfe\x00", "not JSON"),
    "list": ([], "must be an object"),
    "no inputs": ({}, "has no inputs"),
    "empty inputs": ({"inputs": []}, "at least one"),
    "two inputs": ({"inputs": [GOOD, GOOD]}, "2 tensors"),
    "many inputs": ({"inputs": [GOOD] * 9}, "9 tensors"),
    "unknown field": ({"inputs": [GOOD], "inpust": 1}, "'inpust'"),
    "unknown parameter": ({"inputs": [GOOD], "parameters": {"priority": 1}}, "'priority'"),
    "key twice": (b'{"inputs": [], "inputs": []}', "occurs twice"),
    "unknown input": (_one(name="image"), "'image'"),
    "name": (_one(name=3), "name must be"),
    "datatype": (_one(datatype="FP16"), "FP16"),
    "datatype no text": (_one(datatype=["UINT8"]), "UINT8"),
    "other datatype": (_one(datatype="INT32"), "must be UINT8"),
    "no shape": (_without("shape"), "has no shape"),
    "no data": (_without("data"), "needs either"),
    "shape text": (_one(shape="1"), "shape must be"),
    "shape empty": (_one(shape=[]), "shape must be"),
    "shape bool": (_one(shape=[True, 28, 28, 1]), "whole numbers"),
    "shape negative": (_one(shape=[-1, 28, 28, 1]), "whole numbers"),
    "shape float": (_one(shape=[1.0, 28, 28, 1]), "whole numbers"),
    "shape huge": (_one(shape=[1, 1 << 40, 1, 1]), "whole numbers"),
    "shape other": (_one(shape=[1, 784]), "must be [-1, 28, 28, 1]"),
    "shape turned": (_one(shape=[28, 28, 1, 1]), "must be [-1, 28, 28, 1]"),
    "shape zero": (_one(shape=[1, 0, 28, 1], data=[]), "only the first"),
    "too many images": (_one(shape=[1 << 17, 28, 28, 1]), "at most 65536"),
    "count": (_one(shape=[2, 28, 28, 1]), "784 elements"),
    "data text": (_one(data="0"), "a list"),
    "data float": (_one(data=[0.5] * 784), "whole numbers"),
    "data whole float": (_one(data=[1.0] * 784), "whole numbers"),
    "data bool": (_one(data=[True] * 784), "whole numbers"),
    "data mixed": (_one(data=[True] + [1] * 783), "whole numbers"),
    "data null": (_one(data=[None] * 784), "whole numbers"),
    "data texts": (_one(data=["1"] * 784), "whole numbers"),
    "data negative": (_one(data=[-1] + [0] * 783), "outside UINT8"),
    "data large": (_one(data=[256] + [0] * 783), "outside UINT8"),
    "data very large": (_one(data=[1 << 70] + [0] * 783), "outside UINT8"),
    "data nested otherwise": (_one(data=[[1] * 28] * 28), "do not have the shape"),
    "data ragged": (_one(data=[[[[1]] * 28] * 27 + [[[1]] * 27]]), "do not have the shape"),
    "data half nested": (_one(data=[[1] * 783, 1]), "do not have the shape"),
    "NaN": (json.dumps(_one(data=[float("nan")] * 784)).encode(), "NaN"),
    "Infinity": (json.dumps(_one(data=[float("inf")] * 784)).encode(), "Infinity"),
    "long number": (b'{"inputs": [' + b"9" * 5000 + b"]}", "not JSON"),
    "deep": (b"[" * 100_000, "nested too deeply"),
    "output unknown": ({"inputs": [GOOD], "outputs": [{"name": "score"}]}, "'score'"),
    "output twice": ({"inputs": [GOOD], "outputs": [{"name": "scores"}] * 2}, "twice"),
    "output text": ({"inputs": [GOOD], "outputs": ["scores"]}, "must be an object"),
    "outputs text": ({"inputs": [GOOD], "outputs": "scores"}, "must be a list"),
    "class count": (
        {"inputs": [GOOD], "outputs": [{"name": "scores", "parameters": {"classification": 2}}]},
        "'classification'",
    ),
    "binary text": (
        {"inputs": [GOOD], "outputs": [{"name": "scores", "parameters": {"binary_data": "yes"}}]},
        "must be a bool",
    ),
    "id": ({"inputs": [GOOD], "id": 5}, "id: must be"),
    "both": (_one(parameters={"binary_data_size": 784}), "needs either"),
    "pictures no base64": (_one(name="pictures", datatype="BYTES", shape=[1], data=["%"]),
                           "base64"),
    "pictures numbers": (_one(name="pictures", datatype="BYTES", shape=[1], data=[1]), "base64"),
    "pictures empty": (_one(name="pictures", datatype="BYTES", shape=[1], data=[""]), "PNG file"),
    "pictures shape": (_one(name="pictures", datatype="BYTES", shape=[1, 2], data=[""] * 2),
                       "[-1]"),
    "pictures codec": (
        _one(name="pictures", datatype="BYTES", shape=[1], data=[""],
             parameters={"content_type": "str"}),
        "base64",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_request_is_refused_with_its_reason(server: Running, case: str) -> None:
    body, expected = WRONG[case]
    status, message = server.error("POST", INFER, body)
    assert status == 400
    assert expected in message
    assert len(message) < 400


def test_wrong_lengths_of_binary_requests(server: Running) -> None:
    good, length = binary(IMAGE, "scores")
    for body, header, expected in (
        (good, length + 1, "not JSON"),
        (good, length - 1, "not JSON"),
        (good, 0, "not JSON"),
        (good, len(good) + 1, "the body has"),
        (good, 10**17, "the body has"),
        (good[:-1], length, "783 bytes follow"),
        (good + b"x", length, "1 bytes follow"),
        (*binary(IMAGE, "scores", size=-1), "binary_data_size is -1"),
        (*binary(IMAGE, "scores", size=1 << 62), "binary_data_size is"),
        (*binary(IMAGE, "scores", size=783), "binary data have 783 bytes"),
    ):
        headers = {"Inference-Header-Content-Length": str(header)}
        status, message = server.error("POST", INFER, body, headers)
        assert (status, expected in message) == (400, True), message
    for header in ("-1", "1e3", "0x10", "", "1" * 30, "²"):
        headers = {"Inference-Header-Content-Length": header.encode("utf-8").decode("latin-1")}
        status, message = server.error("POST", INFER, good, headers)
        assert (status, "whole number" in message) == (400, True), message
    _alive(server)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        struct.pack("<I", 0),
        struct.pack("<I", 9) + b"x",
        struct.pack("<I", 0xFFFFFFFF) + b"x",
        struct.pack("<I", 1) + b"x" + struct.pack("<I", 1) + b"y",
        struct.pack("<I", 4) + b"\x89PNG",
    ],
)
def test_wrong_binary_pictures(server: Running, data: bytes) -> None:
    one = {"name": "pictures", "datatype": "BYTES", "shape": [1],
           "parameters": {"binary_data_size": len(data)}}  # fmt: skip
    text = json.dumps({"inputs": [one]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(text))}
    status, _ = server.error("POST", INFER, text + data, headers)
    assert status == 400


def _png(width: int, height: int, data: bytes) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        check = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", check)

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_pictures_that_unpack_to_too_much(server: Running) -> None:
    packed = zlib.compress(bytes(1 << 26), 9)
    bombs = [_png(20_000, 20_000, packed), _png(8192, 8192, packed), _png(1, 60_000_000, packed)]
    text_bomb = zlib.compress(b"a" * (1 << 27), 9)
    head = _png(28, 28, zlib.compress(bytes(29 * 28)))
    text = b"zTXtKey\0\0" + text_bomb
    bombs.append(head[:33] + struct.pack(">I", len(text) - 4) + text
                 + struct.pack(">I", zlib.crc32(text)) + head[33:])  # fmt: skip
    for bomb in bombs:
        status, _ = server.error("POST", INFER, bomb, {"Content-Type": "image/png"})
        assert status == 400
    status, message = server.error("POST", INFER, zlib.compress(bytes(1 << 24)),
                                   {"Content-Encoding": "deflate"})  # fmt: skip
    assert (status, "uncompressed" in message) == (415, True)
    _alive(server)


def test_wrong_addresses_methods_and_types(server: Running) -> None:
    for method, path, expected in (
        ("GET", "/", 404),
        ("GET", "/v3", 404),
        ("GET", "/v2/models/other", 404),
        ("GET", "/v2/models/lfc-w1a1/versions/2", 404),
        ("GET", "/v2/models/lfc-w1a1/versions/x/ready", 404),
        ("GET", "/v2/models/..%2f..%2fetc", 404),
        ("GET", "/v2/models/%00", 404),
        ("POST", "/v2/models/other/infer", 404),
        ("POST", "/v2/repository/models/other/load", 404),
        ("POST", "/v2/repository/models/other/unload", 404),
        ("GET", INFER, 405),
        ("DELETE", "/v2/models/lfc-w1a1", 405),
        ("POST", "/v2", 405),
    ):
        status, _ = server.error(method, path)
        assert status == expected, (method, path)
    status, message = server.error("POST", INFER, b"x", {"Content-Type": "text/csv"})
    assert (status, "Content-Type" in message) == (415, True)
    status, _ = server.error("POST", "/v2/repository/models/lfc-w1a1/load",
                             {"parameters": {"config": "x"}})  # fmt: skip
    assert status == 400
    _alive(server)


def test_pages_of_other_sites_are_refused(server: Running) -> None:
    assert server.error("GET", "/v2", headers={"Host": "evil.example"})[0] == 403
    assert server.error("GET", "/v2", headers={"Host": "127.0.0.1.evil.example"})[0] == 403
    assert server.error("POST", INFER, {}, {"Origin": "https://evil.example"})[0] == 403
    assert server.ask("GET", "/v2", headers={"Host": "localhost:99"})[0] == 200


def test_a_token_is_needed_where_one_is_given(start: Start) -> None:
    server = start("lfc-w1a1", token="0123456789abcdef")
    wrong = ("Bearer 0123456789abcdee", "Bearer ", "Basic 0123456789abcdef", "0123456789abcdef",
             "Bearer 0123456789abcdef0")  # fmt: skip
    for headers in ({}, *({"Authorization": each} for each in wrong)):
        for path in ("/v2", "/metrics", "/v2/models/lfc-w1a1"):
            status, message = server.error("GET", path, headers=headers)
            assert (status, "token" in message) == (401, True)
    right = {"Authorization": "Bearer 0123456789abcdef", "Host": "any.example"}
    assert server.ask("GET", "/v2", headers=right)[0] == 200
    assert server.ask("GET", "/v2/health/ready")[0] == 200
    assert "0123456789abcdef" not in server.log.getvalue()


def test_too_large_bodies(start: Start) -> None:
    server = start("lfc-w1a1", body=10_000, json=1000)
    assert server.error("POST", INFER, b"x" * 1001)[0] == 400  # JSON
    status, message = server.error("POST", INFER, b"x" * 10_001)
    assert (status, "10000 bytes" in message) == (413, True)
    _alive(server)
    # Without a length, in chunks, it is stopped on the way.
    with server.socket() as raw:
        raw.sendall(b"POST " + INFER.encode() + b" HTTP/1.1\r\nHost: localhost\r\n")
        raw.sendall(b"Transfer-Encoding: chunked\r\n\r\n")
        raw.sendall((b"1000\r\n" + b"x" * 4096 + b"\r\n") * 3)
        assert raw.recv(1000).startswith(b"HTTP/1.1 413 ")
    _alive(server)
    # A declared length of gigabytes is refused before anything of it is sent.
    with server.socket() as raw:
        raw.sendall(b"POST " + INFER.encode() + b" HTTP/1.1\r\nHost: localhost\r\n"
                    b"Content-Length: 99999999999\r\n\r\n")  # fmt: skip
        assert raw.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_bytes_that_are_not_http(server: Running) -> None:
    for text in (
        b"\0" * 100,
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    ):
        with server.socket() as raw:
            raw.sendall(text)
            found = raw.recv(1000)
            assert found.startswith(b"HTTP/1.1 400 "), (text, found)
    _alive(server)


def test_endless_headers(start: Start) -> None:
    server = start("lfc-w1a1")
    with server.socket() as raw:
        raw.sendall(b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n")
        answer = b""
        try:
            for _ in range(1000):
                raw.sendall(b"X-Long: " + b"x" * 4000 + b"\r\n")
        except OSError:
            pass  # it was closed
        try:
            answer = raw.recv(1000)
        except ConnectionResetError:
            answer = b"HTTP/1.1 431 "
        assert answer.startswith(b"HTTP/1.1 431 ")
    _alive(server)


def test_slow_clients_are_given_up(start: Start) -> None:
    server = start("lfc-w1a1", seconds=1.0)
    head = b"POST " + INFER.encode() + b" HTTP/1.1\r\nHost: localhost\r\n"
    for first in (b"", b"GET", head, head + b"Content-Length: 100\r\n\r\n{", b"\r\n"):
        with server.socket() as raw:
            if first:
                raw.sendall(first)
            began = time.monotonic()
            assert raw.recv(1000).startswith(b"HTTP/1.1 408 ")
            assert raw.recv(1000) == b""
            assert time.monotonic() - began < 30
    # After a good answer too, also where only line ends come.
    with server.socket() as raw:
        raw.sendall(b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = b""
        while not answer.endswith(b"}"):  # its body may come later than its head
            answer += raw.recv(1000)
        assert answer.startswith(b"HTTP/1.1 200 ")
        raw.sendall(b"\r\n")
        assert b"HTTP/1.1 408 " in raw.recv(1000)
    _alive(server)


def test_clients_that_go_in_the_middle(start: Start) -> None:
    server = start("lfc-w1a1")
    body, length = binary(IMAGE, "scores")
    whole = (
        f"POST {INFER} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        f"Inference-Header-Content-Length: {length}\r\n\r\n"
    ).encode() + body
    for cut in (10, 100, len(whole) - 1, len(whole)):
        for reset in (False, True):
            raw = server.socket()
            raw.sendall(whole[:cut])
            if reset:
                linger = struct.pack("ii", 1, 0)
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            raw.close()
    _alive(server)
    text = server.ask("GET", "/metrics")[2].decode()
    assert "bnn_request_bytes 0.0" in text
    assert "bnn_requests_in_progress 0.0" in text


def test_ten_times_too_much_is_refused_and_then_it_goes_on(start: Start) -> None:
    limit = 4
    server = start("lfc-w1a1", runtime="reference", requests=limit)
    images = np.repeat(IMAGE, 50, axis=0)
    body, length = binary(images, "scores")
    headers = {"Inference-Header-Content-Length": str(length)}
    expected = bnn.Classifier("lfc-w1a1", "reference").scores(images)
    found: list[int] = []
    wrong: list[Any] = []

    def client() -> None:
        for _ in range(3):
            status, more, answer = server.ask("POST", INFER, body, headers)
            found.append(status)
            if status == 200:
                if (outputs(more, answer)["scores"] != expected).any():
                    wrong.append(answer)
            elif status != 429 or more["retry-after"] != "1":
                wrong.append((status, answer))

    threads = [threading.Thread(target=client) for _ in range(10 * limit)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert set(found) == {200, 429}
    _alive(server)  # at once
    text = server.ask("GET", "/metrics")[2].decode()
    assert "bnn_request_bytes 0.0" in text
    assert server.ask("GET", "/v2/health/live")[0] == 200


def test_too_many_connections(start: Start) -> None:
    server = start("lfc-w1a1", connections=5)
    held = []
    for _ in range(5):
        raw = server.socket()
        raw.sendall(b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = b""
        while not answer.endswith(b"}"):  # its body may come later than its head
            answer += raw.recv(1000)
        assert answer.startswith(b"HTTP/1.1 200 ")
        held.append(raw)
    for _ in range(20):
        with server.socket() as one:
            assert one.recv(1000).startswith(b"HTTP/1.1 429 ")
    for raw in held:
        raw.close()
    # The server sees the end of the others in one of its next rounds.
    deadline = time.monotonic() + 30
    while _status(server) == 429:
        assert time.monotonic() < deadline
    _alive(server)


def _status(server: Running) -> int:
    try:
        return server.ask("GET", "/v2")[0]
    except OSError:  # closed before it was read
        return 429


def _held(server: Running) -> float:
    lines = server.ask("GET", "/metrics")[2].decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("bnn_request_bytes "))


def test_bodies_that_would_fill_the_memory_are_refused(start: Start) -> None:
    server = start("lfc-w1a1", body=1 << 20)  # 4 MiB together
    head = f"POST {INFER} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {1 << 20}\r\n\r\n".encode()
    held = []
    for _ in range(4):
        raw = server.socket()
        raw.sendall(head + b"{")
        held.append(raw)
    deadline = time.monotonic() + 30
    while _held(server) != 4 << 20:
        assert time.monotonic() < deadline
    with server.socket() as raw:
        raw.sendall(head)
        answer = raw.recv(1000)
        assert answer.startswith(b"HTTP/1.1 429 ")
        assert b"retry-after: 1" in answer
    for raw in held:
        raw.close()
    while _held(server):
        assert time.monotonic() < deadline
    _alive(server)


def test_a_defect_of_the_server_tells_nothing(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start("lfc-w1a1")

    def fails(*_: Any) -> Any:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("bnn.serve.app.respond", fails)
    status, message = server.error("POST", INFER, {"inputs": [GOOD]})
    assert status == 500
    assert "secret" not in message
    assert "secret detail" in server.log.getvalue()
    monkeypatch.undo()
    _alive(server)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)
_FIELDS = st.sampled_from(["name", "datatype", "shape", "data", "parameters"])


@settings(max_examples=150)
@given(st.data())
def test_no_request_makes_the_server_fail(server: Running, data: st.DataObject) -> None:
    kind = data.draw(st.integers(0, 3))
    if kind == 0:
        body: Any = data.draw(st.binary(max_size=200))
    elif kind == 1:
        body = json.dumps(data.draw(_JSON)).encode()
    elif kind == 2:
        body = json.dumps({"inputs": [{**GOOD, data.draw(_FIELDS): data.draw(_JSON)}]}).encode()
    else:
        good, _ = binary(IMAGE, "scores")
        place = data.draw(st.integers(0, len(good) - 1))
        body = good[:place] + data.draw(st.binary(max_size=3)) + good[place + 1 :]
    headers = {}
    if data.draw(st.booleans()):
        headers["Inference-Header-Content-Length"] = str(data.draw(st.integers(0, len(body) + 1)))
    status, _, answer = server.ask("POST", INFER, body, headers)
    assert status in (200, 400), answer
    assert b"Traceback" not in answer

# SPDX-License-Identifier: BSD-3-Clause
"""A server in a thread of the test's process, and a plain client."""

from __future__ import annotations

import http.client
import io
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

for needed in ("uvicorn", "starlette", "httptools", "prometheus_client"):
    pytest.importorskip(needed)

from bnn.serve.gate import State
from bnn.serve.logs import Log
from bnn.serve.models import Repository, Source
from bnn.serve.server import Server
from bnn.serve.settings import Limits, Settings


@dataclass
class Running:
    """A server that listens, and what its log has."""

    port: int
    server: Server
    log: io.StringIO

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def socket(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers (lower case) and body of an answer."""
        connection = self.connect()
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body)
        connection.request(method, path, sent, headers or {})
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, data

    def error(self, *args: Any, **named: Any) -> tuple[int, str]:
        """Status and message of an answer that must be one line, without a traceback."""
        status, headers, body = self.ask(*args, **named)
        assert headers["content-type"] == "application/json"
        message = json.loads(body)["error"]
        assert list(json.loads(body)) == ["error"]
        assert "\n" not in message
        assert "Traceback" not in message
        return status, message


Start = Callable[..., Running]


@contextmanager
def running(*models: str, runtime: str = "cpu", **options: Any) -> Iterator[Running]:
    """A server of ``models``; options are limits, or ``token``."""
    token = options.pop("token", None)
    log = io.StringIO()
    settings = Settings(port=0, limits=Limits(**options), token=token)
    repository = Repository([Source.parse(each) for each in models], runtime, {})
    started = threading.Event()
    urls: list[str] = []

    def on_start(url: str) -> None:
        urls.append(url)
        started.set()

    server = Server(repository, State(settings, Log(log)), on_start)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert started.wait(60)
        yield Running(int(urls[0].rsplit(":", 1)[1]), server, log)
    finally:
        server.should_exit = True
        thread.join(60)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    """The two small bundled models, on the cpu runtime."""
    with running("lfc-w1a1", "cnv-w1a1") as found:
        yield found


@pytest.fixture
def start() -> Iterator[Start]:
    """A function that starts servers, which end with the test."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        yield lambda *models, **options: stack.enter_context(running(*models, **options))

# SPDX-License-Identifier: BSD-3-Clause
"""``bnn serve`` as a process: what it refuses at its start, TLS, and its end under load."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import bnn
from bnn.commands.main import app
from bnn.errors import BnnError, ServeError
from bnn.serve.models import Source
from bnn.serve.settings import Limits, Settings, read_token
from support.served import binary, outputs

INFER = "/v2/models/lfc-w1a1/infer"


@contextmanager
def process(*args: str, log: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command as a process, and its address."""
    with log.open("w") as errors:
        command = [sys.executable, "-c", "from bnn.commands.main import main; main()"]
        started = subprocess.Popen(
            [*command, "serve", *args, "--port", "0"],
            stdout=subprocess.PIPE, stderr=errors, text=True,
        )  # fmt: skip
        assert started.stdout is not None
        try:
            line = started.stdout.readline()
            assert " at " in line, log.read_text()
            yield started, line.split(" at ")[1].split()[0]
        finally:
            started.kill()
            started.wait()
            started.stdout.close()


def test_sigterm_under_load_loses_no_request(tmp_path: Path) -> None:
    images = np.random.default_rng(5).integers(0, 256, (20, 28, 28, 1), np.uint8)
    expected = bnn.Classifier("lfc-w1a1", "reference").scores(images)
    body, length = binary(images, "scores")
    headers = {"Inference-Header-Content-Length": str(length)}
    answered, wrong = 0, []
    with process("lfc-w1a1", "--runtime", "reference", log=tmp_path / "log") as (server, url):
        port = int(url.rsplit(":", 1)[1])
        busy = threading.Barrier(5)

        def client() -> None:
            nonlocal answered
            first = True
            while True:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                try:
                    connection.connect()
                except OSError:
                    return  # it does not listen any more
                try:
                    while True:
                        try:
                            connection.request("POST", INFER, body, headers)
                            answer = connection.getresponse()
                        except (OSError, http.client.HTTPException):
                            break  # closed before this request was taken
                        more = {k.lower(): v for k, v in answer.getheaders()}
                        scores = outputs(more, answer.read())["scores"]
                        if answer.status != 200 or (scores != expected).any():
                            wrong.append(answer.status)
                        answered += 1
                        if first:
                            first = False
                            busy.wait()
                        if more.get("connection") == "close":
                            break
                finally:
                    connection.close()

        threads = [threading.Thread(target=client) for _ in range(4)]
        for thread in threads:
            thread.start()
        busy.wait()
        server.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join()
        assert server.wait(60) in (0, -signal.SIGTERM)
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["event"] for line in lines if line["event"] != "request"] == ["ending", "ended"]
    finished = [line for line in lines if line["event"] == "request"]
    assert {line["status"] for line in finished} == {200}
    assert wrong == []
    # Whatever the server has taken, a client has its answer.
    assert len(finished) == answered


def test_a_second_interrupt_ends_at_once_without_a_traceback(tmp_path: Path) -> None:
    images = np.random.default_rng(5).integers(0, 256, (500, 32, 32, 3), np.uint8)
    body, length = binary(images, "scores")
    headers = {"Inference-Header-Content-Length": str(length)}
    with process("cnv-w1a1", "--runtime", "reference", log=tmp_path / "log") as (server, url):
        port = int(url.rsplit(":", 1)[1])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("POST", INFER.replace("lfc", "cnv"), body, headers)
        for _ in range(2):
            time.sleep(1)
            server.send_signal(signal.SIGINT)
        with suppress(OSError, http.client.HTTPException):
            answer = connection.getresponse()
            assert answer.status in (200, 503)
        connection.close()
        server.wait(120)
    text = (tmp_path / "log").read_text()
    assert "Traceback" not in text
    lines = [json.loads(line) for line in text.splitlines()]
    assert {line["status"] for line in lines if line["event"] == "request"} <= {200, 499, 503}


def test_tls(tmp_path: Path) -> None:
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"],
        capture_output=True, check=False,
    ) if _has_openssl() else None  # fmt: skip
    if made is None or made.returncode:
        pytest.skip("openssl makes no certificate here")
    files = (
        "--ssl-certfile",
        str(tmp_path / "cert.pem"),
        "--ssl-keyfile",
        str(tmp_path / "key.pem"),
    )
    with process("lfc-w1a1", *files, log=tmp_path / "log") as (_, url):
        assert url.startswith("https://")
        context = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
        port = int(url.rsplit(":", 1)[1])
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=60)
        connection.request("GET", "/v2/health/ready")
        assert connection.getresponse().status == 200
        connection.close()
    files = ("--ssl-certfile", str(tmp_path / "log"))
    done = CliRunner().invoke(app, ["serve", "lfc-w1a1", *files, "--port", "0"])
    assert isinstance(done.exception, ServeError)


def _has_openssl() -> bool:
    import shutil

    return shutil.which("openssl") is not None


def _refused(*args: str) -> str:
    done = CliRunner().invoke(app, ["serve", *args])
    assert isinstance(done.exception, BnnError), done.output
    return str(done.exception)


def test_other_addresses_need_a_token(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1", "example.org"):
        assert "--token-file" in _refused("lfc-w1a1", "--host", host)
    for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost"):
        assert Settings(host).is_local
    token = tmp_path / "token"
    for text in (b"", b"short\n", b"0123456789abcde\n", "0123456789abcdef\u00e9".encode(),
                 b"0123456789 abcdef\n", b"x" * 5000):  # fmt: skip
        token.write_bytes(text)
        assert str(token) in _refused("lfc-w1a1", "--host", "0.0.0.0", "--token-file", str(token))
    token.write_bytes(b"  0123456789abcdef\n")
    assert read_token(token) == "0123456789abcdef"
    assert "0123456789abcdef" not in repr(Settings("0.0.0.0", token=read_token(token)))


def test_what_cannot_be_served_is_refused_by_name(tmp_path: Path) -> None:
    assert "no-such" in _refused("no-such")
    assert "is there already" in _refused("lfc-w1a1", "lfc-w1a1=cnv-w1a1")
    assert "NAME=MODEL" in _refused(str(tmp_path / "a b.bnn"))
    assert "is not a whole number of at least 1" in _refused("digits:x=lfc-w1a1")
    assert "no model after" in _refused("digits=")
    assert "no runtime is called" in _refused("lfc-w1a1", "--runtime", "gpu")
    assert "needs --ssl-certfile" in _refused("lfc-w1a1", "--ssl-keyfile", "x")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert "cannot be used" in _refused("lfc-w1a1", "--port", str(port))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lfc-w1a1", ("lfc-w1a1", "1", "lfc-w1a1")),
        ("run/model.bnn", ("model", "1", "run/model.bnn")),
        ("digits=run/model.bnn", ("digits", "1", "run/model.bnn")),
        ("digits:12=run/a=b.bnn", ("digits", "12", "run/a=b.bnn")),
        ("run=1/model.bnn", ("run", "1", "1/model.bnn")),
        ("./run=1/model.bnn", ("model", "1", "./run=1/model.bnn")),
        ("params/cifar10-cnv/", ("cifar10-cnv", "1", "params/cifar10-cnv/")),
    ],
)
def test_names_of_models(text: str, expected: tuple[str, str, str]) -> None:
    found = Source.parse(text)
    assert (found.name, found.version, found.place) == expected


def test_limits_are_positive() -> None:
    for name in Limits.__dataclass_fields__:
        with pytest.raises(ServeError, match=name):
            Limits(**{name: 0})  # type: ignore[arg-type]


def test_help_has_an_example() -> None:
    done: Any = CliRunner().invoke(app, ["serve", "--help"])
    assert "bnn serve lfc-w1a1" in done.output

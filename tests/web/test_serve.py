# SPDX-License-Identifier: BSD-3-Clause
"""The local server and the export: the page's files, and nothing else of the machine."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

import bnn
from bnn.commands.main import app
from bnn.errors import DataError, InputError
from bnn.web.serve import PageServer
from bnn.web.site import TYPES, export, files


@pytest.fixture
def server() -> Iterator[PageServer]:
    with PageServer(files()) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


def ask(
    server: PageServer, path: str, method: str = "GET", host: str | None = None
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=60)
    headers = {} if host is None else {"Host": host}
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, dict(answer.headers), body


def test_every_file_is_served_as_what_it_is(server: PageServer) -> None:
    for name, content in files().items():
        status, headers, body = ask(server, f"/{name}")
        assert (status, body) == (200, content), name
        assert headers["Content-Type"] == TYPES[Path(name).suffix]
        assert headers["X-Content-Type-Options"] == "nosniff"
    assert ask(server, "/")[2] == files()["index.html"]
    status, headers, body = ask(server, "/js/core.js", "HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["Content-Length"]) == len(files()["js/core.js"])


@pytest.mark.parametrize(
    "path",
    [
        "/../../pyproject.toml",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/js/../../serve.py",
        "//etc/passwd",
        "/site.py",
        "/js/",
        "/models",
        "/models/cnv-w1a1.md",
        "/\x00",
        "/" + "a" * 10_000,
    ],
)
def test_no_other_file_is_reached(server: PageServer, path: str) -> None:
    try:
        status, _, body = ask(server, path)
    except (http.client.InvalidURL, http.client.BadStatusLine):
        return
    assert status in (400, 404, 414)
    assert b"root:" not in body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_other_methods_are_refused(server: PageServer, method: str) -> None:
    assert ask(server, "/index.html", method)[0] == 501


def test_another_sites_name_is_refused(server: PageServer) -> None:
    """A page of elsewhere whose name points here (DNS rebinding) gets nothing."""
    assert ask(server, "/index.html", host="evil.example")[0] == 403
    assert ask(server, "/index.html", host="localhost:80")[0] == 200


def test_the_server_is_of_this_machine_only(server: PageServer) -> None:
    assert server.server_address[0] == "127.0.0.1"


def test_a_used_port_is_named(server: PageServer) -> None:
    port = server.server_address[1]
    with pytest.raises(DataError, match=f"port {port}: cannot be used: .*--port"):
        PageServer({}, port)


@pytest.mark.parametrize("option", [["--port", "0"], ["--no-open"]])
def test_an_export_has_no_server(tmp_path: Path, option: list[str]) -> None:
    result = CliRunner().invoke(app, ["web", "--export", str(tmp_path / "site"), *option])
    assert isinstance(result.exception, InputError)
    assert str(result.exception).startswith(f"{option[0]} is for the server")
    assert not (tmp_path / "site").exists()


def test_the_export_is_what_is_served(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["web", "--export", str(tmp_path / "new/site")])
    assert result.exit_code == 0, result.output
    root = tmp_path / "new/site"
    found = {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }
    assert found == files()
    assert f"{len(found)} files" in result.output


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("mine")
    with pytest.raises(DataError, match="is not empty; give a new folder"):
        export(tmp_path)
    assert (tmp_path / "index.html").read_text() == "mine"
    with pytest.raises(DataError, match="cannot be written"):
        export(tmp_path / "index.html" / "site")


def test_all_bundled_models_are_listed() -> None:
    listed = json.loads(files()["models.json"])
    assert tuple(model["name"] for model in listed["models"]) == bnn.bundled()
    for model in listed["models"]:
        content = files()[model["file"]]
        assert len(content) == model["bytes"]
        rule = bnn.load(model["name"]).preprocess
        assert model["preparation"] == (rule.kind if rule else None)
    for pictures in listed["samples"].values():
        assert all(name in files() for name in pictures)


def test_the_page_names_no_other_host_and_has_no_inline_script() -> None:
    page = files()["index.html"].decode()
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', page)
    assert "<style" not in page
    assert not re.findall(r"\son[a-z]+=", page)
    assert not re.findall(r"<script(?![^>]*src=)", page)
    for name, content in files().items():
        if name.endswith((".js", ".css")):
            text = content.decode().replace("http://www.w3.org/2000/svg", "")
            assert not re.findall(r"https?://", text), name


def test_the_first_view_is_small() -> None:
    """At most 1.5 MB packed: page, core, one model, samples."""
    import gzip

    parts = {"index.html", "style.css", "icon.svg", "models.json", "bnn-relaxed.wasm"}
    parts |= {name for name in files() if name.startswith(("js/", "words/", "samples/"))}
    parts.add("models/lfc-w1a1.bnn")
    assert sum(len(gzip.compress(files()[name], 9)) for name in parts) < 1_500_000


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is sent as a signal")
def test_the_command_serves_until_it_is_interrupted() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # In a job in the background shells ignore SIGINT, and children inherit that.
    begin = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{begin}; from bnn.commands.main import main; main()"
    command = [sys.executable, "-c", code, "web", "--port", str(port), "--no-open"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as running:
        assert running.stdout is not None
        line = running.stdout.readline()
        assert f"http://127.0.0.1:{port}/" in line
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/")
        assert connection.getresponse().status == 200
        connection.close()
        running.send_signal(signal.SIGINT)
        try:
            assert running.wait(60) == 0
        finally:
            running.kill()

# SPDX-License-Identifier: BSD-3-Clause
"""``bnn web --runtime``: images that are posted are run here, and nothing else is taken."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import bnn
from bnn.commands.main import app
from bnn.errors import InputError, UnknownNameError
from bnn.web.machine import MAX_REQUESTS, Busy, Failed, Machine
from bnn.web.serve import PageServer
from bnn.web.site import files

IMAGE = np.random.default_rng(5).integers(0, 256, (28, 28, 1), dtype=np.uint8)
TYPE = {"Content-Type": "application/octet-stream"}


@pytest.fixture(scope="module")
def local() -> Iterator[PageServer]:
    with PageServer(files(), machine=Machine("reference")) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


def _post(
    server: PageServer,
    body: bytes = IMAGE.tobytes(),
    path: str = "/run?model=lfc-w1a1",
    **headers: str | None,
) -> tuple[int, Any]:
    """Status and values; headers that are None are left out."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=300)
    given = {"Content-Length": str(len(body)), **TYPE}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}  # type: ignore[misc]
    connection.putrequest("POST", path, skip_host="Host" in headers)
    for name, value in given.items():
        if value is not None:
            connection.putheader(name, value)
    connection.endheaders()
    connection.send(body)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    is_json = answer.headers["Content-Type"] == "application/json"
    return answer.status, json.loads(content) if is_json else None


def _answered(server: PageServer) -> Any:
    """The answer, once the runtimes are ready."""
    while True:
        status, values = _post(server)
        if status != 202:
            assert status == 200
            return values


def test_an_image_is_run_on_both(local: PageServer) -> None:
    expected = bnn.Classifier("lfc-w1a1", "reference")
    scores, classes = expected.run(IMAGE)
    found = _answered(local)
    assert [one["runtime"] for one in found["runtimes"]] == ["cpu", "reference"]
    for one in found["runtimes"]:
        assert one["scores"] == scores[0].tolist()
        assert one["class_index"] == classes[0]
        assert one["us"] > 0


def test_the_page_is_told(local: PageServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", local.server_address[1], timeout=60)
    connection.request("GET", "/models.json")
    told = json.loads(connection.getresponse().read())
    connection.close()
    assert told["machine"] == {"runtime": "reference", "models": list(bnn.bundled())}
    assert "machine" not in json.loads(files()["models.json"])


SIZE = 28 * 28


@pytest.mark.parametrize(
    ("status", "given"),
    [
        (404, {"path": "/run"}),
        (404, {"path": "/run?model="}),
        (404, {"path": "/run?model=../../pyproject"}),
        (404, {"path": "/run?model=%2fetc%2fpasswd"}),
        (404, {"path": "/models.json"}),
        (404, {"path": "/run/?model=lfc-w1a1"}),
        (400, {"body": b"x" * (SIZE - 1)}),
        (400, {"body": b""}),
        (413, {"body": b"x" * (SIZE + 1)}),
        (413, {"Content_Length": str(SIZE + 1)}),
        (413, {"Content_Length": "9" * 5000}),
        (411, {"Content_Length": None}),
        (411, {"Content_Length": "-1"}),
        (411, {"Content_Length": "0x10"}),
        (411, {"Content_Length": "\u00b2".encode().decode("latin-1")}),
        (411, {"Transfer_Encoding": "chunked"}),
        (415, {"Content_Type": None}),
        (415, {"Content_Type": "text/plain"}),
        (415, {"Content_Type": "application/x-www-form-urlencoded"}),
        (415, {"Content_Type": "image/png"}),
        (403, {"Origin": "https://example.org"}),
        (403, {"Origin": "null"}),
        (403, {"Origin": "http://127.0.0.1:1"}),
        (403, {"Host": "example.org"}),
        (403, {"Host": "127.0.0.1.example.org:80"}),
    ],
)
def test_what_is_refused(local: PageServer, status: int, given: dict[str, Any]) -> None:
    found, values = _post(local, **given)
    assert found == status
    assert values is None or set(values) == {"error"}


def test_the_pages_own_origin_is_taken(local: PageServer) -> None:
    _answered(local)
    own = f"127.0.0.1:{local.server_address[1]}"
    assert _post(local, Origin=f"http://{own}", Host=own)[0] == 200


def test_without_a_machine_nothing_is_taken() -> None:
    with PageServer(files()) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert _post(server)[0] == 501
        server.shutdown()


def test_too_many_at_once(local: PageServer) -> None:
    _answered(local)
    machine = local.machine
    assert machine is not None
    with machine._running:  # a run that takes long
        waiting = [threading.Thread(target=_post, args=(local,)) for _ in range(MAX_REQUESTS)]
        for one in waiting:
            one.start()
        while machine._room._value:  # type: ignore[attr-defined]  # until all of them wait
            pass
        assert _post(local)[0] == 503
        with pytest.raises(Busy):
            machine.answer("lfc-w1a1", IMAGE.tobytes())
    for one in waiting:
        one.join()
    assert _post(local)[0] == 200


def test_a_body_that_does_not_come_ends_with_the_connection(local: PageServer) -> None:
    with socket.create_connection(("127.0.0.1", local.server_address[1])) as half:
        head = f"POST /run?model=lfc-w1a1 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {SIZE}\r\n"
        half.sendall(head.encode() + b"Content-Type: application/octet-stream\r\n\r\nxy")
        half.shutdown(socket.SHUT_WR)
        assert b" 400 " in half.recv(1000)
    assert _answered(local)


def test_the_reason_of_a_failure_is_for_the_terminal() -> None:
    lines: list[str] = []
    machine = Machine("board", lines.append, build="/no/such/folder")
    with PageServer(files(), machine=machine) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        while (answer := _post(server))[0] == 202:
            pass
        server.shutdown()
    assert answer[0] == 409
    assert "/no/such" not in json.dumps(answer[1])
    assert "/no/such/folder" in lines[0]
    with pytest.raises(Failed):
        machine.answer("lfc-w1a1", IMAGE.tobytes())


def test_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def stop(self: PageServer) -> None:
        seen.append(self.machine)
        raise KeyboardInterrupt

    monkeypatch.setattr(PageServer, "serve_forever", stop)
    result = CliRunner().invoke(app, ["web", "--no-open", "--runtime", "cpu"])
    assert result.exit_code == 0, result.output
    assert seen[0].runtime == "cpu"
    found = seen[0].answer("lfc-w1a1", IMAGE.tobytes())
    assert [one["runtime"] for one in found["runtimes"]] == ["cpu"]
    refused = CliRunner().invoke(app, ["web", "--runtime", "gpu"])
    assert isinstance(refused.exception, UnknownNameError)
    refused = CliRunner().invoke(app, ["web", "--runtime", "cpu", "--export", "x"])
    assert isinstance(refused.exception, InputError)


ACCELERATOR = {
    "runtime": "sim",
    "us": 12.5,
    "cycles": 1250,
    "mhz": 100.0,
    "simulated": True,
    "simulation_seconds": 0.5,
    "ledger": [
        {"what": "images", "bytes": 104, "cycle": 10},
        {"what": "results", "bytes": 40, "cycle": 1200},
    ],
    "copied": {"parameters": {"copies": 1, "bytes": 379488}},
}


def _opened(browser: Any, server: PageServer, locale: str = "en-GB") -> Any:
    page = browser.new_context(locale=locale).new_page()
    page.set_default_timeout(120_000)
    page.goto(server.url)
    page.wait_for_selector("html[data-ready=true]", state="attached")
    return page


def test_the_page_compares_with_the_machine(browser: Any, local: PageServer) -> None:
    page = _opened(browser, local)
    page.click("#samples-mnist button >> nth=3")
    page.wait_for_selector(".on-machine .one")
    assert page.locator(".machine .one").count() == 3
    assert page.inner_text(".on-machine p") == "The scores of all are equal."
    assert "this machine's own server" in page.inner_text("#about-machine")
    page.context.close()


def test_the_page_shows_the_accelerators_copies(browser: Any, local: PageServer) -> None:
    """The simulator takes minutes to compile: its answer is made here, of the real scores."""
    page = _opened(browser, local, "ja-JP")

    def fulfil(route: Any) -> None:
        answer = route.fetch().json() if route.request.method == "POST" else {}
        while "runtimes" not in answer:
            answer = route.fetch().json()
        own = {**ACCELERATOR, "scores": answer["runtimes"][0]["scores"]}
        route.fulfill(json={"model": "lfc-w1a1", "runtimes": [answer["runtimes"][0], own]})

    page.route("**/run?*", fulfil)
    page.click("#samples-mnist button >> nth=3")
    page.wait_for_selector(".copies")
    told = page.inner_text(".on-machine")
    assert "100 MHz で 1\u202f250 サイクル" in told
    assert "379\u202f488 バイト" in told
    assert "104 バイト" in told
    assert "40 バイト" in told
    assert page.locator(".ledger .copy").count() == 3
    page.context.close()


def test_scores_that_differ_are_said(browser: Any, local: PageServer) -> None:
    page = _opened(browser, local)
    wrong = {"runtime": "cpu", "us": 1.0, "scores": [0] * 10}
    page.route("**/run?*", lambda route: route.fulfill(json={"runtimes": [wrong]}))
    page.click("#samples-mnist button >> nth=3")
    page.wait_for_selector(".on-machine .error")
    assert "NOT equal" in page.inner_text(".on-machine")
    page.context.close()

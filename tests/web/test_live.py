# SPDX-License-Identifier: BSD-3-Clause
"""``bnn watch --page``: frames and answers of a camera, as a browser sees them."""

from __future__ import annotations

import base64
import http.client
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import bnn
from bnn.web import live
from bnn.web.live import LiveServer

SAMPLES = Path(bnn.__file__).parent / "samples" / "cifar10"
FRAME = np.full((600, 900, 3), (200, 100, 50), np.uint8)


@pytest.fixture
def server() -> Iterator[LiveServer]:
    with LiveServer("<cnv>") as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


def _ask(port: int, path: str, host: str = "127.0.0.1") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path, headers={"Host": host})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


def _answer(number: int, **values: Any) -> dict[str, Any]:
    return {"frame": number, "source": "a.png", "class_name": "Cat", "rate": None, **values}


def test_the_newest_frame_is_given_at_once(server: LiveServer) -> None:
    port = server.server_address[1]
    server.show(None, _answer(0))
    server.show(FRAME, _answer(1, probability=0.5))
    status, body = _ask(port, "/newest?after=-1")
    newest = json.loads(body)
    with Image.open(io.BytesIO(base64.b64decode(newest.pop("picture")))) as picture:
        assert picture.size == (480, 320)
        assert np.abs(np.asarray(picture).astype(int) - FRAME[0, 0]).max() <= 3
    assert (status, newest) == (200, _answer(1, probability=0.5))


def test_a_question_waits_for_a_newer_frame(
    server: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = server.server_address[1]
    server.show(None, _answer(4, error="no stroke found"))
    answers: list[tuple[int, bytes]] = []
    asking = threading.Thread(target=lambda: answers.append(_ask(port, "/newest?after=4")))
    asking.start()
    server.show(None, _answer(5))
    asking.join()
    assert json.loads(answers[0][1]) == {**_answer(5), "picture": None}
    monkeypatch.setattr(live, "_WAIT_S", 0.01)
    assert _ask(port, "/newest?after=5") == (204, b"")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/newest?after=x", 400),
        ("/newest?after=" + 99 * "9", 400),
        ("/newest?after=%C2%B2", 400),
        ("/newest?after=--1", 400),
        ("/other", 404),
        ("/../etc/passwd", 404),
    ],
)
def test_what_is_not_there(server: LiveServer, path: str, status: int) -> None:
    assert _ask(server.server_address[1], path)[0] == status


def test_only_this_machine_may_look(server: LiveServer) -> None:
    port = server.server_address[1]
    assert _ask(port, "/", host="example.org")[0] == 403
    status, page = _ask(port, "/")
    assert status == 200
    assert b"<title>&lt;cnv&gt;</title>" in page
    for _ in range(16):
        server.waiting.acquire()
    assert _ask(port, "/newest?after=7")[0] == 503


def test_the_command_until_it_is_ended(tmp_path: Path) -> None:
    shutil.copy(SAMPLES / "Frog.png", tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"rubbish")
    started = subprocess.Popen(
        [sys.executable, "-m", "bnn", "watch", "cnv-w1a1", str(tmp_path), "--json", "--page"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # Where this test itself runs in the background, Ctrl-C would be ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert started.stdout is not None
    assert started.stderr is not None
    at = re.search(r"http://127\.0\.0\.1:(\d+)/", started.stderr.readline())
    assert at is not None
    said = [json.loads(started.stdout.readline()) for _ in range(2)]
    assert [one["class_name"] for one in said] == ["Frog", None]
    newest = json.loads(_ask(int(at[1]), "/newest?after=0")[1])
    assert newest.pop("picture") is None
    assert newest == said[1]
    assert "the page stays until Ctrl-C" in started.stderr.readline()
    started.send_signal(signal.SIGINT)
    started.communicate()
    assert started.returncode == 1  # a file could not be read


@pytest.mark.parametrize(("locale", "ended"), [("en-GB", "has ended"), ("ja-JP", "終了しました")])
def test_the_page_follows(browser: Any, locale: str, ended: str) -> None:
    with LiveServer("cnv-w1a1") as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = browser.new_page(locale=locale)
        page.goto(server.url)
        server.show(FRAME, _answer(0, probability=0.25))
        page.wait_for_selector("#class:text('Cat')")
        assert "25.0 %" in page.inner_text("#told")
        assert page.evaluate("document.getElementById('frame').naturalWidth") == 480
        server.show(None, _answer(1, class_name=None, error="no <b>stroke</b> found"))
        page.wait_for_selector("#class:text('no <b>stroke</b> found')")
        assert page.locator("#meter").is_hidden()
        assert page.locator("#frame").is_hidden()
        server.shutdown()
        server.server_close()
        page.wait_for_selector("#ended:not([hidden])")
        assert ended in page.inner_text("#ended")
        page.close()

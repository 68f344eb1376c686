# SPDX-License-Identifier: BSD-3-Clause
"""A page of what this machine's camera sees, and of what a model answers: ``bnn watch --page``.

The page asks for the newest frame and its answer, shows both, and asks again. So a slow browser
misses frames, but is never late.
"""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bnn.model.html import escape
from bnn.system.page import both, page
from bnn.web.local import LocalHandler, LocalServer

#: Pixels of the longer side of a frame on the page.
_SIDE = 480
_JPEG_QUALITY = 80
#: Seconds after which a question is answered although there is no newer frame.
_WAIT_S = 10
#: Questions that wait at a time; more than a few open pages would have.
_MAX_WAITING = 16
_MAX_DIGITS = 9

_STYLE = """figure { margin: 0 }
img { width: 100%; max-width: 30rem; border: 1px solid var(--line) }
#class { font-size: 2rem; margin: .4rem 0 } meter { width: 100%; max-width: 30rem; height: 1.2rem }
"""

_BODY = """<figure><img id="frame" alt="" hidden></figure>
<p id="class" aria-live="polite">{waiting}</p>
<meter id="meter" min="0" max="1" value="0" aria-labelledby="class" hidden></meter>
<p><output id="told"></output></p>
<p id="ended" role="alert" hidden>{ended}</p>
<p class="hint">{hint}</p>
<script>
const at = (id) => document.getElementById(id);
function show({{ source, class_name, error, probability, rate, picture }}) {{
  at("frame").hidden = picture === null;
  if (picture !== null) at("frame").src = "data:image/jpeg;base64," + picture;
  const said = class_name ?? error;
  if (at("class").textContent !== said) at("class").textContent = said;
  at("meter").hidden = probability === undefined;
  at("meter").value = probability ?? 0;
  const sure = probability === undefined ? [] : [(100 * probability).toFixed(1) + " %"];
  const fast = rate === null ? [] : [rate.toFixed(1) + " frames/s"];
  at("told").value = [source, ...sure, ...fast].join("  \u00b7  ");
}}
async function follow() {{
  for (let after = -1; ; ) {{
    const answer = await fetch("newest?after=" + after);
    if (answer.status === 204) continue;
    if (!answer.ok) throw new Error(answer.statusText);
    const newest = await answer.json();
    after = newest.frame;
    show(newest);
  }}
}}
follow().catch(() => (at("ended").hidden = false));
</script>
"""


class LiveServer(LocalServer):
    """A server of the page, on the loopback address.

    Args:
        model: name of the model, for the page's title.
        port: number of the port; 0: any free port.

    Raises:
        DataError: the port cannot be used.
    """

    def __init__(self, model: str, port: int = 0) -> None:
        waiting = both("waiting for the first frame", "最初のフレームを待っています")
        ended = both("bnn watch has ended.", "bnn watch は終了しました。")
        hint = both(
            "These are the frames of the machine on which bnn watch runs.",
            "bnn watch を実行しているマシンのフレームです。",
        )
        body = _BODY.format(waiting=waiting, ended=ended, hint=hint)
        self.page = page(escape(model), body, _STYLE).encode()
        self.waiting = threading.BoundedSemaphore(_MAX_WAITING)
        self._news = threading.Condition()
        self._newest: tuple[int, Callable[[], bytes]] | None = None
        super().__init__(port, _Handler)

    def show(self, frame: NDArray[np.uint8] | None, answer: dict[str, Any]) -> None:
        """Show a frame instead of the one before.

        Args:
            frame: RGB uint8 (height, width, 3); None: there is no picture.
            answer: what ``bnn watch --json`` prints of it: its number ``frame``, ``source``,
                ``class_name``, ``probability``, ``error``, ``rate``.
        """

        def text() -> bytes:
            return json.dumps({**answer, "picture": _jpeg(frame)}).encode()

        with self._news:
            self._newest = answer["frame"], text
            self._news.notify_all()

    def newest(self, after: int) -> bytes | None:
        """Wait for a frame with a higher number than ``after``.

        Returns:
            The JSON text of the answer, with the picture in it; None: there was no new frame for
            some seconds.
        """

        def is_new() -> bool:
            return self._newest is not None and self._newest[0] > after

        with self._news:
            if not self._news.wait_for(is_new, _WAIT_S) or self._newest is None:
                return None
            _, text = self._newest
        return text()


def _jpeg(frame: NDArray[np.uint8] | None) -> str | None:
    """Return a frame as a JPEG file in base64, made small."""
    if frame is None:
        return None
    picture = Image.fromarray(frame)
    picture.thumbnail((_SIDE, _SIDE))
    packed = io.BytesIO()
    picture.save(packed, "JPEG", quality=_JPEG_QUALITY)
    return base64.b64encode(packed.getvalue()).decode()


class _Handler(LocalHandler):
    server: LiveServer

    def do_GET(self) -> None:  # noqa: N802 - a name of http.server
        if self.is_foreign():
            return
        place = urlsplit(self.path)
        if place.path == "/":
            self.send_whole(HTTPStatus.OK, "text/html; charset=utf-8", self.server.page)
        elif place.path == "/newest":
            self._newest(parse_qs(place.query).get("after", ["-1"])[0])
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def _newest(self, after: str) -> None:
        digits = after.removeprefix("-")
        if not (digits.isascii() and digits.isdecimal() and len(digits) <= _MAX_DIGITS):
            self.send_error(HTTPStatus.BAD_REQUEST, "after is the number of a frame")
            return
        if not self.server.waiting.acquire(blocking=False):
            self.send_error(HTTPStatus.SERVICE_UNAVAILABLE, "too many pages are open")
            return
        try:
            content = self.server.newest(int(after))
        finally:
            self.server.waiting.release()
        status = HTTPStatus.NO_CONTENT if content is None else HTTPStatus.OK
        self.send_whole(status, "application/json", content or b"")

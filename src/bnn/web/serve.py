# SPDX-License-Identifier: BSD-3-Clause
"""The page on this machine's loopback address, by Python's own server.

It answers with the files of the page, which it keeps in memory, and with nothing else: no path
of a request is ever looked up on the disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from bnn.errors import DataError
from bnn.web.site import TYPES

HOST = "127.0.0.1"
#: Names under which a browser on this machine asks; another name is another site's page.
_OWN_NAMES = ("127.0.0.1", "localhost", "[::1]")
#: Seconds after which a connection that sends nothing is closed.
_TIMEOUT_S = 30
_HEADERS = {
    "Cache-Control": "no-cache",
    "Cross-Origin-Embedder-Policy": "require-corp",
    # Both together: the page is alone in its process, and its clock shows microseconds.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class PageServer(ThreadingHTTPServer):
    """Serves ``pages`` (content by name) on the loopback address.

    Args:
        pages: content of each file by its name, such as ``index.html``.
        port: 0 for any that is free.

    Raises:
        DataError: the port cannot be used.
    """

    daemon_threads = True

    def __init__(self, pages: Mapping[str, bytes], port: int = 0) -> None:
        self.pages = pages
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as reason:
            why = getattr(reason, "strerror", None) or reason
            raise DataError(f"port {port}: cannot be used: {why}; choose another --port") from None

    @property
    def url(self) -> str:
        """Address of the page."""
        return f"http://{HOST}:{self.server_address[1]}/"


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    server_version = "bnn"
    sys_version = ""
    timeout = _TIMEOUT_S

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        host = self.headers.get("Host", HOST).rsplit(":", 1)[0]
        if host not in _OWN_NAMES:
            self.send_error(HTTPStatus.FORBIDDEN, "this page is for this machine")
            return
        name = unquote(urlsplit(self.path).path).lstrip("/") or "index.html"
        content = self.server.pages.get(name)
        if content is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        self.send_response(HTTPStatus.OK)
        kind = TYPES.get(PurePosixPath(name).suffix, "application/octet-stream")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        for header, value in _HEADERS.items():
            self.send_header(header, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Print nothing: requests are of no interest to the user of the command."""

# SPDX-License-Identifier: BSD-3-Clause
"""What the servers of this package's pages share: they listen on the loopback address only.

Python's own HTTP server is enough for one user; a PYNQ board has it.
"""

from __future__ import annotations

from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from bnn.errors import DataError

HOST = "127.0.0.1"
#: Host names that a browser on this machine uses; a page of another site uses another name.
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


class LocalServer(ThreadingHTTPServer):
    """A server on the loopback address.

    Args:
        port: number of the port; 0: any free port.
        handler: answers the requests.

    Raises:
        DataError: the port cannot be used.
    """

    daemon_threads = True

    def __init__(self, port: int, handler: type[LocalHandler]) -> None:
        try:
            super().__init__((HOST, port), handler)
        except (OSError, OverflowError) as reason:
            why = getattr(reason, "strerror", None) or reason
            raise DataError(f"port {port}: cannot be used: {why}; choose another --port") from None

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://{HOST}:{self.server_address[1]}/"


class LocalHandler(BaseHTTPRequestHandler):
    """Answers requests of a browser on this machine; those of other sites' pages are refused."""

    server_version = "bnn"
    sys_version = ""
    timeout = _TIMEOUT_S

    def is_foreign(self) -> bool:
        """Refuse a request from a page of another site, or for another host.

        Returns:
            Whether it was such a request.
        """
        host = self.headers.get("Host", HOST)
        origin = self.headers.get("Origin")
        own = host.rsplit(":", 1)[0] in _OWN_NAMES
        if own and (origin is None or origin == f"http://{host}"):
            return False
        self.send_error(HTTPStatus.FORBIDDEN, "this page is for this machine")
        return True

    def send_whole(
        self, status: HTTPStatus, kind: str, content: bytes, *, body: bool = True
    ) -> None:
        """Send an answer.

        Args:
            status: its status.
            kind: its content type.
            content: its bytes.
            body: whether the bytes are sent; else only the headers that belong to them.
        """
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        if status is HTTPStatus.SERVICE_UNAVAILABLE:
            self.send_header("Retry-After", "1")
        for header, value in _HEADERS.items():
            self.send_header(header, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Print nothing: a user of the command does not need a line per request."""

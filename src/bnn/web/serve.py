# SPDX-License-Identifier: BSD-3-Clause
"""Serve the page on this machine's loopback address, with Python's own HTTP server.

The server answers with the files of the page only, which it keeps in memory: it does not look up
any path of a request on the disk. With a machine (:mod:`bnn.web.machine`) it also answers ``POST
/run?model=NAME``, whose body is one prepared image.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from bnn.web.local import LocalHandler, LocalServer
from bnn.web.machine import Busy, Failed, Machine
from bnn.web.site import TYPES

#: Content type of a POST request; a browser lets no page of another site send it.
_BODY_TYPE = "application/octet-stream"
_MAX_DIGITS = 9


class PageServer(LocalServer):
    """A server of the page on the loopback address.

    Args:
        pages: name of each file, such as ``index.html`` -> its content.
        port: number of the port; 0: any free port.
        machine: runs posted images; None: POST requests are refused.

    Raises:
        DataError: the port cannot be used.
    """

    def __init__(
        self, pages: Mapping[str, bytes], port: int = 0, machine: Machine | None = None
    ) -> None:
        self.pages = pages if machine is None else _told(pages, machine)
        self.machine = machine
        super().__init__(port, _Handler)


def _told(pages: Mapping[str, bytes], machine: Machine) -> Mapping[str, bytes]:
    """Return the page's files, with the machine's runtime and models in ``models.json``."""
    listed = json.loads(pages["models.json"])
    listed["machine"] = {"runtime": machine.runtime, "models": sorted(machine.sizes)}
    return {**pages, "models.json": json.dumps(listed).encode()}


class _Handler(LocalHandler):
    server: PageServer

    def do_GET(self) -> None:  # noqa: N802 - a name of http.server
        self._answer(body=True)

    def do_HEAD(self) -> None:  # noqa: N802 - a name of http.server
        self._answer(body=False)

    def do_POST(self) -> None:  # noqa: N802 - a name of http.server
        self.close_connection = True  # a body that is not read would be the next request
        if self.is_foreign():
            return
        if self.server.machine is None:
            self.send_error(HTTPStatus.NOT_IMPLEMENTED, "there is nothing to post to")
            return
        status, values = self._posted(self.server.machine)
        self.send_whole(status, "application/json", json.dumps(values).encode())

    def _posted(self, machine: Machine) -> tuple[HTTPStatus, dict[str, Any]]:
        """Return status and JSON values of the answer to a POST request.

        The headers are checked before the body is read.
        """
        place = urlsplit(self.path)
        if place.path != "/run":
            return HTTPStatus.NOT_FOUND, {"error": "there is nothing to post to"}
        name = parse_qs(place.query).get("model", [""])[0]
        if name not in machine.sizes:
            return HTTPStatus.NOT_FOUND, {"error": "no such bundled model"}
        if self.headers.get("Content-Type") != _BODY_TYPE:
            reason = f"the body is {_BODY_TYPE}: the bytes of a prepared image"
            return HTTPStatus.UNSUPPORTED_MEDIA_TYPE, {"error": reason}
        size, told = machine.sizes[name], self.headers.get("Content-Length", "")
        if not (told.isascii() and told.isdecimal()) or "Transfer-Encoding" in self.headers:
            return HTTPStatus.LENGTH_REQUIRED, {"error": "the length of the body must be told"}
        # Compared as text first: thousands of digits take long to become a number.
        if len(told) > _MAX_DIGITS or int(told) > size:
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {"error": f"an image has {size} bytes"}
        image = self.rfile.read(int(told))
        if len(image) != size:
            return HTTPStatus.BAD_REQUEST, {"error": f"an image has {size} bytes"}
        try:
            answer = machine.answer(name, image)
        except Busy:
            return HTTPStatus.SERVICE_UNAVAILABLE, {"error": "too many requests at a time"}
        except Failed:
            reason = f"{machine.runtime} cannot run {name}; the terminal has the reason"
            return HTTPStatus.CONFLICT, {"error": reason}
        if answer is None:
            return HTTPStatus.ACCEPTED, {"preparing": machine.runtime}
        return HTTPStatus.OK, answer

    def _answer(self, *, body: bool) -> None:
        if self.is_foreign():
            return
        name = unquote(urlsplit(self.path).path).lstrip("/") or "index.html"
        content = self.server.pages.get(name)
        if content is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        kind = TYPES.get(PurePosixPath(name).suffix, "application/octet-stream")
        self.send_whole(HTTPStatus.OK, kind, content, body=body)

# SPDX-License-Identifier: BSD-3-Clause
"""Write logs as JSON, one object per line, on standard error; requests have ids."""

from __future__ import annotations

import json
import logging
import re
import secrets
import sys
import time
import traceback
from functools import lru_cache
from typing import Any, TextIO

_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


def request_id(given: bytes | None) -> str:
    """Return the value of the client's header ``X-Request-ID``, or a new id.

    The client's value is used if it has 1 to 64 letters, digits and ``. _ -``.
    """
    if given is not None and _ID.fullmatch(given):
        return given.decode("ascii")
    return secrets.token_hex(8)


_ENCODE = json.JSONEncoder(check_circular=False, default=str).encode
_kept_text = lru_cache(maxsize=256)(_ENCODE)


class Log:
    """Writes lines to a log. If a line cannot be written, the server continues without it."""

    def __init__(self, file: TextIO | None = None, *, requests: bool = True) -> None:
        self._file = file
        self._requests = requests

    def event(self, event: str, **fields: Any) -> None:
        """Write one line; control characters and characters outside ASCII are escaped."""
        self._write(_ENCODE({"time": round(time.time(), 6), "event": event, **fields}))

    def _write(self, line: str) -> None:
        try:
            file = self._file or sys.stderr
            file.write(line + "\n")
            file.flush()
        except (OSError, ValueError):
            pass

    def request(self, **fields: str | float) -> None:
        """Write the line of a request, or nothing if the log was made with ``requests=False``.

        Fields are texts and numbers.
        """
        if self._requests:
            # Put together here: most texts are those of the requests before.
            told = (
                f'"{key}": {_kept_text(value) if type(value) is str else repr(value)}'
                for key, value in fields.items()
            )
            self._write(f'{{"time": {time.time():.6f}, "event": "request", {", ".join(told)}}}')

    def failure(self, request: str, error: BaseException) -> None:
        """Write the traceback of a defect of the server; it is not sent to clients."""
        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        self.event("error", id=request, error=text)


class Handler(logging.Handler):
    """Passes uvicorn's log records to a :class:`Log`."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.INFO)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record of ``logging`` as one line, and its exception as another line."""
        fields = {"level": record.levelname.lower(), "message": record.getMessage()}
        if record.exc_info and record.exc_info[1] is not None:
            self._log.failure("", record.exc_info[1])
        self._log.event("server", **fields)

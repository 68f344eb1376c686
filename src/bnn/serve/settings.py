# SPDX-License-Identifier: BSD-3-Clause
"""The settings of a server: address, limits, secrets; checked before the server listens."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from bnn.errors import ServeError
from bnn.system.files import read_file

#: Fewest characters of a token; shorter ones can be guessed.
MIN_TOKEN = 16
_MAX_TOKEN_FILE = 1 << 12


@dataclass(frozen=True)
class Limits:
    """Limits of a server; all must be above 0.

    Attributes:
        body: largest number of bytes of the body of one request.
        json: largest number of bytes of the JSON in one request; larger arrays must be sent as
            binary tensors.
        pixels: largest number of pixels of one picture.
        images: largest number of images of one request.
        requests: largest number of requests in progress; a further request gets the status 429.
        connections: largest number of open connections; a further connection gets the status 429
            and is closed.
        seconds: seconds in which a request must arrive completely.
        grace_seconds: seconds in which requests in progress are finished, after the server was
            asked to end.
    """

    body: int = 64 << 20
    json: int = 8 << 20
    pixels: int = 16_000_000
    images: int = 1 << 16
    requests: int = 256
    connections: int = 1024
    seconds: float = 30.0
    grace_seconds: float = 30.0

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            if not getattr(self, name) > 0:
                raise ServeError(f"{name}: must be more than 0, not {getattr(self, name)!r}")

    @property
    def held(self) -> int:
        """Most bytes of all requests together that are being read or computed."""
        return 4 * self.body


@dataclass(frozen=True)
class Settings:
    """Where a server listens, and who may send requests.

    Attributes:
        host: an address, or a name of this machine.
        port: number of the port; 0: any free port.
        limits: limits of the server.
        token: secret that clients must send as ``Authorization: Bearer TOKEN``; None: no secret. An
            address that other machines can reach needs a token.
        certificate: PEM file of the TLS certificate; None: plain HTTP.
        key: PEM file of the certificate's key; None: the key is in ``certificate``.

    Raises:
        ServeError: other machines can reach the address, but there is no token; or there is a key
            without a certificate.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    limits: Limits = field(default_factory=Limits)
    token: str | None = field(default=None, repr=False)
    certificate: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        if self.token is None and not self.is_local:
            raise ServeError(
                f"{self.host}: other machines can reach this address; give --token-file with a "
                "secret of their own for clients, or keep --host 127.0.0.1"
            )
        if self.key is not None and self.certificate is None:
            raise ServeError("--ssl-keyfile needs --ssl-certfile")

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach :attr:`host`."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def read_token(path: Path) -> str:
    """Return the token in a file: one line of at least 16 visible ASCII characters.

    Raises:
        ServeError: the file cannot be read, or is not such a line.
    """
    text = read_file(path, _MAX_TOKEN_FILE, ServeError).strip()
    if len(text) < MIN_TOKEN or not all(0x21 <= byte <= 0x7E for byte in text):
        raise ServeError(
            f"{path}: a token is one line of at least {MIN_TOKEN} visible ASCII characters; "
            "make one with: openssl rand -hex 32"
        )
    return text.decode("ascii")

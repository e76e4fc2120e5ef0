"""One connection to a shard, for one question after the other."""

from __future__ import annotations

import functools
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPResponse

_PIECE = 1 << 16


class TooLargeError(Exception):
    """The answer is larger than it may be."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a shard is. `netloc`: host and port as the address names them."""

    is_secure: bool
    host: str
    port: int
    netloc: str
    path: str

    def head(self, method: str, headers: Mapping[str, str]) -> bytes:
        """What stands before the length and the body of every question."""
        lines = [f"{method} {self.path} HTTP/1.1", f"Host: {self.netloc}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "".join(f"{line}\r\n" for line in lines).encode("latin-1")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer. `is_last`: the other side closes the connection."""

    status: int
    media_type: str
    body: bytes
    is_last: bool


class Connection:
    """A connection. What it raises, if not `TooLargeError`, is an `OSError`, `TimeoutError` among them, or an
    `HTTPException`; it is to be closed then."""

    def __init__(self, place: Place, until: float) -> None:
        """Connect. `until`: a moment of `time.monotonic`."""
        found = socket.create_connection((place.host, place.port), _left(until))
        try:
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket = _context().wrap_socket(found, server_hostname=place.host) if place.is_secure else found
        except BaseException:
            found.close()
            raise

    def send(self, head: bytes, question: bytes, until: float) -> None:
        """Send a question, in one piece."""
        self._socket.settimeout(_left(until))
        self._socket.sendall(b"%bContent-Length: %d\r\n\r\n%b" % (head, len(question), question))

    def receive(self, most: int, until: float) -> Answer:
        """The answer to the question that was sent."""
        self._socket.settimeout(_left(until))
        response = HTTPResponse(self._socket, method="POST")
        try:
            response.begin()
            parts: list[bytes] = []
            size = 0
            while piece := response.read1(_PIECE):
                parts.append(piece)
                size += len(piece)
                if size > most:
                    raise TooLargeError
                self._socket.settimeout(_left(until))
            if response.length:
                raise ConnectionError("the answer broke off")
            media_type = response.headers.get_content_type()
            return Answer(response.status, media_type, b"".join(parts), response.will_close)
        finally:
            response.close()

    def close(self) -> None:
        """Close it."""
        self._socket.close()


@functools.cache
def _context() -> ssl.SSLContext:
    """The certificates of this machine, which take long to read."""
    return ssl.create_default_context()


def _left(until: float) -> float:
    """The seconds that are left. Raises `TimeoutError`."""
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left

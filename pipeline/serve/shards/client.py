"""The way from a front to a shard: questions over HTTP, within a time, on connections that are kept."""

from __future__ import annotations

import contextlib
import http.client
import ssl
import threading
import time
from urllib.parse import urlsplit

from pipeline.arguments import shown
from pipeline.errors import ConfigError, ServiceError
from pipeline.models.endpoint.token import Secret, keep_out_of_logs
from pipeline.serve.shards.address import MEDIA_TYPE, PATH

KEY_VARIABLE = "HYBRID_PIPELINE_API_KEY"
MOST_BYTES = 256 << 20
_PIECE = 1 << 16
_KEPT = 32


class HttpShard:
    """A shard at an address. For any number of threads."""

    def __init__(self, url: str, seconds: float, key: str | None = None) -> None:
        """`seconds`: how long an answer may take. `key`: of the shard's. Raises `ConfigError`."""
        self._secure, self._host, self._port, self._path = _parts(url)
        self.address = url.rstrip("/")
        self._seconds = seconds
        self._headers = {"Content-Type": MEDIA_TYPE, "Accept": MEDIA_TYPE}
        if key:
            if not (key.isascii() and key.isprintable()) or " " in key:
                raise ConfigError(f"{KEY_VARIABLE}: holds characters that no key has")
            secret = Secret(key, KEY_VARIABLE)
            keep_out_of_logs(secret)
            self._headers |= secret.headers()
        self._free: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()

    def ask(self, question: bytes) -> bytes:
        """The answer, as it came. Raises `ServiceError` if there is none in time."""
        until = time.monotonic() + self._seconds
        while True:
            connection, is_fresh = self._taken()
            try:
                answer = self._exchanged(connection, question, until)
            except TimeoutError:
                connection.close()
                raise ServiceError(f"{self.address} did not answer within {self._seconds:g} s") from None
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                if is_fresh:
                    raise ServiceError(f"{self.address} cannot be reached ({_reason(error)})") from None
            else:
                return answer

    def close(self) -> None:
        """Close the connections that are free."""
        with self._lock:
            free, self._free = self._free, []
        for connection in free:
            connection.close()

    def _taken(self) -> tuple[http.client.HTTPConnection, bool]:
        """A connection, and whether it is new: the shard may have closed one that was used before."""
        with self._lock:
            if self._free:
                return self._free.pop(), False
        if self._secure:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(self._host, self._port, timeout=self._seconds, context=context), True
        return http.client.HTTPConnection(self._host, self._port, timeout=self._seconds), True

    def _exchanged(self, connection: http.client.HTTPConnection, question: bytes, until: float) -> bytes:
        _wait_until(connection, until)
        connection.request("POST", self._path, question, self._headers)
        _wait_until(connection, until)
        response = connection.getresponse()
        parts: list[bytes] = []
        size = 0
        while piece := response.read1(_PIECE):
            parts.append(piece)
            size += len(piece)
            if size > MOST_BYTES:
                connection.close()
                raise ServiceError(f"{self.address} answered more than {MOST_BYTES:,} bytes")
            _wait_until(connection, until)
        if response.will_close:
            connection.close()
        else:
            self._give_back(connection)
        if response.headers.get_content_type() != MEDIA_TYPE:
            raise ServiceError(f"{self.address} {_refusal(response.status)}")
        return b"".join(parts)

    def _give_back(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            if len(self._free) < _KEPT:
                self._free.append(connection)
                return
        connection.close()


def _parts(url: str) -> tuple[bool, str, int | None, str]:
    with contextlib.suppress(ValueError):
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and not (parts.query or parts.username):
            return parts.scheme == "https", parts.hostname, parts.port, f"{parts.path.rstrip('/')}{PATH}"
    raise ConfigError(
        f"--shards {shown(url)}: give addresses such as http://10.0.0.1:8000, with commas between them"
    )


def _wait_until(connection: http.client.HTTPConnection, until: float) -> None:
    """Let the connection wait no longer than that. Raises `TimeoutError`."""
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    connection.timeout = left
    if connection.sock is not None:
        connection.sock.settimeout(left)


def _refusal(status: int) -> str:
    if status in (401, 403):
        return f"refuses the key of this front (HTTP {status}); give it in {KEY_VARIABLE}"
    if status in (404, 405):
        return f"is no shard (HTTP {status}); start it with `pipeline serve --shard i/n`"
    if status in (429, 503, 504):
        return f"has too much to do (HTTP {status})"
    return f"answers what no shard does (HTTP {status})"


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__

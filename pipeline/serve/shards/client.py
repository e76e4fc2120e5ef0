"""The way from a front to a shard: questions over HTTP, within a time, on connections that are kept."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from http.client import HTTPException
from urllib.parse import urlsplit

from pipeline.arguments import shown
from pipeline.errors import ConfigError, ServiceError
from pipeline.forking import PerProcess
from pipeline.models.endpoint.token import Secret, keep_out_of_logs
from pipeline.serve.shards.address import MEDIA_TYPE, PATH
from pipeline.serve.shards.connection import Connection, Place, TooLargeError

KEY_VARIABLE = "HYBRID_PIPELINE_API_KEY"
MOST_BYTES = 256 << 20
_KEPT = 32
_AT_ONCE = 1 << 15
"""A question up to this size fits into the buffers of a connection, whether or not the shard reads just now."""
_GRACE = 0.5


class HttpShard:
    """A shard at an address. For any number of threads."""

    def __init__(self, url: str, seconds: float, key: str | None = None) -> None:
        """`seconds`: how long an answer may take. `key`: of the shard's. Raises `ConfigError`."""
        self._place = place_of(url)
        self.address = url.rstrip("/")
        self._seconds = seconds
        headers = {"Content-Type": MEDIA_TYPE, "Accept": MEDIA_TYPE}
        if key:
            if not (key.isascii() and key.isprintable()) or " " in key:
                raise ConfigError(f"{KEY_VARIABLE}: holds characters that no key has")
            secret = Secret(key, KEY_VARIABLE)
            keep_out_of_logs(secret)
            headers |= secret.headers()
        self._head = self._place.head("POST", headers)
        self._free = PerProcess[list[Connection]](list)

    def ask(self, question: bytes) -> bytes:
        """The answer, as it came. Raises `ServiceError` if there is none in time."""
        return self._asked(question, time.monotonic() + self._seconds)

    def begin(self, question: bytes) -> Callable[[], bytes] | None:
        """Send a question, and return what waits for the answer as `ask` does, so that one thread asks all shards.

        `None`: nothing was sent, as it would have to wait, be it to connect or for the other side to read.
        """
        if len(question) > _AT_ONCE or (connection := self._taken()) is None:
            return None
        until = time.monotonic() + self._seconds
        try:
            connection.send(self._head, question, until)
        except OSError:
            connection.close()
            return None

        def finish() -> bytes:
            # Others may have been waited for until now, and the answer lie here meanwhile.
            last = max(until, time.monotonic() + _GRACE)
            answer = self._received(connection, last, is_fresh=False)
            return self._asked(question, last) if answer is None else answer

        return finish

    def close(self) -> None:
        """Close the connections that are free."""
        while (connection := self._taken()) is not None:
            connection.close()

    def _asked(self, question: bytes, until: float) -> bytes:
        while True:
            connection, is_fresh = self._taken(), False
            try:
                if connection is None:
                    connection, is_fresh = Connection(self._place, until), True
                connection.send(self._head, question, until)
            except OSError as error:
                if connection is not None:
                    connection.close()
                if isinstance(error, TimeoutError):
                    raise self._late() from None
                if is_fresh or connection is None:
                    raise self._unreachable(error) from None
                continue
            answer = self._received(connection, until, is_fresh)
            if answer is not None:
                return answer

    def _received(self, connection: Connection, until: float, is_fresh: bool) -> bytes | None:
        """The answer; `None` where a connection that was kept has been closed meanwhile. Raises `ServiceError`."""
        try:
            answer = connection.receive(MOST_BYTES, until)
        except TimeoutError:
            connection.close()
            raise self._late() from None
        except TooLargeError:
            connection.close()
            raise ServiceError(f"{self.address} answered more than {MOST_BYTES:,} bytes") from None
        except (OSError, HTTPException) as error:
            connection.close()
            if is_fresh:
                raise self._unreachable(error) from None
            return None
        if answer.is_last:
            connection.close()
        else:
            self._give_back(connection)
        if answer.media_type != MEDIA_TYPE:
            raise ServiceError(f"{self.address} {_refusal(answer.status)}")
        return answer.body

    def _taken(self) -> Connection | None:
        """A connection that was used before, if there is one; the shard may have closed it."""
        try:
            return self._free.get().pop()
        except IndexError:
            return None

    def _give_back(self, connection: Connection) -> None:
        free = self._free.get()
        if len(free) < _KEPT:
            free.append(connection)
        else:
            connection.close()

    def _late(self) -> ServiceError:
        return ServiceError(f"{self.address} did not answer within {self._seconds:g} s")

    def _unreachable(self, error: Exception) -> ServiceError:
        return ServiceError(f"{self.address} cannot be reached ({_reason(error)})")


def place_of(url: str) -> Place:
    """Where a shard is that has this address. Raises `ConfigError`."""
    with contextlib.suppress(ValueError):
        parts = urlsplit(url)
        is_plain = url.isascii() and url.isprintable() and " " not in url and not (parts.query or parts.username)
        if parts.scheme in ("http", "https") and parts.hostname and is_plain:
            secure, path = parts.scheme == "https", f"{parts.path.rstrip('/')}{PATH}"
            return Place(secure, parts.hostname, parts.port or (443 if secure else 80), parts.netloc, path)
    raise ConfigError(
        f"--shards {shown(url)}: give addresses such as http://10.0.0.1:8000, with commas between them"
    )


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

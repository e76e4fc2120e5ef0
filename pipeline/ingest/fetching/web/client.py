"""Requests for pages: paced, bounded in size, time and redirects, and tried again where that may help."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from urllib.parse import urljoin

import httpx2

from pipeline.ingest.fetching.web.addresses import normalised, origin
from pipeline.ingest.fetching.web.pace import Pace
from pipeline.ingest.formats.decoding import UnreadableError
from pipeline.models.endpoint.http import (
    CONNECT_SECONDS,
    FIRST_WAIT_SECONDS,
    TRANSIENT_STATUSES,
    may_pass,
    retry_after_seconds,
    tls_context,
)

MOST_REDIRECTS = 5
MOST_FAILURES = 5
"""A host that fails for so many pages in a row is not asked for the others."""
REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CODINGS = frozenset({"", "identity", "gzip", "x-gzip", "deflate"})
"""What is unpacked, as it cannot grow to more than a thousand times its size from one block to the next."""

_STOPPED = "not asked for, as the build was interrupted"

Permit = Callable[[str], object]
"""Raises `UnreadableError` for an address that may not be asked for."""


@dataclass(frozen=True, slots=True)
class Manners:
    """How hosts are asked. `attempts`: for one request; `max_wait_seconds`: between two of them."""

    user_agent: str
    requests_per_second: float = 1.0
    timeout_seconds: float = 60.0
    attempts: int = 4
    max_wait_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server said in the end, and at which address. `body`: empty unless the status is 200."""

    address: str
    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Broken:
    """No answer that counts: why, whether another attempt may help, and how long the server asks to wait."""

    problem: str
    is_transient: bool
    asked_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request. `conditions`: headers for the address that they are of; `limit`: of the body, in bytes.

    `is_cut`: a longer body is cut off there, and not refused. `check`: raises `UnreadableError` for an answer whose
    body is not worth reading.
    """

    address: str
    limit: int
    conditions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    is_cut: bool = False
    check: Callable[[str, Mapping[str, str]], object] = lambda address, headers: None


class Client:
    """Asks for pages; threads may share it, and each host gets one request at a time. Close it, or use it as a
    context. When it is closed, threads that wait for their turn or for an answer stop as soon as they can.
    """

    def __init__(
        self,
        manners: Manners,
        sleep: Callable[[float], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._closed = threading.Event()
        self._manners, self._sleep = manners, sleep or self._closed.wait
        self.pace = Pace(manners.requests_per_second, self._sleep, clock)
        self._random = random.Random()
        self._turns: dict[str, threading.Lock] = {}
        """Whoever holds a host's may ask it."""
        self._failures: Counter[str] = Counter()
        self._given_up: dict[str, str] = {}
        seconds = manners.timeout_seconds
        self._client = httpx2.Client(
            headers={"User-Agent": manners.user_agent, "Accept-Encoding": "gzip, deflate"},
            timeout=httpx2.Timeout(seconds, connect=min(CONNECT_SECONDS, seconds)),
            follow_redirects=False,
            verify=tls_context(),
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._closed.set()
        self._client.close()

    def get(self, wanted: Wanted, permit: Permit = lambda address: None) -> Reply:
        """The answer, redirects followed as far as `permit` allows. Raises `UnreadableError` if there is none."""
        address, seen = wanted.address, [wanted.address]
        while True:
            permit(address)
            reply = self._answered(address, wanted)
            location = reply.headers.get("location", "")
            if reply.status not in REDIRECTS or not location:
                return reply
            address = _target(address, location)
            if address in seen:
                raise UnreadableError(f"redirects in a circle, back to {address}")
            if len(seen) > MOST_REDIRECTS:
                raise UnreadableError(f"redirects more than {MOST_REDIRECTS} times, last to {address}")
            seen.append(address)

    def _answered(self, address: str, wanted: Wanted) -> Reply:
        host = origin(address)
        with self._turns.setdefault(host, threading.Lock()):
            return self._answer_of(host, address, wanted)

    def _answer_of(self, host: str, address: str, wanted: Wanted) -> Reply:
        if host in self._given_up:
            raise UnreadableError(self._given_up[host])
        for attempt in range(1, self._manners.attempts + 1):
            self.pace.wait(host)
            if self._closed.is_set():
                raise UnreadableError(_STOPPED)
            outcome = self._attempt(address, wanted)
            if isinstance(outcome, Reply):
                del self._failures[host]
                return outcome
            asked = outcome.asked_seconds or 0.0
            if asked > self._manners.max_wait_seconds:
                self._given_up[host] = f"{outcome.problem}: {host} asks to come back in {asked:.0f} s"
                raise UnreadableError(self._given_up[host])
            if not outcome.is_transient or attempt == self._manners.attempts:
                raise self._failure(host, outcome, attempt)
            backoff = FIRST_WAIT_SECONDS * 2.0 ** (attempt - 1) * self._random.uniform(0.5, 1.0)
            self._sleep(min(self._manners.max_wait_seconds, max(backoff, asked)))
        raise AssertionError("unreachable: the last attempt answers or raises")

    def _failure(self, host: str, broken: _Broken, attempts: int) -> UnreadableError:
        """The error for an address that was not had; counts against its host."""
        self._failures[host] += 1
        if self._failures[host] >= MOST_FAILURES:
            self._given_up[host] = f"not asked for, as {host} failed {MOST_FAILURES} times in a row"
        return UnreadableError(broken.problem + (f", after {attempts} attempts" if attempts > 1 else ""))

    def _attempt(self, address: str, wanted: Wanted) -> Reply | _Broken:
        deadline = time.monotonic() + self._manners.timeout_seconds
        headers = dict(wanted.conditions.get(address, {}))
        try:
            with self._client.stream("GET", address, headers=headers) as response:
                status, said = response.status_code, {k.lower(): v for k, v in response.headers.items()}
                if status in TRANSIENT_STATUSES:
                    asked = retry_after_seconds(said.get("retry-after"), datetime.now(UTC))
                    return _Broken(f"answers with status {status}", True, asked)
                if status != 200:
                    return Reply(address, status, said, b"")
                wanted.check(address, said)
                body = bytearray()
                if said.get("content-encoding", "").strip().lower() not in _CODINGS:
                    return _Broken(f"is packed as {said['content-encoding']}, which was not asked for", False)
                for block in response.iter_bytes():
                    if self._closed.is_set():
                        raise UnreadableError(_STOPPED)
                    body += block
                    if len(body) > wanted.limit:
                        if wanted.is_cut:
                            break
                        raise UnreadableError(
                            f"is more than {wanted.limit / 1e6:g} MB; raise ingest.max_document_mb, or take it out"
                        )
                    if time.monotonic() > deadline:
                        return _Broken(self._timed_out(), True)
                return Reply(address, status, said, bytes(body[: wanted.limit]))
        except httpx2.TimeoutException:
            return _Broken(self._timed_out(), True)
        except (httpx2.NetworkError, httpx2.RemoteProtocolError) as error:
            return _Broken(f"the connection failed ({_line(error)})", may_pass(error))
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            return _Broken(f"the request failed ({_line(error)})", False)

    def _timed_out(self) -> str:
        return f"timed out after {self._manners.timeout_seconds:g} s"


def _target(address: str, location: str) -> str:
    try:
        return normalised(urljoin(address, location))
    except ValueError as error:
        raise UnreadableError(f"redirects to {location[:200]}, which {error}") from None


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__

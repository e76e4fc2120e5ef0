"""One JSON request to a server: bounded attempts, polite waits, and errors that never hold the token."""

from __future__ import annotations

import email.utils
import json
import logging
import math
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache

import httpx2

from pipeline.errors import EncoderError
from pipeline.models.endpoint.settings import EndpointSettings
from pipeline.models.endpoint.token import find_token, keep_out_of_logs

logger = logging.getLogger(__name__)

Sleep = Callable[[float], object]

TRANSIENT_STATUSES = frozenset({429, 502, 503, 504})
FIRST_WAIT_SECONDS = 0.5
LONG_WAIT_SECONDS = 10.0
"""A wait from here on is told: a build that stands still looks like one that hangs."""
CONNECT_SECONDS = 10.0
MAX_ANSWER_BYTES = 256 * 1024 * 1024
MESSAGE_CHARACTERS = 200


class PayloadTooLargeError(EncoderError):
    """The server answered 413: the request must be cut into smaller ones."""


class StoppedError(EncoderError):
    """Another request of the same call failed, so this one was not sent (again)."""


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Broken:
    """No reply: what happened, and whether another attempt may go better."""

    problem: str
    is_transient: bool


class JsonClient:
    """Sends JSON, gives JSON back; safe to share between threads. Redirects are not followed."""

    def __init__(self, settings: EndpointSettings, sleep: Sleep | None = None) -> None:
        self._settings = settings
        self._sleep = sleep
        self._random = random.Random()
        self._secret = find_token(settings)
        if self._secret:
            keep_out_of_logs(self._secret)
            if settings.is_unencrypted:
                logger.warning("%s: the token of %s goes out unencrypted", settings.base_url, self._secret.variable)
        self._client = httpx2.Client(
            headers={"Accept": "application/json", **(self._secret.headers() if self._secret else {})},
            timeout=httpx2.Timeout(
                settings.timeout_seconds, connect=min(CONNECT_SECONDS, settings.timeout_seconds)
            ),
            limits=httpx2.Limits(max_connections=settings.concurrency),
            follow_redirects=False,
            verify=tls_context(),
        )

    def post(self, url: str, payload: object, stop: threading.Event) -> object:
        """The answer to a payload. Raises `PayloadTooLargeError`, `StoppedError` or a final `EncoderError`."""
        reply = self._send("POST", url, json.dumps(payload, ensure_ascii=False).encode(), stop)
        if reply.status != 200:
            raise self._refusal(url, reply)
        return self._parsed(url, reply)

    def get_if_found(self, url: str, stop: threading.Event) -> object | None:
        """The answer, or `None` where the server has nothing at that URL."""
        reply = self._send("GET", url, None, stop)
        if reply.status in (404, 405, 501):
            return None
        if reply.status != 200:
            raise self._refusal(url, reply)
        return self._parsed(url, reply)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _send(self, method: str, url: str, body: bytes | None, stop: threading.Event) -> _Reply:
        attempts, key = self._settings.attempts, self._settings.key
        for attempt in range(1, attempts + 1):
            if stop.is_set():
                raise StoppedError(f"{url}: stopped, because another request failed")
            outcome = self._attempt(method, url, body)
            if isinstance(outcome, _Reply):
                if outcome.status not in TRANSIENT_STATUSES:
                    return outcome
                problem = self._described(outcome)
                asked = retry_after_seconds(outcome.headers.get("retry-after"), datetime.now(UTC))
            elif outcome.is_transient:
                problem, asked = outcome.problem, None
            else:
                raise EncoderError(f"{url}: {outcome.problem}; check {key('url')}")
            if attempt < attempts:
                self._wait(url, problem, attempt, asked, stop)
        raise EncoderError(
            f"{url}: {problem}, after {attempts} attempts; see whether the service is up, lower "
            f"{key('concurrency')}, or raise {key('timeout_seconds')} or attempts"
        )

    def _attempt(self, method: str, url: str, body: bytes | None) -> _Reply | _Broken:
        # Foreign exceptions end here: they hold the request, and the request holds the token.
        deadline = time.monotonic() + self._settings.timeout_seconds
        headers = {"Content-Type": "application/json"} if body is not None else {}
        try:
            with self._client.stream(method, url, content=body, headers=headers) as response:
                chunks: list[bytes] = []
                size = 0
                for chunk in response.iter_bytes():
                    chunks.append(chunk)
                    size += len(chunk)
                    if size > MAX_ANSWER_BYTES:
                        return _Broken(f"the answer is larger than {MAX_ANSWER_BYTES:,} bytes", False)
                    if time.monotonic() > deadline:
                        return _Broken(self._timed_out(), True)
                return _Reply(response.status_code, dict(response.headers), b"".join(chunks))
        except httpx2.TimeoutException:
            return _Broken(self._timed_out(), True)
        except (httpx2.NetworkError, httpx2.RemoteProtocolError) as error:
            return _Broken(self._clean(f"the connection failed ({error or type(error).__name__})"), may_pass(error))
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            return _Broken(self._clean(f"the request failed ({error or type(error).__name__})"), False)

    def _timed_out(self) -> str:
        return f"timed out after {self._settings.timeout_seconds:g} s"

    def _wait(self, url: str, problem: str, attempt: int, asked: float | None, stop: threading.Event) -> None:
        backoff: float = FIRST_WAIT_SECONDS * 2 ** (attempt - 1) * self._random.uniform(0.5, 1.0)
        seconds = min(self._settings.max_wait_seconds, max(backoff, asked or 0.0))
        level = logging.WARNING if seconds >= LONG_WAIT_SECONDS else logging.INFO
        logger.log(level, "%s: %s; attempt %d in %.1f s", url, problem, attempt + 1, seconds)
        (self._sleep or stop.wait)(seconds)

    def _refusal(self, url: str, reply: _Reply) -> EncoderError:
        status, key = reply.status, self._settings.key
        variables = " or ".join(self._settings.token_variables)
        if status in (401, 403) and self._secret:
            return EncoderError(
                f"{url}: token rejected ({status}); {self._secret.variable} must hold a valid token that may use "
                f"{self._settings.model}"
            )
        if status in (401, 403):
            cure = f"set {variables}" if variables else f"name the token's variable in {key('token_variable')}"
            return EncoderError(f"{url}: a token is needed ({status}) and none was sent; {cure}")
        described = self._described(reply)
        if status == 413:
            return PayloadTooLargeError(f"{url}: {described}")
        if 300 <= status < 400:
            target = reply.headers.get("location", "").split("?")[0].split("#")[0].rpartition("@")[2]
            return EncoderError(
                f"{url}: {status}, a redirect to {self._clean(target) or 'nowhere'}, is not followed; "
                f"put the final address in {key('url')}"
            )
        if status == 404:
            return EncoderError(
                f"{url}: {described}; check {key('url')} and that {self._settings.model} is offered there"
            )
        return EncoderError(
            f"{url}: {described}; if the request is too big for the service, lower {key('batch_texts')} or "
            "batch_tokens, or make chunks smaller"
        )

    def _described(self, reply: _Reply) -> str:
        message = self._clean(_server_message(reply.body))
        return f"status {reply.status}" + (f" ({message})" if message else "")

    def _clean(self, text: str) -> str:
        line = " ".join((self._secret.blot(text) if self._secret else text).split())
        return line if len(line) <= MESSAGE_CHARACTERS else line[: MESSAGE_CHARACTERS - 1] + "…"

    def _parsed(self, url: str, reply: _Reply) -> object:
        try:
            answer = json.loads(reply.body)
            return self._secret.blot_answer(answer) if self._secret else answer
        except (ValueError, RecursionError):
            kind = self._clean(reply.headers.get("content-type", "of no content type"))
        raise EncoderError(
            f"{url}: the answer is not JSON but {kind}; check {self._settings.key('url')} and protocol"
        )


@cache
def tls_context() -> ssl.SSLContext:
    """The one context of all clients, with the certificates that are trusted."""
    return httpx2.create_ssl_context()  # tens of milliseconds: reads all certificates that are trusted


def retry_after_seconds(value: str | None, now: datetime) -> float | None:
    """Seconds from `now` that a `Retry-After` header asks to wait; `None` if there is none or it makes no sense."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            moment = email.utils.parsedate_to_datetime(value)
        except (ValueError, TypeError, OverflowError):
            return None
        seconds = ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now).total_seconds()
    return max(0.0, seconds) if not math.isnan(seconds) else None


def _server_message(body: bytes) -> str:
    """The server's own words, where they stand in one of the usual places."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    for _ in range(2):
        if not isinstance(answer, dict):
            break
        answer = next((answer[key] for key in ("error", "message", "detail") if key in answer), "")
    return answer if isinstance(answer, str) else ""


def may_pass(error: BaseException) -> bool:
    """Whether trying again can help: neither for a bad certificate nor for a host that does not exist."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return False
        if isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_NONAME:
            return False
        cause = cause.__cause__ or cause.__context__
    return True

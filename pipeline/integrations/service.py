"""A client of the search service: bounded attempts, and answers as the records that an open index gives."""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import logging
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx2

from pipeline.arguments import shown
from pipeline.config import FusionSettings
from pipeline.errors import ConfigError, QueryError, ServiceError
from pipeline.integrations.parameters import SearchParameters
from pipeline.models.endpoint.http import retry_after_seconds
from pipeline.models.endpoint.token import Secret, keep_out_of_logs
from pipeline.query.access import WantedGroups
from pipeline.records import BoostFactor, Highlight, Hit, LegScore, MergedSection, TokenMatch

KEY_VARIABLE = "HYBRID_PIPELINE_API_KEY"
ATTEMPTS = 3
FIRST_WAIT_SECONDS = 0.2
LONGEST_WAIT_SECONDS = 5.0
CONNECT_SECONDS = 5.0
_BUSY = frozenset({429, 502, 503, 504})
_LONGEST = 300

R = TypeVar("R")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """Which service is asked, and how. `index`: one of its indexes by name; `None`: its first.

    `api_key`: by default what the environment variable `HYBRID_PIPELINE_API_KEY` holds. `headers` go with every
    request. `seconds`: how long an answer may take.
    """

    url: str
    index: str | None = None
    api_key: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] | None = field(default=None, repr=False)
    seconds: float = 60.0

    def __post_init__(self) -> None:
        """Raises `ConfigError` for what is no address; it is not quoted, as it may hold a password."""
        try:
            parts = urlsplit(self.url)
            right = (
                parts.scheme in ("http", "https") and bool(parts.hostname) and not (parts.query or parts.username)
            )
        except (ValueError, AttributeError, TypeError):
            right = False
        if not right:
            raise ConfigError("url: give the service's address, as in http://127.0.0.1:8000")
        if self.headers is not None and not _are_headers(self.headers):
            raise ConfigError("headers: give a mapping of names to values, both one line of text in ASCII")
        if self.index is not None and not isinstance(self.index, str):
            raise ConfigError(
                f"index={shown(self.index)}: beside url=, give the name of one of the service's indexes"
            )

    @property
    def secret(self) -> Secret | None:
        """The key, in a form that shows in no message."""
        key = self.api_key or os.environ.get(KEY_VARIABLE, "").strip()
        if not key:
            return None
        if not re.fullmatch(r"[!-~]+", key):
            raise ConfigError(f"api_key (or {KEY_VARIABLE}): holds characters that no key has")
        return Secret(key, "api_key")


@dataclass(frozen=True, slots=True)
class _Later:
    """Why there is no answer yet, and how many seconds the service asks to wait."""

    problem: str
    seconds: float


def refuse_groups(groups: WantedGroups) -> None:
    """Raise `ConfigError` for groups of a reader: whose documents a service finds, its keys say."""
    if groups is not None:
        raise ConfigError("groups= is for an index: a service finds the documents of the groups of its api_key=")


class ServiceSource:
    """A running service. For any number of threads, which share its connections."""

    def __init__(self, settings: ServiceSettings, sleep: Callable[[float], object] = time.sleep) -> None:
        self._settings, self._sleep = settings, sleep
        self._url = settings.url.rstrip("/")
        self._secret = settings.secret
        if self._secret is not None:
            keep_out_of_logs(self._secret)
            if _is_readable_underway(self._url):
                logger.warning("%s: the API key goes out unencrypted", self._url)
        self._client = httpx2.Client(
            headers={
                "Accept": "application/json",
                **(settings.headers or {}),
                **(self._secret.headers() if self._secret else {}),
            },
            timeout=httpx2.Timeout(settings.seconds, connect=min(CONNECT_SECONDS, settings.seconds)),
            follow_redirects=False,
        )

    def search(self, query: str, parameters: SearchParameters) -> list[Hit]:
        """The hits of one query. Raises `QueryError`, `ServiceError`."""
        refuse_groups(parameters.groups)
        body = {"query": query, **_search_body(parameters)}
        if self._settings.index is not None:
            body["index"] = self._settings.index
        answer = self._post("/v1/search", body)
        try:
            if answer.get("partial"):
                shards = ", ".join(map(str, answer.get("missing_shards", [])))
                logger.warning("%s: hits are of a part of the index; these shards failed: %s", self._url, shards)
            (result,) = answer["results"]
            return [_hit(found) for found in result["hits"]]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise self._strange("/v1/search", error) from None

    def refresh(self) -> None:
        """Nothing is to be done: a service moves on by itself."""

    def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        data = json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")
        for attempt in range(1, ATTEMPTS + 1):
            outcome = self._attempt(path, data)
            if isinstance(outcome, _Later):
                if attempt < ATTEMPTS:
                    backoff = FIRST_WAIT_SECONDS * 2.0 ** (attempt - 1)
                    self._sleep(min(LONGEST_WAIT_SECONDS, max(outcome.seconds, backoff)))
                continue
            if outcome.status_code != 200:
                raise self._refusal(path, outcome)
            try:
                return outcome.json()
            except (ValueError, RecursionError) as error:
                raise self._strange(path, error) from None
        assert isinstance(outcome, _Later)
        raise ServiceError(
            f"{self._url}{path}: {outcome.problem}, after {ATTEMPTS} attempts; see whether `pipeline serve` runs "
            "there"
        )

    def _attempt(self, path: str, data: bytes) -> httpx2.Response | _Later:
        # Foreign exceptions end here: they hold the request, and the request holds the key.
        headers = {"Content-Type": "application/json"}
        try:
            reply = self._client.post(f"{self._url}{path}", content=data, headers=headers)
        except (httpx2.TimeoutException, httpx2.NetworkError, httpx2.RemoteProtocolError) as error:
            return _Later(self._clean(f"no answer ({error or type(error).__name__})"), 0.0)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            problem = self._clean(f"the request failed ({error or type(error).__name__})")
        else:
            if reply.status_code not in _BUSY:
                return reply
            wait = retry_after_seconds(reply.headers.get("retry-after"), datetime.now(UTC))
            return _Later(self._described(reply), wait or 0.0)
        raise ServiceError(f"{self._url}{path}: {problem}; check url")

    def _refusal(self, path: str, reply: httpx2.Response) -> ServiceError | QueryError:
        described = self._described(reply)
        if reply.status_code in (400, 404, 413, 422):
            return QueryError(f"{self._url}{path}: {described}")
        if reply.status_code in (401, 403):
            cure = "give another api_key" if self._secret else f"give api_key, or set {KEY_VARIABLE}"
            return ServiceError(f"{self._url}{path}: {described}; {cure}")
        return ServiceError(f"{self._url}{path}: {described}; check url")

    def _described(self, reply: httpx2.Response) -> str:
        try:
            detail = reply.json()["detail"]
        except (ValueError, KeyError, TypeError, RecursionError):
            detail = None
        return f"status {reply.status_code}" + (f": {self._clean(detail)}" if isinstance(detail, str) else "")

    def _strange(self, path: str, error: Exception) -> ServiceError:
        return ServiceError(
            f"{self._url}{path}: the answer is not that of a search service "
            f"({type(error).__name__}: {self._clean(str(error))}); check url, and the version of the service"
        )

    def _clean(self, message: str) -> str:
        line = " ".join((self._secret.blot(message) if self._secret else message).split())
        return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def _search_body(parameters: SearchParameters) -> dict[str, Any]:
    """What the service calls the arguments of a search. Raises `QueryError` for what it does not take."""
    body = parameters.said()
    if "where" in body:
        body["filter"] = body.pop("where")
    if not isinstance(body.get("rerank", ""), str):
        raise QueryError(
            f"rerank={shown(parameters.rerank)}: a service takes the name of a reranker, its configuration the rest"
        )
    if isinstance(body.get("fusion"), FusionSettings):
        body["fusion"] = body["fusion"].model_dump(mode="json", exclude_unset=True)
    if "boosts" in body:
        body["boosts"] = [one if isinstance(one, str) else one.text for one in body["boosts"]]
    if "now" in body:
        body["now"] = body["now"].isoformat()
    return body


def _hit(found: Mapping[str, Any]) -> Hit:
    hit = _record(Hit, found)
    return dataclasses.replace(
        hit,
        headings=tuple(hit.headings),
        legs={name: _record(LegScore, leg) for name, leg in found["legs"].items()},
        matches=tuple(_record(TokenMatch, match) for match in found.get("matches", ())),
        highlight=_highlight(found.get("highlight")),
        section=_section(found.get("section")),
        boosts=tuple(_record(BoostFactor, boost) for boost in found.get("boosts", ())),
    )


def _section(found: Mapping[str, Any] | None) -> MergedSection | None:
    if found is None:
        return None
    section = _record(MergedSection, found)
    start, end = section.best
    return dataclasses.replace(section, best=(start, end))


def _highlight(found: Mapping[str, Any] | None) -> Highlight | None:
    if found is None:
        return None
    record = _record(Highlight, found)
    spans, marks = (tuple((start, end) for start, end in places) for places in (record.spans, record.marks))
    return dataclasses.replace(record, spans=spans, marks=marks)


def _record(kind: type[R], found: Mapping[str, Any]) -> R:
    """A record of the fields that it has; a later service may send more."""
    names = [one.name for one in dataclasses.fields(kind)]  # type: ignore[arg-type]
    return kind(**{name: found[name] for name in names if name in found})


def _are_headers(headers: object) -> bool:
    return isinstance(headers, Mapping) and all(
        isinstance(name, str)
        and isinstance(value, str)
        and re.fullmatch(r"[!-9;-~]+", name)
        and re.fullmatch(r"[ -~\t]*", value)
        for name, value in headers.items()
    )


def _is_readable_underway(url: str) -> bool:
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname == "localhost":
        return False
    try:
        return not ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return True

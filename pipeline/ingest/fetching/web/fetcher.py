"""The pages that a list of addresses names, each in the mirror as it was when it last changed."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import urljoin

from pipeline.config import SourceSettings
from pipeline.errors import SourceError
from pipeline.ingest.fetching.contract import Fetching
from pipeline.ingest.fetching.kept import Kept
from pipeline.ingest.fetching.web import lists
from pipeline.ingest.fetching.web.addresses import normalised
from pipeline.ingest.fetching.web.client import Client, Manners, Reply, Wanted
from pipeline.ingest.fetching.web.media import as_lines, as_utf8, suffix_of
from pipeline.ingest.fetching.web.robots import Robots
from pipeline.ingest.fetching.web.turns import Outcome, answers
from pipeline.ingest.formats.decoding import UnreadableError
from pipeline.ingest.formats.lines import max_bytes
from pipeline.ingest.sources import FetchedFile, compile_glob, describe_os_error

log = logging.getLogger(__name__)

GONE = frozenset({404, 410})
REQUESTS_PER_SECOND = 1.0
TIMEOUT_SECONDS = 60.0
_NOW = timedelta(minutes=1)
"""A server that says a page was changed less than this before its answer was made says so of every answer."""
_SHOWN = 3


def fetch_urls(fetching: Fetching) -> Iterator[FetchedFile]:
    """The pages that the source names, in its order. A page that cannot be had now is told, and its last version
    stays; one that the server says is gone is left out."""
    source = fetching.source
    manners = Manners(
        source.user_agent or default_agent(),
        source.requests_per_second or REQUESTS_PER_SECOND,
        source.timeout_seconds or TIMEOUT_SECONDS,
    )
    with Client(manners) as client:
        pages = _Pages(fetching, client, Robots(client, manners.user_agent))
        yield from pages.fetched(_wanted(_listed(fetching, client), source))


def default_agent() -> str:
    """What servers are told who asks."""
    try:
        return f"hybrid-pipeline/{version('hybrid-pipeline')}"
    except PackageNotFoundError:
        return "hybrid-pipeline"


def _listed(fetching: Fetching, client: Client) -> list[str]:
    """The addresses as the source has them. Raises `SourceError`."""
    place = fetching.source.urls
    if isinstance(place, list):
        return place
    assert place is not None
    is_file = "://" not in place

    def load(one: str) -> bytes:
        if is_file and one == place:  # a list that is fetched names no files of this machine
            return _read(fetching, one)
        return _list_at(client, one if is_file else urljoin(place, one))

    found = lists.addresses(place, load)
    return found if is_file else [urljoin(place, one) for one in found]


def _read(fetching: Fetching, place: str) -> bytes:
    try:
        with (fetching.base / place).open("rb") as file:
            data = file.read(lists.MOST_BYTES + 1)
    except OSError as error:
        raise UnreadableError(describe_os_error(error)) from None
    if len(data) > lists.MOST_BYTES:
        raise UnreadableError(f"is more than {lists.MOST_BYTES / 1e6:.0f} MB")
    return data


def _list_at(client: Client, address: str) -> bytes:
    try:
        reply = client.get(Wanted(normalised(address), lists.MOST_BYTES))
    except ValueError as error:
        raise UnreadableError(str(error)) from None
    if reply.status != 200:
        raise UnreadableError(f"answers with status {reply.status}")
    return reply.body


def _wanted(written: list[str], source: SourceSettings) -> list[tuple[str, str | None]]:
    """Each address once, in its one form, and why it is none, if so. Raises `SourceError` if none is wanted."""
    include = [compile_glob(pattern) for pattern in source.include]
    exclude = [compile_glob(pattern) for pattern in source.exclude]
    found: dict[str, str | None] = {}
    for one in written:
        try:
            address, problem = normalised(one), None
        except ValueError as error:
            address, problem = "".join(char if char.isprintable() else "\ufffd" for char in one), str(error)
        shown = address.partition("://")[2] or address
        if (not include or any(glob.match(shown) for glob in include)) and not any(
            glob.match(shown) for glob in exclude
        ):
            found.setdefault(address, problem)
    if not found:
        raise SourceError(
            f"{source.label}: no address matches `include` and `exclude`, which are compared with the address "
            "without https://, such as `example.org/docs/**`; correct them"
        )
    return list(found.items())


class _Pages:
    """What is done with each page of one source."""

    def __init__(self, fetching: Fetching, client: Client, robots: Robots) -> None:
        self._fetching, self._client, self._robots = fetching, client, robots
        self._mirror, self._kept = fetching.mirror, Kept(fetching.mirror)
        self._asked: dict[str, Mapping[str, Any] | None] = {}
        """What is known of the pages that are asked for now."""

    def fetched(self, wanted: list[tuple[str, str | None]]) -> Iterator[FetchedFile]:
        """The pages that are to be read."""
        found = {
            number: self._rejected(address, problem)
            for number, (address, problem) in enumerate(wanted)
            if problem is not None
        }
        pages = {number: address for number, (address, problem) in enumerate(wanted) if problem is None}
        gone: list[int] = []
        try:
            self._fetching.update(len(found))
            with closing(answers(self._client, pages, self._wanted, self._robots.permit)) as coming:
                for number, outcome in coming:
                    file = self._page(pages[number], outcome)
                    if file is None:
                        gone.append(number)
                    else:
                        found[number] = file
                    self._fetching.update(1)
        except BaseException:
            self._kept.save(with_the_rest=True)  # what was fetched until here need not be fetched again
            raise
        self._kept.save()
        if gone:
            self._tell_gone([pages[number] for number in sorted(gone)])
        for number in range(len(wanted)):
            if number in found:
                yield found[number]

    def _tell_gone(self, gone: list[str]) -> None:
        more = f" and {len(gone) - _SHOWN} more" if len(gone) > _SHOWN else ""
        log.warning(
            "%s: gone, as the server says (404 or 410): %s%s; take them out of the list",
            self._fetching.source.label,
            ", ".join(gone[:_SHOWN]),
            more,
        )

    def _wanted(self, address: str) -> Wanted:
        known = self._asked[address] = self._kept.facts(address)
        return Wanted(address, max_bytes(self._fetching.settings), _conditions(known), check=suffix_of)

    def _page(self, address: str, outcome: Outcome) -> FetchedFile | None:
        """`None` for a page that is gone."""
        known = self._asked.pop(address)
        try:
            if isinstance(outcome, UnreadableError):
                raise outcome
            if outcome.status in GONE:
                return None
            if outcome.status == 304 and known is not None:
                return self._file(address, known)
            if outcome.status != 200:
                raise UnreadableError(f"answers with status {outcome.status}")
            return self._file(address, self._stored(address, outcome, known))
        except UnreadableError as error:
            return self._rejected(address, str(error))

    def _stored(self, address: str, reply: Reply, known: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """Put an answer into the mirror; what is to be known of it."""
        suffix = suffix_of(reply.address, reply.headers)
        body = as_lines(as_utf8(reply.body, suffix, reply.headers), reply.headers)
        digest = _digest(body)
        facts = {
            "suffix": suffix,
            "digest": digest,
            "url": reply.address,
            "etag": reply.headers.get("etag", ""),
            "modified": reply.headers.get("last-modified", ""),
            "last_modified": last_modified(reply.headers),
        }
        if known is not None and (known["digest"], known["suffix"]) == (digest, suffix):
            facts["last_modified"] = known["last_modified"]  # a server that says otherwise of the same bytes errs
        self._mirror.write(_name(address, suffix), body)
        return facts

    def _file(self, address: str, facts: Mapping[str, Any]) -> FetchedFile:
        path = self._kept.note(address, _name(address, facts["suffix"]), facts)
        extra: dict[str, Any] = {"url": facts["url"]}
        if facts["last_modified"]:
            extra["last_modified"] = facts["last_modified"]
        return FetchedFile(path, address, address, extra)

    def _rejected(self, address: str, problem: str) -> FetchedFile:
        path = self._kept.hold(address) or self._mirror.path(_name(address, ".none"))
        return FetchedFile(path, address, address, problem=problem)


def _conditions(known: Mapping[str, Any] | None) -> dict[str, dict[str, str]]:
    """Headers that ask for a page only if it has changed, for the address where it was found."""
    if known is None:
        return {}
    headers = {"If-None-Match": known["etag"], "If-Modified-Since": known["modified"]}
    return {known["url"]: {name: value for name, value in headers.items() if value}}


def last_modified(headers: Mapping[str, str]) -> str:
    """When a page was changed (ISO, in UTC); empty if the server does not say, or says `now` of any page."""
    changed, answered = _moment(headers.get("last-modified")), _moment(headers.get("date"))
    if changed is None or (answered is not None and changed > answered - _NOW):
        return ""
    return changed.strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment(value: str | None) -> datetime | None:
    try:
        found = parsedate_to_datetime(value or "")
    except (ValueError, TypeError, OverflowError):
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _name(address: str, suffix: str) -> str:
    digest = _digest(address.encode("utf-8", "surrogatepass"))
    return f"{digest[:2]}/{digest}{suffix}"

"""What metadata may become on a page: a link to the source, a date, a language. Anything else stays text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any
from urllib.parse import urlsplit

_URLS = ("url", "source_url", "link", "uri", "href")
_DATES = (
    "date",
    "updated",
    "updated_at",
    "modified",
    "modified_at",
    "published",
    "published_at",
    "created",
    "created_at",
)
_LANGUAGES = ("lang", "language")
_KNOWN = re.compile(
    "ar|bg|cs|da|de|el|en|es|et|fa|fi|fr|he|hi|hr|hu|id|it|ja|ko|lt|lv|nl|no|pl|pt|ro|ru|sk|sl|sv|th|tr|uk|vi|zh"
)
"""Languages that fonts and readers of screens tell apart."""
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}(?![0-9])")
_ODD = re.compile(r"[\x00-\x20\x7f-\xa0\\\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def web_address(value: object) -> str | None:
    """The value if it is an address on the web that a browser may be sent to: http or https, with a host."""
    if not isinstance(value, str) or len(value) > 2000 or _ODD.search(value):
        return None
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018 - raises where it is no number
    except ValueError:
        return None
    is_plain = parts.scheme.lower() in ("http", "https") and parts.hostname and "@" not in parts.netloc
    return value if is_plain else None


def source_address(metadata: Mapping[str, Any], source: str) -> str | None:
    """Where a document is on the web, if its metadata or its source says so."""
    return next((url for value in (*_found(metadata, _URLS), source) if (url := web_address(value))), None)


def host_of(url: str) -> str:
    """The host that an address leads to, for people."""
    return (urlsplit(url).hostname or "").removeprefix("www.")


def day_of(metadata: Mapping[str, Any]) -> date | None:
    """The day that a document's metadata gives, if there is one in ISO form."""
    for value in _found(metadata, _DATES):
        if isinstance(value, str) and _DAY.match(value):
            try:
                return date.fromisoformat(value[:10])
            except ValueError:
                continue
    return None


def language_of(metadata: Mapping[str, Any]) -> str | None:
    """The language that a document's metadata gives, if browsers know it."""
    for value in _found(metadata, _LANGUAGES):
        code = value.lower().partition("-")[0] if isinstance(value, str) else ""
        if _KNOWN.fullmatch(code):
            return code
    return None


def _found(metadata: Mapping[str, Any], names: tuple[str, ...]) -> list[Any]:
    lower = {name.lower(): value for name, value in metadata.items()}
    return [lower[name] for name in names if name in lower]

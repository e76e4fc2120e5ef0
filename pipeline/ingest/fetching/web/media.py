"""What an answer is: the suffix whose reader takes it, and its text in UTF-8."""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from pipeline.ingest.formats.decoding import UnreadableError
from pipeline.ingest.formats.fields import first_line
from pipeline.ingest.formats.html.declared import codec_named
from pipeline.ingest.suffixes import HTML_SUFFIXES, SUFFIXES, entry_suffix

JSON = "application/json"
_OFFICE = "application/vnd.openxmlformats-officedocument"
_SUFFIXES = {
    "text/html": ".html",
    "application/xhtml+xml": ".xhtml",
    "application/pdf": ".pdf",
    "text/markdown": ".md",
    "text/x-markdown": ".md",
    "text/csv": ".csv",
    "text/tab-separated-values": ".tsv",
    "text/x-rst": ".rst",
    "application/x-ndjson": ".jsonl",
    "application/jsonl": ".jsonl",
    "application/jsonlines": ".jsonl",
    JSON: ".jsonl",
    "application/epub+zip": ".epub",
    "application/rtf": ".rtf",
    "text/rtf": ".rtf",
    "message/rfc822": ".eml",
    "application/zip": ".zip",
    "application/vnd.oasis.opendocument.text": ".odt",
    f"{_OFFICE}.wordprocessingml.document": ".docx",
    f"{_OFFICE}.presentationml.presentation": ".pptx",
    f"{_OFFICE}.spreadsheetml.sheet": ".xlsx",
    "application/x-hwp": ".hwp",
    "application/haansofthwp": ".hwp",
    "application/vnd.hancom.hwp": ".hwp",
    "application/vnd.hancom.hwpx": ".hwpx",
}
_VAGUE = frozenset(
    {"", "text/plain", "application/octet-stream", "binary/octet-stream", "application/x-gzip", "application/gzip"}
)
"""Types that servers send for want of a better one: the name in the address says more."""
_TEXTS = HTML_SUFFIXES | {".txt", ".md", ".markdown", ".csv", ".tsv", ".jsonl", ".rst", ".adoc", ".tex"}


def content_type(headers: Mapping[str, str]) -> tuple[str, str]:
    """The type of an answer, such as `text/html`, and its charset; empty where it names none."""
    kind, *parameters = headers.get("content-type", "").split(";")
    charset = ""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            charset = value.strip().strip("\"'")
    return kind.strip().lower(), charset


def suffix_of(address: str, headers: Mapping[str, str]) -> str:
    """The suffix whose reader takes an answer. Raises `UnreadableError` if there is none."""
    kind, _ = content_type(headers)
    named = entry_suffix(unquote(urlsplit(address).path))
    if kind in _VAGUE:
        suffix = named if named in SUFFIXES else ".txt" if kind == "text/plain" else named
    else:
        suffix = _SUFFIXES.get(kind) or (named if named in SUFFIXES and _fits(kind, named) else "")
        suffix = suffix or mimetypes.guess_extension(kind, strict=False) or ""
    if suffix not in SUFFIXES:
        raise UnreadableError(f"no reader for {kind or 'what it is, as the server does not say'}")
    return suffix


def _fits(kind: str, suffix: str) -> bool:
    """Whether a file of this suffix may be of this type: anything but what is seen or heard."""
    return kind.partition("/")[0] in ("text", "application", "message")


def as_utf8(body: bytes, suffix: str, headers: Mapping[str, str]) -> bytes:
    """A text that is not UTF-8, in UTF-8 if the server names the encoding that it has; anything else as it is."""
    _, charset = content_type(headers)
    codec = codec_named(charset) if charset and suffix in _TEXTS else None
    if codec is None or _is_utf8(body):
        return body
    try:
        return body.decode(codec).encode("utf-8")
    except (UnicodeError, LookupError):
        return body  # the reader finds out, or says what is wrong


def as_lines(body: bytes, headers: Mapping[str, str]) -> bytes:
    """An answer of JSON as its reader takes it: a list of records, or a single one, a line each.

    Raises `UnreadableError` for any other JSON, and for what is none.
    """
    if content_type(headers)[0] != JSON:
        return body
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"is called JSON, and is none: {first_line(error)}") from None
    records = found if isinstance(found, list) else [found]
    if not all(isinstance(record, dict) for record in records):
        raise UnreadableError("is JSON, but neither a record nor a list of records")
    return b"".join(json.dumps(record, ensure_ascii=True).encode("ascii") + b"\n" for record in records)


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True

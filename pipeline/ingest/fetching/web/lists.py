"""Lists of addresses: a sitemap, an index of sitemaps, or a text with an address a line; each may be gzipped."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from pipeline.errors import SourceError
from pipeline.ingest.formats.decoding import UnreadableError, decode

MOST_BYTES = 100_000_000
"""What one list may unpack to; sitemaps have 50 MB at most."""
MOST_ADDRESSES = 1_000_000
MOST_LISTS = 1000
DEEPEST = 3
_GZIP = b"\x1f\x8b"
_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True)
class Listed:
    """What one list names: pages, or other lists."""

    pages: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()


def addresses(place: str, load: Callable[[str], bytes]) -> list[str]:
    """All addresses that the list at `place` names, itself or by the lists that it names; as they are written.

    `load` gives the bytes of one. Raises `SourceError` for a list that cannot be read, whichever it is: what it
    names would seem to be gone.
    """
    found: list[str] = []
    waiting, seen = [(place, 1)], {place}
    while waiting:
        one, depth = waiting.pop(0)
        try:
            listed = parsed(load(one))
        except UnreadableError as error:
            raise SourceError(f"{one}: the list of addresses cannot be read: {error}") from None
        found += listed.pages
        if len(found) > MOST_ADDRESSES:
            raise SourceError(f"{place}: names more than {MOST_ADDRESSES:,} pages; make it several sources")
        if listed.lists and depth == DEEPEST:
            raise SourceError(f"{one}: an index of sitemaps inside {DEEPEST - 1} others; name the inner one")
        waiting += [(inner, depth + 1) for inner in dict.fromkeys(listed.lists) if inner not in seen]
        seen.update(listed.lists)
        if len(seen) > MOST_LISTS:
            raise SourceError(f"{place}: names more than {MOST_LISTS:,} sitemaps; make it several sources")
    if not found:
        raise SourceError(f"{place}: names no page; correct `urls` under `sources`")
    return found


def parsed(data: bytes) -> Listed:
    """What a list says. Raises `UnreadableError`."""
    if data.startswith(_GZIP):
        data = unpacked(data)
    if data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return _sitemap(data)
    lines = (line.strip() for line in decode(data).splitlines())
    return Listed(tuple(line for line in lines if line and not line.startswith("#")))


def unpacked(data: bytes) -> bytes:
    """The content of gzipped data, no more than `MOST_BYTES`. Raises `UnreadableError`."""
    parts: list[bytes] = []
    left = MOST_BYTES
    try:
        while data:
            unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
            while not unpacker.eof:
                part = unpacker.decompress(data, min(left + 1, _BLOCK))
                if not part and not unpacker.unconsumed_tail and not unpacker.eof:
                    raise UnreadableError("ends before its compressed data does")
                parts.append(part)
                left -= len(part)
                if left < 0:
                    raise UnreadableError(f"would unpack to more than {MOST_BYTES / 1e6:.0f} MB")
                data = unpacker.unconsumed_tail
            data = unpacker.unused_data.lstrip(b"\0")
    except zlib.error as error:
        raise UnreadableError(f"cannot be unpacked ({error})") from None
    return b"".join(parts)


def _sitemap(data: bytes) -> Listed:
    pages: list[str] = []
    lists: list[str] = []
    for parent, address in _locations(data):
        if parent == "url":
            pages.append(address)
        elif parent == "sitemap":
            lists.append(address)
    return Listed(tuple(pages), tuple(lists))


def _locations(data: bytes) -> Iterator[tuple[str, str]]:
    """The kind of entry and the address of each `loc`. Raises `UnreadableError`."""
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise UnreadableError("declares a document type (a page of HTML?), which sitemaps never do")
    parser: Any = ElementTree.XMLPullParser(("start", "end"))
    path: list[str] = []
    root: ElementTree.Element | None = None
    try:
        for start in range(0, len(data), _BLOCK):
            parser.feed(data[start : start + _BLOCK])
            for event, element in parser.read_events():
                name = element.tag.rpartition("}")[2].lower()
                if event == "start":
                    root = element if root is None else root
                    path.append(name)
                    if len(path) == 1 and name not in ("urlset", "sitemapindex"):
                        raise UnreadableError(f"is no sitemap: begins with {name}, not with urlset or sitemapindex")
                    continue
                path.pop()
                if name == "loc" and len(path) == 2 and (element.text or "").strip():
                    yield path[-1], element.text.strip()
                if len(path) == 1 and root is not None:
                    root.clear()
        parser.close()
    except ElementTree.ParseError as error:
        raise UnreadableError(f"is no valid XML: {error}") from None

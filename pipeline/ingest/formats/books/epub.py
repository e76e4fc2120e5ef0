"""EPUB → Markdown: the pages of its spine in order, read as HTML is; title, author and language."""

from __future__ import annotations

import posixpath
from urllib.parse import unquote

from pipeline.ingest.formats.books.package import Package, local
from pipeline.ingest.formats.decoding import UnreadableError, decode
from pipeline.ingest.formats.html.declared import declared_encoding
from pipeline.ingest.formats.html.main_content import everything
from pipeline.ingest.formats.html.reader import clean
from pipeline.ingest.formats.html.tree import parse
from pipeline.ingest.formats.html.writer import Writer
from pipeline.records import MetadataValue

_CONTAINER, _RIGHTS = "META-INF/container.xml", "META-INF/encryption.xml"
_PAGES = frozenset({"application/xhtml+xml", "text/html", "application/x-dtbook+xml"})
_FIELDS = {"title": "title", "creator": "author", "language": "lang"}


def read_epub(package: Package, limit: int) -> tuple[str, dict[str, MetadataValue]]:
    """The text of a book and what it says of itself. Raises `UnreadableError`."""
    place = next(
        (node.get("full-path", "") for node in package.xml(_CONTAINER).iter() if local(node) == "rootfile"), ""
    )
    root = package.xml(place)
    folder = posixpath.dirname(place)
    items: dict[str, tuple[str, str, str]] = {}
    spine: list[str] = []
    metadata: dict[str, MetadataValue] = {}
    for node in root.iter():
        name = local(node)
        if name == "item":
            href = posixpath.normpath(posixpath.join(folder, unquote(node.get("href", ""))))
            items[node.get("id", "")] = href, node.get("media-type", ""), node.get("properties", "")
        elif name == "itemref" and node.get("linear") != "no":
            spine.append(node.get("idref", ""))
        elif name in _FIELDS and (value := " ".join(clean(node.text or "").split())):
            metadata.setdefault(_FIELDS[name], value)
    writer = Writer(limit)
    parts: list[str] = []
    locked = _locked(package)
    for href, kind, properties in (items[name] for name in spine if name in items):
        if kind not in _PAGES or "nav" in properties.split():
            continue
        if href in locked:
            raise UnreadableError("encrypted: under digital rights management; it is read without")
        page = package.read(href)
        parts.append(writer.write(everything(parse(decode(page, declared_encoding(page)))))) if page else None
    return clean("\n\n".join(filter(None, parts))), metadata


def _locked(package: Package) -> set[str]:
    """The parts that are encrypted; fonts usually are, pages only under rights management."""
    if _RIGHTS not in package.names:
        return set()
    return {
        unquote(node.get("URI", "")) for node in package.xml(_RIGHTS).iter() if local(node) == "CipherReference"
    }

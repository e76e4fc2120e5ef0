"""ODT (OpenDocument text) → Markdown: headings, paragraphs, lists, tables and notes; title, author and language."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element

from pipeline.ingest.formats.books.package import Package, local
from pipeline.ingest.formats.decoding import UnreadableError
from pipeline.ingest.formats.fields import oversize
from pipeline.ingest.formats.html.reader import clean
from pipeline.ingest.formats.markup import escaped, heading, table_as_markdown
from pipeline.records import MetadataValue

_LEFT_OUT = frozenset(
    {"tracked-changes", "annotation", "sequence-decls", "forms", "table-of-content", "note-citation"}
)
_FIELDS = {"title": "title", "initial-creator": "author", "creator": "author", "language": "lang"}
_MANIFEST = "META-INF/manifest.xml"
MOST_REPEATED = 1000


def read_odt(package: Package, limit: int) -> tuple[str, dict[str, MetadataValue]]:
    """The text of a file and what it says of itself. Raises `UnreadableError`."""
    if _MANIFEST in package.names and b"encryption-data" in package.read(_MANIFEST):
        raise UnreadableError("encrypted: it opens with a password only; save it without one")
    body = next((node for node in package.xml("content.xml").iter() if local(node) == "text"), None)
    if body is None:
        raise UnreadableError("broken: content.xml holds no text")
    parts: list[str] = []
    size = 0
    for part in _blocks(body):
        parts.append(part)
        size += len(part.encode("utf-8", "replace")) + 2
        if size > limit:
            raise oversize(limit)
    metadata: dict[str, MetadataValue] = {}
    if "meta.xml" in package.names:
        for node in package.xml("meta.xml").iter():
            if (name := _FIELDS.get(local(node))) and (value := " ".join(clean(node.text or "").split())):
                metadata.setdefault(name, value)
    return clean("\n\n".join(parts)), metadata


def _blocks(node: Element) -> Iterator[str]:
    for child in node:
        name = local(child)
        if name in _LEFT_OUT:
            continue
        if name in ("h", "p"):
            notes: list[str] = []
            text = _inline(child, notes).strip()
            if text and name == "h":
                yield heading(_whole(child, "outline-level", 1), text)
            elif text:
                yield escaped("\n".join(" ".join(line.split()) for line in text.split("\n")))
            yield from notes
        elif name == "list":
            if items := list(_items(child)):
                yield "\n".join(items)
        elif name == "table":
            rows = [row for row in _rows(child) if any(row)]
            yield from [table_as_markdown(rows)] if rows else []
        else:
            yield from _blocks(child)


def _items(node: Element, depth: int = 0) -> Iterator[str]:
    for item in node:
        for child in item:
            if local(child) == "list":
                yield from _items(child, depth + 1)
            elif local(child) in ("p", "h") and (text := " ".join(_inline(child, []).split())):
                yield f"{'  ' * depth}- {text}"


def _rows(table: Element) -> Iterator[list[str]]:
    for node in table:
        name = local(node)
        if name == "table-row":
            row: list[str] = []
            for cell in node:
                if local(cell) in ("table-cell", "covered-table-cell"):
                    text = " ".join(" ".join(_blocks(cell)).split())
                    row += [text] * (min(_whole(cell, "number-columns-repeated", 1), MOST_REPEATED) if text else 1)
            yield row
        elif name in ("table-header-rows", "table-rows", "table-row-group"):
            yield from _rows(node)


def _inline(node: Element, notes: list[str]) -> str:
    parts = [node.text or ""]
    for child in node:
        name = local(child)
        if name == "tab":
            parts.append("\t")
        elif name == "line-break":
            parts.append("\n")
        elif name == "s":
            parts.append(" " * min(_whole(child, "c", 1), MOST_REPEATED))
        elif name == "note":
            notes += [part for body in child if local(body) == "note-body" for part in _blocks(body)]
        elif name not in _LEFT_OUT:
            parts.append(_inline(child, notes))
        parts.append(child.tail or "")
    return "".join(parts)


def _whole(node: Element, name: str, absent: int) -> int:
    value = next((value for key, value in node.items() if key.rpartition("}")[2] == name), "")
    return int(value) if value.isdecimal() and len(value) < 7 else absent

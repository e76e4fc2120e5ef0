"""ODT (OpenDocument text) → Markdown: headings, paragraphs, lists, tables and notes; title, author and language."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from xml.etree.ElementTree import Element

from pipeline.ingest.formats.books.package import Package, local
from pipeline.ingest.formats.decoding import UnreadableError
from pipeline.ingest.formats.fields import oversize
from pipeline.ingest.formats.html.reader import clean
from pipeline.ingest.formats.markup import escaped, heading, table_as_markdown
from pipeline.records import MetadataValue

_LEFT_OUT = frozenset(
    {"tracked-changes", "annotation", "sequence-decls", "forms", "table-of-content", "note-citation", "ruby-text"}
)
_FIELDS = {"title": "title", "initial-creator": "author", "creator": "author", "language": "lang"}
_MANIFEST = "META-INF/manifest.xml"
MOST_REPEATED = 1000
MOST_REPEATED_DOWN = 200
"""A cell over several rows is repeated in them if its text is no longer."""
_WEB = ("http://", "https://", "ftp://", "mailto:")


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
            yield from _list(child)
        elif name == "table":
            rows = [row for row in _rows(child) if any(row)]
            if len(rows) > 1 and max(map(len, rows)) > 1:
                yield table_as_markdown(rows)
            else:  # a layout
                for cell in chain.from_iterable(_cells(child)):
                    yield from _blocks(cell)
        else:
            yield from _blocks(child)


def _list(node: Element) -> Iterator[str]:
    """A list, then the notes in it; headings that are numbered as items of one are headings."""
    notes: list[str] = []
    points: list[str] = []
    for depth, item in _items(node, 0):
        if local(item) == "p":
            text = " ".join(_inline(item, notes).split())
            points += [f"{'  ' * depth}- {text}"] if text else []
            continue
        yield from ["\n".join(points)] if points else []
        points = []
        wrapped = Element("")
        wrapped.append(item)
        yield from _blocks(wrapped)
    yield from ["\n".join(points)] if points else []
    yield from notes


def _items(node: Element, depth: int) -> Iterator[tuple[int, Element]]:
    for item in node:
        for child in item:
            if local(child) == "list":
                yield from _items(child, depth + 1)
            else:
                yield depth, child


def _cells(table: Element) -> Iterator[list[Element]]:
    """The cells of each row of a table, not of those in it."""
    for node in table:
        name = local(node)
        if name == "table-row":
            yield [cell for cell in node if local(cell) in ("table-cell", "covered-table-cell")]
        elif name in ("table-header-rows", "table-rows", "table-row-group"):
            yield from _cells(node)


def _rows(table: Element) -> Iterator[list[str]]:
    """The texts of the cells; one over several rows stands in each."""
    held: dict[int, tuple[int, str]] = {}
    for cells in _cells(table):
        row: list[str] = []
        for cell in cells:
            text = " ".join(" ".join(_blocks(cell)).split())
            left, above = held.pop(len(row), (0, ""))
            if local(cell) == "covered-table-cell":
                text = text or above
            else:
                left = _whole(cell, "number-rows-spanned", 1)
            if left > 1 and len(text) <= MOST_REPEATED_DOWN:
                held[len(row)] = left - 1, text
            row += [text] * (min(_whole(cell, "number-columns-repeated", 1), MOST_REPEATED) if text else 1)
        yield row


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
        elif name == "a":
            parts.append(_link(_inline(child, notes), child))
        elif name == "desc":
            parts.append(f" {_inline(child, notes)}")
        elif name not in _LEFT_OUT:
            parts.append(_inline(child, notes))
        parts.append(child.tail or "")
    return "".join(parts)


def _link(text: str, node: Element) -> str:
    """A link to the web as Markdown; another is its text."""
    address = next((value for key, value in node.items() if key.rpartition("}")[2] == "href"), "").strip()
    if not text.strip() or text.strip() == address or not address.startswith(_WEB):
        return text
    for sign, code in ((" ", "%20"), ("(", "%28"), (")", "%29")):
        address = address.replace(sign, code)
    return f"[{text.strip()}]({address})"


def _whole(node: Element, name: str, absent: int) -> int:
    value = next((value for key, value in node.items() if key.rpartition("}")[2] == name), "")
    return int(value) if value.isdecimal() and len(value) < 7 else absent

"""HWPX: sections of XML in a ZIP archive (KS X 6101). Names are compared without namespaces, which have changed."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any
from xml.etree import ElementTree

from pipeline.ingest.formats.decoding import UnreadableError
from pipeline.ingest.formats.fields import first_line
from pipeline.ingest.formats.hwp.paper import DEEPEST, Cell, Paper, outline_level
from pipeline.ingest.formats.office.properties import usable_title
from pipeline.records import MetadataValue

Element = ElementTree.Element

_SECTION = re.compile(r"Contents/section(\d+)\.xml", re.IGNORECASE)
_HEADER, _PACKAGE, _MANIFEST = "Contents/header.xml", "Contents/content.hpf", "META-INF/manifest.xml"
_LEFT_OUT = frozenset({"header", "footer", "hiddenComment", "secPr", "colPr", "fieldBegin", "linesegarray"})
_NOTES = frozenset({"footNote", "endNote"})
_SHOWN = {"tab": "\t", "lineBreak": "\n", "nbSpace": "\u00a0", "fwSpace": " ", "hyphen": "-"}
_BLOCK = 1 << 16


@dataclass(slots=True)
class _Styles:
    """Levels of headings, by the ids of paragraphs' shapes and styles."""

    shapes: dict[str, int] = field(default_factory=dict)
    styles: dict[str, int] = field(default_factory=dict)

    def level(self, paragraph: Element) -> int:
        """The level of a paragraph, 0 if it is no heading."""
        shape, style = paragraph.get("paraPrIDRef", ""), paragraph.get("styleIDRef", "")
        return self.shapes.get(shape, 0) or self.styles.get(style, 0)


def read_hwpx(data: bytes, limit: int, expanded: int) -> tuple[str, dict[str, MetadataValue]]:
    """The text of an HWPX file, of `limit` bytes at most, and its metadata.

    `expanded`: how many bytes it may unpack to. Raises `UnreadableError`.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _read(archive, limit, expanded)
    except (zipfile.BadZipFile, ElementTree.ParseError, EOFError, NotImplementedError) as error:
        raise UnreadableError(f"broken .hwpx file: {first_line(error)}") from None


def _read(archive: zipfile.ZipFile, limit: int, expanded: int) -> tuple[str, dict[str, MetadataValue]]:
    names = set(archive.namelist())
    sections = sorted((int(match[1]), name) for name in names if (match := _SECTION.fullmatch(name)))
    if _MANIFEST in names and b"encryption-data" in archive.open(_MANIFEST).read(1 << 20):
        raise UnreadableError("encrypted: it opens with a password only; save it without one")
    if not sections:
        raise UnreadableError("broken .hwpx file: a ZIP archive without Contents/section0.xml")
    wanted = [name for _, name in sections] + [name for name in (_HEADER, _PACKAGE) if name in names]
    unpacked = sum(archive.getinfo(name).file_size for name in wanted)
    if unpacked > expanded:
        raise UnreadableError(
            f"would unpack to {unpacked / 1e6:.0f} MB; more than {expanded / 1e6:.0f} MB is not read"
        )
    styles = _styles(archive) if _HEADER in names else _Styles()
    paper = Paper(limit)
    for _, name in sections:
        with archive.open(name) as stream:
            for paragraph in _top(stream):
                _paragraph(paragraph, styles, paper, 0)
    return paper.written(), _metadata(archive) if _PACKAGE in names else {}


def _top(stream: IO[bytes]) -> Iterator[Element]:
    """The paragraphs right below a section, each forgotten when the next is asked for."""
    parser: Any = ElementTree.XMLPullParser(("start", "end"))
    depth = 0
    root: Element | None = None
    while block := stream.read(_BLOCK):
        if b"<!DOCTYPE" in block or b"<!ENTITY" in block:
            raise UnreadableError("broken .hwpx file: it declares entities, which such files never do")
        parser.feed(block)
        for event, element in parser.read_events():
            if event == "start":
                depth += 1
                root = element if root is None else root
                if depth > 20 * DEEPEST:
                    raise UnreadableError("nested too deeply")
            else:
                depth -= 1
                if depth == 1 and root is not None:
                    if _name(element) == "p":
                        yield element
                    root.clear()
    parser.close()


def _name(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def _small(archive: zipfile.ZipFile, name: str) -> Element:
    with archive.open(name) as stream:
        data = stream.read()
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise UnreadableError("broken .hwpx file: it declares entities, which such files never do")
    return ElementTree.fromstring(data)


def _styles(archive: zipfile.ZipFile) -> _Styles:
    found = _Styles()
    for element in _small(archive, _HEADER).iter():
        if _name(element) == "style":
            names = element.get("name", ""), element.get("engName", "")
            found.styles[element.get("id", "")] = outline_level(*names)
        elif _name(element) == "paraPr":
            for child in element:
                if _name(child) == "heading" and child.get("type") == "OUTLINE":
                    level = child.get("level", "0")
                    found.shapes[element.get("id", "")] = int(level) + 1 if level.isdecimal() else 1
    return found


def _paragraph(paragraph: Element, styles: _Styles, paper: Paper, depth: int) -> None:
    """A paragraph, then what hangs on it: tables, texts in frames, notes."""
    if depth > DEEPEST:
        raise UnreadableError("nested too deeply")
    text: list[str] = []
    hanging: list[tuple[Element, str]] = []
    for run in paragraph:
        if _name(run) != "run":
            continue
        for part in run:
            name = _name(part)
            if name == "t":
                text.append(_characters(part))
            elif name == "ctrl":
                for control in part:
                    mark = paper.note_mark() if _name(control) in _NOTES else ""
                    text.append(mark)
                    hanging.append((control, mark))
            else:
                hanging.append((part, ""))
    paper.paragraph("".join(text), styles.level(paragraph))
    for element, mark in hanging:
        _hanging(element, mark, styles, paper, depth + 1)


def _hanging(element: Element, mark: str, styles: _Styles, paper: Paper, depth: int) -> None:
    name = _name(element)
    if depth > DEEPEST:
        raise UnreadableError("nested too deeply")
    if name in _LEFT_OUT:
        return
    if mark:
        paper.note(mark, _plain(element, depth))
    elif name == "tbl":
        _table(element, styles, paper, depth)
    elif name == "p":
        _paragraph(element, styles, paper, depth)
    elif name == "script":
        paper.paragraph(element.text or "")
    else:
        for child in element:
            _hanging(child, "", styles, paper, depth + 1)


def _characters(element: Element) -> str:
    parts = [element.text or ""]
    for child in element:
        parts += [_SHOWN.get(_name(child), ""), child.tail or ""]
    return "".join(parts)


def _table(table: Element, styles: _Styles, paper: Paper, depth: int) -> None:
    cells: list[Cell] = []
    elements = [cell for row in table if _name(row) == "tr" for cell in row if _name(cell) == "tc"]
    for caption in table:
        if _name(caption) == "caption":
            paper.paragraph(_plain(caption, depth))
    if len(elements) == 1:
        for child in elements[0]:
            if _name(child) == "subList":
                _hanging(child, "", styles, paper, depth)
        return
    for element in elements:
        place = {_name(child): child for child in element}
        address, span = place.get("cellAddr"), place.get("cellSpan")
        row, column = _whole(address, "rowAddr", 0), _whole(address, "colAddr", 0)
        text = " ".join(_plain(place["subList"], depth).split()) if "subList" in place else ""
        cells.append(Cell(row, column, _whole(span, "rowSpan", 1), _whole(span, "colSpan", 1), text))
    paper.table(cells)


def _whole(element: Element | None, name: str, absent: int) -> int:
    value = element.get(name, "") if element is not None else ""
    return int(value) if value.isdecimal() and len(value) < 7 else absent


def _plain(element: Element, depth: int) -> str:
    """The text of all paragraphs below an element."""
    if depth > DEEPEST:
        raise UnreadableError("nested too deeply")
    found: list[str] = []
    for child in element:
        name = _name(child)
        if name == "t":
            found.append(_characters(child))
        elif name == "script":
            found.append(child.text or "")
        elif name not in _LEFT_OUT:
            found.append(_plain(child, depth + 1) + ("\n" if name == "p" else ""))
    return "".join(found)


def _metadata(archive: zipfile.ZipFile) -> dict[str, MetadataValue]:
    """Title and author of the package, if it names any."""
    found: dict[str, MetadataValue] = {}
    for element in _small(archive, _PACKAGE).iter():
        name, text = _name(element), " ".join((element.text or "").split())
        if name == "title" and (title := usable_title(text)):
            found["title"] = title
        elif name == "meta" and element.get("name") == "creator" and text:
            found["author"] = text
    return found

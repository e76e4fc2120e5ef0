"""HWP 5: streams of records in a compound file, by the published description of the format.

A record has a tag, a level and data; records of a higher level behind it are its children. Each top paragraph is
read with all that hangs on it, and forgotten before the next.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pipeline.ingest.formats.decoding import UnreadableError
from pipeline.ingest.formats.hwp.paper import DEEPEST, Cell, Paper, outline_level
from pipeline.records import MetadataValue

_PARA_SHAPE, _STYLE = 0x19, 0x1A
_PARAGRAPH, _TEXT, _CONTROL, _LIST, _TABLE, _EQUATION = 0x42, 0x43, 0x47, 0x48, 0x4D, 0x58
_LONG = 0xFFF
_SIGNATURE = b"HWP Document File"
_LOCKS = (
    (1 << 1, "encrypted: it opens with a password only; save it without one"),
    (1 << 2, "a distribution copy, locked against reading by other programs; ask its author for the original"),
    (1 << 4, "protected by DRM; save it without"),
    (1 << 8, "encrypted with a certificate; save it without"),
    (1 << 10, "protected by DRM of a certificate; save it without"),
)
_COMPRESSED = 1
_SECTION = re.compile(r"Section(\d+)")
_LEFT_OUT = frozenset({b"head", b"foot", b"tcmt", b"secd", b"cold", b"pgnp", b"pghd"})
_NOTES = frozenset({b"fn  ", b"en  "})
_ONE = frozenset({0, 10, 13, *range(24, 32)})
"""Control characters of one unit; the others take eight."""
_SHOWN = {9: "\t", 10: "\n", 24: "-", 30: "\u00a0", 31: " "}
_WITH_CONTROL = frozenset({1, 2, 3, 11, 12, 14, 15, 16, 17, 18, 21, 22, 23})
_NOTE_CHARACTER = 17


@dataclass(slots=True)
class Record:
    """A record and those that hang on it."""

    tag: int
    data: bytes
    children: list[Record] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Styles:
    """Levels of headings, by the number of a paragraph's shape and of its style."""

    shapes: list[int]
    styles: list[int]

    def level(self, header: bytes) -> int:
        """The level of a paragraph with this header, 0 if it is no heading."""
        if len(header) < 11:
            return 0
        (shape,), style = struct.unpack_from("<H", header, 8), header[10]
        by_shape = self.shapes[shape] if shape < len(self.shapes) else 0
        return by_shape or (self.styles[style] if style < len(self.styles) else 0)


def read_hwp(data: bytes, limit: int, expanded: int) -> tuple[str, dict[str, MetadataValue]]:
    """The text of an HWP 5 file, of `limit` bytes at most, and its metadata.

    `expanded`: how many bytes its streams may unpack to. Raises `UnreadableError`, and whatever a broken file makes
    the library raise.
    """
    import olefile

    with olefile.OleFileIO(io.BytesIO(data)) as ole:
        if not ole.exists("FileHeader"):
            raise UnreadableError("broken .hwp file: a compound file without a FileHeader, as other programs write")
        header = ole.openstream("FileHeader").read(256)
        if not header.startswith(_SIGNATURE) or len(header) < 40:
            raise UnreadableError("broken .hwp file: its header is not that of HWP 5")
        (flags,) = struct.unpack_from("<I", header, 36)
        for bit, reason in _LOCKS:
            if flags & bit:
                raise UnreadableError(reason)
        streams = _Streams(ole, bool(flags & _COMPRESSED), expanded)
        styles = _styles(streams.records("DocInfo"))
        paper = Paper(limit)
        sections = sorted(
            int(match[1])
            for entry in ole.listdir()
            if len(entry) == 2 and entry[0] == "BodyText" and (match := _SECTION.fullmatch(entry[1]))
        )
        if not sections:
            raise UnreadableError("broken .hwp file: it has no BodyText")
        for number in sections:
            for record in streams.records(f"BodyText/Section{number}"):
                _paragraph(record, styles, paper, 0)
        return paper.written(), _metadata(ole)


class _Streams:
    """The streams of a file, unpacked up to a limit for all of them."""

    def __init__(self, ole: Any, packed: bool, most: int) -> None:
        self._ole, self._packed, self._left, self._most = ole, packed, most, most

    def records(self, name: str) -> Iterator[Record]:
        """The records of the lowest level, each with those below it."""
        if not self._ole.exists(name):
            raise UnreadableError(f"broken .hwp file: it has no {name}")
        data = self._ole.openstream(name).read()
        if self._packed:
            unpacker = zlib.decompressobj(-15)
            data = unpacker.decompress(data, self._left + 1)
        self._left -= len(data)
        if self._left < 0:
            raise UnreadableError(f"would unpack to more than {self._most / 1e6:.0f} MB, which is not read")
        return _records(data)


def _records(data: bytes) -> Iterator[Record]:
    stack: list[Record] = []
    place = 0
    while place + 4 <= len(data):
        (head,) = struct.unpack_from("<I", data, place)
        tag, level, size = head & 0x3FF, head >> 10 & 0x3FF, head >> 20
        place += 4
        if size == _LONG and place + 4 <= len(data):
            (size,) = struct.unpack_from("<I", data, place)
            place += 4
        if place + size > len(data):
            raise UnreadableError("broken .hwp file: a record goes beyond its stream")
        record = Record(tag, data[place : place + size])
        place += size
        if level > DEEPEST * 4:
            raise UnreadableError("nested too deeply")
        if level and stack:
            del stack[level:]
            stack[-1].children.append(record)
        else:
            yield from stack[:1]
            stack.clear()
        stack.append(record)
    yield from stack[:1]


def _styles(records: Iterable[Record]) -> _Styles:
    shapes: list[int] = []
    styles: list[int] = []
    for record in _all(records):
        if record.tag == _PARA_SHAPE and len(record.data) >= 4:
            (attributes,) = struct.unpack_from("<I", record.data)
            shapes.append((attributes >> 25 & 7) + 1 if attributes >> 23 & 3 == 1 else 0)
        elif record.tag == _STYLE:
            name, rest = _string(record.data)
            styles.append(outline_level(name, _string(rest)[0]))
    return _Styles(shapes, styles)


def _all(records: Iterable[Record]) -> Iterator[Record]:
    for record in records:
        yield record
        yield from _all(record.children)


def _string(data: bytes) -> tuple[str, bytes]:
    """A string with its length before it, and what follows."""
    if len(data) < 2:
        return "", b""
    (length,) = struct.unpack_from("<H", data)
    return data[2 : 2 + 2 * length].decode("utf-16-le", "replace"), data[2 + 2 * length :]


def _paragraph(record: Record, styles: _Styles, paper: Paper, depth: int) -> None:
    """A paragraph, then what hangs on it: tables, texts in frames, notes."""
    if record.tag != _PARAGRAPH:
        return
    if depth > DEEPEST:
        raise UnreadableError("nested too deeply")
    controls = [child for child in record.children if child.tag == _CONTROL]
    marks = {id(control): paper.note_mark() for control in controls if _name(control) in _NOTES}
    text = "".join(_text(child.data, controls, marks) for child in record.children if child.tag == _TEXT)
    paper.paragraph(text, styles.level(record.data))
    for control in controls:
        name = _name(control)
        if name in _NOTES:
            paper.note(marks[id(control)], _plain(control, depth + 1))
        elif name == b"tbl ":
            _table(control, styles, paper, depth + 1)
        elif name not in _LEFT_OUT:
            _framed(control, styles, paper, depth + 1)


def _name(control: Record) -> bytes:
    return control.data[3::-1] if len(control.data) >= 4 else b""


def _text(data: bytes, controls: list[Record], marks: dict[int, str]) -> str:
    """The characters of a paragraph, with the marks of its notes where they stand."""
    units = array("H")
    units.frombytes(data[: len(data) // 2 * 2])
    parts: list[str] = []
    place = start = number = 0

    def flush() -> None:
        if start < place:
            parts.append(data[2 * start : 2 * place].decode("utf-16-le", "replace"))

    while place < len(units):
        unit = units[place]
        if unit >= 32:
            place += 1
            continue
        flush()
        if unit in _WITH_CONTROL:
            if unit == _NOTE_CHARACTER and number < len(controls):
                parts.append(marks.get(id(controls[number]), ""))
            number += 1
        parts.append(_SHOWN.get(unit, ""))
        place += 1 if unit in _ONE else 8
        start = place
    flush()
    return "".join(parts)


def _table(control: Record, styles: _Styles, paper: Paper, depth: int) -> None:
    cells: list[Cell] = []
    in_body = False
    for header, paragraphs in _lists(control):
        if header is None:
            in_body = True
            continue
        text = " ".join("\n".join(_plain_paragraph(one, depth) for one in paragraphs).split())
        if not in_body:
            paper.paragraph(text)  # the caption
        elif len(header.data) >= 16:
            column, row, columns, rows = struct.unpack_from("<4H", header.data, 8)
            cells.append(Cell(row, column, rows, columns, text))
    if len(cells) == 1:
        for _, paragraphs in _lists(control):
            for one in paragraphs:
                _paragraph(one, styles, paper, depth)
        return
    paper.table(cells)


def _lists(control: Record) -> Iterator[tuple[Record | None, list[Record]]]:
    """The lists of paragraphs of a control; `None` stands for a table's record, between caption and cells."""
    header: Record | None = None
    paragraphs: list[Record] = []
    for child in control.children:
        if child.tag == _PARAGRAPH:
            paragraphs.append(child)
        elif child.tag in (_LIST, _TABLE):
            if header is not None:
                yield header, paragraphs
            header, paragraphs = (child if child.tag == _LIST else None), []
            if child.tag == _TABLE:
                yield None, []
    if header is not None:
        yield header, paragraphs


def _framed(record: Record, styles: _Styles, paper: Paper, depth: int) -> None:
    """The paragraphs anywhere below a control, such as those in a text box, and the script of an equation."""
    if depth > DEEPEST:
        raise UnreadableError("nested too deeply")
    for child in record.children:
        if child.tag == _PARAGRAPH:
            _paragraph(child, styles, paper, depth)
        elif child.tag == _EQUATION:
            paper.paragraph(_string(child.data[4:])[0])
        else:
            _framed(child, styles, paper, depth + 1)


def _plain(record: Record, depth: int) -> str:
    """The text of all paragraphs below a record."""
    if depth > DEEPEST:
        raise UnreadableError("nested too deeply")
    found = []
    for child in record.children:
        text = _plain_paragraph(child, depth) if child.tag == _PARAGRAPH else _plain(child, depth + 1)
        if text:
            found.append(text)
    return "\n".join(found)


def _plain_paragraph(paragraph: Record, depth: int) -> str:
    controls = [child for child in paragraph.children if child.tag == _CONTROL]
    texts = [_text(child.data, controls, {}) for child in paragraph.children if child.tag == _TEXT]
    texts += [_plain(one, depth + 1) for one in controls if _name(one) not in _LEFT_OUT]
    return "\n".join(filter(None, texts))


def _metadata(ole: Any) -> dict[str, MetadataValue]:
    """Title and author of the file's summary, if it has any."""
    name = "\x05HwpSummaryInformation"
    found: dict[str, MetadataValue] = {}
    try:
        properties = ole.getproperties(name) if ole.exists(name) else {}
    except (OSError, ValueError, LookupError, struct.error):  # the text may be sound without
        return found
    for number, key in ((2, "title"), (4, "author")):
        value = properties.get(number)
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        if isinstance(value, str) and (value := " ".join(value.replace("\0", "").split())):
            found[key] = value
    return found

"""HWP and HWPX files made by hand, after the published descriptions: a compound file of records, a ZIP of XML."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from dataclasses import dataclass
from typing import Any

END, FREE, NONE = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFF
SECTOR, SMALL, CUTOFF = 512, 64, 4096


def compound(streams: dict[str, bytes]) -> bytes:
    """A compound file (OLE) with streams; a name may have folders before it."""
    tree: dict[str, Any] = {}
    for name, data in streams.items():
        *folders, leaf = name.split("/")
        place_of = tree
        for folder in folders:
            place_of = place_of.setdefault(folder, {})
        place_of[leaf] = data
    sectors: list[bytes] = []
    fat: list[int] = []
    small, small_fat = b"", list[int]()

    def store(data: bytes) -> int:
        start = len(sectors)
        pieces = [data[i : i + SECTOR].ljust(SECTOR, b"\0") for i in range(0, len(data), SECTOR)]
        sectors.extend(pieces)
        fat.extend([*range(start + 1, start + len(pieces)), END] if pieces else [])
        return start if pieces else END

    def place(data: bytes) -> int:
        nonlocal small
        if len(data) >= CUTOFF:
            return store(data)
        count = -(-len(data) // SMALL)
        start = len(small_fat)
        small += data.ljust(count * SMALL, b"\0")
        small_fat.extend([*range(start + 1, start + count), END] if count else [])
        return start if count else END

    entries: list[list[object]] = [["Root Entry", 5, NONE, NONE, 0, 0]]

    def add(items: dict[str, Any]) -> int:
        first = last = NONE
        for name, value in sorted(items.items(), key=lambda item: (len(item[0]), item[0].upper())):
            number = len(entries)
            if isinstance(value, dict):
                entries.append([name, 1, NONE, NONE, 0, 0])
                entries[number][3] = add(value)
            else:
                entries.append([name, 2, NONE, NONE, place(value), len(value)])
            if last == NONE:
                first = number
            else:
                entries[last][2] = number
            last = number
        return first

    entries[0][3] = add(tree)
    entries[0][4], entries[0][5] = store(small), len(small)
    small_start = store(struct.pack(f"<{len(small_fat)}I", *small_fat)) if small_fat else END
    directory = b"".join(
        str(name).encode("utf-16-le").ljust(64, b"\0")
        + struct.pack("<HBBIII", 2 * len(str(name)) + 2, kind, 1, NONE, right, child)
        + bytes(36)
        + struct.pack("<IQ", start, size)
        for name, kind, right, child, start, size in entries
    )
    directory_start = store(directory)
    fat_count = -(-(len(fat) + 4) // 128)
    fat_start = len(sectors)
    table = fat + [0xFFFFFFFD] * fat_count
    table += [FREE] * (fat_count * 128 - len(table))
    sectors.extend(struct.pack("<128I", *table[i * 128 : (i + 1) * 128]) for i in range(fat_count))
    header = (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6) + bytes(6)
    )
    header += struct.pack(
        "<IIIIIIIII", 0, fat_count, directory_start, 0, CUTOFF, small_start, 1 if small_fat else 0, END, 0
    )
    listed = [*range(fat_start, fat_start + fat_count)]
    return header + struct.pack("<109I", *listed, *[FREE] * (109 - fat_count)) + b"".join(sectors)


def record(tag: int, level: int, data: bytes) -> bytes:
    """One record of HWP 5."""
    if len(data) < 0xFFF:
        return struct.pack("<I", tag | level << 10 | len(data) << 20) + data
    return struct.pack("<II", tag | level << 10 | 0xFFF << 20, len(data)) + data


def control(code: int, name: str) -> str:
    """The eight units that stand for a control in a paragraph's text."""
    return chr(code) + (name[::-1].encode("latin-1")).decode("utf-16-le") + "\0" * 4 + chr(code)


def paragraph(level: int, text: str, shape: int = 0, style: int = 0, hanging: bytes = b"") -> bytes:
    """A paragraph, and what hangs on it (records of `level` + 1 and more)."""
    written = text + "\r"
    head = struct.pack("<IIHBB", len(written), 0, shape, style, 0) + bytes(10)
    return (
        record(0x42, level, head) + record(0x43, level + 1, written.encode("utf-16-le", "surrogatepass")) + hanging
    )


def listed(level: int, paragraphs: list[str], cell: tuple[int, int, int, int] | None = None) -> bytes:
    """A list of paragraphs. `cell`: row, column, rows and columns that it takes."""
    head = struct.pack("<HHI", len(paragraphs), 0, 0)
    if cell is not None:
        row, column, rows, columns = cell
        head += struct.pack("<4H", column, row, columns, rows) + bytes(24)
    return record(0x48, level, head) + b"".join(paragraph(level, text) for text in paragraphs)


def table(level: int, cells: dict[tuple[int, int, int, int], str], caption: str = "") -> bytes:
    """A control that is a table."""
    found = record(0x47, level, b" lbt" + bytes(40))
    if caption:
        found += listed(level + 1, [caption])
    rows, columns = (max(cell[i] + cell[i + 2] for cell in cells) for i in (0, 1))
    per_row = [sum(cell[0] == row for cell in cells) for row in range(min(rows, 1000))]
    size = struct.pack("<IHHH4H", 0, min(rows, 0xFFFF), min(columns, 0xFFFF), 0, 0, 0, 0, 0)
    found += record(0x4D, level + 1, size + struct.pack(f"<{len(per_row)}H", *per_row) + bytes(4))
    return found + b"".join(listed(level + 1, [text], cell) for cell, text in cells.items())


def string(text: str) -> bytes:
    return struct.pack("<H", len(text)) + text.encode("utf-16-le")


DOC_INFO = (
    record(0x11, 0, bytes(72))
    + record(0x19, 1, struct.pack("<I", 0) + bytes(50))
    + record(0x19, 1, struct.pack("<I", 1 << 23 | 1 << 25) + bytes(50))
    + record(0x1A, 1, string("바탕글") + string("Normal") + bytes(8))
    + record(0x1A, 1, string("개요 1") + string("Outline 1") + bytes(8))
)
"""Shape 1 is an outline of level 2, style 1 the outline of level 1."""


def hwp(*sections: bytes, flags: int = 1, info: bytes = DOC_INFO, more: dict[str, bytes] | None = None) -> bytes:
    """An HWP 5 file. `flags`: bit 0 packs the streams, others say how it is locked."""
    header = b"HWP Document File".ljust(32, b"\0") + struct.pack("<II", 0x05000300, flags) + bytes(216)

    def packed(data: bytes) -> bytes:
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        return packer.compress(data) + packer.flush() if flags & 1 else data

    streams = {"FileHeader": header, "DocInfo": packed(info)}
    streams |= {f"BodyText/Section{i}": packed(section) for i, section in enumerate(sections)}
    return compound(streams | (more or {}))


@dataclass(frozen=True)
class Names:
    """The namespaces that a version of the format has."""

    paragraph: str = "http://www.hancom.co.kr/hwpml/2011/paragraph"
    section: str = "http://www.hancom.co.kr/hwpml/2011/section"
    head: str = "http://www.hancom.co.kr/hwpml/2011/head"


def hwpx(*sections: str, names: Names | None = None, files: dict[str, str] | None = None) -> bytes:
    """An HWPX file of sections' content, in which `hp:` is the namespace of paragraphs."""
    names = names or Names()
    head = (
        f'<hh:head xmlns:hh="{names.head}"><hh:refList>'
        '<hh:paraProperties><hh:paraPr id="0"><hh:heading type="NONE" level="0"/></hh:paraPr>'
        '<hh:paraPr id="1"><hh:heading type="OUTLINE" level="1"/></hh:paraPr></hh:paraProperties>'
        '<hh:styles><hh:style id="0" name="바탕글" engName="Normal"/>'
        '<hh:style id="1" name="개요 1" engName="Outline 1"/>'
        "</hh:styles></hh:refList></hh:head>"
    )
    package = (
        '<opf:package xmlns:opf="http://www.idpf.org/2007/opf/"><opf:metadata><opf:title>밤마다 색인</opf:title>'
        '<opf:meta name="creator" content="text">홍길동</opf:meta></opf:metadata></opf:package>'
    )
    contents = {"mimetype": "application/hwp+zip", "Contents/header.xml": head, "Contents/content.hpf": package}
    for i, section in enumerate(sections):
        contents[f"Contents/section{i}.xml"] = (
            f'<hs:sec xmlns:hs="{names.section}" xmlns:hp="{names.paragraph}">{section}</hs:sec>'
        )
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in (contents | (files or {})).items():
            archive.writestr(name, text)
    return sink.getvalue()


def p(content: str, shape: int = 0, style: int = 0) -> str:
    """A paragraph of HWPX whose one run holds `content`."""
    return f'<hp:p paraPrIDRef="{shape}" styleIDRef="{style}"><hp:run>{content}</hp:run></hp:p>'


def t(text: str) -> str:
    return f"<hp:t>{text}</hp:t>"


def tc(row: int, column: int, content: str, rows: int = 1, columns: int = 1) -> str:
    """A cell of a table of HWPX."""
    return (
        f"<hp:tc><hp:subList>{content}</hp:subList>"
        f'<hp:cellAddr colAddr="{column}" rowAddr="{row}"/>'
        f'<hp:cellSpan colSpan="{columns}" rowSpan="{rows}"/></hp:tc>'
    )

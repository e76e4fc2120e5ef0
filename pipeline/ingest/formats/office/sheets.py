"""XLSX → Markdown: each sheet a section, each block of rows in it a table (openpyxl, of the extra `docs`)."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from functools import partial
from itertools import chain
from typing import Any

from pipeline.config import IngestSettings
from pipeline.ingest.formats.decoding import UnreadableError, normalise_newlines
from pipeline.ingest.formats.fields import first_line, oversize
from pipeline.ingest.formats.lines import max_bytes
from pipeline.ingest.formats.markup import escaped, heading, table_as_markdown
from pipeline.ingest.formats.office.package import missing, read_package
from pipeline.ingest.formats.office.properties import property_title
from pipeline.ingest.guard import Found
from pipeline.ingest.sources import SourceFile
from pipeline.records import Document, MetadataValue

Row = list[str]

READ_BYTES = 1 << 20
MERGED_BYTES = 200
MOST_MERGED = 100_000
MOST_WHOLE = 10**18
MOST_REPEATED = 200
"""A cell over several rows is repeated in them if its text is no longer."""
_MERGED = re.compile(rb"<(?:\w+:)?mergeCell\s[^<>]*?ref=[\"']([A-Z]{1,3}\d{1,7}:[A-Z]{1,3}\d{1,7})[\"']")


def read_xlsx(file: SourceFile, settings: IngestSettings) -> Iterator[Found]:
    """One document a workbook."""
    yield Found(0, partial(_document, file, settings))


def _document(file: SourceFile, settings: IngestSettings) -> Document:
    try:
        import openpyxl
    except ImportError:
        raise missing(file.suffix) from None
    data, limit = read_package(file, settings), max_bytes(settings)
    parts: list[str] = []
    length = 0
    try:
        workbook = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
        for part in chain.from_iterable(_parts(sheet) for sheet in workbook.worksheets):
            parts.append(part)
            length += len(part.encode("utf-8", "replace")) + 2
            if length > limit:
                raise oversize(limit)
    except (UnreadableError, MemoryError, RecursionError):
        raise
    except Exception as error:  # the border: what a broken workbook makes openpyxl raise has no common base
        raise UnreadableError(f"broken {file.suffix} file: {first_line(error)}") from error
    text = "\n\n".join(parts).encode("utf-8", "replace").decode("utf-8")
    title = property_title(data)
    metadata: dict[str, MetadataValue] = {"title": title} if title else {}
    return Document(file.name, text, metadata, is_markdown=True)


def _parts(sheet: Any) -> Iterator[str]:
    """The name of a sheet as a heading, then its blocks; nothing for a sheet without a cell."""
    sheet.reset_dimensions()  # what a file says of them may be wrong
    merged = _merged(sheet)
    blocks = _blocks(_repeated(([_shown(cell) for cell in row] for row in sheet.iter_rows()), merged))
    first = next(blocks, None)
    if first is None:
        return
    yield heading(2, str(sheet.title))
    for block in chain([first], blocks):
        yield from _block(block)


def _merged(sheet: Any) -> dict[tuple[int, int], int]:
    """The cells that reach over several rows: row and column of the first, from 0, and the last row."""
    from openpyxl.utils import range_boundaries

    found: dict[tuple[int, int], int] = {}
    with sheet._get_source() as source:  # a workbook that is read row by row does not tell
        tail = b""
        while part := source.read(READ_BYTES):
            for match in _MERGED.finditer(part := tail + part):
                left, top, _, last = range_boundaries(match[1].decode())
                if last > top and len(found) < MOST_MERGED:
                    found[top - 1, left - 1] = last - 1
            tail = part[-MERGED_BYTES:]
    return found


def _repeated(rows: Iterable[Row], merged: Mapping[tuple[int, int], int]) -> Iterator[Row]:
    """Rows in which a cell that reaches over several stands in each of them that has others."""
    held: dict[int, tuple[int, str]] = {}
    columns: dict[int, list[tuple[int, int]]] = {}
    for (first, column), last in merged.items():
        columns.setdefault(first, []).append((column, last))
    for number, row in enumerate(rows):
        held = {column: (last, text) for column, (last, text) in held.items() if last >= number}
        if any(row):
            for column, (_, text) in held.items():
                row += [""] * (column + 1 - len(row))
                row[column] = row[column] or text
        for column, last in columns.get(number, ()):
            if column < len(row) and row[column] and len(row[column]) <= MOST_REPEATED:
                held[column] = (last, row[column])
        yield row


def _blocks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Rows between empty ones, without the columns that are empty in all of a block."""
    block: list[Row] = []
    for row in chain(rows, [[]]):
        if any(row):
            block.append(row)
        elif block:
            width = max(map(len, block))
            used = [i for i in range(width) if any(i < len(one) and one[i] for one in block)]
            yield [[one[i] if i < len(one) else "" for i in used] for one in block]
            block = []


def _block(rows: list[Row]) -> Iterator[str]:
    """Lines above a table, such as its title, then the table; lines alone if there is but one column."""
    start = 0
    while start < len(rows) and sum(map(bool, rows[start])) == 1 and (start == 0 or len(rows[start]) == 1):
        yield escaped(" ".join("".join(rows[start]).split()))
        start += 1
    if table := rows[start:]:
        yield table_as_markdown(table)


def _shown(cell: Any) -> str:
    """What a sheet shows in a cell, about."""
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat(" ")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        minutes, seconds = divmod(round(value.total_seconds()), 60)
        return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
    if isinstance(value, float | int):
        percent = "%" in str(getattr(cell, "number_format", "") or "")
        number = round(value * 100, 10) if percent else value
        whole = isinstance(number, int) or (number == number // 1 and abs(number) < 1e15)
        shown = str(int(number)) if whole and abs(number) < MOST_WHOLE else f"{number:.12g}"
        return f"{shown}%" if percent else shown
    return normalise_newlines(str(value))

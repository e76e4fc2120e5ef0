"""Lines of a text file in bounded memory, and the two formats made of them: JSONL and CSV."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from pipeline.config import IngestSettings
from pipeline.ingest.formats.decoding import UnreadableError, choose_file_encoding
from pipeline.ingest.formats.fields import Columns, build_document, first_line, oversize, typed_cell
from pipeline.ingest.formats.markup import table_as_markdown
from pipeline.ingest.formats.opening import open_regular
from pipeline.ingest.guard import Found, refused
from pipeline.ingest.sources import SourceFile
from pipeline.records import Document

SKIP_CHARS = 1 << 20

_SEPARATOR = re.compile(r"sep=(.)", re.IGNORECASE)
"""A first line that tells Excel how fields are parted."""
_ESCAPED_BYTE = re.compile("[\udc80-\udcff]")


class BoundedLines:
    """Iterates over the lines of `stream`; `line` is the number of the last one, `before` of them stand elsewhere.

    A line over `max_chars`, one with a NUL and one with undecodable bytes raise `UnreadableError`; iteration may
    then go on with the next line.
    """

    def __init__(self, stream: TextIO, max_chars: int, before: int = 0) -> None:
        self.line = before
        self._stream = stream
        self._max_chars = max_chars

    def __iter__(self) -> BoundedLines:
        return self

    def __next__(self) -> str:
        text = self._stream.readline(self._max_chars + 1)
        if not text:
            raise StopIteration
        self.line += 1
        if len(text) > self._max_chars:
            while text and text[-1] not in "\r\n":
                text = self._stream.readline(SKIP_CHARS)
            limit = f"{self._max_chars / 1e6:g}"
            raise UnreadableError(f"line is longer than {limit} MB; raise ingest.max_document_mb to read it")
        if "\0" in text:
            raise UnreadableError("NUL byte in the line")
        if not text.isascii() and _ESCAPED_BYTE.search(text):
            raise UnreadableError("bytes that are not valid in the file's encoding; save the file as UTF-8 again")
        return text


def max_bytes(settings: IngestSettings) -> int:
    """`ingest.max_document_mb` in bytes (1 MB = 10^6)."""
    return int(settings.max_document_mb * 1e6)


def _open(path: Path, settings: IngestSettings) -> TextIO:
    stream = open_regular(path)
    try:
        encoding = choose_file_encoding(stream, settings.encodings)
        stream.seek(0)
    except BaseException:
        stream.close()
        raise
    return io.TextIOWrapper(stream, encoding, errors="surrogateescape", newline="")


def read_jsonl(file: SourceFile, settings: IngestSettings) -> Iterator[Found]:
    """One document for each line that holds a JSON object; blank lines are no documents."""
    with _open(file.path, settings) as stream:
        yield from json_lines(stream, file, max_bytes(settings))


def json_lines(stream: TextIO, file: SourceFile, limit: int, before: int = 0) -> Iterator[Found]:
    """The documents of a stream of JSON lines, of which `before` lines stand before it in its file."""
    lines = BoundedLines(stream, limit, before)
    while True:
        try:
            text = next(lines, None)
        except UnreadableError as error:
            yield refused(lines.line, error)
            continue
        if text is None:
            return
        if text.strip():
            yield Found(lines.line, partial(_of_line, text, file, lines.line, limit))


def _of_line(text: str, file: SourceFile, line: int, limit: int) -> Document:
    record = _json_object(text)
    columns = Columns.choose(record, file.source)
    return build_document(record, columns, file.source, f"{file.name}:{line}", limit)


def _json_object(text: str) -> dict[str, Any]:
    try:
        record = json.loads(text)
    except RecursionError:
        raise UnreadableError("broken JSON: nested too deeply") from None
    except json.JSONDecodeError as error:
        raise UnreadableError(f"broken JSON: {error.msg} in column {error.colno}") from None
    except ValueError as error:
        raise UnreadableError(f"broken JSON: {first_line(error).split(';')[0]}") from None
    if not isinstance(record, dict):
        raise UnreadableError(f"a JSON {type(record).__name__}, not an object with fields")
    return record


def read_csv(file: SourceFile, settings: IngestSettings) -> Iterator[Found]:
    """One document for each row under the header.

    `.csv`: fields apart by the one of `,` `;` tab `|` that the header holds most of, quoted as RFC 4180 says.
    `.tsv`: apart by tabs and never quoted (the IANA format), so a stray `"` cannot swallow rows.
    """
    if file.source.table:
        yield Found(0, partial(_table, file, settings))
        return
    limit = max_bytes(settings)
    with _open(file.path, settings) as stream:
        lines = BoundedLines(stream, limit)
        rows = _rows(lines, file.suffix, limit)
        header = _named(_header(rows))
        try:
            columns = Columns.choose(header, file.source)
        except UnreadableError as error:
            raise UnreadableError(f"{error}; `table: true` reads the file as one table") from None
        while True:
            start = lines.line + 1
            try:
                row = next(rows, None)
            except UnreadableError as error:
                yield refused(start, error)
                continue
            except csv.Error as error:
                yield refused(start, UnreadableError(_csv_reason(error, lines.line - start)))
                continue
            if row is None:
                return
            if row:
                yield Found(start, partial(_of_row, row, header, columns, file, start, limit))


def _rows(lines: BoundedLines, suffix: str, limit: int) -> Iterator[list[str]]:
    csv.field_size_limit(max(limit, csv.field_size_limit()))
    head = next(lines, "")
    told = _SEPARATOR.fullmatch(head.rstrip("\r\n"))
    if told:
        head = next(lines, "")
    if suffix == ".tsv":
        return csv.reader(_Replay(head, lines), delimiter="\t", quoting=csv.QUOTE_NONE)
    delimiter = told[1] if told else max(",;\t|", key=head.count)
    return csv.reader(_Replay(head, lines), delimiter=delimiter, strict=True)


def _table(file: SourceFile, settings: IngestSettings) -> Document:
    """The whole file as one table. A row that cannot be read rejects it: a table with a hole would not show it."""
    limit = max_bytes(settings)
    with _open(file.path, settings) as stream:
        lines = BoundedLines(stream, limit)
        rows = _rows(lines, file.suffix, limit)
        header = _header(rows)
        kept, size = [header], 0
        while True:
            start = lines.line + 1
            try:
                row = next(rows, None)
                row = row and _as_long(row, header)
            except UnreadableError as error:
                raise UnreadableError(f"line {start}: {error}") from None
            except csv.Error as error:
                raise UnreadableError(f"line {start}: {_csv_reason(error, lines.line - start)}") from None
            if row is None:
                return Document(file.name, table_as_markdown(kept), {}, is_markdown=True)
            if any(cell.strip() for cell in row):
                kept.append(row)
                size += sum(len(cell.encode("utf-8", "surrogateescape")) for cell in row)
                if size > limit:
                    raise oversize(limit)


def _as_long(row: list[str], header: Sequence[str]) -> list[str]:
    """A row as long as the header, without empty fields behind. Raises `UnreadableError` if it is not."""
    if len(row) < len(header) or any(row[len(header) :]):
        raise UnreadableError(f"{len(row)} fields where the header has {len(header)}")
    return row[: len(header)]


def _of_row(
    row: list[str], header: list[str], columns: Columns, file: SourceFile, line: int, limit: int
) -> Document:
    row = _as_long(row, header)
    record = dict(zip(header, map(typed_cell, row), strict=True))
    record[columns.text] = row[header.index(columns.text)]
    for name in (columns.identity, columns.title):
        if name:
            record[name] = row[header.index(name)]
    return build_document(record, columns, file.source, f"{file.name}:{line}", limit)


class _Replay:
    """The line already taken, then the others; unlike a generator it survives an error on one line."""

    def __init__(self, head: str, lines: BoundedLines) -> None:
        self._head: str | None = head
        self._lines = lines

    def __iter__(self) -> _Replay:
        return self

    def __next__(self) -> str:
        if self._head is not None:
            head, self._head = self._head, None
            return head
        return next(self._lines)


def _header(rows: Iterator[list[str]]) -> list[str]:
    try:
        header = [name.strip() for name in next(rows, [])]
    except csv.Error as error:
        raise UnreadableError(f"broken header: {first_line(error)}") from None
    if not any(header):
        raise UnreadableError("empty: no header in the first line")
    twice = next((name for name in header if name and header.count(name) > 1), None)
    if twice is not None:
        raise UnreadableError(f"the header names `{twice}` twice")
    return header


def _named(header: list[str]) -> list[str]:
    """A header in which columns without a name are called by their place: `column 3`. Raises `UnreadableError`
    if another bears that name."""
    named = [name or f"column {place}" for place, name in enumerate(header, 1)]
    taken = next((name for name in named if named.count(name) > 1), None)
    if taken is not None:
        raise UnreadableError(f"one column is named `{taken}`, and the one in that place has no name")
    return named


def _csv_reason(error: csv.Error, lines_after: int) -> str:
    reason = first_line(error)
    if "unexpected end of data" in reason:
        return f"broken CSV: a quote opens here and never closes; the {lines_after} lines after it are lost too"
    if "field larger" in reason:
        return "broken CSV: a field is longer than ingest.max_document_mb; is a quote left open?"
    return f"broken CSV: {reason}"

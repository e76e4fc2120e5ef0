"""What a Python function gave, as it stands in the mirror: a line a record, a document, or why it is neither."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from pipeline.config import IngestSettings
from pipeline.ingest.document_fields import from_fields, to_fields
from pipeline.ingest.formats.decoding import UnreadableError
from pipeline.ingest.formats.fields import (
    Columns,
    as_text,
    build_document,
    metadata_value,
    refuse_lone_surrogates,
    refuse_oversize,
)
from pipeline.ingest.formats.lines import BoundedLines, max_bytes
from pipeline.ingest.formats.opening import open_regular
from pipeline.ingest.guard import Found, refused
from pipeline.ingest.sources import SourceFile
from pipeline.records import Document

ITEMS = ".items"
"""Suffix of such a file. No folder is searched for it."""

_RECORD, _DOCUMENT, _REASON = "record", "document", "reason"


def item_line(item: object) -> bytes:
    """The line of what a function gave; of what is neither a mapping nor a `Document`, the reason."""
    try:
        entry = _entry(item)
        line = json.dumps(entry, ensure_ascii=False, default=_plain)
    except (UnreadableError, TypeError, ValueError, RecursionError) as error:
        line = json.dumps({_REASON: f"cannot be kept: {error}"}, ensure_ascii=False)
    return line.encode("utf-8", "surrogatepass") + b"\n"


def read_items(file: SourceFile, settings: IngestSettings) -> Iterator[Found]:
    """The documents of such a file; lines are numbered as the function gave them, from 1."""
    limit = max_bytes(settings)
    with open_regular(file.path) as opened, io.TextIOWrapper(opened, "utf-8", "surrogateescape", "\n") as stream:
        lines = BoundedLines(stream, 2 * limit + (1 << 16))  # as JSON a text is longer
        while True:
            try:
                text = next(lines, None)
            except UnreadableError as error:
                yield refused(lines.line, error)
                continue
            if text is None:
                return
            yield Found(lines.line, partial(_of_item, text, file, lines.line, limit))


def _entry(item: object) -> Mapping[str, Any]:
    if isinstance(item, Document):
        if item.chunks:
            raise UnreadableError("a document with chunks of its own; give vectors in a file")
        places = {"pages": list(item.pages), "lines": list(item.lines)}
        return {_DOCUMENT: {**to_fields(item), "metadata": dict(item.metadata), **places}}
    if isinstance(item, Mapping):
        return {_RECORD: dict(item)}
    return {_REASON: f"a {type(item).__name__}; give dicts with a text, or Documents"}


def _of_item(text: str, file: SourceFile, line: int, limit: int) -> Document:
    entry = json.loads(text)
    if _REASON in entry:
        raise UnreadableError(entry[_REASON])
    if _RECORD in entry:
        record = entry[_RECORD]
        return build_document(
            record, Columns.choose(record, file.source), file.source, f"{file.name}:{line}", limit
        )
    document = from_fields(entry[_DOCUMENT])
    metadata = {str(name): metadata_value(value) for name, value in document.metadata.items()}
    body = as_text(document.text, "text")
    doc_id = file.source.prefix + document.doc_id
    refuse_oversize(body, limit)
    refuse_lone_surrogates([doc_id, body, *metadata, *metadata.values()])
    return Document(doc_id, body, metadata, bool(document.is_markdown), pages=document.pages, lines=document.lines)


def _plain(value: object) -> object:
    """A value that JSON has no form of, in one that it has."""
    if isinstance(value, bytes | bytearray | memoryview):
        raise UnreadableError("holds bytes; give a text")
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    if callable(isoformat := getattr(value, "isoformat", None)):
        return isoformat()
    if callable(item := getattr(value, "item", None)):  # a number of NumPy
        return item()
    if callable(tolist := getattr(value, "tolist", None)):
        return tolist()
    return str(value)

"""Rows whose vectors are given → documents: a row is a chunk, rows of one id that follow each other a document."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import pyarrow as pa

from pipeline import given
from pipeline.config import SourceSettings
from pipeline.given import Wanted
from pipeline.ingest.formats.decoding import UnreadableError
from pipeline.ingest.formats.fields import (
    Columns,
    as_id,
    as_text,
    metadata_value,
    refuse_lone_surrogates,
    refuse_oversize,
    title_text,
)
from pipeline.ingest.formats.given.given_arrays import vectors_of, wrong_columns
from pipeline.ingest.guard import Found
from pipeline.ingest.sources import SourceFile
from pipeline.records import Chunk, Document, Metadata

logger = logging.getLogger(__name__)

_ORDINALS = range(2**31)

Choose = Callable[[pa.Schema], list[str]]


@dataclass(frozen=True, slots=True)
class _Row:
    """A row as it is found: its number from 1, its values but for the vectors, and the batch that has these."""

    number: int
    record: dict[str, Any] | Exception
    batch: pa.RecordBatch
    position: int


@dataclass(frozen=True, slots=True)
class _Reading:
    """What the rows of one file are read with."""

    source: SourceSettings
    wanted: Wanted
    columns: Columns
    limit: int

    def doc_id(self, row: _Row) -> str | None:
        """The id of a row's document; `None` where it names none. Raises `UnreadableError`."""
        if isinstance(row.record, Exception):
            raise row.record
        value = row.record.get(self.columns.identity) if self.columns.identity else None
        if value in (None, ""):
            if self.source.id_field:
                raise UnreadableError(f"field `{self.source.id_field}` is empty, and it is the record's id")
            return None
        return self.source.prefix + as_id(value, self.columns.identity or "")

    def document(self, doc_id: str, rows: list[_Row]) -> Document:
        """The document of some rows. Raises `UnreadableError` for the first that is wrong."""
        chunks: list[Chunk] = []
        for row in rows:
            try:
                chunks.append(self._chunk(doc_id, row, chunks[-1] if chunks else None))
            except Exception as error:
                if len(rows) == 1:
                    raise
                reason = str(error) or type(error).__name__
                raise UnreadableError(f"row {row.number}, one of its {len(rows)}: {reason}") from error
        return Document(doc_id, "", {}, chunks=tuple(chunks))

    def _chunk(self, doc_id: str, row: _Row, before: Chunk | None) -> Chunk:
        if isinstance(row.record, Exception):
            raise row.record
        record, columns = row.record, self.columns
        text = as_text(record.get(columns.text), columns.text)
        if not text.strip():
            raise UnreadableError("empty")
        refuse_oversize(text, self.limit)
        context = as_text(record.get(given.CHUNK_CONTEXT), given.CHUNK_CONTEXT)
        metadata = self._metadata(record)
        headings = record.get(given.CHUNK_HEADINGS) or []
        if not isinstance(headings, list) or not all(isinstance(heading, str) for heading in headings):
            raise UnreadableError(f"field `{given.CHUNK_HEADINGS}` is no list of texts")
        refuse_lone_surrogates([doc_id, text, context, headings, *metadata, *metadata.values()])
        ordinal = _whole(record, given.CHUNK_ORDINAL, before.ordinal + 1 if before else 0)
        if ordinal not in _ORDINALS or (before and ordinal <= before.ordinal):
            raise UnreadableError(
                f"field `{given.CHUNK_ORDINAL}` is {ordinal}; a document's chunks count up from 0"
            )
        start = _whole(record, given.CHUNK_START, before.end + 1 if before else 0)
        end = _whole(record, given.CHUNK_END, start + len(text))
        if not 0 <= start < 2**62 or end - start != len(text):
            raise UnreadableError(f"{start} to {end} is not where a text of {len(text)} characters stands")
        return Chunk(
            chunk_id=f"{doc_id}#{ordinal}",
            doc_id=doc_id,
            ordinal=ordinal,
            start=start,
            end=end,
            text=text,
            headings=tuple(headings),
            metadata=metadata,
            context=context,
            given=vectors_of(row.batch, row.position, self.source.vector_field or given.VECTOR, self.wanted),
        )

    def _metadata(self, record: dict[str, Any]) -> Metadata:
        columns = self.columns
        used = {columns.text, columns.title, columns.identity} | given.CHUNK_COLUMNS
        metadata = {str(name): metadata_value(value) for name, value in record.items() if name not in used}
        packed = record.get(given.CHUNK_METADATA)
        if packed is not None:
            try:
                found = json.loads(packed)
            except (ValueError, TypeError, RecursionError):
                found = None
            if not isinstance(found, dict):
                raise UnreadableError(f"field `{given.CHUNK_METADATA}` is no JSON object")
            metadata |= {name: metadata_value(value) for name, value in found.items()}
        if title := title_text(record.get(columns.title)) if columns.title else "":
            metadata["title"] = title
        return metadata


def read_given(
    file: SourceFile, batches: Callable[[Choose], Iterator[pa.RecordBatch]], limit: int
) -> Iterator[Found]:
    """The documents of a file's rows, which give what `file.wanted` says. `limit`: bytes of a text.

    A document with a row that is wrong is rejected, whole: half of one would take the place of what is live.
    Raises `UnreadableError` for a file without the columns.
    """
    wanted = file.wanted
    assert wanted is not None
    reading: _Reading | None = None

    def chosen(schema: pa.Schema) -> list[str]:
        nonlocal reading
        reading = _Reading(file.source, wanted, given_columns(schema, file), limit)
        _tell_what_is_left_out(schema, file, wanted)
        return _names(schema)

    rows: list[_Row] = []
    current, number = "", 0
    for batch in batches(chosen):
        assert reading is not None
        plain = batch.select([name for name in batch.schema.names if name not in _arrays(file.source)])
        converted = rows_of(plain)
        for i in range(len(batch)):
            number += 1
            row = _Row(number, _record(converted, i), batch, i)
            try:
                doc_id = reading.doc_id(row)
            except Exception:  # raised again where the row is made
                doc_id = None
            if rows and doc_id is not None and doc_id == current:
                rows.append(row)
                continue
            if rows:
                yield _found(reading, current, rows)
            rows, current = [row], f"{file.name}:{number}" if doc_id is None else doc_id
    if rows and reading is not None:
        yield _found(reading, current, rows)


def _found(reading: _Reading, doc_id: str, rows: list[_Row]) -> Found:
    def build() -> Document:
        reading.doc_id(rows[0])
        return reading.document(doc_id, rows)

    return Found(rows[0].number, build)


def given_columns(schema: pa.Schema, file: SourceFile) -> Columns:
    """Which columns are a row's id, text and title. Raises `UnreadableError` if it lacks one that is needed."""
    assert file.wanted is not None
    names = [name for name in _names(schema) if name not in _arrays(file.source)]
    columns = Columns.choose(names, file.source)
    if reason := wrong_columns(schema, file.source.vector_field or given.VECTOR, file.wanted):
        raise UnreadableError(reason)
    return columns


def _names(schema: pa.Schema) -> list[str]:
    return [field.name for field in schema if not is_binary(field.type)]


def _tell_what_is_left_out(schema: pa.Schema, file: SourceFile, wanted: Wanted) -> None:
    """Log a warning for columns that are there and neither read nor metadata."""
    binary = [field.name for field in schema if is_binary(field.type)]
    if binary:
        logger.warning("%s: binary columns left out: %s", file.label, ", ".join(binary))
    unused = (() if wanted.lexical else (given.TOKEN_IDS, given.WEIGHTS)) + (
        () if wanted.token_dimension else (given.MULTIVECTORS,)
    )
    found = [name for name in unused if name in schema.names]
    if found:
        logger.warning(
            "%s: columns left out, which the configured encoder has no use for: %s", file.label, ", ".join(found)
        )


def _arrays(source: SourceSettings) -> frozenset[str]:
    """The columns that are read as arrays, or not at all."""
    return frozenset({source.vector_field or given.VECTOR, given.TOKEN_IDS, given.WEIGHTS, given.MULTIVECTORS})


def is_binary(kind: pa.DataType) -> bool:
    """Whether a column holds bytes, which are no text."""
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))


def rows_of(batch: pa.RecordBatch) -> Callable[[int], dict[str, Any]]:
    """What gives the values of a row. If Python has none for some of a row's, each row is converted alone."""
    try:
        rows: list[dict[str, Any]] = batch.to_pylist()
    except Exception:  # raised again by the row that it is about
        return partial(_converted, batch)
    return rows.__getitem__


def _converted(batch: pa.RecordBatch, i: int) -> dict[str, Any]:
    (row,) = batch.slice(i, 1).to_pylist()
    return cast(dict[str, Any], row)


def _record(rows: Callable[[int], dict[str, Any]], i: int) -> dict[str, Any] | Exception:
    try:
        return rows(i)
    except Exception as error:
        return error


def _whole(record: dict[str, Any], name: str, default: int) -> int:
    value = record.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int):
        raise UnreadableError(f"field `{name}` is no whole number")
    return value

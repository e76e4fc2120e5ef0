"""Parquet and Arrow IPC → documents, one batch of rows in memory at a time."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config import IngestSettings
from pipeline.ingest.formats.decoding import UnreadableError
from pipeline.ingest.formats.fields import Columns, build_document, first_line
from pipeline.ingest.formats.given.given_rows import is_binary, read_given, rows_of
from pipeline.ingest.formats.lines import max_bytes
from pipeline.ingest.formats.opening import BUFFER_BYTES, open_regular
from pipeline.ingest.guard import Found
from pipeline.ingest.sources import SourceFile
from pipeline.ingest.suffixes import ARROW_SUFFIXES
from pipeline.records import Document

logger = logging.getLogger(__name__)

BATCH_ROWS = 256
GIVEN_ROWS = 32
"""The same of rows with vectors: multi-vectors of a long text take megabytes."""

_FILE_MAGIC = b"ARROW1"


def read_parquet(file: SourceFile, settings: IngestSettings) -> Iterator[Found]:
    """One document a row; binary columns (images and the like) are left out, with a warning.

    Where vectors are given, rows of one id that follow each other are the chunks of one document.
    """
    yield from _read("Parquet", file, settings, _parquet_batches)


def read_arrow(file: SourceFile, settings: IngestSettings) -> Iterator[Found]:
    """The same of an Arrow IPC file (Feather 2), or of a stream."""
    yield from _read("Arrow", file, settings, _arrow_batches)


def schema_of(file: SourceFile) -> pa.Schema | None:
    """The columns of a Parquet or Arrow file; `None` of one that is neither, or broken."""
    with (
        contextlib.suppress(pa.ArrowException, OSError, ValueError, UnreadableError),
        open_regular(file.path) as stream,
    ):
        if file.suffix == ".parquet":
            return pq.read_schema(stream)
        if file.suffix in ARROW_SUFFIXES:
            return _open_arrow(stream).schema
    return None


Batches = Callable[[SourceFile, int, Callable[[pa.Schema], list[str]]], Iterator[pa.RecordBatch]]
"""Batches of at most so many rows of a file, with the columns that are chosen of its schema."""


def _read(what: str, file: SourceFile, settings: IngestSettings, batches: Batches) -> Iterator[Found]:
    limit = max_bytes(settings)
    columns: Columns | None = None

    def chosen(schema: pa.Schema) -> list[str]:
        nonlocal columns
        binary = [field.name for field in schema if is_binary(field.type)]
        if binary:
            logger.warning("%s: binary columns left out: %s", file.label, ", ".join(binary))
        names = [field.name for field in schema if field.name not in binary]
        columns = Columns.choose(names, file.source)
        return names

    try:
        if file.wanted is not None:
            rows = GIVEN_ROWS if file.wanted.token_dimension else BATCH_ROWS
            yield from read_given(file, lambda choose: batches(file, rows, choose), limit)
            return
        row = 0
        for batch in batches(file, BATCH_ROWS, chosen):
            assert columns is not None
            converted = rows_of(batch)
            for i in range(len(batch)):
                row += 1
                yield Found(row, partial(_document, converted, i, columns, file, row, limit))
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, MemoryError) or getattr(error, "errno", None) is not None:
            raise
        raise UnreadableError(f"broken {what}: {first_line(error)}") from error


def _parquet_batches(
    file: SourceFile, rows: int, choose: Callable[[pa.Schema], list[str]]
) -> Iterator[pa.RecordBatch]:
    with open_regular(file.path) as stream, pq.ParquetFile(stream, buffer_size=BUFFER_BYTES) as parquet:
        yield from parquet.iter_batches(rows, columns=choose(parquet.schema_arrow))


def _arrow_batches(
    file: SourceFile, rows: int, choose: Callable[[pa.Schema], list[str]]
) -> Iterator[pa.RecordBatch]:
    with open_regular(file.path) as stream, _mapped(file, stream) as mapped, _open_arrow(mapped) as reader:
        names = choose(reader.schema)
        whole = getattr(reader, "num_record_batches", None)
        found = iter(reader) if whole is None else map(reader.get_batch, range(whole))
        for batch in found:
            batch.validate(full=True)  # offsets made to mislead would be followed out of the file
            for start in range(0, len(batch), rows):
                yield batch.select(names).slice(start, rows)


def _mapped(file: SourceFile, opened: io.BufferedReader) -> Any:
    """The bytes of a file, which may be a single batch larger than memory; of an empty one, what was opened."""
    return pa.memory_map(str(file.path)) if opened.peek(1) else opened


def _open_arrow(stream: Any) -> Any:
    is_file = stream.read(len(_FILE_MAGIC)) == _FILE_MAGIC
    stream.seek(0)
    return pa.ipc.open_file(stream) if is_file else pa.ipc.open_stream(stream)


def _document(
    rows: Callable[[int], dict[str, Any]], i: int, columns: Columns, file: SourceFile, row: int, limit: int
) -> Document:
    return build_document(rows(i), columns, file.source, f"{file.name}:{row}", limit)

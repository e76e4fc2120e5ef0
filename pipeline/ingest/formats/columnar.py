"""Parquet → documents, one batch of rows in memory at a time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config import IngestSettings
from pipeline.ingest.formats.decoding import UnreadableError
from pipeline.ingest.formats.fields import Columns, build_document, first_line
from pipeline.ingest.formats.lines import max_bytes
from pipeline.ingest.formats.opening import BUFFER_BYTES, open_regular
from pipeline.ingest.guard import Found
from pipeline.ingest.sources import SourceFile
from pipeline.records import Document

logger = logging.getLogger(__name__)

BATCH_ROWS = 256


def read_parquet(file: SourceFile, settings: IngestSettings) -> Iterator[Found]:
    """One document a row; binary columns (images and the like) are left out, with a warning."""
    limit = max_bytes(settings)
    row = 0
    try:
        with open_regular(file.path) as stream, pq.ParquetFile(stream, buffer_size=BUFFER_BYTES) as parquet:
            schema = parquet.schema_arrow
            binary = [field.name for field in schema if _is_binary(field.type)]
            if binary:
                logger.warning("%s: binary columns left out: %s", file.label, ", ".join(binary))
            names = [field.name for field in schema if field.name not in binary]
            columns = Columns.choose(names, file.source)
            for batch in parquet.iter_batches(BATCH_ROWS, columns=names):
                rows = _rows(batch)
                for i in range(len(batch)):
                    row += 1
                    yield Found(row, partial(_document, rows, i, columns, file, row, limit))
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, MemoryError) or getattr(error, "errno", None) is not None:
            raise
        raise UnreadableError(f"broken Parquet: {first_line(error)}") from error


def _rows(batch: pa.RecordBatch) -> Callable[[int], dict[str, Any]]:
    """What gives the values of a row. If Python has none for some of a row's, each row is converted alone."""
    try:
        rows: list[dict[str, Any]] = batch.to_pylist()
    except Exception:  # raised again by the row that it is about
        return partial(_converted, batch)
    return rows.__getitem__


def _converted(batch: pa.RecordBatch, i: int) -> dict[str, Any]:
    (row,) = batch.slice(i, 1).to_pylist()
    return cast(dict[str, Any], row)


def _document(
    rows: Callable[[int], dict[str, Any]], i: int, columns: Columns, file: SourceFile, row: int, limit: int
) -> Document:
    return build_document(rows(i), columns, file.source, f"{file.name}:{row}", limit)


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))

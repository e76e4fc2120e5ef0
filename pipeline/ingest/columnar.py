"""Parquet → documents, one batch of rows in memory at a time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config import IngestSettings
from pipeline.ingest.decoding import UnreadableError
from pipeline.ingest.fields import Columns, build_document, first_line
from pipeline.ingest.guard import Found
from pipeline.ingest.lines import max_bytes
from pipeline.ingest.opening import BUFFER_BYTES, open_regular
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
                for record in _records(batch):
                    row += 1
                    yield Found(row, partial(_of_row, record, columns, file, row, limit))
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, MemoryError | UnreadableError) or getattr(error, "errno", None) is not None:
            raise
        raise UnreadableError(f"broken Parquet: {first_line(error)}") from error


def _records(batch: pa.RecordBatch) -> Iterator[Callable[[], dict[str, Any]]]:
    """What gives the values of each row. Where Python has none for some row's, rows are converted one by one."""
    try:
        records = batch.to_pylist()
    except Exception:  # told again by the row that it is about
        for i in range(len(batch)):
            yield partial(_alone, batch, i)
    else:
        for record in records:
            yield partial(_as_it_is, record)


def _alone(batch: pa.RecordBatch, i: int) -> dict[str, Any]:
    record: dict[str, Any] = batch.slice(i, 1).to_pylist()[0]
    return record


def _as_it_is(record: dict[str, Any]) -> dict[str, Any]:
    return record


def _of_row(
    record: Callable[[], dict[str, Any]], columns: Columns, file: SourceFile, row: int, limit: int
) -> Document:
    return build_document(record(), columns, file.source, f"{file.name}:{row}", limit)


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))

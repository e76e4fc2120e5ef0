"""Parquet → documents, one batch of rows in memory at a time."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config import IngestSettings
from pipeline.ingest.decoding import UnreadableError
from pipeline.ingest.fields import Columns, build_document, first_line
from pipeline.ingest.lines import Found, RejectRecord, max_bytes
from pipeline.ingest.sources import SourceFile

logger = logging.getLogger(__name__)

BATCH_ROWS = 256


def read_parquet(file: SourceFile, settings: IngestSettings, reject: RejectRecord) -> Iterator[Found]:
    """One document a row; binary columns (images and the like) are left out, with a warning."""
    limit = max_bytes(settings)
    row = 0
    try:
        with pq.ParquetFile(file.path, memory_map=True) as parquet:
            schema = parquet.schema_arrow
            binary = [field.name for field in schema if _is_binary(field.type)]
            if binary:
                logger.warning("%s: binary columns left out: %s", file.label, ", ".join(binary))
            names = [field.name for field in schema if field.name not in binary]
            columns = Columns.choose(names, file.source)
            for batch in parquet.iter_batches(BATCH_ROWS, columns=names):
                for record in batch.to_pylist():
                    row += 1
                    try:
                        document = build_document(record, columns, file.source, f"{file.name}:{row}", limit)
                    except UnreadableError as error:
                        reject(row, str(error))
                        continue
                    yield row, document
    except MemoryError:  # Arrow's is an ArrowException too
        raise UnreadableError(f"not enough memory to read it{_after(row)}") from None
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise UnreadableError(f"broken Parquet{_after(row)}: {first_line(error)}") from error


def _after(row: int) -> str:
    return f" after row {row}" if row else ""


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))

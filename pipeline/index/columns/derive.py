"""The columns of a segment, made of its chunks: each has distinct values, and a code of one for every chunk."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.errors import CorruptIndexError
from pipeline.index.chunks import CHUNKS_FILE, column_blocks
from pipeline.index.columns.kinds import (
    CHUNK_COLUMNS,
    Kind,
    as_kind,
    as_text,
    common,
    kind_of,
    stored_type,
)
from pipeline.index.schemas import as_array

COLUMNS_FILE = "columns.arrow"
VERSION = {"hybrid-pipeline columns": "1"}
"""The schema metadata of a file of columns."""

SOURCES = (*CHUNK_COLUMNS, "metadata")
"""The columns of `chunks.parquet` that they are made of."""

_BLOCK_ROWS = 16_384
_RUN_END_BYTES = 4


def derive(folder: Path) -> pa.RecordBatch:
    """Make the columns of the segment in a folder. Raises `CorruptIndexError`.

    Memory: distinct values as Python objects, and 8 bytes for each run of equal values.
    """
    path = folder / CHUNKS_FILE
    try:
        return columns_of(column_blocks(path, SOURCES, _BLOCK_ROWS))
    except (ValueError, TypeError, AttributeError) as error:
        raise CorruptIndexError(
            f"{path}: malformed metadata ({error}); rebuild with `pipeline build --full`"
        ) from None


def columns_of(tables: Iterable[pa.Table]) -> pa.RecordBatch:
    """Make columns of tables that have those of `SOURCES`. Raises `ValueError` for what no chunk can be.

    Keys that differ by case alone are one column under the last of their spellings, of whatever each chunk has.
    """
    chunk_ids: list[pa.Array] = []
    columns: dict[str, _Column] = {name: _Column(name) for name in CHUNK_COLUMNS[1:]}
    rows = 0
    for table in tables:
        if any(table.column(name).null_count for name in SOURCES):
            raise ValueError("null values")
        for batch in table.combine_chunks().to_batches():
            chunk_ids.append(batch.column("chunk_id"))
            for name in CHUNK_COLUMNS[1:]:
                _add(columns[name], rows, batch.column(name))
            _add_metadata(columns, rows, batch.column("metadata"))
            rows += batch.num_rows
    ids = pa.concat_arrays(chunk_ids) if chunk_ids else pa.array([], pa.string())
    kept = [columns[name] for name in CHUNK_COLUMNS[1:]]
    kept += [column for name, column in sorted(columns.items()) if name not in CHUNK_COLUMNS]
    arrays = [ids.cast(pa.large_string()), *(column.finished(rows) for column in kept)]
    names = [CHUNK_COLUMNS[0], *(column.name for column in kept)]
    fields = [pa.field(name, array.type, nullable=False) for name, array in zip(names, arrays, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields, VERSION))


def write(path: Path, batch: pa.RecordBatch) -> None:
    """Write columns as a file."""
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)


def _add(column: _Column, row: int, values: pa.Array) -> None:
    """Append one of the chunks' own columns."""
    encoded = values.dictionary_encode()
    codes = np.array([column.code(value) for value in encoded.dictionary.to_pylist()], np.uint32)
    column.append(row, codes[as_array(encoded.indices)])


def _add_metadata(columns: dict[str, _Column], row: int, values: pa.Array) -> None:
    """Append the metadata keys; chunks of one document share theirs, so each is read once."""
    encoded = values.dictionary_encode()
    records = [json.loads(text) for text in encoded.dictionary.to_pylist()]
    found: dict[str, npt.NDArray[np.uint32]] = {}
    for number, record in enumerate(records):
        for name, spelling, value in _entries(record):
            column = columns.get(name)
            if column is None:
                column = columns[name] = _Column(spelling)
            elif column.name < spelling:
                column.name = spelling
            codes = found.get(name)
            if codes is None:
                codes = found[name] = np.zeros(len(records), np.uint32)
            codes[number] = column.code(value)
    indices = as_array(encoded.indices)
    for name, codes in found.items():
        columns[name].append(row, codes[indices])


def _entries(record: Mapping[str, Any]) -> Iterable[tuple[str, str, Any]]:
    """The lower case, the last spelling and the value of each key: that of the last spelling which has one."""
    lower = [key.lower() for key in record]
    if len(set(lower)) == len(lower):
        pairs = zip(lower, record.items(), strict=True)
        return [(name, key, value) for name, (key, value) in pairs if name not in CHUNK_COLUMNS]
    found = []
    for name in dict.fromkeys(lower):
        keys = sorted((key for key in record if key.lower() == name), reverse=True)
        value = next((record[key] for key in keys if record[key] is not None), None)
        if name not in CHUNK_COLUMNS:
            found.append((name, keys[0], value))
    return found


class _Column:
    """One column while chunks are added. Code 0 is for chunks without a value."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._texts: dict[str, int] = {}
        self._others: dict[tuple[str, Any], int] = {}
        self._values: list[Any] = []
        self._kinds: set[Kind] = set()
        self._runs: list[npt.NDArray[np.uint32]] = []
        self._ends: list[npt.NDArray[np.int64]] = []
        self._rows = 0

    def code(self, value: Any) -> int:
        """The code of a value, a new one if it is new."""
        if isinstance(value, str):
            return self._texts.get(value) or self._texts.setdefault(value, self._new(value, Kind.TEXT))
        kind = kind_of(value)
        if kind is Kind.NOTHING:
            return 0
        key = (kind.name, value if kind in (Kind.BOOL, Kind.INT) else as_text(value))
        return self._others.get(key) or self._others.setdefault(key, self._new(value, kind))

    def _new(self, value: Any, kind: Kind) -> int:
        self._values.append(value)
        self._kinds.add(kind)
        return len(self._values)

    def append(self, row: int, codes: npt.NDArray[np.uint32]) -> None:
        """Add the codes of the chunks from `row` on; those before that have none get 0."""
        self._fill(row)
        ends = np.flatnonzero(np.r_[codes[1:] != codes[:-1], True]) if len(codes) else np.zeros(0, np.int64)
        self._runs.append(codes[ends])
        self._ends.append(ends + 1 + row)
        self._rows = row + len(codes)

    def _fill(self, row: int) -> None:
        if self._rows < row:
            self._runs.append(np.zeros(1, np.uint32))
            self._ends.append(np.array([row]))
            self._rows = row

    def finished(self, rows: int) -> pa.Array:
        """The column as an array of `rows` chunks: run-end encoded where that is smaller."""
        self._fill(rows)
        codes = np.concatenate([np.zeros(0, np.uint32), *self._runs])
        ends = np.concatenate([np.zeros(0, np.int64), *self._ends])
        width = np.min_scalar_type(len(self._values))
        dictionary = dictionary_of(self._values, common(self._kinds))
        if len(codes) * (width.itemsize + _RUN_END_BYTES) < rows * width.itemsize:
            values = pa.DictionaryArray.from_arrays(pa.array(codes.astype(width)), dictionary)
            return pa.RunEndEncodedArray.from_arrays(pa.array(ends.astype(np.int32)), values)
        dense = np.repeat(codes, np.diff(ends, prepend=0)).astype(width)
        return pa.DictionaryArray.from_arrays(pa.array(dense), dictionary)


def dictionary_of(values: Sequence[Any], kind: Kind) -> pa.Array:
    """The entries of a dictionary: none first, then the values."""
    texts = pa.array([None, *map(as_text, values)], pa.large_string())
    if kind in (Kind.TEXT, Kind.NOTHING):
        return texts
    typed = pa.array([None, *(as_kind(value, kind) for value in values)], stored_type(kind).field("value").type)
    absent = pa.array([True] + [False] * len(values))
    return pa.StructArray.from_arrays([typed, texts], fields=list(stored_type(kind)), mask=absent)

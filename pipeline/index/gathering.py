"""Encoded rows by position: those of a shard, those of a live segment, and both gathered for a new segment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import arrays
from pipeline.index import files
from pipeline.index.chunks import LEXICAL_FILE, read_blocks
from pipeline.index.multivector import search as multivector
from pipeline.index.schemas import CHUNK_SCHEMA, LEXICAL_SCHEMA
from pipeline.index.segment import Segment
from pipeline.index.staging import DENSE_FILE
from pipeline.records import Float32

Ordinals = npt.NDArray[np.int64]

_CHUNK_ROWS = 4096
_ROWS = 8192
_MULTIVECTOR_ROWS = 512
"""A block of multi-vectors is held in memory: of BGE-M3, 512 chunks of 256 tokens take 130 MB."""
_OPEN = 8


class EncodedRows(Protocol):
    """Encoded texts that can be read in any order."""

    def dense(self, rows: Ordinals) -> npt.NDArray[np.floating]:
        """Dense rows: float16 or float32 (len(rows), d)."""

    def lexical(self, rows: Ordinals) -> pa.Table:
        """Rows of `LEXICAL_SCHEMA`."""

    def multivectors(self, rows: Ordinals) -> pa.Table:
        """Rows of the multi-vector file, as stored."""


class _FolderRows:
    """What shards and segments have in common: their lexical and multi-vector files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._group = lru_cache(1)(self._read_group)

    def lexical(self, rows: Ordinals) -> pa.Table:
        """Rows of `LEXICAL_SCHEMA`. Memory: one row group beside the result. Raises `CorruptIndexError`."""
        _, starts = self._lexical_file
        groups = np.searchsorted(starts, rows, side="right") - 1
        pieces = [
            self._group(int(group)).take(rows[groups == group] - starts[group]) for group in np.unique(groups)
        ]
        return _in_order(pieces, groups, LEXICAL_SCHEMA)

    def multivectors(self, rows: Ordinals) -> pa.Table:
        """Rows of the multi-vector file, as stored. Raises `CorruptIndexError`."""
        batches = self._batches
        starts = np.cumsum([0, *(batch.num_rows for batch in batches)])
        numbers = np.searchsorted(starts, rows, side="right") - 1
        pieces = [
            pa.Table.from_batches([batches[number]]).take(rows[numbers == number] - starts[number])
            for number in np.unique(numbers)
        ]
        return _in_order(pieces, numbers, batches[0].schema)

    @cached_property
    def _batches(self) -> list[pa.RecordBatch]:
        return list(multivector.read_batches(self.folder / multivector.MULTIVECTOR_FILE))

    @cached_property
    def _lexical_file(self) -> tuple[pq.ParquetFile, Ordinals]:
        path = self.folder / LEXICAL_FILE
        try:
            file = pq.ParquetFile(path, memory_map=True)
        except (pa.ArrowException, OSError) as error:
            raise files.damage(error, f"{path}: cannot be read ({error}); `pipeline build --full`") from None
        sizes = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
        return file, np.cumsum([0, *sizes])

    def _read_group(self, group: int) -> pa.Table:
        file, _ = self._lexical_file
        try:
            table = file.read_row_group(group, use_threads=False)
            table.validate(full=True)
        except (pa.ArrowException, OSError) as error:
            path = self.folder / LEXICAL_FILE
            raise files.damage(error, f"{path}: cannot be read ({error}); `pipeline build --full`") from None
        return table


class ShardRows(_FolderRows):
    """The texts of a finished shard."""

    def dense(self, rows: Ordinals) -> npt.NDArray[np.floating]:
        """Dense rows: float16 or float32 (len(rows), d)."""
        stored: npt.NDArray[np.floating] = arrays.mapped(self.folder / DENSE_FILE)
        return stored[rows]


class SegmentRows(_FolderRows):
    """The texts of a segment."""

    def __init__(self, segment: Segment) -> None:
        super().__init__(segment.folder)
        self._segment = segment

    def dense(self, rows: Ordinals) -> npt.NDArray[np.floating]:
        """Dense rows: float16 or float32 (len(rows), d)."""
        stored: npt.NDArray[np.floating] = self._segment.dense.rows[rows]
        return stored


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the encoded rows of chunks are: chunk i is row `rows[i]` of `origins[numbers[i]]`.

    `origins`: folders of shards, and segments. `numbers`: int32 (n,), `rows`: int64 (n,).
    """

    origins: Sequence[Path | Segment]
    numbers: npt.NDArray[np.int32]
    rows: Ordinals

    def part(self, start: int, end: int) -> Placement:
        """That of the chunks start…end."""
        return Placement(self.origins, self.numbers[start:end], self.rows[start:end])


class GatheredSource:
    """Staged parts, and their encoded rows wherever they are, as the content of a new segment."""

    def __init__(self, parts: Sequence[Path], placement: Placement) -> None:
        self._parts, self._placement = parts, placement
        self.count = len(placement.rows)
        self._origin = lru_cache(_OPEN)(self._open)

    def chunk_tables(self) -> Iterator[pa.Table]:
        """Tables of `CHUNK_SCHEMA`."""
        for part in self._parts:
            yield from read_blocks(part, CHUNK_SCHEMA, _CHUNK_ROWS)

    def dense_blocks(self) -> Iterator[Float32]:
        """Blocks of dense rows."""
        for numbers, rows in self._blocks(_ROWS):
            pieces = [self._origin(number).dense(rows[numbers == number]) for number in np.unique(numbers)]
            yield np.concatenate(pieces)[_inverse(numbers)].astype(np.float32)

    def lexical_tables(self) -> Iterator[pa.Table]:
        """Tables of `LEXICAL_SCHEMA`."""
        for numbers, rows in self._blocks(_ROWS):
            pieces = [self._origin(number).lexical(rows[numbers == number]) for number in np.unique(numbers)]
            yield _in_order(pieces, numbers, LEXICAL_SCHEMA)

    def multivector_batches(self) -> Iterator[pa.RecordBatch]:
        """Record batches of the multi-vector file."""
        for numbers, rows in self._blocks(_MULTIVECTOR_ROWS):
            pieces = [self._origin(number).multivectors(rows[numbers == number]) for number in np.unique(numbers)]
            yield from _in_order(pieces, numbers, pieces[0].schema).combine_chunks().to_batches()

    def _blocks(self, size: int) -> Iterator[tuple[npt.NDArray[np.int32], Ordinals]]:
        for start in range(0, self.count, size):
            yield self._placement.numbers[start : start + size], self._placement.rows[start : start + size]

    def _open(self, number: int) -> EncodedRows:
        origin = self._placement.origins[number]
        return SegmentRows(origin) if isinstance(origin, Segment) else ShardRows(origin)


def _inverse(numbers: npt.NDArray[np.integer]) -> Ordinals:
    """Positions that bring rows grouped by number, ascending, back into the order of `numbers`."""
    inverse = np.empty(len(numbers), np.int64)
    inverse[np.argsort(numbers, kind="stable")] = np.arange(len(numbers))
    return inverse


def _in_order(pieces: Sequence[pa.Table], numbers: npt.NDArray[np.integer], schema: pa.Schema) -> pa.Table:
    if not pieces:
        return schema.empty_table()
    if len(pieces) == 1:
        return pieces[0]
    return pa.concat_tables(pieces).take(_inverse(numbers))

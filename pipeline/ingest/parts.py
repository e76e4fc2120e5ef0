"""Chunks of documents → parts of so many chunks each, as tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from pipeline.index.schemas import chunks_to_table
from pipeline.ingest.guard import ChunkRows
from pipeline.records import Chunk


@dataclass(frozen=True, slots=True)
class Part:
    """Chunks as a table, and those among them, in their order, whose vectors are given."""

    table: pa.Table
    given: Sequence[Chunk]
    is_full: bool = True
    """Whether no more chunks come into it: it has so many as make a part, or is the last."""


class Parts:
    """Gathers chunks, whether they are records or rows of a worker's table, in the order in which they come."""

    def __init__(self, part_chunks: int) -> None:
        """`part_chunks`: how many make a part."""
        self._most, self._count = part_chunks, 0
        self._records: list[Chunk] = []
        self._rows: ChunkRows | None = None
        self._tables: list[pa.Table] = []
        self._given: list[Chunk] = []

    def add(self, chunks: Sequence[Chunk] | ChunkRows) -> Iterator[Part]:
        """Take the chunks of a document; returns each part that is full."""
        rows = chunks if isinstance(chunks, ChunkRows) else None
        count = len(chunks) if not isinstance(chunks, ChunkRows) else chunks.stop - chunks.start
        done = 0
        while done < count:
            step = min(count - done, self._most - self._count)
            if rows is not None:
                self._add_rows(ChunkRows(rows.table, rows.start + done, rows.start + done + step))
            elif not isinstance(chunks, ChunkRows):
                self._close_rows()
                self._records += chunks[done : done + step]
            self._count += step
            done += step
            if self._count == self._most:
                yield self._taken()

    def so_far(self) -> Part | None:
        """What is there of the next part, between two documents; `None` if nothing is."""
        if not self._count:
            return None
        self._close_rows()
        self._close_records()
        self._tables = [pa.concat_tables(self._tables).combine_chunks()]
        return Part(self._tables[0], tuple(self._given), is_full=False)

    def rest(self) -> Part | None:
        """The last part, `None` if nothing is left for it."""
        return self._taken() if self._count else None

    def _add_rows(self, rows: ChunkRows) -> None:
        last = self._rows
        if last is not None and last.table is rows.table and last.stop == rows.start:
            self._rows = ChunkRows(rows.table, last.start, rows.stop)
            return
        self._close_rows()
        self._close_records()
        self._rows = rows

    def _close_rows(self) -> None:
        if self._rows is not None:
            self._tables.append(self._rows.table.slice(self._rows.start, self._rows.stop - self._rows.start))
            self._rows = None

    def _close_records(self) -> None:
        if self._records:
            self._tables.append(chunks_to_table(self._records))
            self._given += [chunk for chunk in self._records if chunk.given is not None]
            self._records = []

    def _taken(self) -> Part:
        self._close_rows()
        self._close_records()
        tables, self._tables, self._count = self._tables, [], 0
        given, self._given = self._given, []
        return Part(tables[0] if len(tables) == 1 else pa.concat_tables(tables).combine_chunks(), given)

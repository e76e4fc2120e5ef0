"""Writing the rows of a segment from its chunks, a block after the other."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from pipeline.errors import CorruptIndexError
from pipeline.index import files
from pipeline.index.chunks import CHUNKS_FILE, chunk_blocks
from pipeline.index.rows.layout import (
    BLOCK,
    BLOCK_ROWS,
    CELLS,
    CODEC,
    HEADER_BYTES,
    ROWS_FILE,
    Layout,
    texts_at,
)
from pipeline.index.schemas import as_array

_TABLE_ROWS = 16_384
_LEVEL = 4
"""LZ4HC: a sixth smaller than the fastest level, and read as fast."""
_COMPRESSED_BYTES = 1 << 20
"""Larger blocks, of texts of some 100,000 characters, are stored as they are: a row is read without the others."""
_MOST_BYTES = 2**32 - 1

Int64 = npt.NDArray[np.int64]


def derive(folder: Path, into: Path) -> None:
    """Write the rows of a segment from its chunks. Memory: one block of chunks, and the ids of documents.

    Raises `CorruptIndexError` for chunks that cannot be read.
    """
    path = folder / CHUNKS_FILE
    try:
        with (into / ROWS_FILE).open("wb") as file:
            _Writer(file).write(chunk_blocks(path, _TABLE_ROWS))
    except (pa.ArrowException, ValueError) as error:
        raise files.damage(
            error, f"{path}: cannot be read ({error}); rebuild with `pipeline build --full`"
        ) from None


class _Writer:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._codec = pa.Codec(CODEC, compression_level=_LEVEL)
        self._at = HEADER_BYTES
        self._blocks: list[bytes] = []
        self._documents, self._own = _Ids(), _Ids()
        self._last_document: str | None = None
        self._rows: list[npt.NDArray[np.int32]] = []
        self._own_rows: list[Int64] = []
        self._chunks = 0

    def write(self, tables: Iterable[pa.Table]) -> None:
        self._file.write(bytes(HEADER_BYTES))
        for table in _whole_blocks(tables):
            self._add_ids(table)
            self._add_blocks(table)
            self._chunks += len(table)
        padding = -self._at % 8
        self._file.write(bytes(padding))
        layout = Layout(
            chunks=self._chunks,
            documents=len(self._documents),
            own=len(self._own),
            blocks_end=self._at + padding,
            document_bytes=self._documents.size,
            own_bytes=self._own.size,
        )
        for part in self._blocks:
            self._file.write(part)
        self._file.write(self._documents.ends())
        self._file.write(self._own.ends())
        for rows in self._rows:
            self._file.write(rows.tobytes())
        for own in self._own_rows:
            self._file.write(own.astype("<u4").tobytes())
        for ids in (self._documents, self._own):
            for data in ids.pieces:
                self._file.write(data)
        self._file.seek(0)
        self._file.write(layout.header())

    def _add_ids(self, table: pa.Table) -> None:
        doc_ids, chunk_ids = _strings(table, "doc_id"), _strings(table, "chunk_id")
        fresh = np.ones(len(table), np.bool_)
        fresh[1:] = _truth(pc.not_equal(doc_ids[1:], doc_ids[:-1]))
        fresh[0] = doc_ids[0].as_py() != self._last_document
        self._last_document = doc_ids[-1].as_py()
        numbers = len(self._documents) - 1 + np.cumsum(fresh)
        self._documents.add(doc_ids.filter(pa.array(fresh)))
        ordinals = table.column("ordinal").combine_chunks()
        pairs = [numbers.astype("<u4").view("<i4"), as_array(ordinals).astype("<i4")]
        self._rows.append(np.stack(pairs, axis=1))
        named = pc.binary_join_element_wise(
            doc_ids, ordinals.cast(pa.large_string()), pa.scalar("#", pa.large_string())
        )
        own = pc.not_equal(named, chunk_ids)
        self._own.add(chunk_ids.filter(own))
        self._own_rows.append(np.flatnonzero(_truth(own)) + self._chunks)

    def _add_blocks(self, table: pa.Table) -> None:
        whole = len(table) - len(table) % BLOCK_ROWS
        for part, rows in ((table[:whole], BLOCK_ROWS), (table[whole:], len(table) - whole)):
            if len(part):
                for pieces in _blocks(part, rows):
                    self._add_block(pieces)

    def _add_block(self, pieces: list[Any]) -> None:
        raw = b"".join(pieces)
        stored = raw
        if len(raw) <= _COMPRESSED_BYTES:
            packed = self._codec.compress(raw, asbytes=True)
            stored = min(raw, packed, key=len)
        self._file.write(stored)
        self._blocks.append(BLOCK.pack(self._at, len(stored), len(raw), xxhash.xxh3_64_intdigest(raw)))
        self._at += len(stored)


class _Ids:
    """Texts one after the other, and where each ends."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.size = 0
        self._ends: list[Int64] = [np.zeros(1, np.int64)]

    def __len__(self) -> int:
        return sum(map(len, self._ends)) - 1

    def add(self, ids: pa.Array) -> None:
        offsets, data = _parts(ids)
        self._ends.append(offsets[1:] - offsets[0] + self.size)
        self.pieces.append(data[offsets[0] : offsets[-1]].tobytes())
        self.size += len(self.pieces[-1])

    def ends(self) -> bytes:
        return np.concatenate(self._ends).astype("<u8").tobytes()


def _whole_blocks(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same chunks, in tables that end where blocks do, but for the last."""
    rest: list[pa.Table] = []
    for table in tables:
        table.validate(full=True)
        joined = pa.concat_tables([*rest, table])
        whole = len(joined) - len(joined) % BLOCK_ROWS
        if whole:
            yield joined[:whole]
        rest = [joined[whole:]]
    if rest and len(rest[0]):
        yield rest[0]


def _blocks(table: pa.Table, rows: int) -> Iterator[list[Any]]:
    """The pieces of each block of `rows` chunks, uncompressed."""
    columns = [_parts(_cells(table, name)) for name in CELLS]
    lengths = np.stack([np.diff(offsets).reshape(-1, rows) for offsets, _ in columns], axis=1)
    ends = np.zeros((len(lengths), len(CELLS) * rows + 1), np.int64)
    np.cumsum(lengths.reshape(len(lengths), -1), axis=1, out=ends[:, 1:])
    ends += texts_at(rows)
    if ends.max() > _MOST_BYTES:
        raise CorruptIndexError(f"{rows} chunks take more than 4 GiB; cut the documents into smaller ones")
    numbers = [as_array(table.column(name).combine_chunks()).astype("<i8") for name in ("start", "end")]
    numbers = [part.reshape(-1, rows) for part in numbers]
    fronts = np.concatenate([part.view(np.uint8) for part in (*numbers, ends.astype("<u4"))], axis=1)
    for block, front in enumerate(fronts):
        first, last = block * rows, (block + 1) * rows
        yield [front.data, *(data[offsets[first] : offsets[last]] for offsets, data in columns)]


def _cells(table: pa.Table, name: str) -> pa.Array:
    if name != "headings":
        return _strings(table, name)
    known: dict[tuple[str, ...], str] = {(): ""}
    texts = []
    for headings in table.column(name).to_pylist():
        key = tuple(headings)
        if key not in known:
            known[key] = json.dumps(headings, ensure_ascii=False)
        texts.append(known[key])
    return pa.array(texts, pa.large_string())


def _strings(table: pa.Table, name: str) -> pa.Array:
    column = table.column(name)
    if column.null_count:
        raise ValueError(f"column {name} has null values")
    return column.cast(pa.large_string()).combine_chunks()


def _truth(values: pa.Array) -> npt.NDArray[np.bool_]:
    return as_array(values.cast(pa.uint8())).astype(np.bool_)


def _parts(strings: pa.Array) -> tuple[Int64, memoryview]:
    """Where each of some texts begins and ends, and their bytes."""
    _, offsets, data = strings.buffers()
    view = np.frombuffer(offsets, np.int64)[strings.offset : strings.offset + len(strings) + 1]
    return view, memoryview(data if data is not None else b"")

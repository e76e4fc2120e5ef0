"""Write the chunks of a generation with all their vectors as Parquet: what `encoder.model: precomputed` reads."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from pipeline import given, names
from pipeline.errors import IndexStoreError
from pipeline.index import files, locks
from pipeline.index import manifest as manifests
from pipeline.index.components.rows import stacked
from pipeline.index.dense.component import DENSE
from pipeline.index.lexical.component import LEXICAL
from pipeline.index.manifest import Manifest
from pipeline.index.multivector.component import MULTIVECTORS
from pipeline.index.rows.component import ROWS
from pipeline.index.schemas import as_array
from pipeline.query.snapshot import Ids, Snapshot
from pipeline.records import Chunk

FILE_SUFFIX = ".parquet"
MOST_ROWS = 250_000
"""Rows of a file, where a folder is written; a document is never split."""
BLOCK_ROWS, TOKEN_BLOCK_ROWS = 1024, 64
"""Rows that are in memory at once, without and with multi-vectors."""

_NONE = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class VectorsReport:
    """What was written. `lexical`, `multivectors`: whether rows have them; BM25's weights follow from the texts."""

    target: str
    generation: int
    documents: int
    chunks: int
    files: int
    written_bytes: int
    dimension: int
    lexical: bool
    multivectors: bool


@dataclass(frozen=True, slots=True)
class _Content:
    """The live chunks of a generation, and which vectors they have. `vector` and `tokens`: types of the columns."""

    snapshot: Snapshot
    vector: pa.DataType
    lexical: bool
    tokens: pa.DataType | None

    @property
    def schema(self) -> pa.Schema:
        """The columns of a file."""
        fields = [
            pa.field("doc_id", pa.string(), nullable=False),
            pa.field(given.CHUNK_ORDINAL, pa.int32(), nullable=False),
            pa.field(given.CHUNK_START, pa.int64(), nullable=False),
            pa.field(given.CHUNK_END, pa.int64(), nullable=False),
            pa.field("text", pa.string(), nullable=False),
            pa.field(given.CHUNK_CONTEXT, pa.string(), nullable=False),
            pa.field(given.CHUNK_HEADINGS, pa.list_(pa.string()), nullable=False),
            pa.field(given.CHUNK_METADATA, pa.string(), nullable=False),
            pa.field(given.CHUNK_SOURCE, pa.string(), nullable=False),
            pa.field(given.VECTOR, self.vector, nullable=False),
        ]
        if self.lexical:
            fields.append(pa.field(given.TOKEN_IDS, pa.list_(pa.uint64()), nullable=False))
            fields.append(pa.field(given.WEIGHTS, pa.list_(pa.float32()), nullable=False))
        if self.tokens is not None:
            fields.append(pa.field(given.MULTIVECTORS, pa.list_(self.tokens), nullable=False))
        return pa.schema(fields, {given.MADE_BY: json.dumps(self._made_by)})

    @property
    def _made_by(self) -> dict[str, dict[str, str]]:
        """By leg, the fingerprint of what made the vectors, without the mark that they were given to this index."""
        prints = self.snapshot.manifest.fingerprints
        legs = (names.DENSE, names.LEXICAL) if self.lexical else (names.DENSE,)
        return {leg: {k: v for k, v in prints[leg].items() if v != given.PRECOMPUTED} for leg in legs}

    @property
    def block_rows(self) -> int:
        """How many rows are written at once."""
        return BLOCK_ROWS if self.tokens is None else TOKEN_BLOCK_ROWS


def export_vectors(index: Path, target: Path, generation: int | None = None) -> VectorsReport:
    """Write a generation, by default the live one: a file if `target` is named `*.parquet`, else a folder of them.

    A row is a live chunk, those of a document follow each other. Memory: one block, and some 150 bytes a chunk.
    `target` appears whole or not at all. Raises `IndexStoreError` if something is there already or the index has no
    vectors, `IndexNotFoundError`, `CorruptIndexError` for an index that is damaged.
    """
    if os.path.lexists(target):
        raise IndexStoreError(f"{target}: is there already; name another target, or remove it")
    if target.absolute().resolve().is_relative_to(index.absolute().resolve()):
        raise IndexStoreError(f"{target}: is in the index that is exported; name a target outside {index}")

    def use(manifest: Manifest) -> VectorsReport:
        if manifest.dimension is None:
            raise IndexStoreError(f"{index}: has no vectors; `pipeline export` without --vectors takes it along")
        snapshot = Snapshot(index, manifest, verify=True)
        try:
            content = _content(snapshot, manifest.dimension)
            order, ends = _order(snapshot)
            locks.sweep_beside(target)
            written = _write(content, target, order, ends)
        except FileExistsError:
            raise IndexStoreError(
                f"{target}: somebody else made it meanwhile; name another target, or remove it"
            ) from None
        finally:
            snapshot.close()
        return VectorsReport(
            str(target),
            manifest.generation,
            len(ends),
            len(order),
            len(written),
            sum(written),
            manifest.dimension,
            content.lexical,
            content.tokens is not None,
        )

    return manifests.with_live(index, use) if generation is None else use(manifests.load(index, generation))


def _content(snapshot: Snapshot, dimension: int) -> _Content:
    """Which columns hold what the segments store, with every bit of it."""
    segments = snapshot.segments
    exact = any(segment.open(DENSE).rows.dtype != np.float16 for segment in segments)
    lexical = snapshot.has(names.LEXICAL) and snapshot.manifest.lexical.kind == "dot"
    tokens = None
    stored = [segment.open(MULTIVECTORS) for segment in segments if MULTIVECTORS.is_in(segment.entry)]
    if stored and len(stored) == len(segments):
        halves = all(each.precision == "fp16" for each in stored)
        tokens = pa.list_(pa.float16() if halves else pa.float32(), stored[0].dimension)
    return _Content(snapshot, pa.list_(pa.float32() if exact else pa.float16(), dimension), lexical, tokens)


def _order(snapshot: Snapshot) -> tuple[Ids, Ids]:
    """The numbers of all live chunks, those of a document together, and where each document's end.

    A document's chunks may stand in several segments, which a compaction has moved apart.
    """
    hashes, ordinals, numbers, start = [], [], [], 0
    for segment in snapshot.segments:
        alive = np.ones(segment.chunks, np.bool_) if segment.deleted is None else ~segment.deleted
        table = segment.store.columns(("doc_id", "ordinal"))
        hashes.append(_document_hashes(table.column("doc_id"))[alive])
        ordinals.append(np.concatenate([_NONE, *map(as_array, table.column("ordinal").chunks)])[alive])
        numbers.append(np.flatnonzero(alive) + start)
        start += segment.chunks
    every = np.concatenate([np.zeros(0, "S16"), *hashes])
    _, first, document = np.unique(every, return_index=True, return_inverse=True)
    place = first[document]
    order = np.lexsort((np.concatenate([_NONE, *ordinals]), place))
    ends = np.flatnonzero(np.diff(place[order], append=-1)) + 1
    return np.concatenate([_NONE, *numbers])[order], ends


def _document_hashes(doc_ids: pa.ChunkedArray) -> npt.NDArray[np.bytes_]:
    """128 bits of each id."""
    parts = [b"".join(map(xxhash.xxh3_128_digest, ids.cast(pa.binary()).to_pylist())) for ids in doc_ids.chunks]
    return np.frombuffer(b"".join(parts), "S16")


def _write(content: _Content, target: Path, order: Ids, ends: Ids) -> list[int]:
    """Write the chunks in this order; returns the size of each file."""
    if target.name.endswith(FILE_SUFFIX):
        with files.new_stream(target) as stream:
            _write_file(content, stream, order)
        return [target.stat().st_size]
    sizes = []
    with files.new_tree(target) as folder, locks.kept_from_sweeping(folder):
        for number, part in enumerate(_parts(order, ends)):
            path = folder / f"vectors-{number:05d}{FILE_SUFFIX}"
            with path.open("xb") as stream:
                _write_file(content, stream, part)
            sizes.append(path.stat().st_size)
    return sizes


def _parts(order: Ids, ends: Ids) -> Iterator[Ids]:
    """The chunks of each file: whole documents, at most `MOST_ROWS` unless one alone has more."""
    start = 0
    while start < len(order):
        within = ends[(ends > start) & (ends <= start + MOST_ROWS)]
        end = int(within[-1]) if len(within) else int(ends[ends > start][0])
        yield order[start:end]
        start = end


def _write_file(content: _Content, stream: IO[bytes], order: Ids) -> None:
    import pyarrow.parquet as pq

    schema = content.schema
    plain = [field.name for field in schema if field.name in (given.CHUNK_SOURCE, given.CHUNK_CONTEXT)]
    options: dict[str, Any] = {"compression": "zstd", "compression_level": 1, "use_dictionary": plain}
    with pq.ParquetWriter(stream, schema, **options) as writer:
        for start in range(0, len(order), content.block_rows):
            writer.write_table(_table(content, schema, order[start : start + content.block_rows]))


def _table(content: _Content, schema: pa.Schema, numbers: Ids) -> pa.Table:
    snapshot = content.snapshot
    parts = snapshot.by_segment(numbers)
    inside = np.argsort(np.concatenate([positions for _, positions, _ in parts]))
    pieces = [(snapshot.segments[number], ordinals) for number, _, ordinals in parts]
    chunks: list[Chunk] = [chunk for segment, rows in pieces for chunk in segment.open(ROWS).fetch(rows.tolist())]
    chunks = [chunks[place] for place in inside]
    dense = np.concatenate([segment.open(DENSE).vectors(rows) for segment, rows in pieces])[inside]
    columns: list[Any] = [
        [chunk.doc_id for chunk in chunks],
        [chunk.ordinal for chunk in chunks],
        [chunk.start for chunk in chunks],
        [chunk.end for chunk in chunks],
        [chunk.text for chunk in chunks],
        [chunk.context for chunk in chunks],
        [list(chunk.headings) for chunk in chunks],
        [json.dumps(dict(chunk.metadata), ensure_ascii=False, sort_keys=True) for chunk in chunks],
        [chunk.source for chunk in chunks],
        _fixed(dense, content.vector),
    ]
    if content.lexical:
        rows = stacked([LEXICAL.rows.of_segment(segment.place)(rows) for segment, rows in pieces], inside)
        columns += [rows.column("token_ids"), rows.column("weights")]
    if content.tokens is not None:
        every = [segment.open(MULTIVECTORS).vectors([row]).vectors for segment, rows in pieces for row in rows]
        tokens = [every[place] for place in inside]
        offsets = np.cumsum([0, *map(len, tokens)]).astype(np.int32)
        columns.append(pa.ListArray.from_arrays(pa.array(offsets), _fixed(np.concatenate(tokens), content.tokens)))
    return pa.table(columns, schema=schema)


def _fixed(vectors: npt.NDArray[np.float32], kind: pa.DataType) -> pa.Array:
    """Vectors as lists of fixed length, in the type that they were stored in."""
    values = vectors.astype(kind.value_type.to_pandas_dtype()).reshape(-1)
    return pa.FixedSizeListArray.from_arrays(pa.array(values), type=kind)

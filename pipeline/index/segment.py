"""A segment: an immutable folder with everything needed to search one batch of chunks."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import weakref
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.errors import CorruptIndexError, IndexStoreError
from pipeline.forking import shared_property
from pipeline.index import chunks as chunk_files
from pipeline.index import files, locks
from pipeline.index.dense import search as dense
from pipeline.index.dense import write as dense_writer
from pipeline.index.dense.write import DenseChoice
from pipeline.index.lexical import postings, seismic_writer
from pipeline.index.lexical import search as lexical
from pipeline.index.lexical.seismic import SeismicIndex
from pipeline.index.lexical.seismic_writer import EXACT, LexicalChoice
from pipeline.index.manifest import DenseParameters, FileEntry, SegmentEntry
from pipeline.index.multivector import search as multivector
from pipeline.index.schemas import CHUNK_SCHEMA, LEXICAL_SCHEMA, table_to_sparse
from pipeline.records import Float32

SEGMENTS = "segments"
Mask = npt.NDArray[np.bool_]


class SegmentSource(Protocol):
    """Where the content of a new segment comes from: staged shards, or live rows of other segments."""

    @property
    def count(self) -> int:
        """Number of chunks."""

    def chunk_tables(self) -> Iterator[pa.Table]:
        """Tables of `CHUNK_SCHEMA`, in chunk order."""

    def dense_blocks(self) -> Iterator[Float32]:
        """Blocks of rows, in chunk order."""

    def lexical_tables(self) -> Iterator[pa.Table]:
        """Tables of `LEXICAL_SCHEMA`, in chunk order."""

    def multivector_batches(self) -> Iterator[pa.RecordBatch]:
        """Record batches of the multi-vector file, in chunk order."""


@dataclass(frozen=True, slots=True)
class SegmentShape:
    """Which legs a segment has: `dimension` is `None` without a dense leg. `dense`: a FAISS factory string, and
    what an approximate kind is tuned to. `lexical`: whether an approximate index stands beside the postings."""

    dimension: int | None
    dense: DenseChoice
    has_lexical: bool
    has_multivectors: bool = False
    lexical: LexicalChoice = EXACT


def write_segment(index: Path, segment_id: str, source: SegmentSource, shape: SegmentShape) -> SegmentEntry:
    """Write a segment durably and return its manifest entry. Memory: one block, one tile.

    Its place is `segment_id`, or an id made of it while a reader still has a collected segment of that id.
    """
    while locks.is_held(index / SEGMENTS / segment_id):
        segment_id = hashlib.blake2b(segment_id.encode(), digest_size=16).hexdigest()
    parameters = approximate = None
    with files.new_folder(index / SEGMENTS / segment_id) as folder:
        rows = chunk_files.write_table(folder / chunk_files.CHUNKS_FILE, source.chunk_tables(), CHUNK_SCHEMA)
        if rows != source.count:
            raise CorruptIndexError(f"{folder}: {rows} staged chunks where {source.count} were announced")
        if shape.dimension is not None:
            parameters = _write_dense(folder, source, shape, shape.dimension)
        if shape.has_lexical:
            path = folder / chunk_files.LEXICAL_FILE
            chunk_files.write_table(path, source.lexical_tables(), LEXICAL_SCHEMA, group_rows=16_384)
            postings.write(folder, (table_to_sparse(table) for table in chunk_files.lexical_blocks(folder)))
            if shape.lexical.kind == "seismic":
                approximate = seismic_writer.write(folder, folder, source.count, shape.lexical.recall_target)
        if shape.has_multivectors:
            multivector.write(folder / multivector.MULTIVECTOR_FILE, source.multivector_batches())
        entries = tuple(file_entry(path) for path in sorted(folder.iterdir()))
    return SegmentEntry(segment_id, source.count, entries, dense=parameters, lexical=approximate)


def _write_dense(
    folder: Path, source: SegmentSource, shape: SegmentShape, dimension: int
) -> DenseParameters | None:
    try:
        dense_writer.write(folder, shape.dense.kind, dimension, source.count, source.dense_blocks())
        # Opens it, too: FAISS does not say when its last flush fails.
        return dense_writer.tune(folder, shape.dense.kind, source.count, shape.dense.recall_target)
    except (RuntimeError, CorruptIndexError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise IndexStoreError(
            f"{folder / dense.INDEX_FILE}: cannot be written whole, is the disk full? ({reason})"
        ) from None


def file_entry(path: Path) -> FileEntry:
    """Name, size and checksum of a file as it is now."""
    return FileEntry(name=path.name, size=path.stat().st_size, checksum=files.checksum(path))


def write_deletes(index: Path, segment: SegmentEntry, generation: int, deleted: Mask) -> SegmentEntry:
    """Write the deletions of a segment as a new file for `generation`; returns the entry that names it."""
    name = f"deletes-{generation:08d}.npy"
    path = index / SEGMENTS / segment.segment_id / name
    ordinals = np.flatnonzero(deleted).astype(np.uint32)
    files.write_array(path, ordinals)
    return dataclasses.replace(segment, deletes=file_entry(path), deleted_chunks=len(ordinals))


class Segment:
    """An open segment. Its parts are opened when first used; everything is memory-mapped."""

    def __init__(self, index: Path, entry: SegmentEntry, verify: bool = True) -> None:
        """Check presence and size of every file, and checksums if `verify`. Raises `CorruptIndexError`."""
        self.entry = entry
        self.folder = index / SEGMENTS / entry.segment_id
        self._verified = verify
        held = locks.hold_folder(self.folder)
        if held is not None:
            weakref.finalize(self, os.close, held)
        for file in [*entry.files, *([entry.deletes] if entry.deletes else [])]:
            path = files.regular_file(self.folder / file.name, file.size)
            if verify and files.checksum(path) != file.checksum:
                raise CorruptIndexError(f"{path}: its checksum does not match the manifest; {files.MEND}")
        self._seismic = None if entry.lexical is None else SeismicIndex(self.folder, entry.lexical)
        self.deleted = self._read_deleted()
        """True where a chunk is gone; `None` if none is. Read at once: no later generation may name the file."""

    @property
    def chunks(self) -> int:
        """Number of chunks, deleted ones included."""
        return self.entry.chunks

    def _read_deleted(self) -> Mask | None:
        if self.entry.deletes is None:
            return None
        path = self.folder / self.entry.deletes.name
        ordinals = files.read_array(path, np.uint32, 1)
        if len(ordinals) and ordinals.max() >= self.chunks:
            raise CorruptIndexError(f"{path}: names chunks that the segment does not have")
        mask = np.zeros(self.chunks, np.bool_)
        mask[ordinals] = True
        return mask

    @shared_property
    def store(self) -> chunk_files.ChunkStore:
        """Texts and metadata."""
        return chunk_files.ChunkStore(self.folder, self.chunks)

    @shared_property
    def dense(self) -> dense.DenseIndex:
        """The dense leg."""
        return dense.DenseIndex(self.folder, self.chunks, self.entry.dense)

    @shared_property
    def has_exact_rows(self) -> bool:
        """Whether the dense leg is a scan of its rows, and no approximate index beside them."""
        return not any(file.name == dense.ROWS_FILE for file in self.entry.files)

    @shared_property
    def inverted(self) -> lexical.InvertedIndex:
        """The lexical leg."""
        inverted = lexical.InvertedIndex(self.folder, self.chunks)
        if self._verified:
            inverted.check_ordinals()
        return inverted

    def search_lexical(
        self,
        query: lexical.SparseQuery,
        depth: int,
        excluded: Mask | None,
        saturation: lexical.Saturation | None,
        pool: Executor | None = None,
    ) -> tuple[postings.Ordinals, Float32]:
        """What `InvertedIndex.search` finds, or what an approximate index finds of it; scores are the same bits."""
        found = None
        if self._seismic is not None and saturation is None:
            found = self._seismic.search(self.inverted, query, depth, excluded)
        return self.inverted.search(query, depth, excluded, saturation, pool) if found is None else found

    @shared_property
    def multivectors(self) -> multivector.MultiVectorIndex:
        """Token-level vectors."""
        return multivector.MultiVectorIndex(self.folder, self.chunks)

"""Do the files of a generation agree with each other? Chunks, vectors, weights, postings, deletions and counts."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.errors import CorruptIndexError
from pipeline.index import files
from pipeline.index.chunks import CHUNKS_FILE, LEXICAL_FILE, lexical_blocks, read_blocks
from pipeline.index.dense import search as dense
from pipeline.index.dense import write as dense_writer
from pipeline.index.lexical import postings, seismic
from pipeline.index.manifest import Manifest, SegmentEntry
from pipeline.index.multivector import search as multivector
from pipeline.index.schemas import CHUNK_SCHEMA, table_to_sparse, text_hash
from pipeline.index.segment import SEGMENTS

Finding = tuple[str, str]
"""A file, relative to the index folder, and what is wrong with it."""

_BLOCK_ROWS = 16_384
_NORM_TOLERANCE = 0.011
"""Encoders are held to 0.01 (`check_encoded`); storing as fp16 adds at most 2^-11 a component."""

_RECALL_TOLERANCE = 0.02
"""Another version of FAISS may round in another way."""

_MULTIVECTOR_ROWS = 256
_QUANTISED_TOLERANCE = 0.03
"""int8 with a scale for each vector moves a component by at most 1/254 of the largest one."""


def check(index: Path, manifest: Manifest, name: str, sound: Mapping[str, set[str]]) -> Iterator[Finding]:
    """Everything that does not fit. `name`: the manifest's file. `sound`: by segment, its undamaged files.

    No others are opened.
    """
    live = _LiveChunks()
    for entry in manifest.segments:
        prefix = f"{SEGMENTS}/{entry.segment_id}"
        checker = _SegmentCheck(index, manifest, entry, sound[entry.segment_id], live)
        for file, reason in checker.findings():
            yield f"{prefix}/{file}", reason
    if live.complete and len(live.documents) != manifest.documents:
        yield name, f"says {manifest.documents} documents, the chunks have {len(live.documents)}"


class _LiveChunks:
    """What is live over all segments. `complete`: no segment had to be left out."""

    def __init__(self) -> None:
        self.chunk_ids: set[str] = set()
        self.documents: dict[str, str] = {}
        self.complete = True


class _SegmentCheck:
    def __init__(
        self, index: Path, manifest: Manifest, entry: SegmentEntry, sound: set[str], live: _LiveChunks
    ) -> None:
        self.manifest, self.entry, self.sound, self.live = manifest, entry, sound, live
        self.folder = index / SEGMENTS / entry.segment_id

    def findings(self) -> Iterator[Finding]:
        deleted = np.zeros(self.entry.chunks, np.bool_)
        if self.entry.deletes is not None and self.entry.deletes.name in self.sound:
            name = self.entry.deletes.name
            try:
                deleted[self._deleted_ordinals(name)] = True
            except CorruptIndexError as error:
                yield name, _reason(error)
        elif self.entry.deletes is not None:
            self.live.complete = False
        if CHUNKS_FILE in self.sound:
            yield from _guarded(CHUNKS_FILE, lambda: self._chunks(deleted))
        else:
            self.live.complete = False
        if LEXICAL_FILE in self.sound:
            yield from _guarded(LEXICAL_FILE, self._lexical)
        if seismic.SEISMIC_FILE in self.sound:
            yield from _guarded(seismic.SEISMIC_FILE, self._seismic)
        if dense.INDEX_FILE in self.sound and not {dense.ROWS_FILE} & (self._names() - self.sound):
            yield from _guarded(dense.INDEX_FILE, self._dense)
        if multivector.MULTIVECTOR_FILE in self.sound:
            yield from _guarded(multivector.MULTIVECTOR_FILE, self._multivectors)

    def _names(self) -> set[str]:
        return {file.name for file in self.entry.files}

    def _deleted_ordinals(self, name: str) -> npt.NDArray[np.uint32]:
        ordinals = files.read_array(self.folder / name, np.uint32, 1)
        if len(ordinals) and int(ordinals.max()) >= self.entry.chunks:
            raise CorruptIndexError(f"names chunk {int(ordinals.max())} of {self.entry.chunks}")
        if (np.diff(ordinals.astype(np.int64)) <= 0).any():
            raise CorruptIndexError("its ordinals do not ascend")
        if len(ordinals) != self.entry.deleted_chunks:
            raise CorruptIndexError(
                f"{len(ordinals)} deletions where the manifest says {self.entry.deleted_chunks}"
            )
        return ordinals

    def _chunks(self, deleted: npt.NDArray[np.bool_]) -> Iterator[Finding]:
        done = 0
        for table in read_blocks(self.folder / CHUNKS_FILE, CHUNK_SCHEMA, _BLOCK_ROWS):
            table.validate(full=True)
            for ordinal, row in enumerate(table.to_pylist(), done):
                if ordinal >= self.entry.chunks:
                    break
                if reason := _wrong_chunk(row) or (None if deleted[ordinal] else self._wrong_place(row)):
                    yield CHUNKS_FILE, f"row {ordinal}: {reason}"
            done += table.num_rows
        if done != self.entry.chunks:
            yield CHUNKS_FILE, f"{done} rows where the manifest says {self.entry.chunks} chunks"

    def _wrong_place(self, row: Mapping[str, Any]) -> str | None:
        chunk_id, doc_id = row["chunk_id"], row["doc_id"]
        if chunk_id in self.live.chunk_ids:
            return f"chunk {chunk_id!r} is live twice"
        self.live.chunk_ids.add(chunk_id)
        if self.live.documents.setdefault(doc_id, row["doc_hash"]) != row["doc_hash"]:
            return f"document {doc_id!r} is live in two versions"
        return None

    def _lexical(self) -> Iterator[Finding]:
        rows = 0
        for table in lexical_blocks(self.folder):
            table.validate(full=True)
            block = table_to_sparse(table)
            rows += len(block)
            if not (np.isfinite(block.weights).all() and (block.weights > 0).all()):
                yield LEXICAL_FILE, "holds weights that are not positive numbers"
            if len(block.token_ids) != len(block.weights):
                yield LEXICAL_FILE, "has rows with more token ids than weights, or fewer"
            ascending = block.token_ids[1:] > block.token_ids[:-1]
            inside = np.ones(len(ascending), np.bool_)
            borders = block.indptr[1:-1] - 1
            inside[borders[(borders >= 0) & (borders < len(inside))]] = False
            if not ascending[inside].all():
                yield LEXICAL_FILE, "has rows whose token ids do not ascend"
        if rows != self.entry.chunks:
            yield LEXICAL_FILE, f"{rows} rows where the manifest says {self.entry.chunks} chunks"
            return
        with tempfile.TemporaryDirectory(prefix="hybrid-pipeline-verify-") as name:
            derive_lexical(self.folder, Path(name))
            for fresh in sorted(Path(name).iterdir()):
                if fresh.name in self.sound and not _same_content(fresh, self.folder / fresh.name):
                    yield fresh.name, f"differs from what {LEXICAL_FILE} gives; `pipeline repair` rebuilds it"

    def _seismic(self) -> Iterator[Finding]:
        """Only whether it loads: what it proposes is scored from the postings, whatever it says."""
        parameters = self.entry.lexical
        if parameters is not None and seismic.unusable(parameters) is None:
            reason = seismic.load_failure(self.folder / seismic.SEISMIC_FILE)
            if reason is not None:
                yield seismic.SEISMIC_FILE, f"cannot be loaded ({reason}); `pipeline repair` rebuilds it"

    def _dense(self) -> Iterator[Finding]:
        index = dense.DenseIndex(self.folder, self.entry.chunks, self.entry.dense)
        if index.dimension != self.manifest.dimension:
            yield (
                dense.INDEX_FILE,
                f"{index.dimension} dimensions where the manifest says {self.manifest.dimension}",
            )
        tuned = self.entry.dense
        if tuned and (recall := dense_writer.recall_of(index, tuned)) < tuned.recall - _RECALL_TOLERANCE:
            yield (
                dense.INDEX_FILE,
                f"finds {recall:.3f} of the true neighbours, the manifest says {tuned.recall:.3f}",
            )
        for start in range(0, self.entry.chunks, _BLOCK_ROWS):
            norms = np.linalg.norm(index.vectors(slice(start, start + _BLOCK_ROWS)).astype(np.float64), axis=1)
            wrong = np.flatnonzero(~(np.abs(norms - 1) <= _NORM_TOLERANCE))
            if len(wrong):
                yield (
                    dense.INDEX_FILE,
                    f"{len(wrong)} vectors are not of length 1, first row {start + int(wrong[0])}: "
                    f"{norms[wrong[0]]:.4f}",
                )

    def _multivectors(self) -> Iterator[Finding]:
        index = multivector.MultiVectorIndex(self.folder, self.entry.chunks)
        for start in range(0, self.entry.chunks, _MULTIVECTOR_ROWS):
            rows = index.vectors(range(start, min(start + _MULTIVECTOR_ROWS, self.entry.chunks)))
            norms = np.linalg.norm(rows.vectors.astype(np.float64), axis=1)
            wrong = np.flatnonzero(~(np.abs(norms - 1) <= _QUANTISED_TOLERANCE))
            if len(wrong):
                name = multivector.MULTIVECTOR_FILE
                yield name, f"{len(wrong)} token vectors of chunks {start} and on are not of length 1"


def derive_lexical(folder: Path, into: Path) -> None:
    """Write the derived lexical files of a segment (postings, lengths) from its durable rows."""
    postings.write(into, (table_to_sparse(table) for table in lexical_blocks(folder)))


def _guarded(name: str, findings: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """The findings, and a file that cannot be read to its end as one more. Raises `MemoryError`."""
    try:
        yield from findings()
    except Exception as error:  # whatever a library says to a file made to mislead it
        if files.out_of_memory(error):
            raise MemoryError(str(error)) from None
        yield name, _reason(error)


def _reason(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return text if isinstance(error, CorruptIndexError) else f"cannot be read ({text.splitlines()[0]})"


def _wrong_chunk(row: Mapping[str, Any]) -> str | None:
    if row["chunk_id"] != f"{row['doc_id']}#{row['ordinal']}":
        return f"chunk {row['chunk_id']!r} is not named after its document and ordinal"
    if row["ordinal"] < 0 or not 0 <= row["start"] <= row["end"] or row["end"] - row["start"] != len(row["text"]):
        return f"chunk {row['chunk_id']!r}: its offsets do not fit its text"
    if row["text_hash"] != text_hash(row["text"]):
        return f"chunk {row['chunk_id']!r}: its text is not the one that was hashed"
    if not isinstance(json.loads(row["metadata"]), dict):
        return f"chunk {row['chunk_id']!r}: its metadata is no object"
    return None


def _same_content(left: Path, right: Path) -> bool:
    """Equal bytes, or equal Arrow batches: another library version may lay out the same content differently."""
    if left.stat().st_size == right.stat().st_size and files.checksum(left) == files.checksum(right):
        return True
    if left.suffix != ".arrow":
        return False
    with pa.memory_map(str(left)) as one, pa.memory_map(str(right)) as other:
        mine, theirs = pa.ipc.open_file(one), pa.ipc.open_file(other)
        if mine.num_record_batches != theirs.num_record_batches or mine.schema != theirs.schema:
            return False
        for i in range(mine.num_record_batches):
            batch = theirs.get_batch(i)
            batch.validate(full=True)  # offsets made to mislead would be followed out of the file
            if not batch.equals(mine.get_batch(i)):
                return False
        return True

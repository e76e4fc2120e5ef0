"""Do the files of a generation agree with each other? Chunks, vectors, weights, postings, deletions and counts."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline import names
from pipeline.errors import CorruptIndexError
from pipeline.given import text_part
from pipeline.index import files
from pipeline.index.chunks import CHUNKS_FILE, chunk_blocks
from pipeline.index.components.registry import components
from pipeline.index.components.rows import Place
from pipeline.index.manifest import Manifest, SegmentEntry
from pipeline.index.schemas import text_hash
from pipeline.index.segment import SEGMENTS
from pipeline.records import in_context, vectors_are_given

Finding = tuple[str, str]
"""A file, relative to the index folder, and what is wrong with it."""

_BLOCK_ROWS = 16_384


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
        place = Place(self.folder, self.entry, frozenset({file.name for file in self.entry.files} - self.sound))
        for component in components():
            yield from _guarded(component.file_names[0], functools.partial(component.check, place, self.manifest))

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
        done, are_given = 0, vectors_are_given(self.manifest.fingerprint(names.DENSE))
        for table in chunk_blocks(self.folder / CHUNKS_FILE, _BLOCK_ROWS):
            table.validate(full=True)
            for ordinal, row in enumerate(table.to_pylist(), done):
                if ordinal >= self.entry.chunks:
                    break
                if reason := _wrong_chunk(row, are_given) or (None if deleted[ordinal] else self._wrong_place(row)):
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


def _wrong_chunk(row: Mapping[str, Any], are_given: bool) -> str | None:
    """What is wrong with a chunk. `are_given`: vectors were given with the texts."""
    if row["chunk_id"] != f"{row['doc_id']}#{row['ordinal']}":
        return f"chunk {row['chunk_id']!r} is not named after its document and ordinal"
    if row["ordinal"] < 0 or not 0 <= row["start"] <= row["end"] or row["end"] - row["start"] != len(row["text"]):
        return f"chunk {row['chunk_id']!r}: its offsets do not fit its text"
    encoded = in_context(row["context"], row["text"])
    hashed = row["text_hash"][: len(text_part(""))] if are_given else row["text_hash"]
    if hashed != (text_part(encoded) if are_given else text_hash(encoded)):
        return f"chunk {row['chunk_id']!r}: its text is not the one that was hashed"
    if not isinstance(json.loads(row["metadata"]), dict):
        return f"chunk {row['chunk_id']!r}: its metadata is no object"
    return None

"""A segment: an immutable folder with everything needed to search one batch of chunks."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from pipeline.errors import CorruptIndexError
from pipeline.forking import Lock, shared_property
from pipeline.index import chunks as chunk_files
from pipeline.index import files, locks
from pipeline.index.components.contract import Component, SegmentSource
from pipeline.index.components.registry import components
from pipeline.index.components.rows import Place, SegmentShape
from pipeline.index.manifest import FileEntry, SearchParameters, SegmentEntry
from pipeline.index.schemas import CHUNK_SCHEMA
from pipeline.index.verified import Verified, compare

SEGMENTS = "segments"
Mask = npt.NDArray[np.bool_]
Opened = TypeVar("Opened")


def write_segment(index: Path, segment_id: str, source: SegmentSource, shape: SegmentShape) -> SegmentEntry:
    """Write a segment durably and return its manifest entry. Memory: one block, one tile.

    Its place is `segment_id`, or an id made of it while a reader still has a collected segment of that id.
    """
    while locks.is_held(index / SEGMENTS / segment_id):
        segment_id = hashlib.blake2b(segment_id.encode(), digest_size=16).hexdigest()
    with files.new_folder(index / SEGMENTS / segment_id) as folder:
        rows = chunk_files.write_table(folder / chunk_files.CHUNKS_FILE, source.chunk_tables(), CHUNK_SCHEMA)
        if rows != source.count:
            raise CorruptIndexError(f"{folder}: {rows} staged chunks where {source.count} were announced")
        wanted = [component for component in components() if component.is_wanted(shape)]
        parameters: list[SearchParameters | None] = [part.write(folder, source, shape) for part in wanted]
        entries = tuple(file_entry(path) for path in sorted(folder.iterdir()))
    entry = SegmentEntry(segment_id, source.count, entries)
    for found in parameters:
        entry = entry if found is None else entry.with_parameters(found)
    return entry


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

    def __init__(
        self, index: Path, entry: SegmentEntry, verify: bool = True, verified: Verified | None = None
    ) -> None:
        """Check presence and size of every file, and checksums if `verify`. Raises `CorruptIndexError`.

        `verified`: which files need not be compared again; nothing is known by default.
        """
        self.entry = entry
        self.folder = index / SEGMENTS / entry.segment_id
        self._verified = verify
        locks.hold_for(self, self.folder)
        named = [*entry.files, *([entry.deletes] if entry.deletes else [])]
        paths = [files.regular_file(self.folder / file.name, file.size) for file in named]
        if verify and verified is not None:
            verified.check(self.folder, named)
        elif verify:
            compare(list(zip(paths, named, strict=True)))
        self._whole: Segment | None = None  # whose hold on the folder a part of it needs
        self._opened: dict[str, Any] = {}
        self._opening = Lock()
        self.deleted = self._read_deleted()
        """True where a chunk is gone; `None` if none is. Read at once: no later generation may name the file."""

    def only(self, kept: Mask) -> Segment:
        """The same segment, opened once, for those to whom all chunks but these are as good as deleted."""
        seen = copy.copy(self)
        seen._whole = self
        seen.deleted = ~kept if self.deleted is None else ~kept | self.deleted
        return seen

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

    @property
    def place(self) -> Place:
        """Where its files are."""
        return Place(self.folder, self.entry)

    def open(self, component: Component[Opened]) -> Opened:
        """Open a component, the first time; it stays open. Raises `CorruptIndexError`."""
        if component.name not in self._opened:
            with self._opening:
                if component.name not in self._opened:
                    self._opened[component.name] = component.open(self.place, self._verified)
        found: Opened = self._opened[component.name]
        return found

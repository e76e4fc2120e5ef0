"""A component: one searchable part of a segment, and how it is written, opened, checked, rebuilt and sized."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import pyarrow as pa

from pipeline.index.choices import DenseChoice
from pipeline.index.components.rows import Place, SegmentShape, StoredRows
from pipeline.index.manifest import Manifest, SearchParameters, SegmentEntry

Finding = tuple[str, str]
"""The name of a file in a segment's folder, and what is wrong with it."""

Opened = TypeVar("Opened")


@dataclass(frozen=True, slots=True)
class Volume:
    """How much is to be stored. `tokens`: of all chunks together; `token_dimension`: of multi-vectors."""

    chunks: int
    tokens: int
    dimension: int
    token_dimension: int


class SegmentSource(Protocol):
    """Where the content of a new segment comes from: staged shards, or live rows of other segments."""

    @property
    def count(self) -> int:
        """Number of chunks."""

    def chunk_tables(self) -> Iterator[pa.Table]:
        """Tables of `CHUNK_SCHEMA`, in chunk order."""

    def blocks(self, rows: StoredRows[Any]) -> Iterator[Any]:
        """Blocks of a component's rows, in chunk order."""


class Component(ABC, Generic[Opened]):
    """One searchable part of a segment. What a subclass need not say has a default.

    `file_names`: the files that it may have in a segment's folder, the one that is blamed for what cannot be read
    first. `rows`: what of it is durable; `None` where all of it is derived from other files, and can be rebuilt.
    """

    name: str
    file_names: tuple[str, ...]
    rows: StoredRows[Any] | None = None

    @property
    def is_derived(self) -> bool:
        """Whether all of its files can be rebuilt from other components' and the chunks."""
        return self.rows is None

    @abstractmethod
    def is_wanted(self, shape: SegmentShape) -> bool:
        """Whether a new segment of this shape has it."""

    @abstractmethod
    def needed(self, manifest: Manifest, entry: SegmentEntry) -> tuple[str, ...]:
        """Return the files that a segment of this generation cannot do without; none where it is not in it."""

    @abstractmethod
    def write(self, folder: Path, source: SegmentSource, shape: SegmentShape) -> SearchParameters | None:
        """Write its files into a new segment's folder, where the chunks and the components before it stand.

        Returns how they are searched, where that was tuned to this segment.
        """

    @abstractmethod
    def open(self, place: Place, verified: bool) -> Opened:
        """Open it for searching. `verified`: checksums were compared. Raises `CorruptIndexError`."""

    def identity(self, shape: SegmentShape) -> str | None:
        """Return what makes its files differ although chunks and fingerprints are the same; `None`: nothing."""
        return self.name if self.is_wanted(shape) else None

    def settled(self, shape: SegmentShape, count: int, total: int, merged: Sequence[Place]) -> SegmentShape:
        """Return the shape of a segment of `count` chunks in an index of `total`; `merged`: what it is made of."""
        return shape

    def check(self, place: Place, manifest: Manifest) -> Iterator[Finding]:
        """Compare its sound files with what they are derived from, and with the manifest."""
        return iter(())

    def unusable(self, place: Place, manifest: Manifest) -> dict[str, str]:
        """Return why files that are as they were written can still not be used, or are not there, by name."""
        return {}

    def rebuild(self, place: Place, into: Path, choice: DenseChoice) -> SegmentEntry:
        """Write those of its damaged files that can be derived into a folder. `choice`: of approximate indexes.

        Returns the segment's entry with how to search them.
        """
        return place.entry

    def reads_alike(self, before: SegmentEntry, after: SegmentEntry) -> bool:
        """Whether a rebuilt file of the same bytes may be read as the old entry says."""
        return True

    def estimated_bytes(self, volume: Volume, shape: SegmentShape) -> int:
        """Estimate the size of its files."""
        return 0

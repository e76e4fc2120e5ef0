"""Which staged texts are encoded already, and where; which are not, and the jobs that encode them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from pipeline.encode.placement import Placement
from pipeline.errors import CorruptIndexError
from pipeline.index import staging
from pipeline.index.chunks import CHUNKS_FILE, text_columns
from pipeline.index.components.registry import components
from pipeline.index.components.rows import Ordinals, SegmentShape
from pipeline.index.files import make_folder, replace_file, scratch_folder
from pipeline.index.given.staged import take_given
from pipeline.index.manifest import Manifest, SegmentEntry
from pipeline.index.segment import SEGMENTS, Segment
from pipeline.index.staging import StagedIngest, TextHashes
from pipeline.records import Fingerprint

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Inventory:
    """The distinct texts of what is staged, and where each is encoded. Memory: some 50 bytes a staged chunk.

    `sizes`: chunks of each part. `texts`: S16 (u,), distinct text hashes, ascending. `keys`: int64 (n,), the text
    of each staged chunk. `firsts`: int64 (u,), the first chunk of each text. `numbers`, `rows`: as in `Placement`,
    by text; -1 while it is not encoded.
    """

    sizes: list[int]
    texts: TextHashes
    keys: Ordinals
    firsts: Ordinals
    numbers: npt.NDArray[np.int32]
    rows: Ordinals
    origins: list[Path | Segment] = field(default_factory=list)

    @classmethod
    def of(cls, parts: Sequence[Path]) -> Inventory:
        """Make the inventory of staged parts, with nothing encoded."""
        hashes = [staging.text_hashes(path) for path in parts]
        every = np.concatenate(hashes) if hashes else np.zeros(0, "S16")
        texts, firsts, keys = np.unique(every, return_index=True, return_inverse=True)
        numbers, rows = np.full(len(texts), -1, np.int32), np.full(len(texts), -1, np.int64)
        return cls([len(h) for h in hashes], texts, keys.astype(np.int64), firsts.astype(np.int64), numbers, rows)

    @property
    def missing(self) -> int:
        """How many texts are not encoded."""
        return int(np.count_nonzero(self.numbers < 0))

    def match(self, hashes: TextHashes) -> tuple[Ordinals, Ordinals]:
        """Which missing texts are among `hashes`, and at which rows."""
        if not len(self.texts) or not len(hashes):
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        keys = np.minimum(np.searchsorted(self.texts, hashes), len(self.texts) - 1)
        rows = np.flatnonzero((self.texts[keys] == hashes) & (self.numbers[keys] < 0))
        found, at = np.unique(keys[rows], return_index=True)
        return found, rows[at]

    def add(self, origin: Path | Segment, keys: Ordinals, rows: Ordinals) -> None:
        """Note that these texts are encoded at these rows of `origin`."""
        self.numbers[keys] = len(self.origins)
        self.rows[keys] = rows
        self.origins.append(origin)

    def sources(self) -> set[Path]:
        """The finished shards that hold a text of what is staged."""
        used = {self.origins[number] for number in np.unique(self.numbers[self.numbers >= 0]).tolist()}
        return {origin for origin in used if isinstance(origin, Path)}

    def missing_rows(self) -> Iterator[tuple[int, Ordinals]]:
        """For each part, its number and the rows that hold a missing text for the first time."""
        start = 0
        for number, size in enumerate(self.sizes):
            keys = self.keys[start : start + size]
            first = self.firsts[keys] == np.arange(start, start + size)
            yield number, np.flatnonzero(first & (self.numbers[keys] < 0))
            start += size

    def placement(self, jobs: Sequence[Job]) -> Placement:
        """Where the rows of every staged chunk are once `jobs`, which encode all missing texts, are done."""
        for job in jobs:
            keys, rows = self.match(staging.shard_hashes(job.shard))
            self.add(job.shard, keys, rows)
        return Placement(self.origins, self.numbers[self.keys], self.rows[self.keys])


@dataclass(frozen=True, slots=True)
class Job:
    """A file of texts to encode, the folder of its shard, and how many texts there are."""

    texts: Path
    shard: Path
    count: int


def take_inventory(
    place: Path,
    staged: StagedIngest,
    prints: Sequence[Fingerprint],
    shape: SegmentShape,
    index: Path,
    live: Manifest | None,
) -> Inventory:
    """What is staged below `place`, and what of it finished shards and the live segments of `index` have encoded.

    A live segment with a damaged file is not copied from. Nor is one whose rows are rounded more than the new
    segments' will be: a rebuild must give what a build from scratch gives.
    """
    inventory = Inventory.of([staging.ingest_folder(place) / part.name for part in staged.parts])
    for shard in staging.shard_folders(index):
        if staging.is_finished(shard, prints):
            inventory.add(shard, *inventory.match(staging.shard_hashes(shard)))
    for entry in live.segments if live else ():
        if not inventory.missing:
            break
        try:
            _add_segment(inventory, index, entry, shape)
        except CorruptIndexError as error:
            log.warning("texts are encoded again rather than copied from a damaged segment: %s", error)
    return inventory


def _add_segment(inventory: Inventory, index: Path, entry: SegmentEntry, shape: SegmentShape) -> None:
    deleted = Segment(index, entry, verify=False).deleted
    ordinals = np.arange(entry.chunks) if deleted is None else np.flatnonzero(~deleted)
    hashes = staging.text_hashes(index / SEGMENTS / entry.segment_id / CHUNKS_FILE)
    if len(hashes) != entry.chunks:
        raise CorruptIndexError(f"{entry.segment_id}: {len(hashes)} chunks where the manifest says {entry.chunks}")
    keys, rows = inventory.match(hashes[ordinals])
    if not len(keys):
        return
    segment = Segment(index, entry)  # checksums compared: damage must not get one of its own
    stored = [part.rows for part in components() if part.rows is not None and segment.place.has(part.file_names[0])]
    if all(rows.is_good_enough(segment.place, shape) for rows in stored):
        inventory.add(segment, keys, ordinals[rows])


def write_jobs(index: Path, staged: StagedIngest, inventory: Inventory, prints: Sequence[Fingerprint]) -> list[Job]:
    """A job for each staged part with missing texts; if all of it is missing, it is itself the file of texts."""
    jobs = []
    for number, rows in inventory.missing_rows():
        if not len(rows):
            continue
        path = staging.ingest_folder(index) / staged.parts[number].name
        hashes = staging.text_hashes(path)[rows]
        key = staging.shard_key(hashes, prints)
        texts = path
        if len(rows) < inventory.sizes[number]:
            texts = staging.texts_file(index, key)
            make_folder(texts.parent)
            with scratch_folder(texts.parent) as scratch:  # a worker may be reading the file of this name
                fresh = scratch / texts.name
                pq.write_table(
                    pq.read_table(path, columns=text_columns(path)).take(rows), fresh, compression="zstd"
                )
                replace_file(fresh, texts)
            take_given(path, rows, texts)
        jobs.append(Job(texts, staging.shard_folder(index, key), len(rows)))
    return jobs

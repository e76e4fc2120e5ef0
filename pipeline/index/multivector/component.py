"""Multi-vectors as a component of a segment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline import names
from pipeline.index.components.contract import Component, Finding, SegmentSource, Volume
from pipeline.index.components.rows import Ordinals, Place, SegmentShape, inverse, stacked
from pipeline.index.manifest import Manifest, SegmentEntry
from pipeline.index.multivector import search
from pipeline.index.multivector.search import MULTIVECTOR_FILE, MultiVectorIndex
from pipeline.records import Encoded

_CHECKED_ROWS = 256
_QUANTISED_TOLERANCE = 0.03
"""int8 with a scale for each vector moves a component by at most 1/254 of the largest one."""


class MultiVectorRows:
    """Record batches of the multi-vector file, as stored."""

    block_rows = 512
    """A block is held in memory: of BGE-M3, 512 chunks of 256 tokens take 130 MB."""

    def stage(self, folder: Path, encoded: Encoded, shape: SegmentShape) -> None:
        """Write the vectors in the precision that the segment will store."""
        if encoded.multivectors is not None:
            batches = (search.to_batch(rows, shape.precision) for rows in search.split(encoded.multivectors))
            search.write(folder / MULTIVECTOR_FILE, batches)

    def of_shard(self, folder: Path) -> Callable[[Ordinals], pa.Table]:
        """Map the rows of a shard."""
        batches = list(search.read_batches(folder / MULTIVECTOR_FILE))
        starts = np.cumsum([0, *(batch.num_rows for batch in batches)])

        def take(rows: Ordinals) -> pa.Table:
            numbers = np.searchsorted(starts, rows, side="right") - 1
            pieces = [
                pa.Table.from_batches([batches[number]]).take(rows[numbers == number] - starts[number])
                for number in np.unique(numbers)
            ]
            return stacked(pieces, inverse(numbers)) if pieces else batches[0].schema.empty_table()

        return take

    def of_segment(self, place: Place) -> Callable[[Ordinals], pa.Table]:
        """Map the rows of a segment, as those of a shard."""
        return self.of_shard(place.folder)

    def blocks(self, place: Place) -> Iterator[pa.RecordBatch]:
        """Return all rows."""
        return search.read_batches(place.folder / MULTIVECTOR_FILE)

    def joined(self, pieces: Sequence[pa.Table], order: Ordinals) -> Iterable[pa.RecordBatch]:
        """Stack tables, as record batches."""
        batches: list[pa.RecordBatch] = stacked(pieces, order).combine_chunks().to_batches()
        return batches

    def is_good_enough(self, place: Place, shape: SegmentShape) -> bool:
        """Whether the precision is the wanted one, which the fingerprint has settled."""
        return True


class MultiVectorComponent(Component[MultiVectorIndex]):
    """One file, which nothing else gives back."""

    name = names.MULTIVECTOR
    file_names = (MULTIVECTOR_FILE,)
    rows = MultiVectorRows()

    def is_wanted(self, shape: SegmentShape) -> bool:
        """Whether they are stored."""
        return shape.has_multivectors

    def needed(self, manifest: Manifest, entry: SegmentEntry) -> tuple[str, ...]:
        """Return the file."""
        return (MULTIVECTOR_FILE,) if manifest.fingerprint(self.name) is not None else ()

    def is_in(self, entry: SegmentEntry) -> bool:
        """Whether a segment stores them."""
        return entry.has(MULTIVECTOR_FILE)

    def write(self, folder: Path, source: SegmentSource, shape: SegmentShape) -> None:
        """Copy the rows."""
        search.write(folder / MULTIVECTOR_FILE, source.blocks(self.rows))

    def open(self, place: Place, verified: bool) -> MultiVectorIndex:
        """Map the file."""
        return MultiVectorIndex(place.folder, place.entry.chunks)

    def identity(self, shape: SegmentShape) -> None:
        """Return nothing: the fingerprint says it all."""

    def check(self, place: Place, manifest: Manifest) -> Iterator[Finding]:
        """Measure the length of every vector."""
        if not place.is_sound(MULTIVECTOR_FILE):
            return
        index, chunks = self.open(place, True), place.entry.chunks
        for start in range(0, chunks, _CHECKED_ROWS):
            rows = index.vectors(range(start, min(start + _CHECKED_ROWS, chunks)))
            norms = np.linalg.norm(rows.vectors.astype(np.float64), axis=1)
            wrong = np.flatnonzero(~(np.abs(norms - 1) <= _QUANTISED_TOLERANCE))
            if len(wrong):
                yield MULTIVECTOR_FILE, f"{len(wrong)} token vectors of chunks {start} and on are not of length 1"

    def estimated_bytes(self, volume: Volume, shape: SegmentShape) -> int:
        """Estimate the size of the vectors."""
        if not self.is_wanted(shape):
            return 0
        return volume.tokens * search.bytes_per_token(volume.token_dimension, shape.precision)


MULTIVECTORS = MultiVectorComponent()

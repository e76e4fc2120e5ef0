"""The dense leg: inner products of L2-normalised vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline import names
from pipeline.index.dense import batch
from pipeline.index.dense.component import DENSE
from pipeline.index.dense.proposals import Proposed, least
from pipeline.index.segment import Mask, Segment
from pipeline.query.legs.contract import EncodedQueries, Leg
from pipeline.query.snapshot import Float64, Ids, Ranking, Snapshot
from pipeline.records import Encoded, Float32

MANY = 32
"""From this many queries on, their candidates are scored by several threads."""


class DenseLeg(Leg[Float32]):
    """A query is a vector: float32 (d,)."""

    name = names.DENSE

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    @property
    def is_exact(self) -> bool:
        """Whether every segment's rows are scanned."""
        return all(DENSE.is_scanned(entry) for entry in self._snapshot.manifest.segments)

    def prepare(self, queries: EncodedQueries) -> list[Float32] | None:
        """Return the vectors."""
        return None if queries.dense is None else list(queries.dense)

    def candidates(
        self, queries: Sequence[Float32], depth: int, kept: Sequence[Mask] | None = None
    ) -> list[Ranking]:
        """Find the best `depth` chunks of each query."""
        snapshot, vectors = self._snapshot, np.array(queries, np.float32)
        parts = [
            self._proposed(segment, vectors, depth, excluded)
            for segment, excluded in zip(snapshot.segments, snapshot.excluded(kept), strict=True)
        ]

        def best(i: int) -> Ranking:
            found = [part[i] for part in parts]
            cut = least(found, depth)  # of all segments, so that few rows are scored exactly
            pairs = zip(snapshot.segments, found, strict=True)
            scored = [s.open(DENSE).best(vectors[i], proposed.above(cut), depth) for s, proposed in pairs]
            return snapshot.merged(scored, depth)

        numbers = range(len(queries))
        return list(map(best, numbers) if len(queries) < MANY else snapshot.pool.map(best, numbers))

    def _proposed(self, segment: Segment, queries: Float32, depth: int, excluded: Mask | None) -> list[Proposed]:
        dense = segment.open(DENSE)
        if len(queries) < batch.WORTH_A_PRODUCT or not DENSE.is_scanned(segment.entry):
            return dense.propose(queries, depth, excluded, self._snapshot.pool)
        found = batch.candidates(dense.rows, queries, min(depth, segment.chunks), excluded)
        return [Proposed(ordinals) for ordinals in found]

    def scores(self, query: Float32, ids: Ids) -> Float64:
        """Return exact inner products with given chunks."""
        result = np.zeros(len(ids), np.float64)
        for number, inside, ordinals in self._snapshot.by_segment(ids):
            result[inside] = self._snapshot.segments[number].open(DENSE).scores(query, ordinals)
        return result

    def passage_score(self, query: Float32, passages: Encoded, row: int) -> float:
        """Return the inner product with a passage."""
        assert passages.dense is not None
        return float(query @ passages.dense[row])

    def passages(self, ids: Ids) -> Encoded:
        """Return the vectors of given chunks."""
        rows = [np.zeros((0, 0), np.float32)] * len(ids)
        for number, inside, ordinals in self._snapshot.by_segment(ids):
            for position, vector in zip(
                inside, self._snapshot.segments[number].open(DENSE).vectors(ordinals), strict=True
            ):
                rows[position] = vector
        return Encoded(dense=np.array(rows, np.float32))

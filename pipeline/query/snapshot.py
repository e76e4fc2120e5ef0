"""One generation opened for reading: its segments as one sequence of chunks, and exact scores on them."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.forking import PerProcess, shared_property
from pipeline.index.dense import batch as dense_batch
from pipeline.index.lexical.search import Saturation, SparseQuery
from pipeline.index.manifest import Manifest
from pipeline.index.multivector.search import MULTIVECTOR_FILE
from pipeline.index.segment import Mask, Segment
from pipeline.query.filter.masks import ChunkFilter
from pipeline.records import Chunk, Float32

Ids = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Ranking:
    """One leg's candidates, best first. `ids`: numbers of chunks in the snapshot; `scores`: float32."""

    ids: Ids
    scores: Float32


class Snapshot:
    """The segments of a generation. A chunk's number is its segment's start plus its ordinal there."""

    def __init__(self, path: Path, manifest: Manifest, verify: bool) -> None:
        """Open every segment. Raises `CorruptIndexError`."""
        self.manifest = manifest
        self.segments = [Segment(path, entry, verify) for entry in manifest.segments]
        self._starts = np.cumsum([0, *(segment.chunks for segment in self.segments)])
        self._threads = PerProcess(lambda: ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="search"))

    def close(self) -> None:
        """Stop the search threads."""
        if (pool := self._threads.made()) is not None:
            pool.shutdown(wait=False)

    @property
    def _pool(self) -> ThreadPoolExecutor:
        return self._threads.get()

    def kept_by(self, condition: str) -> list[Mask]:
        """For each segment, which chunks satisfy an SQL condition (`filters.ChunkFilter`). Raises `QueryError`."""
        return self._filter.masks(condition)

    @shared_property
    def _filter(self) -> ChunkFilter:
        return ChunkFilter([s.store for s in self.segments], [s.chunks for s in self.segments])

    def _excluded(self, kept: Sequence[Mask] | None) -> list[Mask | None]:
        """For each segment, the chunks that no leg may return: deleted, or not kept by the filter."""
        if kept is None:
            return [segment.deleted for segment in self.segments]
        return [
            ~keep if segment.deleted is None else ~keep | segment.deleted
            for segment, keep in zip(self.segments, kept, strict=True)
        ]

    def is_exact(self, leg: str) -> bool:
        """Whether a leg's search finds what is best; an approximate one finds other chunks at another depth."""
        if leg == "dense":
            return all(segment.has_exact_rows for segment in self.segments)
        return all(segment.entry.lexical is None for segment in self.segments)

    def dense(self, queries: Float32, depth: int, kept: Sequence[Mask] | None = None) -> list[Ranking]:
        """The best `depth` chunks of each query by inner product. `queries`: float32 (q, d)."""
        parts = [
            self._dense(segment, queries, depth, excluded)
            for segment, excluded in zip(self.segments, self._excluded(kept), strict=True)
        ]
        return [self._merge([part[i] for part in parts], depth) for i in range(len(queries))]

    def _dense(
        self, segment: Segment, queries: Float32, depth: int, excluded: Mask | None
    ) -> list[tuple[Ids, Float32]]:
        if len(queries) < dense_batch.WORTH_A_PRODUCT or not segment.has_exact_rows:
            return segment.dense.search(queries, depth, excluded, self._pool)
        found = dense_batch.candidates(segment.dense.rows, queries, min(depth, segment.chunks), excluded)
        pairs = zip(queries, found, strict=True)
        return list(self._pool.map(lambda pair: (pair[1], segment.dense.scores(*pair)), pairs))

    def lexical_many(
        self, queries: Sequence[SparseQuery], depth: int, kept: Sequence[Mask] | None = None
    ) -> list[Ranking]:
        """`lexical` of many queries: the threads share the queries, not the postings of each."""
        if len(queries) == 1:
            return [self.lexical(queries[0], depth, kept)]
        targets = list(zip(self.segments, self._excluded(kept), self._saturations, strict=True))

        def search(query: SparseQuery) -> Ranking:
            parts = [s.search_lexical(query, depth, excluded, norms) for s, excluded, norms in targets]
            return self._merge(parts, depth)

        return list(self._pool.map(search, queries))

    def lexical(self, query: SparseQuery, depth: int, kept: Sequence[Mask] | None = None) -> Ranking:
        """The best `depth` chunks that share a token with the query."""
        parts = [
            segment.search_lexical(query, depth, excluded, saturation, self._pool)
            for segment, excluded, saturation in zip(
                self.segments, self._excluded(kept), self._saturations, strict=True
            )
        ]
        return self._merge(parts, depth)

    def dense_scores(self, query: Float32, ids: Ids) -> Float64:
        """Exact inner products of one query with given chunks."""
        result = np.zeros(len(ids), np.float64)
        for number, inside, ordinals in self._by_segment(ids):
            result[inside] = self.segments[number].dense.scores(query, ordinals)
        return result

    def lexical_scores(self, query: SparseQuery, ids: Ids) -> Float64:
        """Exact lexical scores of given chunks; zero where no token is shared."""
        result = np.zeros(len(ids), np.float64)
        for number, inside, ordinals in self._by_segment(ids):
            result[inside] = self.segments[number].inverted.scores(query, ordinals, self._saturations[number])
        return result

    def lexical_contributions(self, query: SparseQuery, number: int) -> Float32:
        """What each of the query's tokens adds to one chunk's lexical score: float32 (tokens,)."""
        ((segment, _, ordinals),) = self._by_segment(np.array([number]))
        return self.segments[segment].inverted.contributions(query, ordinals, self._saturations[segment])[:, 0]

    def lexical_bound(self, query: SparseQuery) -> float:
        """No chunk can score higher: every token with the largest contribution it could make."""
        if self.manifest.lexical.kind == "bm25":
            return float(query.weights.sum(dtype=np.float64)) * (self.manifest.lexical.k1 + 1)
        largest = [segment.inverted.largest_weights(query.token_ids) for segment in self.segments]
        return float((np.max(largest, axis=0).astype(np.float64) * query.weights).sum()) if largest else 0.0

    def _by_segment(self, ids: Ids) -> list[tuple[int, Ids, Ids]]:
        groups = []
        for number, (start, end) in enumerate(itertools.pairwise(self._starts)):
            inside = np.flatnonzero((ids >= start) & (ids < end))
            if len(inside):
                groups.append((number, inside, ids[inside] - start))
        return groups

    def chunk(self, number: int) -> Chunk:
        """The chunk with this number."""
        segment = int(np.searchsorted(self._starts, number, side="right")) - 1
        return self.segments[segment].store.fetch([int(number - self._starts[segment])])[0]

    def same_segment(self, number: int, other: int) -> bool:
        """Whether both are chunks of one segment."""
        if not 0 <= other < int(self._starts[-1]):
            return False
        one, two = np.searchsorted(self._starts, [number, other], side="right")
        return bool(one == two)

    def segment_edges(self, first: bool) -> list[int]:
        """The number of every segment's first chunk, or of its last."""
        pairs = [(int(a), int(b)) for a, b in itertools.pairwise(self._starts) if a < b]
        return [start if first else end - 1 for start, end in pairs]

    def is_live(self, number: int) -> bool:
        """Whether the chunk is not deleted."""
        segment = int(np.searchsorted(self._starts, number, side="right")) - 1
        deleted = self.segments[segment].deleted
        return deleted is None or not bool(deleted[number - self._starts[segment]])

    def texts(self, ids: Ids) -> list[str]:
        """The texts of given chunks, in their order."""
        found = [""] * len(ids)
        for number, inside, ordinals in self._by_segment(ids):
            fetched = self.segments[number].store.fetch(ordinals.tolist())
            for position, chunk in zip(inside, fetched, strict=True):
                found[position] = chunk.text
        return found

    @property
    def has_multivectors(self) -> bool:
        """Whether every chunk's token-level vectors are stored."""
        return all(any(file.name == MULTIVECTOR_FILE for file in segment.entry.files) for segment in self.segments)

    def late_interaction(self, query: Float32, ids: Ids) -> Float32:
        """Multi-vector scores of given chunks, from the stored vectors. `query`: float32 (tokens, d)."""
        result = np.zeros(len(ids), np.float32)
        for number, inside, ordinals in self._by_segment(ids):
            result[inside] = self.segments[number].multivectors.scores(query, ordinals)
        return result

    def doc_id(self, number: int) -> str:
        """The document that a chunk belongs to."""
        segment = int(np.searchsorted(self._starts, number, side="right")) - 1
        return str(self.segments[segment].store.doc_ids[number - self._starts[segment]])

    def _merge(self, parts: Sequence[tuple[Ids, Float32]], depth: int) -> Ranking:
        """The best `depth` of all segments: by score, ties by chunk id."""
        ids = np.concatenate([part[0] + start for part, start in zip(parts, self._starts, strict=False)])
        scores = np.concatenate([part[1] for part in parts])
        if len(scores) > depth:
            cut = np.partition(scores, len(scores) - depth)[len(scores) - depth]
            ids, scores = ids[scores >= cut], scores[scores >= cut]
        order = self.order(ids, [-scores])[:depth]
        return Ranking(ids[order], scores[order])

    def order(self, ids: Ids, keys: Sequence[npt.NDArray[Any]]) -> Ids:
        """Positions sorted by the keys, first key first, then by chunk id; looks ids up only where keys tie."""
        order: Ids = np.lexsort(tuple(reversed(keys))) if len(ids) else np.zeros(0, np.int64)
        table = np.array([key[order] for key in keys])
        fresh = np.r_[True, (table[:, 1:] != table[:, :-1]).any(axis=0)] if len(ids) else np.zeros(0, np.bool_)
        bounds = np.r_[np.flatnonzero(fresh), len(ids)]
        for start, end in itertools.pairwise(bounds):
            if end - start > 1:
                group = order[start:end]
                order[start:end] = group[np.argsort(self._chunk_ids(ids[group]), kind="stable")]
        return order

    def _chunk_ids(self, ids: Ids) -> npt.NDArray[np.str_]:
        numbers = np.searchsorted(self._starts, ids, side="right") - 1
        names = [self.segments[n].store.chunk_ids[i - self._starts[n]] for n, i in zip(numbers, ids, strict=True)]
        return np.array(names, dtype=np.str_)

    @shared_property
    def _saturations(self) -> list[Saturation | None]:
        """BM25's document side, from the mean length of live chunks; `None` where weights are used as stored."""
        parameters = self.manifest.lexical
        if parameters.kind != "bm25":
            return [None] * len(self.segments)
        k1, b = parameters.k1, parameters.b
        total = sum(float(_alive(s, s.inverted.lengths).sum(dtype=np.float64)) for s in self.segments)
        mean = total / max(self.manifest.chunks, 1) or 1.0
        norms = [k1 * (1 - b + b * s.inverted.lengths.astype(np.float64) / mean) for s in self.segments]
        return [Saturation(k1, norm.astype(np.float32)) for norm in norms]

    def weigh(self, token_ids: npt.NDArray[np.uint64], weights: Float32) -> SparseQuery:
        """Query weights: the encoder's own, or for BM25 count · ln(1 + (N - df + 0.5) / (df + 0.5))."""
        if self.manifest.lexical.kind != "bm25":
            return SparseQuery(token_ids, weights)
        counts = np.zeros(len(token_ids), np.int64)
        for segment in self.segments:
            counts += segment.inverted.document_frequencies(token_ids, segment.deleted)
        idf = np.log1p((self.manifest.chunks - counts + 0.5) / (counts + 0.5))
        known = counts > 0
        return SparseQuery(token_ids[known], (weights * idf).astype(np.float32)[known])


def _alive(segment: Segment, values: Float32) -> Float32:
    return values if segment.deleted is None else values[~segment.deleted]

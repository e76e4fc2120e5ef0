"""The lexical leg: Σ over shared tokens of query weight · passage weight, BM25 in the same form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor

import numpy as np
import numpy.typing as npt

from pipeline import names
from pipeline.forking import shared_property
from pipeline.index.components.rows import stacked
from pipeline.index.lexical.approximate import SEISMIC
from pipeline.index.lexical.component import LEXICAL
from pipeline.index.lexical.search import Saturation, SparseQuery
from pipeline.index.schemas import table_to_sparse
from pipeline.index.segment import Mask, Segment
from pipeline.query.legs.contract import EncodedQueries, Leg
from pipeline.query.snapshot import Float64, Ids, Ranking, Snapshot
from pipeline.records import Encoded, Float32, SparseRows, TokenMatch


class LexicalLeg(Leg[SparseQuery]):
    """A query is its tokens with their weights, idf included."""

    name = names.LEXICAL

    def __init__(self, snapshot: Snapshot, mean_length: float | None = None) -> None:
        """`mean_length`: of the chunks of the whole index, where the snapshot is a part of it."""
        self._snapshot = snapshot
        self._known_length = mean_length
        self._parameters = snapshot.manifest.lexical
        self._is_bm25 = self._parameters.kind == "bm25"

    @property
    def is_exact(self) -> bool:
        """Whether every segment's postings are read, and no approximate index proposes chunks."""
        return all(entry.lexical is None for entry in self._snapshot.manifest.segments)

    @property
    def scores_all(self) -> bool:
        """Say no: a chunk that shares no token has no score."""
        return False

    def prepare(self, queries: EncodedQueries) -> list[SparseQuery] | None:
        """Return the queries' tokens, weighed."""
        rows = queries.lexical
        return None if rows is None else [self.weigh(*rows.row(i)) for i in range(len(rows))]

    def weigh(self, token_ids: npt.NDArray[np.uint64], weights: Float32) -> SparseQuery:
        """Query weights: the encoder's own, or for BM25 count · ln(1 + (N - df + 0.5) / (df + 0.5))."""
        if not self._is_bm25:
            return SparseQuery(token_ids, weights)
        counts = self._snapshot.frequencies(token_ids)
        idf = np.log1p((self._snapshot.manifest.chunks - counts + 0.5) / (counts + 0.5))
        known = counts > 0
        return SparseQuery(token_ids[known], (weights * idf).astype(np.float32)[known])

    def candidates(
        self, queries: Sequence[SparseQuery], depth: int, kept: Sequence[Mask] | None = None
    ) -> list[Ranking]:
        """Find the best `depth` chunks that share a token with each query.

        Threads share the postings of a single query; of many queries each is a thread's own.
        """
        snapshot = self._snapshot
        targets = list(zip(snapshot.segments, snapshot.excluded(kept), self._saturations, strict=True))

        def search(query: SparseQuery, pool: Executor | None = None) -> Ranking:
            parts = [search_segment(s, query, depth, excluded, norms, pool) for s, excluded, norms in targets]
            return snapshot.merged(parts, depth)

        return (
            [search(queries[0], snapshot.pool)] if len(queries) == 1 else list(snapshot.pool.map(search, queries))
        )

    def scores(self, query: SparseQuery, ids: Ids) -> Float64:
        """Return exact scores of given chunks; zero where no token is shared."""
        result = np.zeros(len(ids), np.float64)
        for number, inside, ordinals in self._snapshot.by_segment(ids):
            inverted = self._snapshot.segments[number].open(LEXICAL)
            result[inside] = inverted.scores(query, ordinals, self._saturations[number])
        return result

    def passage_score(self, query: SparseQuery, passages: Encoded, row: int) -> float:
        """Return what a passage would score in the index, idf and mean length as they are."""
        assert passages.lexical is not None
        token_ids, stored = passages.lexical.row(row)
        _, in_query, in_passage = np.intersect1d(query.token_ids, token_ids, return_indices=True)
        document: Float32 = stored[in_passage]
        if self._is_bm25:
            k1, b = self._parameters.k1, self._parameters.b
            norm = k1 * (1 - b + b * float(stored.sum(dtype=np.float64)) / self._mean_length)
            document = document * (k1 + 1) / (document + norm)
        return float(query.weights[in_query] @ document)

    def passages(self, ids: Ids) -> Encoded:
        """Return the stored weights of given chunks; term frequencies for BM25."""
        tables, order = [], []
        for number, inside, ordinals in self._snapshot.by_segment(ids):
            tables.append(LEXICAL.rows.of_segment(self._snapshot.segments[number].place)(ordinals))
            order.append(inside)
        if not tables:
            return Encoded(lexical=SparseRows.concatenate([]))
        return Encoded(lexical=table_to_sparse(stacked(tables, np.argsort(np.concatenate(order)))))

    def bound(self, query: SparseQuery) -> float:
        """Return the score of a text with the largest contribution that every token could make."""
        return float(self._largest(query).sum())

    def unit(self, query: SparseQuery) -> float:
        """Return the root of the sum of squares of the largest contributions: the length of the query."""
        return float(np.linalg.norm(self._largest(query)))

    def _largest(self, query: SparseQuery) -> Float64:
        weights = query.weights.astype(np.float64)
        if self._is_bm25:
            return weights * (self._parameters.k1 + 1)
        return weights * self.largest_weights(query.token_ids)

    def largest_weights(self, token_ids: npt.NDArray[np.uint64]) -> Float32:
        """Return for each token its largest stored weight; zero where it is absent."""
        stored = [segment.open(LEXICAL).largest_weights(token_ids) for segment in self._snapshot.segments]
        largest: Float32 = np.max([np.zeros(len(token_ids), np.float32), *stored], axis=0)
        return largest

    def matches(self, query: SparseQuery, number: int, tokens: Mapping[int, str]) -> tuple[TokenMatch, ...]:
        """Return the tokens that a chunk shares with the query, heaviest first."""
        (found,) = self.matches_of(query, np.array([number]), tokens)
        return found

    def matches_of(self, query: SparseQuery, ids: Ids, tokens: Mapping[int, str]) -> list[tuple[TokenMatch, ...]]:
        """Return the same of several chunks."""
        return [_matches(query, added, tokens) for added in self.contributions(query, ids).T]

    def contributions(self, query: SparseQuery, ids: Ids) -> Float32:
        """Return what each token adds to each chunk's score: float32 (tokens, chunks)."""
        result = np.zeros((len(query.token_ids), len(ids)), np.float32)
        for number, inside, ordinals in self._snapshot.by_segment(ids):
            inverted = self._snapshot.segments[number].open(LEXICAL)
            result[:, inside] = inverted.contributions(query, ordinals, self._saturations[number])
        return result

    @shared_property
    def _mean_length(self) -> float:
        """Mean sum of the stored weights of live chunks."""
        if self._known_length is not None:
            return self._known_length
        return mean_length(live_lengths(self._snapshot), self._snapshot.manifest.chunks)

    @shared_property
    def _saturations(self) -> list[Saturation | None]:
        """BM25's document side; `None` where weights are used as stored."""
        if not self._is_bm25:
            return [None] * len(self._snapshot.segments)
        k1, b = self._parameters.k1, self._parameters.b
        lengths = (segment.open(LEXICAL).lengths for segment in self._snapshot.segments)
        norms = [k1 * (1 - b + b * length.astype(np.float64) / self._mean_length) for length in lengths]
        return [Saturation(k1, norm.astype(np.float32)) for norm in norms]


def search_segment(
    segment: Segment,
    query: SparseQuery,
    depth: int,
    excluded: Mask | None,
    saturation: Saturation | None,
    pool: Executor | None = None,
) -> tuple[Ids, Float32]:
    """Return what `InvertedIndex.search` finds, or what an approximate index finds of it, with the same scores."""
    inverted, found = segment.open(LEXICAL), None
    if saturation is None and (approximate := segment.open(SEISMIC)) is not None:
        found = approximate.search(inverted, query, depth, excluded)
    return inverted.search(query, depth, excluded, saturation, pool) if found is None else found


def mean_length(lengths: Sequence[float], chunks: int) -> float:
    """Return the mean length of an index's live chunks. `lengths`: the sum of those of each segment."""
    return sum(lengths) / max(chunks, 1) or 1.0


def live_lengths(snapshot: Snapshot) -> list[float]:
    """Return for each segment the sum of its live chunks' stored weights."""
    return [_live_length(segment) for segment in snapshot.segments]


def _matches(query: SparseQuery, added: Float32, tokens: Mapping[int, str]) -> tuple[TokenMatch, ...]:
    found = [
        TokenMatch(tokens.get(int(token), f"token {token}"), float(weight), float(part / weight), float(part))
        for token, weight, part in zip(query.token_ids, query.weights, added, strict=True)
        if part > 0
    ]
    return tuple(sorted(found, key=lambda match: (-match.contribution, match.token)))


def _live_length(segment: Segment) -> float:
    lengths = segment.open(LEXICAL).lengths
    alive = lengths if segment.deleted is None else lengths[~segment.deleted]
    return float(alive.sum(dtype=np.float64))

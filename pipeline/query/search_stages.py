"""The stages of a search: candidates, a second look at them, repeats left out; again, deeper, until k hits stay."""

from __future__ import annotations

import numpy as np

from pipeline.config import RerankSettings
from pipeline.query.dedupe import without_repeats
from pipeline.query.legs.contract import EncodedQueries
from pipeline.query.ranked import Ranked
from pipeline.query.ranking import FirstStage, rank_queries
from pipeline.query.request import SearchRequest
from pipeline.query.rerank import SecondLook, combine, joint_weights, leg_name, reorder
from pipeline.query.snapshot import Float64, Snapshot

DEEPER = 4
"""Where too few of the candidates stay, this many times as many are asked for."""


def rank_in_stages(
    snapshot: Snapshot,
    request: SearchRequest,
    queries: EncodedQueries,
    stage: FirstStage,
    second_look: SecondLook,
) -> list[Ranked]:
    """The best `request.k` of each query. Raises `QueryError` for a filter or a fusion that does not fit the index,
    `EncoderError` for a reranker that cannot be loaded."""
    second = None
    depth = max(request.depth, request.k)
    if request.rerank is not None:
        second = SecondStage(snapshot, second_look, queries, stage, request.rerank)
        depth = max(depth, request.rerank.top)
    kept = snapshot.kept_by(request.where) if request.where is not None else None
    while True:
        results = rank_queries(snapshot, queries, stage, depth, kept)
        if second is not None:
            results = [second.reordered(i, ranked) for i, ranked in enumerate(results)]
        if not request.collapse and request.distinct is None:
            return [ranked.first(request.k) for ranked in results]
        results = [
            without_repeats(snapshot, ranked, request.k, collapse=request.collapse, distinct=request.distinct)
            for ranked in results
        ]
        if all(len(ranked.order) >= request.k for ranked in results) or depth >= snapshot.manifest.chunks:
            return results
        depth *= DEEPER


class SecondStage:
    """Reranks the best candidates of each query, and scores a chunk once, however deep the search goes."""

    def __init__(
        self,
        snapshot: Snapshot,
        second_look: SecondLook,
        queries: EncodedQueries,
        first: FirstStage,
        settings: RerankSettings,
    ) -> None:
        self._snapshot, self._second_look, self._queries = snapshot, second_look, queries
        self._first, self._settings = first, settings
        self._known: list[dict[int, float]] = [{} for _ in queries.texts]

    def reordered(self, i: int, ranked: Ranked) -> Ranked:
        """The candidates of query `i`, those that were reranked first."""
        positions = ranked.order[: self._settings.top]
        return reorder(
            self._snapshot,
            ranked,
            combine(
                ranked,
                positions,
                self._scores(i, ranked.ids[positions].tolist()),
                leg_name(self._settings.model),
                weights=joint_weights(
                    self._settings, self._first.fusion, self._snapshot.manifest, self._first.names
                ),
                blend=self._settings.blend or 0.0,
            ),
        )

    def _scores(self, i: int, numbers: list[int]) -> Float64:
        """The reranker's scores of chunks for query `i`: float64 (n,)."""
        known = self._known[i]
        new = np.array([number for number in numbers if number not in known], np.int64)
        if len(new):
            vectors = self._queries.query_vectors(i)
            found = self._second_look.scores(self._settings, self._queries.texts[i], vectors, new)
            known.update(zip(new.tolist(), found.tolist(), strict=True))
        return np.array([known[number] for number in numbers], np.float64)

"""The stages of a search: candidates, a second look at them, repeats left out; again, deeper, until k hits stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from pipeline.config import RerankSettings
from pipeline.index.segment import Mask
from pipeline.query.boosting.lifting import Lifting
from pipeline.query.dedupe import without_repeats
from pipeline.query.grouping.documents import documents, grouped
from pipeline.query.grouping.sections import with_sections
from pipeline.query.legs.contract import EncodedQueries
from pipeline.query.ranked import Ranked
from pipeline.query.ranking import FirstStage, rank_queries, widened
from pipeline.query.request import SearchRequest
from pipeline.query.rerank import SecondLook, combine, joint_weights, leg_name, reorder
from pipeline.query.snapshot import Float64, Ids, Snapshot

DEEPER = 4
"""Where too few of the candidates stay, this many times as many are asked for."""


def rank_in_stages(
    snapshot: Snapshot,
    request: SearchRequest,
    queries: EncodedQueries,
    stage: FirstStage,
    second_look: SecondLook,
) -> list[Ranked]:
    """The best `request.k` of each query. Raises `QueryError` for a filter, a boost or a fusion that does not fit
    the index, `EncoderError` for a reranker that cannot be loaded."""
    second = None
    first_depth = depth = max(request.depth, request.k)
    if request.rerank is not None:
        second = SecondStage(snapshot, second_look, queries, stage, request.rerank)
        first_depth = depth = max(depth, request.rerank.top)
    kept = snapshot.kept_by(request.where) if request.where is not None else None
    lifting = None
    if request.now is not None and request.boosts:
        texts = tuple(boost.text for boost in request.boosts)
        lifting = Lifting(snapshot, texts, snapshot.lifts(request.boosts, request.now, kept))
    finishing = _Finishing(snapshot, request, stage, second, lifting, kept, queries.scripts)
    results: dict[int, Ranked] = {}
    pending = list(range(len(queries.texts)))
    while pending:
        parts = [(queries, range(len(queries.texts)))]
        if lifting is not None and depth > first_depth:  # so deep that one query at a time is enough
            parts = [(queries.only(i), range(i, i + 1)) for i in pending]
        for part, numbers in parts:
            ranked = rank_queries(snapshot, part, stage, depth, kept, bounded=lifting is not None)
            for i, one in zip(numbers, ranked, strict=True):
                found = finishing.finished(i, one, depth >= snapshot.manifest.chunks)
                if found is not None:
                    results[i] = found
        pending = [i for i in pending if i not in results]
        depth *= DEEPER
    return [results[i] for i in range(len(queries.texts))]


@dataclass(frozen=True, slots=True)
class _Finishing:
    """What comes after the first stage."""

    snapshot: Snapshot
    request: SearchRequest
    stage: FirstStage
    second: SecondStage | None
    lifting: Lifting | None
    kept: Sequence[Mask] | None
    scripts: Sequence[str]

    def finished(self, i: int, ranked: Ranked, is_deepest: bool) -> Ranked | None:
        """What query `i` finds, `None` if a deeper search may find more or better."""
        snapshot, request = self.snapshot, self.request
        if self.lifting is not None:
            ranked = self.lifting.lifted(ranked)
            wanted = request.k if request.rerank is None else max(request.k, request.rerank.top)
            if len(ranked.order) < wanted and not is_deepest:
                return None
        if self.second is not None:
            ranked = self.second.reordered(i, ranked)
        if request.group is not None:
            heads = documents(snapshot, ranked, request.k)
            if len(heads) < request.k and not is_deepest:
                return None
            return grouped(snapshot, ranked, heads, request.group_size, partial(self._widened, i))
        if request.collapse or request.distinct is not None:
            ranked = without_repeats(
                snapshot, ranked, request.k, collapse=request.collapse, distinct=request.distinct
            )
        elif request.merge:
            ranked = with_sections(snapshot, ranked, request.k)
        else:
            return ranked.first(request.k)
        return ranked if len(ranked.order) >= request.k or is_deepest else None

    def _widened(self, i: int, ranked: Ranked, ids: Ids) -> Ranked:
        """The candidates, and those of `ids` that the search may find."""
        keep = self.snapshot.findable(ids, self.kept)
        found = widened(self.snapshot, ranked, ids[keep], self.stage, self.scripts[i])
        return found if self.lifting is None else self.lifting.extended(found)


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

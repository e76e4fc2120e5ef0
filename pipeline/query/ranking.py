"""The first stage: the legs' candidates, scored exactly in every leg, fused and ordered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.config import FusionSettings
from pipeline.index.lexical.search import SparseQuery
from pipeline.index.segment import Mask
from pipeline.query.fusion.calibration import Calibration
from pipeline.query.fusion.choice import choose_fusion
from pipeline.query.fusion.methods import Fused, LegColumn, fuse
from pipeline.query.ranked import Ranked
from pipeline.query.snapshot import Ids, Ranking, Snapshot
from pipeline.records import Float32, MultiVectors, SparseRows

WIDER = 4
"""For hits beyond `depth` an approximate leg is asked for this many times as many until it is enough."""


@dataclass(frozen=True, slots=True)
class EncodedQueries:
    """Queries ready to be ranked. `dense`: float32 (n, d); `lexical`: n sparse rows; `scripts`: of each text.

    `multivectors`: n ragged rows, if the index's encoder gives them.
    """

    texts: tuple[str, ...]
    dense: Float32 | None
    lexical: SparseRows | None
    multivectors: MultiVectors | None
    scripts: tuple[str, ...]

    def query_vectors(self, i: int) -> Float32 | None:
        """Token-level vectors of query `i`, float32 (tokens, d), if the encoder gave them."""
        rows = self.multivectors
        return None if rows is None else rows.vectors[int(rows.offsets[i]) : int(rows.offsets[i + 1])]


@dataclass(frozen=True, slots=True)
class FirstStage:
    """How candidates are found and fused. `depth`: how many of each leg's best the fusion ranks."""

    legs: tuple[str, ...]
    depth: int
    fusion: FusionSettings
    calibration: Calibration | None


def rank_queries(
    snapshot: Snapshot,
    queries: EncodedQueries,
    stage: FirstStage,
    wanted: int,
    kept: Sequence[Mask] | None,
) -> list[Ranked]:
    """All candidates of each query in order, the legs' best `wanted` (at least `stage.depth`)."""
    fusion = stage.fusion
    method, weights = choose_fusion(fusion, snapshot.manifest, stage.legs)
    rankings: dict[str, list[Ranking]] = {}
    sparse: list[SparseQuery] = []
    if "dense" in stage.legs and queries.dense is not None:
        dense = queries.dense
        rankings["dense"] = _found(snapshot, "dense", lambda n: snapshot.dense(dense, n, kept), stage.depth, wanted)
    if "lexical" in stage.legs and queries.lexical is not None:
        sparse = [snapshot.weigh(*queries.lexical.row(i)) for i in range(len(queries.lexical))]
        rankings["lexical"] = _found(
            snapshot, "lexical", lambda n: snapshot.lexical_many(sparse, n, kept), stage.depth, wanted
        )
    results = []
    for i, script in enumerate(queries.scripts):
        ids, columns, best_ranks = _columns(
            snapshot,
            {leg: ranking[i] for leg, ranking in rankings.items()},
            queries.dense[i] if queries.dense is not None else None,
            sparse[i] if sparse else None,
            stage.depth,
            bounded=method in ("auto", "theoretical"),
        )
        fused = None
        if len(columns) > 1:
            known = stage.calibration
            fused = fuse(method, columns, weights, fusion.rrf_k, calibration=known, script=script)
        scores = columns[0].scores if fused is None else fused.scores
        order = _order(snapshot, ids, columns, best_ranks, fused, stage.depth)
        results.append(Ranked(ids, order, scores, tuple(columns), fused, sparse[i] if sparse else None))
    return results


def _found(
    snapshot: Snapshot, leg: str, search: Callable[[int], list[Ranking]], depth: int, wanted: int
) -> list[Ranking]:
    """The leg's best `wanted` (at least `depth`) of each query, of which the first do not depend on `wanted`.

    A wider approximate search finds other chunks even among the best. So the best `depth` are searched for alone,
    and wider searches, by steps that are the same for every `wanted`, only add to the end.
    """
    if snapshot.is_exact(leg):
        return search(wanted)
    found = search(depth)
    reach = depth
    while reach < min(wanted, snapshot.manifest.chunks):
        reach *= WIDER
        found = [_continued(*pair) for pair in zip(found, search(reach), strict=True)]
    return [Ranking(one.ids[:wanted], one.scores[:wanted]) for one in found]


def _continued(first: Ranking, wider: Ranking) -> Ranking:
    fresh = ~np.isin(wider.ids, first.ids)
    return Ranking(
        np.concatenate([first.ids, wider.ids[fresh]]), np.concatenate([first.scores, wider.scores[fresh]])
    )


def _columns(
    snapshot: Snapshot,
    rankings: Mapping[str, Ranking],
    dense: Float32 | None,
    lexical: SparseQuery | None,
    depth: int,
    bounded: bool,
) -> tuple[Ids, list[LegColumn], Ids]:
    """The union of the legs' candidates, every leg's exact scores, and each candidate's best rank in a leg."""
    union = np.unique(np.concatenate([ranking.ids for ranking in rankings.values()]))
    columns = []
    best_ranks = np.full(len(union), np.iinfo(np.int64).max)
    for leg, ranking in rankings.items():
        places = np.searchsorted(union, ranking.ids)
        scores = np.zeros(len(union))
        scores[places] = ranking.scores  # exact, the same bits that scoring them again would give
        unknown = np.ones(len(union), np.bool_)
        unknown[places] = False
        if leg == "dense" and dense is not None:
            scores[unknown] = snapshot.dense_scores(dense, union[unknown])
        elif lexical is not None:
            scores[unknown] = snapshot.lexical_scores(lexical, union[unknown])
        best_ranks[places] = np.minimum(best_ranks[places], np.arange(1, len(places) + 1))
        ranks = np.zeros(len(union), np.int64)
        ranks[places[:depth]] = np.arange(1, len(places[:depth]) + 1)
        best = ranking.scores[:depth].astype(np.float64)
        matches_fewer = leg == "lexical" and len(best) < depth
        floor = 0.0 if matches_fewer or not len(best) else float(best[-1])
        bound = snapshot.lexical_bound(lexical) if bounded and leg == "lexical" and lexical else 0.0
        columns.append(LegColumn(leg, scores, ranks, float(best[0]) if len(best) else 0.0, floor, bound))
    return union, columns, best_ranks


def _order(
    snapshot: Snapshot, ids: Ids, columns: Sequence[LegColumn], best_ranks: Ids, fused: Fused | None, depth: int
) -> Ids:
    scores = columns[0].scores if fused is None else fused.scores
    # Fusion ranks the legs' best `depth`. More hits than that follow by their better rank in some leg, so that
    # asking for more never changes the first.
    tail = best_ranks > depth
    return snapshot.order(ids, [tail, np.where(tail, 0.0, -scores), best_ranks])

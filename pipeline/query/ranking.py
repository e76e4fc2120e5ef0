"""The first stage: the legs' candidates, scored exactly in every leg, fused and ordered."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline import arrays
from pipeline.config import FusionSettings
from pipeline.index.segment import Mask
from pipeline.query.fusion.calibration import Calibration, LegWeights
from pipeline.query.fusion.methods import Fused, LegColumn, fuse
from pipeline.query.fusion.resolve import choose_fusion
from pipeline.query.legs.contract import EncodedQueries, Joint, Leg
from pipeline.query.ranked import Ranked, Side
from pipeline.query.snapshot import Float64, Ids, Ranking, Snapshot

WIDER = 4
"""For hits beyond `depth` an approximate leg is asked for this many times as many until it is enough."""


@dataclass(frozen=True, slots=True)
class FirstStage:
    """How candidates are found and fused. `depth`: how many of each leg's best the fusion ranks."""

    legs: tuple[Leg[Any], ...]
    depth: int
    fusion: FusionSettings
    calibration: Calibration | None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the legs."""
        return tuple(leg.name for leg in self.legs)


def rank_queries(
    snapshot: Snapshot,
    queries: EncodedQueries,
    stage: FirstStage,
    wanted: int,
    kept: Sequence[Mask] | None,
    bounded: bool = False,
) -> list[Ranked]:
    """All candidates of each query in order, the legs' best `wanted` (at least `stage.depth`).

    `bounded`: say how high others could score (`Ranked.unseen`).
    """
    fusion = stage.fusion
    method, weights = choose_fusion(fusion, snapshot.manifest, stage.names)
    prepared = [(leg, leg.prepare(queries)) for leg in stage.legs]
    asked = [(leg, each) for leg, each in prepared if each is not None]
    joint = _searched(snapshot, asked, stage.depth, wanted, kept)
    results = []
    for i, script in enumerate(queries.scripts):
        sides = tuple(Side(leg, each[i]) for leg, each in asked)
        found = [(one.rankings[i], one.scores[i]) for one in joint]
        ids = _union([ranking for ranking, _ in found])
        columns, best_ranks = _columns(sides, ids, found, stage.depth)
        fused = None
        if len(columns) > 1:
            if method in ("auto", "theoretical"):
                trusted = stage.calibration.of(script) if stage.calibration is not None else None
                columns = _scaled(snapshot, sides, columns, trusted, method == "theoretical")
            known = stage.calibration
            fused = fuse(method, columns, weights, fusion.rrf_k, calibration=known, script=script)
        scores = columns[0].scores if fused is None else fused.scores
        order = _order(snapshot, ids, columns, best_ranks, fused, stage.depth)
        unseen = math.inf
        if bounded:
            rankings = [ranking for ranking, _ in found]
            unseen = _unseen(stage, method, weights, columns, sides, rankings, wanted, script)
        results.append(
            Ranked(ids, order, scores, tuple(columns), fused, sides, best_ranks=best_ranks, unseen=unseen)
        )
    return results


def _searched(
    snapshot: Snapshot,
    asked: Sequence[tuple[Leg[Any], Sequence[Any]]],
    depth: int,
    wanted: int,
    kept: Sequence[Mask] | None,
) -> list[Joint]:
    """What each leg finds, and its scores of all that any leg found."""
    if asked and all(leg.is_exact for leg, _ in asked):
        at_once = asked[0][0].search_jointly(asked, wanted, kept)
        if at_once is not None:
            return at_once
    among = (snapshot.manifest.chunks, kept)
    rankings = snapshot.each(lambda one: _found(one[0], one[1], depth, wanted, among), asked)
    unions = [_union(found) for found in zip(*rankings, strict=True)]
    completed = snapshot.each(lambda one: _completed(*one, unions), zip(asked, rankings, strict=True))
    return [Joint(*one) for one in zip(rankings, completed, strict=True)]


def _union(rankings: Sequence[Ranking]) -> Ids:
    """All that is in any of these, ascending."""
    return arrays.distinct(np.concatenate([ranking.ids for ranking in rankings]))


def _found(
    leg: Leg[Any], queries: Sequence[Any], depth: int, wanted: int, among: tuple[int, Sequence[Mask] | None]
) -> list[Ranking]:
    """The leg's best `wanted` (at least `depth`) of each query, of which the first do not depend on `wanted`.

    `among`: how many chunks there are, and which may be found. A wider approximate search finds other chunks even
    among the best. So the best `depth` are searched for alone, and wider searches, by steps that are the same for
    every `wanted`, only add to the end.
    """
    chunks, kept = among
    if leg.is_exact:
        return leg.candidates(queries, wanted, kept)
    found = leg.candidates(queries, depth, kept)
    reach = depth
    while reach < min(wanted, chunks):
        reach *= WIDER
        found = [_continued(*pair) for pair in zip(found, leg.candidates(queries, reach, kept), strict=True)]
    return [Ranking(one.ids[:wanted], one.scores[:wanted]) for one in found]


def _continued(first: Ranking, wider: Ranking) -> Ranking:
    fresh = ~np.isin(wider.ids, first.ids)
    return Ranking(
        np.concatenate([first.ids, wider.ids[fresh]]), np.concatenate([first.scores, wider.scores[fresh]])
    )


def _completed(
    asked: tuple[Leg[Any], Sequence[Any]], rankings: Sequence[Ranking], unions: Sequence[Ids]
) -> list[Float64]:
    """A leg's exact scores of every candidate of each query: those that it found itself, and the others."""
    leg, queries = asked
    results, unknown = [], []
    for ranking, union in zip(rankings, unions, strict=True):
        scores = np.zeros(len(union))
        places = np.searchsorted(union, ranking.ids)
        scores[places] = ranking.scores  # exact, the same bits that scoring them again would give
        missing = np.ones(len(union), np.bool_)
        missing[places] = False
        results.append(scores)
        unknown.append(missing)
    others = leg.complete(queries, [union[missing] for union, missing in zip(unions, unknown, strict=True)])
    for scores, missing, found in zip(results, unknown, others, strict=True):
        scores[missing] = found
    return results


def _columns(
    sides: Sequence[Side], union: Ids, found: Sequence[tuple[Ranking, Float64]], depth: int
) -> tuple[list[LegColumn], Ids]:
    """How each leg sees the candidates, and each candidate's best rank in a leg."""
    columns = []
    best_ranks = np.full(len(union), np.iinfo(np.int64).max)
    for side, (ranking, scores) in zip(sides, found, strict=True):
        places = np.searchsorted(union, ranking.ids)
        best_ranks[places] = np.minimum(best_ranks[places], np.arange(1, len(places) + 1))
        ranks = np.zeros(len(union), np.int64)
        ranks[places[:depth]] = np.arange(1, len(places[:depth]) + 1)
        best = ranking.scores[:depth].astype(np.float64)
        matches_fewer = not side.leg.scores_all and len(best) < depth
        floor = 0.0 if matches_fewer or not len(best) else float(best[-1])
        columns.append(LegColumn(side.leg.name, scores, ranks, float(best[0]) if len(best) else 0.0, floor))
    return columns, best_ranks


def widened(snapshot: Snapshot, ranked: Ranked, ids: Ids, stage: FirstStage, script: str) -> Ranked:
    """The candidates and behind them others of `ids`, scored exactly; the order is as it was.

    A leg that matches few has no score for others; those that no leg has one for are left out.
    """
    new = np.setdiff1d(ids, ranked.ids)
    scores = [side.leg.scores(side.query, new) for side in ranked.sides]
    if not any(side.leg.scores_all for side in ranked.sides):
        is_scored = np.any([found > 0 for found in scores], axis=0)
        new, scores = new[is_scored], [found[is_scored] for found in scores]
    columns = tuple(
        dataclasses.replace(
            column,
            scores=np.append(column.scores, found),
            ranks=np.append(column.ranks, np.zeros(len(new), np.int64)),
        )
        for column, found in zip(ranked.columns, scores, strict=True)
    )
    fused, added = None, columns[0].scores[len(ranked.ids) :]
    if ranked.fused is not None:
        method, weights = choose_fusion(stage.fusion, snapshot.manifest, stage.names)
        fused = fuse(method, columns, weights, stage.fusion.rrf_k, calibration=stage.calibration, script=script)
        added = fused.scores[len(ranked.ids) :]
    return dataclasses.replace(
        ranked,
        ids=np.append(ranked.ids, new),
        scores=np.append(ranked.scores, added),
        columns=columns,
        fused=fused,
    )


def _unseen(
    stage: FirstStage,
    method: str,
    weights: Mapping[str, float],
    columns: Sequence[LegColumn],
    sides: Sequence[Side],
    found: Sequence[Ranking],
    wanted: int,
    script: str,
) -> float:
    """The highest score that a chunk which no leg has found can have; -inf if there is no such chunk.

    It is no better in any leg than the last that was found there, and methods grow with every leg's score.
    """
    has_ended = [len(ranking.ids) < wanted for ranking in found]
    ends_all = [ended and side.leg.scores_all for ended, side in zip(has_ended, sides, strict=True)]
    if all(has_ended) or any(ends_all):
        return -math.inf
    last = [0.0 if ended else float(one.scores[-1]) for ended, one in zip(has_ended, found, strict=True)]
    if len(columns) == 1:
        return last[0]
    beside = [
        dataclasses.replace(
            column, scores=np.append(column.scores, np.float64(score)), ranks=np.append(column.ranks, np.int64(0))
        )
        for column, score in zip(columns, last, strict=True)
    ]
    fused = fuse(method, beside, weights, stage.fusion.rrf_k, calibration=stage.calibration, script=script)
    return float(fused.scores[-1])


def _scaled(
    snapshot: Snapshot,
    sides: Sequence[Side],
    columns: Sequence[LegColumn],
    weights: LegWeights | None,
    bounded: bool,
) -> list[LegColumn]:
    """The columns with what their scores are measured against: their unit, and the bound of the query if needed.

    `bounded`: it is; so it is for legs without weights, which `auto` fuses by bounds.
    """
    bounded = bounded or weights is None or any(column.name not in weights.weights for column in columns)
    scaled = []
    for side, column in zip(sides, columns, strict=True):
        unit, middle = _scale(snapshot, side, weights)
        bound = side.leg.bound(side.query) if bounded else 0.0
        scaled.append(dataclasses.replace(column, bound=bound, unit=unit, middle=middle))
    return scaled


def _scale(snapshot: Snapshot, side: Side, weights: LegWeights | None) -> tuple[float, float]:
    """Unit and middle of a leg's scores: its own, the calibrated ones, or those over the snapshot's background."""
    leg = side.leg
    if (unit := leg.unit(side.query)) > 0:
        return unit, 0.0
    if weights is not None and leg.name in weights.units:
        return weights.units[leg.name], weights.middles[leg.name]
    scores = leg.scores(side.query, snapshot.background)
    deviation = float(scores.std()) if len(scores) else 0.0
    known = deviation > 1e-12 * float(np.abs(scores).max(initial=0))
    return deviation if known else 1.0, float(scores.mean()) if len(scores) else 0.0


def _order(
    snapshot: Snapshot, ids: Ids, columns: Sequence[LegColumn], best_ranks: Ids, fused: Fused | None, depth: int
) -> Ids:
    scores = columns[0].scores if fused is None else fused.scores
    # Fusion ranks the legs' best `depth`. More hits than that follow by their better rank in some leg, so that
    # asking for more never changes the first.
    tail = best_ranks > depth
    return snapshot.order(ids, [tail, np.where(tail, 0.0, -scores), best_ranks])

"""Why the legs were trusted as they were for a query, in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.config import FusionSettings
from pipeline.query.fusion.calibration import Calibration, LegWeights
from pipeline.query.fusion.resolve import choose_fusion
from pipeline.query.legs.contract import EncodedQueries, Leg
from pipeline.query.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class LegTrust:
    """`weight`: the leg's share in the score, of scores in their units. `words`: why, and what the leg found."""

    leg: str
    weight: float
    words: str


def trust(
    snapshot: Snapshot,
    legs: Sequence[Leg[Any]],
    queries: EncodedQueries,
    fusion: FusionSettings,
    calibration: Calibration,
) -> list[tuple[LegTrust, ...]]:
    """Say of each query how far each leg was trusted; nothing where `auto` did not decide, or there is one leg.

    Searches once more for each leg's best chunk.
    """
    method, _ = choose_fusion(fusion, snapshot.manifest, tuple(leg.name for leg in legs))
    prepared = [(leg, each) for leg in legs if (each := leg.prepare(queries)) is not None]
    if method != "auto" or len(prepared) < 2:
        return [() for _ in queries.texts]
    found: list[tuple[LegTrust, ...]] = []
    for i, script in enumerate(queries.scripts):
        weights = calibration.of(script)
        if weights is None or not all(leg.name in weights.weights for leg, _ in prepared):
            found.append(())
            continue
        told = [
            LegTrust(
                leg.name,
                weights.weights[leg.name],
                f"{_reason(leg.name, weights, script, script in calibration.scripts)}; "
                f"{_finding(snapshot, leg, each[i])}",
            )
            for leg, each in prepared
        ]
        found.append(tuple(told))
    return found


def _reason(leg: str, weights: LegWeights, script: str, is_its_own: bool) -> str:
    kind = script or "wordless"
    if weights.weights[leg] == 0:
        return "not trusted, as it does not find the collection's passages by their own words"
    if not weights.queries:
        return "trusted as usual for its kind, since the collection is too small to judge it by"
    rank = f"{weights.mrr[leg]:.2f}" if leg in weights.mrr else "–"
    trials = f"{weights.queries} questions cut from the collection's own texts (mean reciprocal rank {rank})"
    if is_its_own:
        return f"trusted after {trials}, all {kind}"
    return f"the collection has too little {kind} text to judge by, so trusted after {trials} in other scripts"


def _finding(snapshot: Snapshot, leg: Leg[Any], query: Any) -> str:
    best = leg.candidates([query], 1)[0].scores
    if not len(best):
        return "none of the query's words is in the index, so it says nothing"
    top, bound = float(best[0]), leg.bound(query)
    if bound > 0:
        return f"its best chunk has {top / bound:.0%} of what the query's words could give"
    scores = leg.scores(query, snapshot.background)
    deviation = float(scores.std())
    if deviation <= 0:
        return "all chunks are alike to it"
    height = (top - float(scores.mean())) / deviation
    chance = math.sqrt(2 * math.log(max(snapshot.manifest.chunks, 2)))
    verdict = "more than chance would give" if height > chance else "no more than chance would give"
    return f"its best chunk stands {height:.1f} deviations above the mean, {verdict}"

"""Finding a fusion with labels: sweep methods and weights on some of the queries, judge the best on the others.

The queries are searched once; a setting only fuses their candidates anew. What is chosen is then searched in full
on held-out queries, because the best of a hundred settings looks good on the queries that chose it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.config import FusionSettings
from pipeline.errors import EvaluationError
from pipeline.evaluate.measures import per_query, summarize
from pipeline.evaluate.qrels import Qrels
from pipeline.evaluate.runs import HYBRID, Evaluation, System, evaluate, systems_of
from pipeline.evaluate.significance import Comparison, compare
from pipeline.progress import ProgressFactory, silent
from pipeline.query.files.batch import Query
from pipeline.query.fusion.calibration import Calibration
from pipeline.query.fusion.methods import METHODS, LegColumn, fuse
from pipeline.query.fusion.pseudo_queries import seed_of
from pipeline.query.fusion.resolve import calibration_of
from pipeline.query.request import SearchRequest
from pipeline.query.searcher import Index
from pipeline.query.snapshot import Ids

TUNED = "tuned"
FEWEST_QUERIES = 10
"""Judged queries that the tuning part must hold."""
SIGNIFICANT = 0.05
"""A gain on the held-out queries counts where the paired test gives a smaller p; else it is within noise."""
SWEPT = tuple(method for method in METHODS if method != "zscore")
"""`zscore` ranks as `dbsf` does, which moves and stretches every leg alike."""
COARSE = tuple(step / 10 for step in range(11))
FINE = (-0.075, -0.05, -0.025, 0.025, 0.05, 0.075)
"""The dense leg's share that is tried with every method, and around the best one."""
_BATCH = 256
_DOCUMENTS = 100


@dataclass(frozen=True, slots=True)
class Trial:
    """A setting and its value on the tuning queries. `weights`: by leg, as they go into the configuration."""

    method: str
    weights: dict[str, float]
    value: float


@dataclass(frozen=True, slots=True)
class Tuning:
    """`sweep`: every setting tried, best first. `held_out`: legs, current hybrid and best, on the other queries.

    `comparisons`: of the best with each of those, on the held-out queries.
    """

    measure: str
    tuning_queries: int
    sweep: tuple[Trial, ...]
    held_out: Evaluation
    comparisons: tuple[Comparison, ...]

    @property
    def best(self) -> Trial:
        """What won on the tuning queries."""
        return self.sweep[0]

    @property
    def gain(self) -> float:
        """How much better than the current setting it is on the held-out queries."""
        return self._with_current.difference

    @property
    def p(self) -> float:
        """How often chance alone gives such a difference from the current setting."""
        return self._with_current.p

    @property
    def better(self) -> bool:
        """Whether it is better than the current setting by more than noise."""
        return self.gain > 0 and self.p < SIGNIFICANT

    @property
    def _with_current(self) -> Comparison:
        return next(one for one in self.comparisons if one.against == HYBRID)


@dataclass(frozen=True, slots=True)
class _Candidates:
    """One query's candidates, searched once. `doc_ids`: of each of `ids`."""

    query_id: str
    script: str
    ids: Ids
    doc_ids: tuple[str, ...]
    columns: tuple[LegColumn, ...]


def split(queries: Sequence[Query], held_out: float) -> tuple[list[Query], list[Query]]:
    """Two parts by the hash of the query id: the same query is always on the same side of its neighbours.

    Raises `EvaluationError` for a share that leaves too few queries to tune with, or none to judge by.
    """
    if not 0 < held_out < 1:
        raise EvaluationError(f"--held-out {held_out:g}: give a share between 0 and 1; for example 0.5")
    count = round(held_out * len(queries))
    if len(queries) - count < FEWEST_QUERIES:
        raise EvaluationError(
            f"{len(queries)} judged queries leave {len(queries) - count} to tune with, and {FEWEST_QUERIES} are "
            "needed: judge more, or hold out less"
        )
    if count == 0:
        raise EvaluationError(f"--held-out {held_out:g} of {len(queries)} queries leaves none to judge by")
    shuffled = sorted(queries, key=lambda query: (seed_of(f"tune/{query.query_id}"), query.query_id))
    return shuffled[count:], shuffled[:count]


def tune(
    index: Index,
    queries: Sequence[Query],
    qrels: Qrels,
    measure: str = "nDCG@10",
    held_out: float = 0.5,
    progress: ProgressFactory = silent,
) -> Tuning:
    """Sweep every fusion method and weight on one part of the judged queries, and judge the best on the other.

    Raises `EvaluationError` for an index with one leg or fewer than ten judged queries to tune with.
    """
    systems = systems_of(index, (*index.legs, HYBRID))
    if len(index.legs) != 2:
        raise EvaluationError(f"{index.path}: two legs are needed to weigh; there is: {', '.join(index.legs)}")
    tuning, others = split([query for query in queries if query.query_id in qrels], held_out)
    used = {query.query_id: qrels[query.query_id] for query in tuning}
    per_query({tuning[0].query_id: used[tuning[0].query_id]}, {}, [measure])
    sweep = _sweep(index, _candidates(index, tuning, progress), used, measure, progress)
    best = sweep[0]
    chosen = {"method": best.method, "weights": best.weights, "rrf_k": index.settings.fusion.rrf_k}
    fusion = FusionSettings.model_validate(chosen)
    result = evaluate(
        index, others, qrels, [measure], progress, systems=[*systems, System(TUNED, index.legs, fusion)]
    )
    mine = result.values[TUNED][measure]
    comparisons = tuple(
        compare(TUNED, mine, name, values[measure], measure)
        for name, values in result.values.items()
        if name != TUNED
    )
    return Tuning(measure, len(tuning), tuple(sweep), result, comparisons)


def _candidates(index: Index, queries: Sequence[Query], progress: ProgressFactory) -> list[_Candidates]:
    # By a method that needs bounds and units, so that the columns hold what every method needs.
    known = FusionSettings(method="theoretical")
    found = []
    with progress("search", len(queries), "query") as bar:
        for start in range(0, len(queries), _BATCH):
            batch = queries[start : start + _BATCH]
            encoded = index.encode([query.text for query in batch])
            request = SearchRequest.for_legs(index, encoded.texts, index.settings.depth, fusion=known)
            ranked = index.rank_request(request, encoded)
            for query, script, one in zip(batch, encoded.scripts, ranked, strict=True):
                doc_ids = tuple(index.snapshot.doc_id(int(number)) for number in one.ids)
                found.append(_Candidates(query.query_id, script, one.ids, doc_ids, one.columns))
            bar.update(len(batch))
    return found


def _sweep(
    index: Index, candidates: Sequence[_Candidates], qrels: Qrels, measure: str, progress: ProgressFactory
) -> list[Trial]:
    """Every setting's value, best first; of equal ones the one nearest to even weights."""
    calibration = calibration_of(index.manifest, index.legs)
    tops = {leg: float(np.mean([one.columns[row].top for one in candidates])) for row, leg in enumerate(index.legs)}

    def tried(method: str, share: float) -> Trial:
        weights = _weights(index.legs, share, tops if method == "weighted" else None)
        run = {one.query_id: _fused(index, one, method, weights, calibration) for one in candidates}
        return Trial(method, weights, summarize(measure, per_query(qrels, run, [measure])[measure]))

    trials = []
    with progress("sweep", len(SWEPT) * len(COARSE) + len(FINE), "setting") as bar:
        for method, share in _coarse():
            trials.append((tried(method, share), share))
            bar.update()
        best, centre = max(trials, key=lambda trial: trial[0].value)
        for step in FINE:
            share = round(centre + step, 3)
            if 0 <= share <= 1:
                trials.append((tried(best.method, share), share))
            bar.update()
    return sorted((trial for trial, _ in trials), key=lambda trial: -trial.value)


def _coarse() -> Iterator[tuple[str, float]]:
    for share in sorted(COARSE, key=lambda share: abs(share - 0.5)):
        for method in SWEPT:
            yield method, share


def _weights(legs: Sequence[str], share: float, tops: dict[str, float] | None) -> dict[str, float]:
    """The first leg's share and the other's; on raw scores divided by the legs' usual best, to be comparable."""
    shares = dict(zip(legs, (share, round(1 - share, 3)), strict=True))
    if tops is None:
        return shares
    return {leg: _rounded(part / tops[leg]) if tops[leg] > 0 else part for leg, part in shares.items()}


def _rounded(value: float) -> float:
    return 0.0 if value == 0 else round(value, 3 - math.floor(math.log10(abs(value))))


def _fused(
    index: Index, one: _Candidates, method: str, weights: dict[str, float], calibration: Calibration
) -> list[tuple[str, float]]:
    rrf_k = index.settings.fusion.rrf_k
    fused = fuse(method, one.columns, weights, rrf_k, calibration=calibration, script=one.script)
    best: dict[str, float] = {}
    for position in index.snapshot.order(one.ids, [-fused.scores]).tolist():
        best.setdefault(one.doc_ids[position], float(fused.scores[position]))
        if len(best) == _DOCUMENTS:
            break
    return list(best.items())

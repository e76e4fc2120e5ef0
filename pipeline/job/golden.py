"""Golden queries: what the quality gate measures on a generation, and on the live one to compare."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import Expectation, GateSettings, QuerySettings
from pipeline.errors import ConfigError, EvaluationError, QueryError
from pipeline.evaluate.measures import DEFAULT_MEASURES, mean, per_query
from pipeline.evaluate.qrels import Qrels, read_qrels
from pipeline.evaluate.runs import System, run_queries
from pipeline.job.gate import EXPECTED
from pipeline.query.files.batch import Query, read_queries
from pipeline.query.searcher import Index

NOT_MEASURED = {"log", "log_text", "log_megabytes"}
"""Settings of queries that change nothing of what is measured."""


@dataclass(frozen=True, slots=True)
class Golden:
    """Judged queries and expectations. `inputs` changes with anything that changes what is measured."""

    queries: tuple[Query, ...]
    qrels: Qrels
    names: tuple[str, ...]
    expect: tuple[Expectation, ...]
    inputs: str


def load_golden(settings: GateSettings, query: QuerySettings, base: Path) -> Golden:
    """Read the gate's queries and judgements, before hours are spent on a build that could not be judged.

    Raises `ConfigError` for a threshold on what is not measured, and for files or measures that cannot be used.
    """
    wanted = [name for name in {**settings.minimum, **settings.max_drop} if name != EXPECTED]
    names = tuple(wanted) or (DEFAULT_MEASURES if settings.queries else ())
    if wanted and settings.queries is None:
        raise ConfigError(f"gate: a threshold on {wanted[0]} needs gate.queries and gate.qrels")
    if EXPECTED in {**settings.minimum, **settings.max_drop} and not settings.expect:
        raise ConfigError(f"gate: a threshold on {EXPECTED} needs gate.expect")
    queries: list[Query] = []
    qrels: Qrels = {}
    if settings.queries is not None and settings.qrels is not None:
        try:
            queries, qrels = _judged(base / settings.queries, base / settings.qrels)
            per_query(qrels, {}, names)  # an unknown measure shows here
        except (QueryError, EvaluationError) as error:
            raise ConfigError(f"gate: {error}") from None
    expect = tuple(settings.expect)
    parts = [[(one.query_id, one.text) for one in queries], qrels, names, [e.model_dump() for e in expect]]
    text = json.dumps(
        [*parts, query.model_dump(mode="json", exclude=NOT_MEASURED)], ensure_ascii=False, sort_keys=True
    )
    inputs = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return Golden(tuple(queries), qrels, names, expect, inputs)


def _judged(queries_path: Path, qrels_path: Path) -> tuple[list[Query], Qrels]:
    """The queries that are judged, and their judgements."""
    qrels = read_qrels(qrels_path)
    queries = [one for one in read_queries(queries_path) if one.query_id in qrels]
    if not queries:
        raise EvaluationError(f"{queries_path}: none of its queries is judged in {qrels_path}")
    known = {one.query_id for one in queries}
    return queries, {query_id: grades for query_id, grades in qrels.items() if query_id in known}


def unmet(index: Index, golden: Golden) -> tuple[str, ...]:
    """Each expectation that does not hold, in words."""
    lines = []
    for one in golden.expect:
        (ranked,) = index.rank([one.query], one.k, collapse=True)
        found = {index.snapshot.doc_id(number) for number in ranked.ids[ranked.order].tolist()}
        if found.isdisjoint(one.documents):
            lines.append(f"{one.query!r} does not find {' or '.join(one.documents)} among the first {one.k}")
    return tuple(lines)


def measure(index: Index, golden: Golden, missed: Sequence[str]) -> dict[str, float]:
    """Ask the golden queries, with all legs the index has. `missed`: the expectations that `unmet` found."""
    measures: dict[str, float] = {}
    if golden.queries:
        runs, _ = run_queries(index, golden.queries, [System("all", index.legs)])
        values = per_query(golden.qrels, runs["all"], golden.names)
        measures = {name: mean(by_query) for name, by_query in values.items()}
    if golden.expect:
        measures[EXPECTED] = 1 - len(missed) / len(golden.expect)
    return measures

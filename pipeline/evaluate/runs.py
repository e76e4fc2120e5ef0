"""Running judged queries against an index."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipeline.config import (
    WHOLE_PASSAGE_TOKENS,
    Config,
    FusionSettings,
    GateSettings,
    RerankSettings,
    SourceSettings,
)
from pipeline.config.sources import Code
from pipeline.errors import EvaluationError
from pipeline.evaluate.measures import DEFAULT_MEASURES, check_measures, per_query, summarize
from pipeline.evaluate.qrels import Qrels
from pipeline.evaluate.significance import Comparison, compare
from pipeline.progress import ProgressFactory, silent
from pipeline.query.files.batch import Query, Run
from pipeline.query.fusion.resolve import choose_fusion, named_fusion
from pipeline.query.request import SearchRequest
from pipeline.query.rerank import NONE
from pipeline.query.searcher import Index

BASELINE, HYBRID, RERANKED = "baseline", "hybrid", "reranked"
_BATCH = 256


@dataclass(frozen=True, slots=True)
class System:
    """One way to search, named in the results. `fusion`: of the legs; `None`: as the index was opened with.

    `rerank`: what scores the best chunks again; `None`: nothing does.
    """

    name: str
    legs: tuple[str, ...]
    fusion: FusionSettings | None = None
    rerank: RerankSettings | None = None

    def request(self, index: Index, texts: tuple[str, ...], depth: int) -> SearchRequest:
        """Return what this system asks of the index, to find the best `depth` documents of each text."""
        return SearchRequest.for_legs(
            index, texts, depth, self.legs, fusion=self.fusion, collapse=True, rerank=self.rerank
        )


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Measures by run name (`dense`, `lexical`, `hybrid`, …), and what of the judgements could not be used.

    `values`: by run, measure and query id. `comparisons`: of every run with the baseline, else with the hybrid.
    `missing_documents`: judged, but not in the index. `unanswered_by_baseline`: judged queries that the baseline
    has no hits for, `None` without one. `milliseconds`: mean search time of a query, encoding not counted.
    """

    measures: Mapping[str, Mapping[str, float]]
    queries: int
    unjudged_queries: tuple[str, ...]
    missing_queries: tuple[str, ...]
    values: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)
    comparisons: tuple[Comparison, ...] = ()
    missing_documents: tuple[str, ...] = ()
    unanswered_by_baseline: tuple[str, ...] | None = None
    runs: Mapping[str, Run] = field(default_factory=dict)
    milliseconds: Mapping[str, float] = field(default_factory=dict)


def systems_of(index: Index, modes: Sequence[str] = (), fusions: Sequence[str] = ()) -> list[System]:
    """What to measure: `modes`, by default every leg and the hybrid; then the hybrid by each method or preset of
    `fusions`.

    A reranker that the settings name gives one more, `reranked`: the hybrid with its best chunks in a new order. A
    method of `fusions` is named `hybrid-METHOD`, and has the configured constants but no weights: those belong
    to the configured method. Raises `EvaluationError` for a mode that the index does not have, `QueryError` for a
    method or preset that is not known or has no weights for its legs.
    """
    names = list(modes or ([*index.legs, HYBRID] if len(index.legs) > 1 else index.legs))
    for name in names:
        if name != HYBRID and name not in index.legs:
            raise EvaluationError(f"{index.path}: this index has no {name} leg; it has: {', '.join(index.legs)}")
    if fusions and len(index.legs) < 2:
        raise EvaluationError(f"{index.path}: nothing to fuse, this index has the {index.legs[0]} leg only")
    systems = [System(name, index.legs if name == HYBRID else (name,)) for name in dict.fromkeys(names)]
    if not modes and index.settings.rerank.model != NONE:
        systems.append(System(RERANKED, index.legs, rerank=index.settings.rerank))
    bare = index.settings.fusion.model_copy(update={"weights": {}})
    for method in dict.fromkeys(fusions):
        fusion = named_fusion(bare, method)
        choose_fusion(fusion, index.manifest, index.legs)  # a preset without weights for these legs shows here
        systems.append(System(f"{HYBRID}-{method}", index.legs, fusion))
    return systems


def check_fusions(names: Sequence[str]) -> None:
    """Raise `QueryError` for what is neither a method nor a preset."""
    for name in names:
        named_fusion(FusionSettings(), name)


def run_queries(
    index: Index,
    queries: Sequence[Query],
    systems: Sequence[System],
    depth: int = 100,
    progress: ProgressFactory = silent,
) -> tuple[dict[str, Run], dict[str, float]]:
    """The best `depth` documents of every query, for each system; a document counts with its best chunk.

    The second part is each system's search time in milliseconds a query, without encoding.
    """
    runs: dict[str, dict[str, Sequence[tuple[str, float]]]] = {system.name: {} for system in systems}
    seconds = dict.fromkeys(runs, 0.0)
    with progress("search", len(queries), "query") as bar:
        for start in range(0, len(queries), _BATCH):
            batch = queries[start : start + _BATCH]
            encoded = index.encode([query.text for query in batch])
            for system in systems:
                started = time.perf_counter()
                ranked = index.rank_request(system.request(index, encoded.texts, depth), encoded)
                seconds[system.name] += time.perf_counter() - started
                for query, one in zip(batch, ranked, strict=True):
                    # Measures sort by score: what follows the reranked chunks must not rise above them.
                    scores = (
                        np.minimum.accumulate(one.scores[one.order]) if system.rerank else one.scores[one.order]
                    )
                    runs[system.name][query.query_id] = [
                        (index.snapshot.doc_id(int(one.ids[p])), float(score))
                        for p, score in zip(one.order, scores, strict=True)
                    ]
            bar.update(len(batch))
    return dict(runs), {name: 1000 * spent / max(len(queries), 1) for name, spent in seconds.items()}


def evaluate(
    index: Index,
    queries: Sequence[Query],
    qrels: Qrels,
    names: Sequence[str] = DEFAULT_MEASURES,
    progress: ProgressFactory = silent,
    *,
    systems: Sequence[System] | None = None,
    baseline: Run | None = None,
) -> Evaluation:
    """Measure every leg and the hybrid, or `systems`, on the judged queries, and compare them query by query.

    `baseline`: a saved run, measured as `baseline`. Raises `EvaluationError` if no query is judged.
    """
    judged = [query for query in queries if query.query_id in qrels]
    if not judged:
        raise EvaluationError("none of the queries has a judgement: do queries and qrels belong together?")
    known = {query.query_id for query in judged}
    used = {query_id: grades for query_id, grades in qrels.items() if query_id in known}
    check_measures(names)
    runs, milliseconds = run_queries(index, judged, systems or systems_of(index), progress=progress)
    if baseline is not None:
        runs = {BASELINE: {query_id: baseline[query_id] for query_id in used if query_id in baseline}, **runs}
    values = {run_name: per_query(used, run, names) for run_name, run in runs.items()}
    return Evaluation(
        measures={
            run_name: {name: summarize(name, of_queries) for name, of_queries in by_measure.items()}
            for run_name, by_measure in values.items()
        },
        queries=len(judged),
        unjudged_queries=tuple(q.query_id for q in queries if q.query_id not in qrels),
        missing_queries=tuple(sorted(qrels.keys() - known)),
        values=values,
        comparisons=_comparisons(values),
        missing_documents=_missing_documents(index, used),
        unanswered_by_baseline=None if baseline is None else tuple(sorted(used.keys() - baseline.keys())),
        runs=runs,
        milliseconds=milliseconds,
    )


def _comparisons(values: Mapping[str, Mapping[str, Mapping[str, float]]]) -> tuple[Comparison, ...]:
    against = next((name for name in (BASELINE, HYBRID) if name in values), next(iter(values)))
    return tuple(
        compare(run, by_measure[measure], against, values[against][measure], measure)
        for run, by_measure in values.items()
        if run != against
        for measure in by_measure
    )


def _missing_documents(index: Index, qrels: Qrels) -> tuple[str, ...]:
    judged = {doc_id for grades in qrels.values() for doc_id in grades}
    for segment in index.snapshot.segments:
        doc_ids = segment.store.column("doc_id")
        judged.difference_update((doc_ids if segment.deleted is None else doc_ids[~segment.deleted]).tolist())
    return tuple(sorted(judged))


def beir_config(
    folder: Path, index: Path, config: Config, chunked: bool = False, code: Code | None = None
) -> Config:
    """`config` turned to a BEIR folder as its only source and `index` as its index.

    BEIR's passages are the unit that is judged, so they are not cut again (the encoder truncates what is too long
    for it) unless `chunked`. `code`: what `sources[].code` is for them; `None`: what all sources of `config` have.
    What guards a live index has no say here. Raises `EvaluationError`, also where the sources differ in `code`.
    """
    corpus = folder / "corpus.jsonl"
    if not corpus.is_file():
        raise EvaluationError(f"{corpus}: no such file; a BEIR folder has corpus.jsonl, queries.jsonl and qrels/")
    code = code or _common_code(config, corpus)
    source = SourceSettings(
        path=str(corpus.resolve()), code=code, id_field="_id", text_field="text", title_field="title"
    )
    whole = {"max_tokens": WHOLE_PASSAGE_TOKENS, "overlap_tokens": 0}
    chunking = config.chunking if chunked else config.chunking.model_copy(update=whole)
    gate = GateSettings(max_reject_ratio=1, max_empty_vector_ratio=1, max_empty_lexical_ratio=1)
    changes = {"sources": [source], "index": str(index.resolve()), "chunking": chunking, "gate": gate}
    return config.model_copy(update=changes)


def _common_code(config: Config, corpus: Path) -> Code:
    found: list[Code] = sorted({source.code for source in config.sources})
    if len(found) > 1:
        raise EvaluationError(
            f"{corpus}: the configured sources differ in `code` ({', '.join(found)}), so it is open how its "
            f"passages are read; say which by `--code`, such as `--code {found[0]}`"
        )
    return found[0] if found else "auto"

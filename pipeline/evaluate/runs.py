"""Running judged queries against an index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import ChunkingSettings, Config, FusionSettings, SourceSettings
from pipeline.errors import EvaluationError
from pipeline.evaluate.measures import DEFAULT_MEASURES, mean, per_query
from pipeline.evaluate.qrels import Qrels
from pipeline.progress import ProgressFactory, silent
from pipeline.query.batch import Query, Run
from pipeline.query.searcher import Index

_BATCH = 256
_WHOLE_PASSAGE = 1_000_000


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Measures by run name (`dense`, `lexical`, `hybrid`), and what of the judgements could not be used."""

    measures: Mapping[str, Mapping[str, float]]
    queries: int
    unjudged_queries: tuple[str, ...]
    missing_queries: tuple[str, ...]


def run_queries(
    index: Index,
    queries: Sequence[Query],
    depth: int = 100,
    modes: Sequence[str] | None = None,
    fusion: FusionSettings | None = None,
    progress: ProgressFactory = silent,
) -> dict[str, Run]:
    """The best `depth` documents of every query, for each mode; a document counts with its best chunk."""
    names = modes or ([*index.legs, "hybrid"] if len(index.legs) > 1 else index.legs)
    runs: dict[str, dict[str, Sequence[tuple[str, float]]]] = {name: {} for name in names}
    with progress("search", len(queries), "query") as bar:
        for start in range(0, len(queries), _BATCH):
            batch = queries[start : start + _BATCH]
            encoded = index.encode([query.text for query in batch])
            for name in names:
                legs = index.legs if name == "hybrid" else (name,)
                ranked = index.rank_encoded(encoded, depth, legs, fusion=fusion, collapse=True)
                for query, one in zip(batch, ranked, strict=True):
                    runs[name][query.query_id] = [
                        (index.snapshot.doc_id(int(one.ids[p])), float(one.scores[p])) for p in one.order
                    ]
            bar.update(len(batch))
    return dict(runs)


def evaluate(
    index: Index,
    queries: Sequence[Query],
    qrels: Qrels,
    names: Sequence[str] = DEFAULT_MEASURES,
    progress: ProgressFactory = silent,
) -> Evaluation:
    """Measure every leg and the hybrid on the judged queries. Raises `EvaluationError` if none is judged."""
    judged = [query for query in queries if query.query_id in qrels]
    if not judged:
        raise EvaluationError("none of the queries has a judgement: do queries and qrels belong together?")
    known = {query.query_id for query in judged}
    used = {query_id: grades for query_id, grades in qrels.items() if query_id in known}
    runs = run_queries(index, judged, progress=progress)
    measures = {
        run_name: {name: mean(values) for name, values in per_query(used, run, names).items()}
        for run_name, run in runs.items()
    }
    return Evaluation(
        measures=measures,
        queries=len(judged),
        unjudged_queries=tuple(q.query_id for q in queries if q.query_id not in qrels),
        missing_queries=tuple(sorted(qrels.keys() - known)),
    )


def beir_config(folder: Path, index: Path, config: Config, chunked: bool = False) -> Config:
    """`config` turned to a BEIR folder as its only source and `index` as its index.

    BEIR's passages are the unit that is judged, so they are not cut again (the encoder truncates what is too long
    for it) unless `chunked`. Raises `EvaluationError`.
    """
    corpus = folder / "corpus.jsonl"
    if not corpus.is_file():
        raise EvaluationError(f"{corpus}: no such file; a BEIR folder has corpus.jsonl, queries.jsonl and qrels/")
    source = SourceSettings(path=str(corpus.resolve()), id_field="_id", text_field="text", title_field="title")
    chunking = config.chunking if chunked else ChunkingSettings(max_tokens=_WHOLE_PASSAGE, overlap_tokens=0)
    changes = {"sources": [source], "index": str(index.resolve()), "chunking": chunking}
    return config.model_copy(update=changes)

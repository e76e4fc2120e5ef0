"""How well this index finds, beside embedded stores that are given the same vectors.

    python bench/quality.py EVAL_DIR [--sets tydiqa-ko,cosqa] [--queries 500]

Every folder below EVAL_DIR in BEIR layout is built into a throw-away index with the default configuration. LanceDB,
Qdrant's local mode and txtai get the dense vectors of that index and of its queries, and the texts that it encoded;
words are searched and both sides fused by each store's own means. A store is tried with all of `lexical_settings`
that fit the writing, and counts with the best on that collection (`vs best`, `vs mean` of the stores), or with the
first, as it comes (`vs default`). Prints nDCG@10 of rankings 100 deep; the last line is JSON. Needs the extra
`bench`.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import rivals
from fusion import DEPTH, MEASURE, Collection, score

from pipeline.evaluate.runs import run_queries, systems_of
from pipeline.index.dense.component import DENSE
from pipeline.job import build as builder
from pipeline.models.bm25.analyzer import Analyzer
from pipeline.query.files.batch import Query, Run
from pipeline.query.searcher import Index, open_index
from pipeline.records import SparseRows

OURS = ("dense", "lexical", "hybrid")
RIVALS = ("LanceDB", "Qdrant", "txtai")
AGAINST = {
    "default": "the best store as they come",
    "best": "the best store at its best settings",
    "mean": "the mean of the stores at their best settings",
}
WITHOUT_SPACES = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")
"""Kana, Han and Hangul: words that blanks do not part, or that change at their end."""
K1, B = 1.2, 0.75
Make = Callable[[Path, rivals.Passages], rivals.Search]


def lexical_settings(texts: Sequence[str], questions: Sequence[str]) -> dict[str, dict[str, Make]]:
    """For each store, the ways to search words that are tried: as it comes, and what it offers for the writing."""
    made: dict[str, dict[str, Make]] = {
        "LanceDB": {"simple, stems": lambda folder, passages: rivals.lancedb(folder, passages)},
        "Qdrant": {
            "text index": lambda folder, passages: rivals.qdrant(folder, passages, None),
            "BM25 vectors": lambda folder, passages: rivals.qdrant(folder, passages, bm25_vectors(texts)),
        },
        "txtai": {"words": lambda folder, passages: rivals.txtai(passages)},
    }
    if any(WITHOUT_SPACES.search(text) for text in [*texts, *questions]):
        made["LanceDB"]["icu"] = lambda folder, passages: rivals.lancedb(folder, passages, base_tokenizer="icu")
        made["LanceDB"]["bigrams"] = lambda folder, passages: rivals.lancedb(
            folder, passages, base_tokenizer="ngram", ngram_min_length=2, ngram_max_length=2, stem=False
        )
        bigrams = {"method": "bm25", "terms": True, "normalize": True, "tokenizer": {"ngrams": 2}}
        made["txtai"]["bigrams"] = lambda folder, passages: rivals.txtai(passages, scoring=bigrams)
    return made


def bm25_vectors(texts: Sequence[str]) -> SparseRows:
    """Return documents as sparse vectors for BM25, without the idf, which Qdrant adds.

    Terms are English stems, and bigrams of Han, kana and Hangul (`term_ids`). Weights as Qdrant's documentation has
    them: tf · (k1 + 1) / (tf + k1 · (1 − b + b · length / mean length)).
    """
    rows = Analyzer("english").rows(texts)
    lengths = np.add.reduceat(np.append(rows.weights, 0), rows.indptr[:-1]) * (np.diff(rows.indptr) > 0)
    norm = np.repeat(K1 * (1 - B + B * lengths / max(lengths.mean(), 1)), np.diff(rows.indptr))
    weights = rows.weights * (K1 + 1) / (rows.weights + norm)
    return SparseRows(rows.indptr, rows.token_ids & np.uint64(0xFFFFFFFF), weights.astype(np.float32))


def term_ids(text: str) -> tuple[int, ...]:
    """The terms of a query, as `bm25_vectors` numbers them: in 32 bits, which is what Qdrant has for them."""
    return tuple({key & 0xFFFFFFFF for key in Analyzer("english").term_frequencies(text)})


def measure(collection: Collection, most: int) -> dict[str, object]:
    """Scores of this index and of every store on one collection."""
    queries, qrels = collection.judged(most)
    with tempfile.TemporaryDirectory(prefix="bench-quality-") as name:
        folder = Path(name)
        config = collection.config(folder / "index")
        report = builder.build(config)
        with open_index(config.index_path) as index:
            runs, _ = run_queries(index, queries, systems_of(index), DEPTH)
            doc_ids, passages = given(index)
            questions = asked(index, queries)
        scores = {mode: score(runs[mode], qrels) for mode in OURS}
        best: dict[str, str] = {}
        tried: dict[str, dict[str, float]] = {}
        for store, ways in lexical_settings(passages.texts, [query.text for query in queries]).items():
            tried[store] = {}
            for way, make in ways.items():
                place = folder / f"{store}-{len(tried[store])}"
                place.mkdir()
                tried[store][way] = score(ranked(make(place, passages), queries, questions, doc_ids), qrels)
            best[store] = max(tried[store], key=tried[store].__getitem__)
    values = {store: tried[store][way] for store, way in best.items()}
    return {
        "set": collection.name,
        "chunks": report.chunks,
        "queries": len(queries),
        **scores,
        **values,
        "settings": best,
        "tried": tried,
        "vs_default": scores["hybrid"] - max(next(iter(ways.values())) for ways in tried.values()),
        "vs_best": scores["hybrid"] - max(values.values()),
        "vs_mean": scores["hybrid"] - sum(values.values()) / len(values),
    }


def given(index: Index) -> tuple[list[str], rivals.Passages]:
    """Document ids, and what the index holds of each: the text that was encoded and its vector."""
    snapshot = index.snapshot
    vectors = [np.asarray(segment.open(DENSE).rows, np.float32) for segment in snapshot.segments]
    numbers = np.arange(sum(len(part) for part in vectors))
    doc_ids = [snapshot.doc_id(int(number)) for number in numbers]
    return doc_ids, rivals.Passages(snapshot.encoded_texts(numbers), np.concatenate(vectors))


def asked(index: Index, queries: Sequence[Query]) -> list[rivals.Question]:
    """The queries with the index's own vectors of them."""
    dense = index.encode([query.text for query in queries]).dense
    if dense is None:
        raise SystemExit("the default configuration has no dense leg")
    return [rivals.Question(query.text, dense[i], term_ids(query.text)) for i, query in enumerate(queries)]


def ranked(
    search: rivals.Search, queries: Sequence[Query], questions: Sequence[rivals.Question], doc_ids: Sequence[str]
) -> Run:
    """A run of a store: its order alone counts."""
    run: dict[str, list[tuple[str, float]]] = {}
    for query, question in zip(queries, questions, strict=True):
        found = search(question, DEPTH)
        run[query.query_id] = [(doc_ids[at], float(len(found) - rank)) for rank, at in enumerate(found)]
    return run


def main() -> None:
    """Measure the folders asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", default="", help="comma-separated folder names; default: all")
    parser.add_argument("--queries", type=int, default=500, help="at most so many queries of a folder")
    arguments = parser.parse_args()
    names = [n for n in arguments.sets.split(",") if n]
    if not names:
        names = sorted(path.parent.name for path in arguments.folder.glob("*/corpus.jsonl"))
    columns = (*OURS, *RIVALS)
    print(
        f"{'set':20s}"
        + "".join(f"{column:>9s}" for column in columns)
        + "  vs default  vs best  vs mean  best settings"
    )
    results = []
    for name in names:
        result = measure(Collection(name, (arguments.folder / name,)), arguments.queries)
        results.append(result)
        numbers = "".join(f"{result[column]:9.3f}" for column in columns)
        against = f"{result['vs_default']:+12.3f}{result['vs_best']:+9.3f}{result['vs_mean']:+9.3f}"
        settings = result["settings"]
        assert isinstance(settings, dict)
        print(f"{name:20s}{numbers}{against}  " + "; ".join(settings.values()), flush=True)
    summary: dict[str, float] = {}
    for key, rival in AGAINST.items():
        above = [float(str(result[f"vs_{key}"])) for result in results]
        summary |= {f"worst_vs_{key}": min(above), f"mean_vs_{key}": sum(above) / len(above)}
        print(f"hybrid above {rival}: worst {min(above):+.3f}, mean {sum(above) / len(above):+.3f}")
    print(json.dumps({"benchmark": "quality", "measure": MEASURE, **summary, "results": results}))


if __name__ == "__main__":
    main()

"""Fusion methods side by side on judged collections, through whole indexes and with no tuning by collection.

    python bench/fusion.py EVAL_DIR [--sets tydiqa-ko,cosqa] [--queries 500] [--mix tydiqa-ko+tydiqa-en]

Every folder below EVAL_DIR in BEIR layout is built into a throw-away index with the default configuration. Prints
nDCG@10 of each leg and each method, the better leg, how far `auto` is from it, and what the calibration cost; the
last line is JSON. `--mix` builds one index of several folders and asks the queries of all of them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pipeline.config import Config, FusionSettings, SourceSettings
from pipeline.evaluate.measures import mean, per_query
from pipeline.evaluate.qrels import read_qrels
from pipeline.evaluate.runs import beir_config
from pipeline.job import build as builder
from pipeline.query.files.batch import Query, Run, read_queries
from pipeline.query.fusion.index_calibration import calibrate_index
from pipeline.query.searcher import Index, open_index

MEASURE = "nDCG@10"
METHODS = ("rrf", "minmax", "zscore", "theoretical", "auto")
DEPTH = 100
Qrels = dict[str, dict[str, int]]


@dataclass(frozen=True)
class Collection:
    """One or several BEIR folders as one index. Ids carry the folder's name where there are several."""

    name: str
    folders: tuple[Path, ...]

    def config(self, index: Path) -> Config:
        """Default settings, and these folders as sources."""
        config = beir_config(self.folders[0], index, Config())
        if len(self.folders) == 1:
            return config
        sources = [
            SourceSettings(
                path=str((folder / "corpus.jsonl").resolve()),
                prefix=f"{folder.name}/",
                id_field="_id",
                text_field="text",
                title_field="title",
            )
            for folder in self.folders
        ]
        return config.model_copy(update={"sources": sources})

    def judged(self, most: int) -> tuple[list[Query], Qrels]:
        """At most `most` judged queries of each folder, drawn with a fixed seed, and their judgements."""
        queries: list[Query] = []
        qrels: Qrels = {}
        for folder in self.folders:
            prefix = f"{folder.name}/" if len(self.folders) > 1 else ""
            grades = read_qrels(folder / "qrels" / "test.tsv")
            known = [query for query in read_queries(folder / "queries.jsonl") if query.query_id in grades]
            drawn = np.random.default_rng(0).permutation(len(known))[:most]
            for query in (known[i] for i in sorted(drawn)):
                queries.append(replace(query, query_id=prefix + query.query_id))
                qrels[prefix + query.query_id] = {prefix + d: g for d, g in grades[query.query_id].items()}
        return queries, qrels


def measure(collection: Collection, most: int) -> dict[str, object]:
    """Scores of every leg and method on one collection."""
    queries, qrels = collection.judged(most)
    with tempfile.TemporaryDirectory(prefix="bench-fusion-") as folder:
        config = collection.config(Path(folder) / "index")
        started = time.monotonic()
        report = builder.build(config)
        build_seconds = time.monotonic() - started
        with open_index(config.index_path) as index:
            index.encoder.encode_documents(["the build has loaded the model already"])
            started = time.monotonic()
            calibration = calibrate_index(index)  # again, to take the time: the build has stored the same
            seconds = time.monotonic() - started
            scores = {name: score(run, qrels) for name, run in runs(index, queries).items()}
    better = max(scores["dense"], scores["lexical"])
    return {
        "set": collection.name,
        "chunks": report.chunks,
        "queries": len(queries),
        **scores,
        "better_leg": better,
        "gap": scores["auto"] - better,
        "calibration_seconds": seconds,
        "build_seconds": build_seconds,
        "weights": {s: w.weights["dense"] for s, w in calibration.scripts.items()} if calibration else {},
    }


def runs(index: Index, queries: Sequence[Query]) -> dict[str, Run]:
    """A run for each leg and for each method, of documents by their best chunk."""
    encoded = index.encode([query.text for query in queries])
    ranked = {leg: index.rank_encoded(encoded, DEPTH, (leg,), collapse=True) for leg in index.legs}
    for method in METHODS:
        ranked[method] = index.rank_encoded(
            encoded, DEPTH, fusion=FusionSettings.model_validate({"method": method}), collapse=True
        )
    return {
        name: {
            query.query_id: [(index.snapshot.doc_id(int(one.ids[at])), float(one.scores[at])) for at in one.order]
            for query, one in zip(queries, rankings, strict=True)
        }
        for name, rankings in ranked.items()
    }


def score(run: Run, qrels: Qrels) -> float:
    """Mean nDCG@10."""
    return mean(per_query(qrels, run, [MEASURE])[MEASURE])


def main() -> None:
    """Measure the folders asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", default="", help="comma-separated folder names; default: all")
    parser.add_argument("--mix", action="append", default=[], help="folder names joined by +; repeatable")
    parser.add_argument("--queries", type=int, default=500, help="at most so many queries of a folder")
    arguments = parser.parse_args()
    names = [n for n in arguments.sets.split(",") if n]
    if not names and not arguments.mix:
        names = sorted(path.parent.name for path in arguments.folder.glob("*/corpus.jsonl"))
    columns = ("dense", "lexical", *METHODS, "better_leg", "gap")
    print(f"{'set':28s}" + "".join(f"{column:>12s}" for column in columns) + "   calibration / build, s")
    results = []
    for name in [*names, *arguments.mix]:
        folders = tuple(arguments.folder / part for part in name.split("+"))
        result = measure(Collection(name, folders), arguments.queries)
        results.append(result)
        numbers = [f"{result[column]:{'+' if column == 'gap' else ''}12.3f}" for column in columns]
        cost = f"   {result['calibration_seconds']:.1f} / {result['build_seconds']:.1f}"
        print(f"{name:28s}" + "".join(numbers) + cost, flush=True)
    gaps = [float(str(result["gap"])) for result in results]
    print(f"worst gap {min(gaps):+.3f}, mean gap {sum(gaps) / len(gaps):+.3f} on {len(gaps)} collections")
    print(json.dumps({"benchmark": "fusion", "measure": MEASURE, "worst_gap": min(gaps), "results": results}))


if __name__ == "__main__":
    main()

"""One store of bench/search.py's table, in a process of its own: builds it, asks it, prints one line of JSON.

Usage: python bench/stores.py pipeline|faiss|bm25s|lancedb|qdrant|txtai FOLDER [--filtered]
           (with data.npz and queries.npz)
"""

from __future__ import annotations

import dataclasses
import functools
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import rivals
from conditions import EACH_NEW, KEPT, Condition, Facts
from search import percentiles

from pipeline.index import manifest
from pipeline.index.choices import DenseChoice
from pipeline.index.components.rows import SegmentShape
from pipeline.index.dense.component import DENSE
from pipeline.index.lexical import kernel
from pipeline.index.schemas import CHUNK_SCHEMA, LEXICAL_SCHEMA, text_hash
from pipeline.index.segment import write_segment
from pipeline.index.statistics import Statistics
from pipeline.records import SparseRows

if TYPE_CHECKING:
    from pipeline.query.legs.contract import EncodedQueries
    from pipeline.query.searcher import Index

TOP = 10
Modes = dict[str, Callable[[int], object]]


class Data:
    """The same vectors and words for every store."""

    def __init__(self, folder: Path) -> None:
        loaded, asked = np.load(folder / "data.npz"), np.load(folder / "queries.npz")
        self.rows = SparseRows(loaded["indptr"], loaded["token_ids"], loaded["counts"])
        self.vectors = loaded["vectors"]
        self.queries = asked["vectors"]
        self.query_tokens = asked["token_ids"]
        self.facts = Facts(loaded["languages"], loaded["years"]) if "years" in loaded else None

    def words(self, i: int) -> list[str]:
        """A chunk's words, repeated as often as they stand in it."""
        ids, counts = self.rows.row(i)
        return [f"t{t}" for t, count in zip(ids.tolist(), counts.tolist(), strict=True) for _ in range(int(count))]

    def texts(self) -> Iterator[str]:
        return (" ".join(self.words(i)) for i in range(len(self.rows)))

    def passages(self) -> rivals.Passages:
        return rivals.Passages(list(self.texts()), self.vectors, self.facts)

    def metadata(self, i: int) -> str:
        return "{}" if self.facts is None else json.dumps(self.facts.of(i))

    def question(self, i: int) -> str:
        return " ".join(f"t{t}" for t in self.query_tokens[i].tolist())


class Source:
    """The data as the content of one segment."""

    def __init__(self, data: Data) -> None:
        self.data = data
        self.count = len(data.rows)

    def _blocks(self) -> Iterator[range]:
        return (range(i, min(i + 8192, self.count)) for i in range(0, self.count, 8192))

    def chunk_tables(self) -> Iterator[pa.Table]:
        for block in self._blocks():
            texts = [" ".join(self.data.words(i)) for i in block]
            names = [f"d{i:07d}" for i in block]
            yield pa.table(
                {
                    "chunk_id": names,
                    "doc_id": names,
                    "ordinal": [0] * len(names),
                    "start": [0] * len(names),
                    "end": [len(text) for text in texts],
                    "text": texts,
                    "headings": [[]] * len(names),
                    "metadata": [self.data.metadata(i) for i in block],
                    "source": ["bench"] * len(names),
                    "doc_hash": names,
                    "text_hash": [text_hash(text) for text in texts],
                    "context": [""] * len(texts),
                },
                schema=CHUNK_SCHEMA,
            )

    def blocks(self, rows: Any) -> Iterator[Any]:
        return self._vectors() if rows is DENSE.rows else self._weights()

    def _vectors(self) -> Iterator[Any]:
        return (self.data.vectors[block.start : block.stop] for block in self._blocks())

    def _weights(self) -> Iterator[pa.Table]:
        for block in self._blocks():
            rows = [self.data.rows.row(i) for i in block]
            yield pa.table(
                {"token_ids": [r[0] for r in rows], "weights": [r[1] for r in rows]}, schema=LEXICAL_SCHEMA
            )


def open_pipeline(data: Data, folder: Path) -> Index:
    """Ours, built in `folder`, with the compiled kernel loaded."""
    from pipeline.config import QuerySettings
    from pipeline.models.contract import Encoder
    from pipeline.query.searcher import Index

    class NoEncoder:
        """Queries come encoded."""

    entry = write_segment(
        folder,
        "0" * 32,
        Source(data),
        SegmentShape(data.vectors.shape[1], DenseChoice().settled(len(data.rows)), True),
    )
    made = manifest.Manifest(
        generation=1,
        created_at="2000-01-01T00:00:00Z",
        documents=len(data.rows),
        chunks=len(data.rows),
        segments=(entry,),
        fingerprints={"dense": {"bench": "1"}, "lexical": {"bench": "1"}, "chunker": {"bench": "1"}},
        dimension=data.vectors.shape[1],
        lexical=manifest.LexicalParameters("bm25", 1.2, 0.75),
        encoder={},
        statistics=Statistics(),
    )
    encoder: Encoder = NoEncoder()  # type: ignore[assignment]
    index = Index(folder, made, encoder, QuerySettings(), verify=False)
    kernel.load()
    return index


def pipeline(data: Data, folder: Path) -> Modes:
    index = open_pipeline(data, folder)
    encoded = list(encoded_queries(data))

    def mode(legs: tuple[str, ...]) -> Callable[[int], object]:
        return lambda i: index.rank_encoded(encoded[i], TOP, legs)

    return {"dense": mode(("dense",)), "lexical": mode(("lexical",)), "hybrid": mode(("dense", "lexical"))}


def encoded_queries(data: Data) -> Iterator[EncodedQueries]:
    """The queries one by one, as this index takes them."""
    from pipeline.query.legs.contract import EncodedQueries

    for vector, tokens in zip(data.queries, data.query_tokens, strict=True):
        weights = np.ones(len(tokens), np.float32)
        lexical = SparseRows(np.array([0, len(tokens)]), np.sort(tokens), weights)
        yield EncodedQueries(("",), vector[None], lexical, None, ("Latin",))


def faiss(data: Data, folder: Path) -> Modes:
    import faiss as library

    index = library.IndexFlatIP(data.vectors.shape[1])
    index.add(data.vectors)
    return {"dense": lambda i: index.search(data.queries[i : i + 1], TOP)}


def bm25s(data: Data, folder: Path) -> Modes:
    import bm25s as library

    index = library.BM25()
    index.index([data.words(i) for i in range(len(data.rows))], show_progress=False)
    questions = [[data.question(i).split()] for i in range(len(data.queries))]
    return {"lexical": lambda i: index.retrieve(questions[i], k=TOP, show_progress=False, n_threads=1)}


def lancedb(data: Data, folder: Path) -> Modes:
    return asked(data, lancedb_search(data, folder))


def lancedb_search(data: Data, folder: Path) -> rivals.Search:
    return rivals.lancedb(folder, data.passages(), stem=False, remove_stop_words=False)


def qdrant(data: Data, folder: Path) -> Modes:
    return asked(data, qdrant_search(data, folder))


def qdrant_search(data: Data, folder: Path) -> rivals.Search:
    return rivals.qdrant(folder, data.passages(), data.rows)


def txtai(data: Data, folder: Path) -> Modes:
    return asked(data, rivals.txtai(data.passages()))


def asked(data: Data, search: rivals.Search) -> Modes:
    """The hybrid search of a rival, by a query's number."""
    questions = list(asked_questions(data))
    return {"hybrid": lambda i: search(questions[i], TOP)}


def asked_questions(data: Data) -> Iterator[rivals.Question]:
    for i in range(len(data.queries)):
        yield rivals.Question(data.question(i), data.queries[i], tuple(data.query_tokens[i].astype(int).tolist()))


def pipeline_search(data: Data, folder: Path) -> rivals.Search:
    """Ours as a rival is asked. The question's text is the query's number."""
    index = open_pipeline(data, folder)
    encoded = list(encoded_queries(data))
    numbers = {data.question(i): i for i in range(len(data.queries))}

    def hybrid(question: rivals.Question, depth: int) -> list[int]:
        where = None if question.condition is None else question.condition.sql
        (ranked,) = index.rank_encoded(encoded[numbers[question.text]], depth, where=where)
        found: list[int] = ranked.ids[ranked.order].tolist()
        return found

    return hybrid


def filtered(data: Data, search: rivals.Search) -> Modes:
    """A rival's hybrid search under the conditions of `KEPT`, and under another one for each query.

    Raises `AssertionError` if one finds what a condition leaves out.
    """
    questions = list(asked_questions(data))
    assert data.facts is not None

    def run(i: int, condition: Condition, allowed: npt.NDArray[np.bool_]) -> None:
        found = search(dataclasses.replace(questions[i], condition=condition), TOP)
        assert allowed[found].all()

    modes: Modes = {"unfiltered": lambda i: search(questions[i], TOP)}
    for name, condition in KEPT.items():
        modes[name] = functools.partial(run, condition=condition, allowed=condition.mask(data.facts))
    changing = iter((condition, condition.mask(data.facts)) for condition in EACH_NEW)
    modes["a new one each time"] = lambda i: run(i, *next(changing))
    return modes


FILTERED: dict[str, Callable[[Data, Path], rivals.Search]] = {
    "pipeline": pipeline_search,
    "lancedb": lancedb_search,
    "qdrant": qdrant_search,
}
STORES: dict[str, tuple[str, Callable[[Data, Path], Modes], int]] = {
    "pipeline": ("this index", pipeline, 200),
    "faiss": ("faiss.IndexFlatIP", faiss, 200),
    "bm25s": ("bm25s", bm25s, 200),
    "lancedb": ("LanceDB", lancedb, 100),
    "qdrant": ("Qdrant local mode", qdrant, 10),
    "txtai": ("txtai", txtai, 100),
}


def peak_mb() -> float:
    """Memory of this process now, the pages of mapped files included."""
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def main() -> None:
    name, folder = sys.argv[1], Path(sys.argv[2])
    label, make, most = STORES[name]
    data = Data(folder)
    before = peak_mb()
    target = folder / name
    target.mkdir()
    started = time.perf_counter()
    modes = filtered(data, FILTERED[name](data, target)) if "--filtered" in sys.argv else make(data, target)
    built = time.perf_counter() - started
    numbers = list(range(min(most, len(data.queries))))
    measured = {mode: percentiles(run, numbers) for mode, run in modes.items()}
    print(json.dumps({"name": label, "modes": measured, "build_s": built, "peak_mb": peak_mb() - before}))


if __name__ == "__main__":
    main()

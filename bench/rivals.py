"""The embedded stores that benchmarks compare with, each given vectors that were made elsewhere.

Every function builds one and returns how it is asked. A store answers with its own hybrid search, fused as its
documentation says: LanceDB and Qdrant by reciprocal ranks, txtai by its weighted sum. They need the extra `bench`.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from conditions import LANGUAGES, Condition, Facts

from pipeline.records import Float32, SparseRows

PREFETCH = 100
"""How many candidates of each side Qdrant fuses."""
_BATCH = 1000


@dataclass(frozen=True)
class Passages:
    """What is searched. `vectors`: float32 (n, d), rows L2-normalised. `facts`: metadata to filter by."""

    texts: Sequence[str]
    vectors: Float32
    facts: Facts | None = None


@dataclass(frozen=True)
class Question:
    """One query. `vector`: float32 (d,); `tokens`: ids of its words, for a store that is given sparse vectors;
    `condition`: a filter."""

    text: str
    vector: Float32
    tokens: tuple[int, ...] = ()
    condition: Condition | None = None


Search = Callable[[Question, int], list[int]]
"""Returns the numbers of the best passages, best first."""


def lancedb(folder: Path, passages: Passages, **full_text: Any) -> Search:
    """LanceDB: a full-text index with settings `full_text`, an exact scan of the vectors, and its RRF reranker.

    Where there are facts, a scalar index on each: bitmap and B-tree. It filters before it searches, as it does by
    default.
    """
    os.environ.setdefault("LANCEDB_LOG", "error")  # else it warns of a coming change twice a query
    import lancedb as library
    from lancedb.index import FTS, Bitmap, BTree
    from lancedb.rerankers import RRFReranker

    vectors = np.ascontiguousarray(passages.vectors, np.float32)
    columns: dict[str, Any] = {
        "id": pa.array(range(len(passages.texts))),
        "text": list(passages.texts),
        "vector": pa.FixedSizeListArray.from_arrays(vectors.ravel(), vectors.shape[1]),
    }
    if passages.facts is not None:
        columns["lang"] = np.array(LANGUAGES)[passages.facts.languages]
        columns["year"] = passages.facts.years
    table: Any = library.connect(folder / "lancedb").create_table("chunks", pa.table(columns))
    table.create_index("text", config=FTS(**full_text))
    if passages.facts is not None:
        table.create_index("lang", config=Bitmap())
        table.create_index("year", config=BTree())
    fuse = RRFReranker()

    def hybrid(question: Question, depth: int) -> list[int]:
        search = table.search(query_type="hybrid").vector(question.vector).text(question.text)
        if question.condition is not None:
            search = search.where(question.condition.sql)
        found = search.distance_type("dot").rerank(fuse).limit(depth).select(["id"]).to_arrow()
        ids: list[int] = found.column("id").to_pylist()
        return ids

    return hybrid


def qdrant(folder: Path, passages: Passages, lexical: SparseRows | None) -> Search:
    """Qdrant's local mode and its RRF query over both sides.

    `lexical`: sparse vectors under its IDF modifier; `None`: its own BM25 over a text index.
    """
    from qdrant_client import QdrantClient, models

    warnings.simplefilter("ignore")  # local mode warns above 20,000 points, and that it keeps no payload index
    client = QdrantClient(path=str(folder / "qdrant"))
    client.create_collection(
        "chunks",
        vectors_config={"dense": models.VectorParams(size=passages.vectors.shape[1], distance=models.Distance.DOT)},
        sparse_vectors_config={"lexical": models.SparseVectorParams(modifier=models.Modifier.IDF)},
    )
    if lexical is None:
        words = models.TextIndexParams(type=models.TextIndexType.TEXT, scoring=True)
        client.create_payload_index("chunks", "text", field_schema=words)

    def point(i: int) -> models.PointStruct:
        dense = passages.vectors[i].tolist()
        payload = {} if passages.facts is None else passages.facts.of(i)
        if lexical is None:
            return models.PointStruct(id=i, vector={"dense": dense}, payload=payload | {"text": passages.texts[i]})
        ids, weights = lexical.row(i)
        sparse = models.SparseVector(indices=ids.astype(int).tolist(), values=weights.tolist())
        return models.PointStruct(id=i, vector={"dense": dense, "lexical": sparse}, payload=payload)

    for start in range(0, len(passages.texts), _BATCH):
        points = [point(i) for i in range(start, min(start + _BATCH, len(passages.texts)))]
        client.upsert("chunks", points)

    def by_words(question: Question, kept: Any) -> models.Prefetch:
        if lexical is None:
            words = models.TextQuery(text=question.text)
            return models.Prefetch(query=words, using="text", filter=kept, limit=PREFETCH)
        sparse = models.SparseVector(indices=list(question.tokens), values=[1.0] * len(question.tokens))
        return models.Prefetch(query=sparse, using="lexical", filter=kept, limit=PREFETCH)

    def hybrid(question: Question, depth: int) -> list[int]:
        kept = None if question.condition is None else question.condition.qdrant
        legs = [
            models.Prefetch(query=question.vector.tolist(), using="dense", filter=kept, limit=PREFETCH),
            by_words(question, kept),
        ]
        fusion = models.FusionQuery(fusion=models.Fusion.RRF)
        found = client.query_points("chunks", prefetch=legs, query=fusion, limit=depth, with_payload=False)
        return [int(one.id) for one in found.points]

    return hybrid


def txtai(passages: Passages, **settings: Any) -> Search:
    """txtai: hybrid search with its own BM25 at its default weights; `settings` go to its index."""
    from txtai import Embeddings

    coming: Iterator[Any] = iter(
        passages.vectors
    )  # it asks for vectors text by text, in the order that it was given

    def transform(texts: Sequence[str]) -> Any:
        return np.stack([next(coming) for _ in texts])

    index = Embeddings(method="external", transform=transform, hybrid=True, content=False, **settings)
    index.index((i, text, None) for i, text in enumerate(passages.texts))

    def hybrid(question: Question, depth: int) -> list[int]:
        nonlocal coming
        coming = iter([question.vector])
        return [int(i) for i, _ in index.search(question.text, depth)]

    return hybrid

"""Results of many queries as files: whole when they appear, written as they come."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline import names
from pipeline.errors import QueryError
from pipeline.index import files
from pipeline.query.files.batch import Query
from pipeline.records import Hit

SUFFIXES = (".jsonl", ".parquet")
LEGS = (*names.LEGS, names.MULTIVECTOR, names.RERANKER)
SCHEMA = pa.schema(
    [
        ("query_id", pa.string()),
        ("query", pa.string()),
        ("rank", pa.int32()),
        ("score", pa.float64()),
        *((leg, pa.float64()) for leg in LEGS),
        *((f"{leg}_rank", pa.int32()) for leg in LEGS),
        ("chunk_id", pa.string()),
        ("doc_id", pa.string()),
        ("ordinal", pa.int32()),
        ("start", pa.int64()),
        ("end", pa.int64()),
        ("text", pa.string()),
        ("before", pa.string()),
        ("after", pa.string()),
        ("headings", pa.list_(pa.string())),
        ("metadata", pa.string()),
        ("source", pa.string()),
        ("explanation", pa.string()),
        ("matches", pa.string()),
        ("section", pa.string()),
    ]
)
"""Columns of a Parquet file, a row a hit. A leg that was not computed is null, and so is a rank beyond the leg's
depth. JSON: `metadata`, `explanation` (by leg: normalized, weight, contribution; `boosts`: their factors) and
`matches`; these two are null unless asked for; `section`: of a merged hit."""
_OF_HIT = {field.name for field in dataclasses.fields(Hit)} - {"matches", "section"}

Add = Callable[[Sequence[Query], Sequence[Sequence[Hit]]], None]
"""Writes the hits of some queries."""


@contextlib.contextmanager
def lines_file(path: Path, lines: Callable[[Query, Sequence[Hit]], Iterable[str]]) -> Iterator[Add]:
    """A text file of the lines that each query gives. Raises `QueryError` if it cannot be written."""
    with _fresh(path) as fresh, fresh.open("w", encoding="utf-8") as stream:

        def add(queries: Sequence[Query], results: Sequence[Sequence[Hit]]) -> None:
            for query, hits in zip(queries, results, strict=True):
                stream.writelines(f"{line}\n" for line in lines(query, hits))

        yield add
        stream.flush()


@contextlib.contextmanager
def parquet_file(path: Path) -> Iterator[Add]:
    """A Parquet file of `SCHEMA`. Raises `QueryError` if it cannot be written."""
    import pyarrow.parquet as pq

    with _fresh(path) as fresh, pq.ParquetWriter(fresh, SCHEMA, compression="zstd") as writer:

        def add(queries: Sequence[Query], results: Sequence[Sequence[Hit]]) -> None:
            rows = [_row(query, hit) for query, hits in zip(queries, results, strict=True) for hit in hits]
            if rows:
                writer.write_table(pa.Table.from_pylist(rows, SCHEMA))

        yield add


def _row(query: Query, hit: Hit) -> dict[str, object]:
    row: dict[str, object] = {"query_id": query.query_id, "query": query.text}
    row |= {name: getattr(hit, name) for name in SCHEMA.names if name in _OF_HIT}
    for leg, found in hit.legs.items():
        row |= {leg: found.score, f"{leg}_rank": found.rank}
    row |= {"headings": list(hit.headings), "metadata": _json(dict(hit.metadata))}
    parts: dict[str, Any] = {
        leg: {"normalized": found.normalized, "weight": found.weight, "contribution": found.contribution}
        for leg, found in hit.legs.items()
        if found.contribution is not None
    }
    if hit.section is not None:
        row["section"] = _json(dataclasses.asdict(hit.section))
    if hit.boosts:
        parts["boosts"] = {one.boost: one.factor for one in hit.boosts}
    if parts:
        row |= {"explanation": _json(parts), "matches": _json([dataclasses.asdict(one) for one in hit.matches])}
    return row


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


@contextlib.contextmanager
def _fresh(path: Path) -> Iterator[Path]:
    """A file beside `path` that takes its place when all went well, and else disappears. Makes missing folders."""
    fresh = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        if path.is_dir():
            raise IsADirectoryError(21, "it is a folder")
        files.make_folder(path.parent)
        fresh.touch()
        yield fresh
        files.replace_file(fresh, path)
    except OSError as error:
        raise QueryError(f"{path}: cannot be written: {error.strerror or error}; name another file") from None
    finally:
        with contextlib.suppress(OSError):
            fresh.unlink()

"""Many queries at once: reading them from files, writing rankings as TREC runs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import QueryError

Run = Mapping[str, Sequence[tuple[str, float]]]
"""For each query id, `(doc_id, score)` best first; every document at most once."""


@dataclass(frozen=True, slots=True)
class Query:
    """A query with its id."""

    query_id: str
    text: str


def read_queries(path: Path) -> list[Query]:
    """Queries of a file: BEIR JSONL (`_id`, `text`), `id<TAB>text`, or a plain line each (numbered from 1).

    Raises `QueryError` naming the line of a broken or repeated query, and for a file without queries.
    """
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise QueryError(f"{path}: cannot be read: {reason}") from None
    return parse_queries(lines, str(path))


def parse_queries(lines: Iterable[str], origin: str) -> list[Query]:
    """Queries of lines in the forms of `read_queries`; `origin` names them in errors. Raises `QueryError`."""
    queries: list[Query] = []
    seen: set[str] = set()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        query = _query(line, f"{origin}:{number}", number)
        if query.query_id in seen:
            raise QueryError(f"{origin}:{number}: query id {query.query_id!r} stands twice")
        if not query.text.strip():
            raise QueryError(f"{origin}:{number}: query {query.query_id!r} is empty")
        seen.add(query.query_id)
        queries.append(query)
    if not queries:
        raise QueryError(f"{origin}: no queries; expected JSONL (`_id`, `text`), `id<TAB>text`, or plain lines")
    return queries


def _query(line: str, place: str, number: int) -> Query:
    if line.lstrip().startswith("{"):
        try:
            record = json.loads(line)
            return Query(str(record["_id"] if "_id" in record else record.get("id", number)), str(record["text"]))
        except (ValueError, KeyError, AttributeError, RecursionError):
            raise QueryError(f"{place}: expected a JSON object with `_id` and `text`") from None
    if "\t" in line:
        query_id, text = line.split("\t", 1)
        return Query(query_id.strip(), text.strip())
    return Query(str(number), line.strip())


def trec_lines(run: Run, tag: str) -> Iterable[str]:
    """A run in TREC form: `query-id Q0 doc-id rank score tag`.

    Tools that read runs sort by score. Where one is above the score before it (past the reranked or the fused
    chunks scores are of another kind) it is lowered, so that they see the same order.
    """
    for query_id, ranking in run.items():
        lowest = math.inf
        for rank, (doc_id, score) in enumerate(ranking, 1):
            lowest = score = min(score, lowest)
            yield f"{query_id} Q0 {doc_id} {rank} {score:.9g} {tag}"

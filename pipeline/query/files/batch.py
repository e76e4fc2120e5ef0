"""Many queries at once: reading them from files, writing rankings as TREC runs."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from pipeline.errors import PipelineError, QueryError

Run = Mapping[str, Sequence[tuple[str, float]]]
"""For each query id, `(doc_id, score)` best first; every document at most once."""

LARGEST_GRADE = 1_000_000
"""Of a judgement: measures make tables as long as the largest grade."""


@dataclass(frozen=True, slots=True)
class Query:
    """A query with its id."""

    query_id: str
    text: str


def read_queries(path: Path) -> list[Query]:
    """Queries of a file: BEIR JSONL (`_id`, `text`), `id<TAB>text` with or without the header
    `query-id<TAB>text`, or a plain line each (numbered from 1).

    Raises `QueryError` naming the line of a broken or repeated query, and for a file without queries.
    """
    return parse_queries(read_lines(path, QueryError), str(path))


def read_lines(path: Path, error: type[PipelineError]) -> list[str]:
    """The lines of a UTF-8 file. Raises `error` if it cannot be read."""
    try:
        return split_lines(path.read_bytes().decode("utf-8-sig"))
    except (OSError, UnicodeDecodeError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else "not UTF-8"
        raise error(f"{path}: cannot be read: {reason}") from None


def split_lines(text: str) -> list[str]:
    """Lines that end in LF or CR LF. `str.splitlines` cuts at characters that JSON has in its strings, too."""
    return [line.removesuffix("\r") for line in text.split("\n")]


def parse_queries(lines: Iterable[str], origin: str) -> list[Query]:
    """Queries of lines in the forms of `read_queries`; `origin` names them in errors. Raises `QueryError`."""
    queries: list[Query] = []
    seen: set[str] = set()
    for number, line in enumerate(lines, 1):
        if not line.strip() or (not queries and _is_header(line)):
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
        except (ValueError, RecursionError):
            raise QueryError(f"{place}: expected a JSON object with `_id` and `text`") from None
        if "text" not in record:
            raise QueryError(f"{place}: expected a JSON object with `_id` and `text`")
        query_id, text = record.get("_id", record.get("id", number)), record["text"]
        if isinstance(query_id, bool) or not isinstance(query_id, str | int | float):
            raise QueryError(f"{place}: `_id` is {json.dumps(query_id)[:40]}, expected a string or a number")
        if not isinstance(text, str):
            raise QueryError(f"{place}: `text` is {json.dumps(text)[:40]}, expected a string")
        return Query(str(query_id), text)
    if "\t" in line:
        query_id, text = line.split("\t", 1)
        return Query(query_id.strip(), text.strip())
    return Query(str(number), line.strip())


def _is_header(line: str) -> bool:
    """BEIR's first line of a table; "query-id" is nobody's query."""
    return line.strip().split("\t") in (["query-id", "text"], ["query-id", "query"])


def as_run_id(doc_id: str) -> str:
    """A document id as a column of a run: white space, and a `%` before two hex digits, percent-encoded."""
    return re.sub(r"\s|%(?=[0-9A-F]{2})", lambda found: quote(found[0], safe=""), doc_id)


def from_run_id(column: str) -> str:
    """The document id that `as_run_id` wrote."""
    return re.sub(r"(?:%[0-9A-F]{2})+", lambda found: unquote(found[0], errors="replace"), column)


def trec_lines(run: Run, tag: str) -> Iterable[str]:
    """A run in TREC form: `query-id Q0 doc-id rank score tag`.

    Tools that read runs sort by score. Where one is above the score before it (past the reranked or the fused
    chunks scores are of another kind) it is lowered, so that they see the same order. Document ids stand there as
    `as_run_id` has them. Raises `QueryError` for a query id with white space.
    """
    for query_id, ranking in run.items():
        if re.search(r"\s", query_id):
            raise QueryError(f"the query id {query_id!r} has white space, which separates a run's columns")
        lowest = math.inf
        for rank, (doc_id, score) in enumerate(ranking, 1):
            lowest = score = min(score, lowest)
            yield f"{query_id} Q0 {as_run_id(doc_id)} {rank} {score:.9g} {tag}"

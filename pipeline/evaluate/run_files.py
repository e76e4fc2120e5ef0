"""Rankings in TREC's form: reading a run as a baseline, saving runs."""

from __future__ import annotations

import math
import re
from pathlib import Path

from pipeline.errors import EvaluationError
from pipeline.index import files
from pipeline.query.files.batch import Run, from_run_id, read_lines, trec_lines


def read_run(path: Path) -> dict[str, list[tuple[str, float]]]:
    """A run: `query-id Q0 doc-id rank score tag` lines, ordered by score as the field does; ties keep their rank.

    A document id may contain blanks, as they are or percent-encoded. Raises `EvaluationError` naming a line that is
    none, and a document that a query has twice.
    """
    found: dict[str, dict[str, tuple[float, int]]] = {}
    for number, line in enumerate(read_lines(path, EvaluationError), 1):
        if not line.strip():
            continue
        try:
            query_id, _, rest = line.split(None, 2)
            doc_id, rank, score, _ = rest.rsplit(None, 3)
            doc_id = from_run_id(doc_id)
            key = (-float(score), int(rank))
            if not math.isfinite(key[0]):
                raise ValueError
        except ValueError:
            raise EvaluationError(f"{path}:{number}: expected `query-id Q0 doc-id rank score tag`") from None
        ranking = found.setdefault(query_id, {})
        if doc_id in ranking:
            raise EvaluationError(
                f"{path}:{number}: query {query_id!r} has {doc_id!r} twice; collapse chunks to documents"
            )
        ranking[doc_id] = key
    if not found:
        raise EvaluationError(f"{path}: no hits; expected lines `query-id Q0 doc-id rank score tag`")
    return {
        query_id: [(doc_id, -ranking[doc_id][0]) for doc_id in sorted(ranking, key=lambda doc: ranking[doc])]
        for query_id, ranking in found.items()
    }


def save_run(path: Path, run: Run, tag: str) -> None:
    """Write a run that reads back in the same order. Raises `EvaluationError` for a query id with blanks."""
    for query_id in run:
        if re.search(r"\s", query_id):
            raise EvaluationError(f"{path}: the query id {query_id!r} has blanks, which separate a run's columns")
    files.write_file(path, "".join(f"{line}\n" for line in trec_lines(_descending(run), tag)).encode())


def _descending(run: Run) -> Run:
    # Hits beyond the fused depth are ordered by rank; readers sort by score.
    result: dict[str, list[tuple[str, float]]] = {}
    for query_id, ranking in run.items():
        least = math.inf
        result[query_id] = [(doc_id, least := min(least, score)) for doc_id, score in ranking]
    return result

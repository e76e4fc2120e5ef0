"""Relevance judgements from files: BEIR's and TREC's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pipeline.errors import EvaluationError
from pipeline.query.files.batch import LARGEST_GRADE, read_lines

Qrels = Mapping[str, Mapping[str, int]]


def read_qrels(path: Path) -> dict[str, dict[str, int]]:
    """Judgements: BEIR's `query-id<TAB>corpus-id<TAB>score` with a header, or TREC's `query-id 0 doc-id score`.

    Raises `EvaluationError` naming a line that is neither, whose grade is beyond `LARGEST_GRADE`, or that judges a
    document anew with another one.
    """
    qrels: dict[str, dict[str, int]] = {}
    for number, line in enumerate(read_lines(path, EvaluationError), 1):
        if not line.strip():
            continue
        fields = line.split("\t") if "\t" in line else line.split()
        if number == 1 and fields[-1].strip() == "score":
            continue
        try:
            query_id, doc_id, grade = fields[0].strip(), fields[-2].strip(), int(fields[-1])
            if len(fields) not in (3, 4):
                raise ValueError
        except (ValueError, IndexError):
            raise EvaluationError(
                f"{path}:{number}: expected `query-id<TAB>corpus-id<TAB>score` or `query-id 0 doc-id score`"
            ) from None
        if abs(grade) > LARGEST_GRADE:
            raise EvaluationError(f"{path}:{number}: a grade is at most {LARGEST_GRADE:,}")
        before = qrels.setdefault(query_id, {}).setdefault(doc_id, grade)
        if before != grade:
            raise EvaluationError(
                f"{path}:{number}: query {query_id!r} judges {doc_id!r} twice, as {before} and as {grade}"
            )
    if not qrels:
        raise EvaluationError(f"{path}: no judgements")
    return qrels

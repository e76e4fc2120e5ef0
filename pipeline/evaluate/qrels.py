"""Relevance judgements from files: BEIR's and TREC's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pipeline.errors import EvaluationError

Qrels = Mapping[str, Mapping[str, int]]


def read_qrels(path: Path) -> dict[str, dict[str, int]]:
    """Judgements: BEIR's `query-id<TAB>corpus-id<TAB>score` with a header, or TREC's `query-id 0 doc-id score`.

    Raises `EvaluationError` naming a line that is neither.
    """
    qrels: dict[str, dict[str, int]] = {}
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        fields = line.split("\t") if "\t" in line else line.split()
        if number == 1 and fields[-1].strip() == "score":
            continue
        try:
            query_id, doc_id, grade = fields[0], fields[-2], int(fields[-1])
            if len(fields) not in (3, 4):
                raise ValueError
        except (ValueError, IndexError):
            raise EvaluationError(
                f"{path}:{number}: expected `query-id<TAB>corpus-id<TAB>score` or `query-id 0 doc-id score`"
            ) from None
        qrels.setdefault(query_id.strip(), {})[doc_id.strip()] = grade
    if not qrels:
        raise EvaluationError(f"{path}: no judgements")
    return qrels


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise EvaluationError(f"{path}: cannot be read: {reason}") from None

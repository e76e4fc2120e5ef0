"""Reads a log of queries, whoever wrote it: lines that are torn or of another kind are counted, and left out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.errors import QueryError
from pipeline.query.files.batch import Query
from pipeline.query.log.writer import NAME, rotated, text_hash

MOST_SLOW, MOST_EMPTY = 10, 10


@dataclass(frozen=True, slots=True)
class Logged:
    """One query. `text` is empty in a log without texts. `grades`: by document, from its columns `clicks` (a list
    of ids, grade 1) and `ratings` (a grade by id)."""

    text: str
    key: str
    milliseconds: float
    hits: int
    at: str = ""
    grades: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class QueryLogSummary:
    """What a log tells of a service. `slowest`: text or hash and milliseconds; `without_hits`: and how often."""

    asked: int
    distinct: int
    torn: int
    slowest: tuple[tuple[str, float], ...]
    without_hits: tuple[tuple[str, int], ...]


class LogLines:
    """The entries of a log, oldest first. `torn` counts what was left out, once all were read."""

    def __init__(self, path: Path) -> None:
        """`path`: the folder of a log, or one file. Raises `QueryError` if there is none."""
        self._paths = [*rotated(path), path / NAME] if path.is_dir() else [path]
        self._paths = [one for one in self._paths if one.is_file()]
        if not self._paths:
            raise QueryError(f"{path}: no queries are logged there; set `query.log: true`, or name another file")
        self.torn = 0

    def __iter__(self) -> Iterator[Logged]:
        self.torn = 0
        for path in self._paths:
            with path.open("rb") as file:
                for line in file:
                    entry = _entry(line)
                    if entry is not None:
                        yield entry
                    elif line.strip():
                        self.torn += 1


def _entry(line: bytes) -> Logged | None:
    try:
        record: dict[str, Any] = json.loads(line.decode("utf-8", "surrogatepass"))
        text = record.get("query", "")
        key = text_hash(text) if text else record["hash"]
        if not isinstance(text, str) or not isinstance(key, str):
            return None
        clicks, ratings = record.get("clicks") or [], record.get("ratings") or {}
        clicked = {str(doc_id): 1 for doc_id in ([clicks] if isinstance(clicks, str) else clicks)}
        grades = clicked | {str(doc_id): int(grade) for doc_id, grade in ratings.items()}
        milliseconds, hits = float(record.get("ms", 0)), int(record.get("hits", 0))
        return Logged(text, key, milliseconds, hits, str(record.get("at", "")), grades)
    except (ValueError, TypeError, LookupError, AttributeError):
        return None


def logged_queries(path: Path, most: int | None = None) -> list[Query]:
    """The different queries of a log that have their text, the frequent ones first. Raises `QueryError`."""
    texts, found = {}, Counter[str]()
    for one in LogLines(path):
        if one.text:
            texts[one.key] = one.text
            found[one.key] += 1
    if not texts:
        raise QueryError(f"{path}: no query has its text there; set `query.log_text: true`")
    return [Query(key, texts[key]) for key, _ in found.most_common(most)]


def logged_judgements(path: Path) -> tuple[list[Query], dict[str, dict[str, int]]]:
    """Queries that were clicked or rated, and the judgements: the highest grade that a document was given.

    Raises `QueryError` if there is none.
    """
    texts: dict[str, str] = {}
    qrels: dict[str, dict[str, int]] = {}
    for one in LogLines(path):
        if not one.text or not one.grades:
            continue
        texts[one.key] = one.text
        grades = qrels.setdefault(one.key, {})
        for doc_id, grade in one.grades.items():
            grades[doc_id] = max(grade, grades.get(doc_id, grade))
    if not qrels:
        raise QueryError(
            f"{path}: no logged query has its text and a column `clicks` ([document, …]) or `ratings` "
            "({document: grade})"
        )
    return [Query(key, text) for key, text in texts.items()], qrels


def summary(path: Path) -> QueryLogSummary:
    """What the log tells: the slowest queries and those without hits. Raises `QueryError`."""
    lines = LogLines(path)
    asked, slowest, empty, keys = 0, dict[str, float](), Counter[str](), set[str]()
    for one in lines:
        asked += 1
        keys.add(one.key)
        name = one.text or one.key
        if one.milliseconds > slowest.get(name, 0.0):
            slowest[name] = one.milliseconds
        if len(slowest) > 50 * MOST_SLOW:
            slowest = dict(_largest(slowest))
        if one.hits == 0:
            empty[name] += 1
    return QueryLogSummary(
        asked, len(keys), lines.torn, tuple(_largest(slowest)), tuple(empty.most_common(MOST_EMPTY))
    )


def _largest(values: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(values.items(), key=lambda item: (-item[1], item[0]))[:MOST_SLOW]

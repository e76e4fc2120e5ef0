"""Reads a log of queries, whoever wrote it: lines that are torn or of another kind are counted, and left out."""

from __future__ import annotations

import json
import logging
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.errors import QueryError
from pipeline.query.files.batch import LARGEST_GRADE, Query
from pipeline.query.log.writer import NAME, rotated, text_hash
from pipeline.wording import counted

log = logging.getLogger(__name__)

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
        """`path`: the folder of a log, or one file. Raises `QueryError` if there is none, and where it cannot be
        read, here or on the way."""
        self._path = path
        try:
            self._paths = [*rotated(path), path / NAME] if path.is_dir() else [path]
            self._paths = [one for one in self._paths if one.is_file()]
        except OSError as error:
            raise _unreadable(path, error) from None
        if not self._paths:
            raise QueryError(f"{path}: no queries are logged there; set `query.log: true`, or name another file")
        self.torn = 0

    def __iter__(self) -> Iterator[Logged]:
        self.torn = 0
        for path in self._paths:
            try:
                with path.open("rb") as file:
                    for line in file:
                        entry = _entry(line)
                        if entry is not None:
                            yield entry
                        elif line.strip():
                            self.torn += 1
            except FileNotFoundError:
                continue  # others rotate meanwhile
            except OSError as error:
                raise _unreadable(path, error) from None

    def warn_of_torn(self) -> None:
        """Say how many lines were left out, once all were read."""
        if self.torn:
            log.warning(
                "%s: %s left out: torn, without a query, or with clicks that are no list of ids or ratings that "
                "are no whole numbers",
                self._path,
                counted(self.torn, "line"),
            )


def _unreadable(path: Path, error: OSError) -> QueryError:
    return QueryError(f"{path}: the query log cannot be read: {error.strerror or error}; its owner alone may")


def _entry(line: bytes) -> Logged | None:
    try:
        record: dict[str, Any] = json.loads(line.decode("utf-8", "surrogatepass"))
        text = record.get("query", "")
        key = text_hash(text) if text else record["hash"]
        if not isinstance(text, str) or not isinstance(key, str) or (text and not text.strip()):
            return None
        clicks, ratings = record.get("clicks") or [], record.get("ratings") or {}
        clicked = {str(doc_id): 1 for doc_id in ([clicks] if isinstance(clicks, str) else clicks)}
        grades = clicked | {str(doc_id): _grade(grade) for doc_id, grade in ratings.items()}
        milliseconds, hits = float(record.get("ms", 0)), int(record.get("hits", 0))
        if not math.isfinite(milliseconds):
            return None
        return Logged(text, key, milliseconds, hits, str(record.get("at", "")), grades)
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError):
        return None


def _grade(value: Any) -> int:
    grade = int(value)
    if isinstance(value, bool) or (not isinstance(value, str) and grade != value) or abs(grade) > LARGEST_GRADE:
        raise ValueError
    return grade


def logged_queries(path: Path, most: int | None = None) -> list[Query]:
    """The different queries of a log that have their text, the frequent ones first. Raises `QueryError`."""
    texts, found, lines = {}, Counter[str](), LogLines(path)
    for one in lines:
        if one.text:
            texts[one.key] = one.text
            found[one.key] += 1
    lines.warn_of_torn()
    if not texts:
        raise QueryError(f"{path}: no query has its text there; set `query.log_text: true`")
    return [Query(key, texts[key]) for key, _ in found.most_common(most)]


def logged_judgements(path: Path) -> tuple[list[Query], dict[str, dict[str, int]]]:
    """Queries that were clicked or rated, and the judgements: the highest grade that a document was given.

    Raises `QueryError` if there is none.
    """
    texts: dict[str, str] = {}
    qrels: dict[str, dict[str, int]] = {}
    lines = LogLines(path)
    for one in lines:
        if not one.text or not one.grades:
            continue
        texts[one.key] = one.text
        grades = qrels.setdefault(one.key, {})
        for doc_id, grade in one.grades.items():
            grades[doc_id] = max(grade, grades.get(doc_id, grade))
    lines.warn_of_torn()
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

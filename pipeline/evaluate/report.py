"""An evaluation as plain data: one JSON object, or a table of every query."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from pipeline.evaluate.runs import Evaluation
from pipeline.evaluate.significance import TEST
from pipeline.wording import printable


def as_record(result: Evaluation, per_query: bool = False) -> dict[str, Any]:
    """Everything that was found; `per_query` adds each query's values."""
    record: dict[str, Any] = {
        "measures": result.measures,
        "queries": result.queries,
        "unjudged_queries": list(result.unjudged_queries),
        "missing_queries": list(result.missing_queries),
        "missing_documents": list(result.missing_documents),
        "comparisons": [dataclasses.asdict(one) for one in result.comparisons],
        "test": TEST,
        "milliseconds": result.milliseconds,
    }
    if result.unanswered_by_baseline is not None:
        record["unanswered_by_baseline"] = list(result.unanswered_by_baseline)
    if per_query:
        record["per_query"] = result.values
    return record


def per_query_lines(result: Evaluation) -> Iterator[str]:
    """A tab-separated table: `query-id`, `run`, and a column for each measure."""
    first = next(iter(result.values.values()))
    names = list(first)
    yield "\t".join(["query-id", "run", *names])
    for query_id in first[names[0]]:
        for run, values in result.values.items():
            yield "\t".join([query_id, run, *(f"{values[name][query_id]:.6g}" for name in names)])


def named(ids: tuple[str, ...], most: int = 5) -> str:
    """The first few ids, and how many more there are."""
    more = f" and {len(ids) - most:,} more" if len(ids) > most else ""
    return printable(", ".join(ids[:most])) + more

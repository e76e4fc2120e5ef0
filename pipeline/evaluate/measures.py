"""Retrieval measures, by ir-measures."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.errors import EvaluationError
from pipeline.evaluate.qrels import Qrels
from pipeline.query.batch import Run

DEFAULT_MEASURES = ("nDCG@10", "R@100", "MRR@10")


def _parse(names: Sequence[str]) -> dict[str, Any]:
    import ir_measures

    parsed = {}
    for name in names:
        try:
            parsed[name] = ir_measures.parse_measure(name.replace("MRR", "RR", 1))
        except (ValueError, NameError, SyntaxError, KeyError, AssertionError) as error:
            raise EvaluationError(
                f"unknown measure {name!r} ({error}); for example nDCG@10, R@100, MRR@10"
            ) from None
    return parsed


def per_query(qrels: Qrels, run: Run, names: Sequence[str] = DEFAULT_MEASURES) -> dict[str, dict[str, float]]:
    """Values of each measure for each judged query; a query without hits gets 0.

    The order of the run counts, not its scores: ties are not broken anew.
    Raises `EvaluationError` for a measure that is not known, or that no installed provider computes.
    """
    import ir_measures

    parsed = _parse(names)
    flat = {
        query_id: {doc_id: float(-rank) for rank, (doc_id, _) in enumerate(ranking)}
        for query_id, ranking in run.items()
    }
    judged = {query_id: dict(grades) for query_id, grades in qrels.items()}
    values: dict[str, dict[str, float]] = {name: dict.fromkeys(judged, 0.0) for name in names}
    by_measure: dict[str, list[str]] = {}  # MRR@10 and RR@10 are one measure
    for name, measure in parsed.items():
        by_measure.setdefault(str(measure), []).append(name)
    try:
        for metric in ir_measures.iter_calc(list(parsed.values()), judged, flat):
            for name in by_measure[str(metric.measure)]:
                values[name][metric.query_id] = float(metric.value)
    except (ValueError, AssertionError, OSError, subprocess.SubprocessError) as error:
        reason = " ".join(str(error).split())
        raise EvaluationError(f"{', '.join(names)} cannot be computed: {reason}") from None
    return values


def check_measures(names: Sequence[str]) -> None:
    """Raise `EvaluationError` for a measure that is not known or cannot be computed."""
    per_query({"q": {"d": 1}}, {}, names)


def mean(values: Mapping[str, float]) -> float:
    """The mean over queries."""
    return sum(values.values()) / len(values)


def summarize(name: str, values: Mapping[str, float]) -> float:
    """One figure for all queries as the measure has it: the mean, or the sum of counts such as `NumRet`."""
    aggregator = _parse([name])[name].aggregator()
    for value in values.values():
        aggregator.add(value)
    return float(aggregator.result())

"""Retrieval measures, by ir-measures."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.errors import EvaluationError
from pipeline.evaluate.qrels import Qrels
from pipeline.query.files.batch import LARGEST_GRADE, Run

DEFAULT_MEASURES = ("nDCG@10", "R@100", "MRR@10")


def parse_measure(name: str) -> Any:
    """Return the measure of ir-measures that a name such as `P(rel=2)@10` stands for; MRR is another name of RR.

    Raises `ValueError`, `SyntaxError` or `TypeError` for a name that stands for none.
    """
    # Not ir_measures.parse_measure: it reads the name by ast.Num and ast.Str, which Python 3.14 removed.
    from ir_measures.measures import registry

    node = ast.parse(name.replace("MRR", "RR", 1), mode="eval").body
    cutoff: ast.expr | None = None
    arguments: dict[str, ast.expr] = {}
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
        cutoff, node = node.right, node.left
    if isinstance(node, ast.Call) and not node.args:
        arguments = {keyword.arg or "**": keyword.value for keyword in node.keywords}
        node = node.func
    if not isinstance(node, ast.Name):
        raise ValueError("a measure is written as Name(parameter=value)@cutoff")
    if node.id not in registry:
        raise ValueError(f"no measure is called {node.id}")
    measure = registry[node.id]
    if cutoff is not None:
        arguments[measure.AT_PARAM] = cutoff
    if unknown := sorted(arguments.keys() - measure.SUPPORTED_PARAMS.keys()):
        raise ValueError(f"{node.id} has no parameter {', '.join(unknown)}")
    return measure(**{parameter: ast.literal_eval(value) for parameter, value in arguments.items()})


def _parse(names: Sequence[str]) -> dict[str, Any]:
    parsed = {}
    for name in names:
        try:
            parsed[name] = parse_measure(name)
        except (ValueError, SyntaxError, TypeError) as error:
            raise EvaluationError(
                f"unknown measure {name!r} ({error}); for example nDCG@10, R@100, MRR@10"
            ) from None
        cutoff = parsed[name].params.get("cutoff")
        if isinstance(cutoff, int | float) and cutoff < 1:
            raise EvaluationError(f"measure {name!r}: its cutoff must be 1 or more")
    return parsed


def per_query(qrels: Qrels, run: Run, names: Sequence[str] = DEFAULT_MEASURES) -> dict[str, dict[str, float]]:
    """Values of each measure for each judged query; a query without hits gets 0.

    The order of the run counts, not its scores: ties are not broken anew.
    Grades below zero count as 0. Raises `EvaluationError` for a measure that is not known, or that no installed
    provider computes, and for a grade beyond `LARGEST_GRADE`.
    """
    import ir_measures

    parsed = _parse(names)
    if any(grade > LARGEST_GRADE for grades in qrels.values() for grade in grades.values()):
        raise EvaluationError(f"a grade is at most {LARGEST_GRADE:,}")
    # Ids become numbers: a provider may take no other query ids, or no blanks.
    queries = {query_id: str(number) for number, query_id in enumerate(qrels, 1)}
    documents = {doc_id: "" for grades in qrels.values() for doc_id in grades}
    documents |= {doc_id: "" for query_id in qrels for doc_id, _ in run.get(query_id, ())}
    documents = {doc_id: str(number) for number, doc_id in enumerate(documents, 1)}
    ranks = {
        number: {documents[doc_id]: float(-rank) for rank, (doc_id, _) in enumerate(run[query_id])}
        for query_id, number in queries.items()
        if query_id in run
    }
    judged = {  # a provider writes outside its memory for grades below zero, which count as 0 anyway
        number: {documents[doc_id]: max(grade, 0) for doc_id, grade in qrels[query_id].items()}
        for query_id, number in queries.items()
    }
    values: dict[str, dict[str, float]] = {name: dict.fromkeys(qrels, 0.0) for name in names}
    by_measure: dict[str, list[str]] = {}  # MRR@10 and RR@10 are one measure
    for name, measure in parsed.items():
        by_measure.setdefault(str(measure), []).append(name)
    query_ids = list(qrels)
    try:
        for metric in ir_measures.iter_calc(list(parsed.values()), judged, ranks):
            for name in by_measure[str(metric.measure)]:
                values[name][query_ids[int(metric.query_id) - 1]] = float(metric.value)
    except (ValueError, AssertionError, ArithmeticError, OSError, subprocess.SubprocessError) as error:
        reason = " ".join(str(error).split())
        if reason.startswith("Unsupported") and "providers" not in reason:
            hints = [hint for one in parsed.values() for hint in _hints(one)]
            reason = "; ".join([reason.rstrip("."), *hints])
        raise EvaluationError(f"{', '.join(names)} cannot be computed: {reason}") from None
    return values


def check_measures(names: Sequence[str]) -> None:
    """Raise `EvaluationError` for a measure that is not known or cannot be computed."""
    per_query({"q": {"d": 1}}, {}, names)


def _hints(measure: Any) -> list[str]:
    """Who would compute a measure that nobody here does, how to install it, and what it wants to be told."""
    import ir_measures

    everything: Any = ir_measures.DefaultPipeline
    if everything.supports(measure):
        return []
    hints = []
    for provider in everything.providers:
        for known in provider.SUPPORTED_MEASURES:
            if known.NAME == measure.NAME:
                missing = [
                    f"{name}=…"
                    for name, spec in known.params.items()
                    if getattr(spec, "required", False) and name not in measure.params
                ]
                asked = f", asked as {known.NAME}({', '.join(missing)}, …)" if missing else ""
                needed = "" if provider.is_available() else f": {provider.install_instructions()}"
                hints.append(f"{provider.NAME} computes it{asked}{needed}")
    return hints


def mean(values: Mapping[str, float]) -> float:
    """The mean over queries."""
    return sum(values.values()) / len(values)


def summarize(name: str, values: Mapping[str, float]) -> float:
    """One figure for all queries as the measure has it: the mean, or the sum of counts such as `NumRet`."""
    aggregator = _parse([name])[name].aggregator()
    for value in values.values():
        aggregator.add(value)
    return float(aggregator.result())

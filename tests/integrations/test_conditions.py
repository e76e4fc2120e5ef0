"""Filters of frameworks select what the frameworks say they do."""

from __future__ import annotations

import json
import operator
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import QueryError
from pipeline.integrations.conditions import OPERATORS, Combination, Comparison, Condition, as_sql, combined
from pipeline.job import build as builder
from pipeline.query.searcher import Index, open_index
from tests.support.collection import config_for

ROWS: list[dict[str, Any]] = [
    {"number": 1, "text_field": "a", "flag": True, "tags": ["x", "y"], "date": "2020-01-01T12:00:00"},
    {"number": 2, "text_field": "b", "flag": False, "tags": [], "date": "2021-06-01T00:00:00"},
    {"number": -3, "text_field": 'it\'s "A"', "tags": ["y"], "record": {"inner part": {"deep": "a"}}},
    {"number": 0, "text_field": "", "flag": True, 'odd "name': 1, "record": {"inner part": 5}},
    {"text_field": "2", "date": "some day"},
    {},
]
ORDER = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}
NUMBERS = st.none() | st.sampled_from([-3, 0, 1, 2, 7, 1.5])
TEXTS = st.none() | st.sampled_from(["a", "b", 'it\'s "A"', "", "2", "other", "'; --"])
SCALARS = {"number": NUMBERS, "text_field": TEXTS, "flag": st.sampled_from([None, True, False])}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    folder: Path = tmp_path_factory.mktemp("conditions")
    (folder / "documents").mkdir()
    lines = [json.dumps({"id": str(i), "text": f"row {i}", **row}) for i, row in enumerate(ROWS)]
    (folder / "documents/rows.jsonl").write_text("\n".join(lines), "utf-8")
    config = config_for(folder)
    builder.build(config)
    with open_index(config.index_path) as index:
        yield index


def selected(index: Index, condition: Condition) -> list[int]:
    hits = index.search("row", len(ROWS), "dense", where=as_sql(condition))
    return sorted(int(hit.doc_id) for hit in hits)


def holds(condition: Condition, row: dict[str, Any]) -> bool:
    """The same by Python's comparisons."""
    if isinstance(condition, Combination):
        parts = [holds(part, row) for part in condition.parts]
        return any(parts) if condition.operator == "or" else all(parts) is (condition.operator == "and")
    found, value = row.get(condition.field), condition.value
    match condition.operator:
        case "==":
            return found == value
        case "!=":
            return found != value
        case "in":
            return found in value
        case "not in":
            return found not in value
    return found is not None and value is not None and ORDER[condition.operator](found, value)


@st.composite
def comparisons(draw: st.DrawFn) -> Comparison:
    field = draw(st.sampled_from(sorted(SCALARS)))
    asked = draw(st.sampled_from(["==", "!=", "in", "not in", *([] if field == "flag" else ORDER)]))
    values = st.lists(SCALARS[field], max_size=3) if asked in ("in", "not in") else SCALARS[field]
    return Comparison(field, asked, draw(values))


CONDITIONS = st.recursive(
    comparisons(),
    lambda inner: st.builds(
        Combination, st.sampled_from(["and", "or", "not"]), st.lists(inner, max_size=3).map(tuple)
    ),
    max_leaves=5,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(condition=CONDITIONS)
def test_rows_are_those_that_python_would_select(rows: Index, condition: Condition) -> None:
    assert selected(rows, condition) == [i for i, row in enumerate(ROWS) if holds(condition, row)]


@pytest.mark.parametrize(
    ("comparison", "expected"),
    [
        (Comparison("tags", "contains", "y"), [0, 2]),
        (Comparison("tags", "any", ["x", "z"]), [0]),
        (Comparison("tags", "all", ["x", "y"]), [0]),
        (Comparison("tags", "all", ["x", "z"]), []),
        (Comparison("tags", "is_empty", None), [1, 3, 4, 5]),
        (Comparison("text_field", "is_empty", None), [3, 5]),
        (Comparison("text_field", "text_match", "A"), [2]),
        (Comparison("text_field", "text_match_insensitive", "A"), [0, 2]),
        (Comparison("record", "==", "a", ("inner part", "deep")), [2]),
        (Comparison("record", "==", 5, ("inner part",)), [3]),
        (Comparison('odd "name', "==", 1), [3]),
        (Comparison("date", ">", datetime(2020, 6, 1)), [1]),
        (Comparison("date", "<=", datetime(2020, 1, 1, 12)), [0]),
        # values of another type are unequal, and no error
        (Comparison("number", "==", "a"), []),
        (Comparison("text_field", "==", 7), []),
        (Comparison("text_field", ">", 1), [4]),
        (Comparison("date", "in", ["some day", 3, None]), [2, 3, 4, 5]),
    ],
)
def test_what_each_operator_selects(rows: Index, comparison: Comparison, expected: list[int]) -> None:
    assert selected(rows, comparison) == expected
    every = set(range(len(ROWS)))
    assert selected(rows, Combination("not", (comparison,))) == sorted(every - set(expected))


@pytest.mark.parametrize(
    ("comparison", "words"),
    [
        (Comparison("number", "like", 1), "unknown operator 'like'; known: =="),
        (Comparison("number", "==", [1]), r"== cannot be asked of \[1\]"),
        (Comparison("number", ">", float("nan")), "cannot be asked of nan"),
        (Comparison("number", "in", 1), "in takes a list, not 1"),
        (Comparison("number", "in", [[1]]), r"cannot be asked of \[1\]"),
        (Comparison("text_field", "text_match", 1), "text_match takes a text, not 1"),
    ],
)
def test_values_that_make_no_sense(comparison: Comparison, words: str) -> None:
    with pytest.raises(QueryError, match=words):
        as_sql(comparison)


def test_a_field_that_no_chunk_has_is_an_error_rather_than_no_hit(rows: Index) -> None:
    with pytest.raises(QueryError, match="unknown column 'nubmer'; did you mean 'number'"):
        selected(rows, Comparison("nubmer", "==", 1))


@pytest.mark.parametrize(
    ("wheres", "expected"),
    [
        ([None, None], None),
        ([None, "number > 0"], [0, 1]),
        (["number > 0 or number < 0", "flag = true -- so it is"], [0]),
        (["flag = true -- so it is", "number > 0 or number < 0"], [0]),
    ],
)
def test_conditions_hold_together(rows: Index, wheres: list[str | None], expected: list[int] | None) -> None:
    both = combined(*wheres)
    if expected is None:
        assert both is None
    else:
        assert sorted(int(hit.doc_id) for hit in rows.search("row", 9, "dense", where=both)) == expected


def test_every_operator_is_looked_at() -> None:
    looked_at = {"contains", "any", "all", "is_empty", "text_match", "text_match_insensitive"}
    assert OPERATORS.keys() == {"==", "!=", "in", "not in", *ORDER, *looked_at}

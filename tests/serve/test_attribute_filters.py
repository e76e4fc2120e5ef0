"""OpenAI's filters find what they say, whatever stands in their values and keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from pipeline.config import Config
from pipeline.errors import QueryError
from pipeline.query.searcher import Index
from pipeline.serve.attribute_filters import DEEPEST, MOST_COMPARISONS, Translation
from pipeline.serve.routes.vector_stores import translation
from pipeline.serve.schemas.vector_stores import ComparisonFilter, CompoundFilter
from tests.faults import stub
from tests.support.collection import config_for

Filter = ComparisonFilter | CompoundFilter
ADAPTER: TypeAdapter[Filter] = TypeAdapter(Filter)

NASTY = [
    "it's",
    "'; drop table chunks; --",
    "' or true or '",
    '" or true or "',
    "\\' or 1=1 --",
    "a\\",
    "$$ or true $$",
    "/* x */",
    "-- x",
    "x\ny",
    "한국어",
    "%_",
    "",
]
KEYS = ['we"ird', "or true --", "a.b", "Select", "x y", "키"]
RECORDS: list[dict[str, Any]] = [
    {
        "who": value,
        "year": 2000 + number,
        "weight": number + 0.1,
        "open": number % 2 == 0,
        "tags": [value, "all"],
        KEYS[number % len(KEYS)]: value,
    }
    for number, value in enumerate(NASTY)
] + [{}]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """One chunk for each of the records."""
    import json

    base = tmp_path_factory.mktemp("filters")
    (base / "documents").mkdir()
    lines = [json.dumps({"_id": str(n), "text": f"text {n}", **record}) for n, record in enumerate(RECORDS)]
    (base / "documents" / "records.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    config: Config = config_for(base)
    stub.build(config)
    with stub.open_index(config.index_path) as opened:
        yield opened


def found(index: Index, filters: Any) -> set[int]:
    """Which records a filter finds."""
    condition = translation(index).condition(ADAPTER.validate_python(filters, strict=True))
    hits = index.search("text", k=len(RECORDS), mode="dense", where=condition)
    return {int(hit.doc_id) for hit in hits}


def meant(filters: Any) -> set[int]:
    """Which it should find, by looking at the records one by one."""
    return {number for number, record in enumerate(RECORDS) if holds(filters, record)}


SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    "gt": lambda a, b: a > b,
    "gte": lambda a, b: a >= b,
    "lt": lambda a, b: a < b,
    "lte": lambda a, b: a <= b,
}


def holds(filters: Any, record: dict[str, Any]) -> bool:
    """Whether a record satisfies a filter; one without the key equals nothing, and differs from everything."""
    kind = filters["type"]
    if kind in ("and", "or"):
        return (all if kind == "and" else any)(holds(one, record) for one in filters["filters"])
    has = record.get(filters["key"])
    if kind in SIGNS:
        return has is not None and SIGNS[kind](has, filters["value"])
    wanted = filters["value"] if kind in ("in", "nin") else [filters["value"]]
    equals = any(one in wanted for one in has) if isinstance(has, list) else has is not None and has in wanted
    return equals if kind in ("eq", "in") else not equals


texts = st.one_of(
    st.sampled_from(NASTY), st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"))
)


def comparison(kinds: list[str], keys: list[str], values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Comparisons of these kinds, of one of these keys with one of these values."""
    return st.fixed_dictionaries({"type": st.sampled_from(kinds), "key": st.sampled_from(keys), "value": values})


numbers = st.one_of(
    st.integers(1998, 2015),
    st.sampled_from([number + 0.1 for number in range(4)]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**63), 2**63 - 1),
)
comparisons = st.one_of(
    comparison(["eq", "ne"], ["who", "tags", *KEYS], texts),
    comparison(["in", "nin"], ["who", "tags", *KEYS], st.lists(texts, max_size=3)),
    comparison(["eq", "ne", *SIGNS], ["year", "weight"], numbers),
    comparison(["eq", "ne"], ["open"], st.booleans()),
)
filters_of_any_shape = st.recursive(
    comparisons,
    lambda inner: st.fixed_dictionaries(
        {"type": st.sampled_from(["and", "or"]), "filters": st.lists(inner, min_size=1, max_size=3)}
    ),
    max_leaves=6,
)


@given(filters=filters_of_any_shape)
@settings(max_examples=150)
def test_a_filter_finds_what_it_says(index: Index, filters: Any) -> None:
    assert found(index, filters) == meant(filters)


@pytest.mark.parametrize("value", NASTY)
def test_no_value_is_read_as_a_condition(index: Index, value: str) -> None:
    number = NASTY.index(value)
    assert found(index, {"type": "eq", "key": "who", "value": value}) == {number}
    assert found(index, {"type": "ne", "key": "who", "value": value}) == set(range(len(RECORDS))) - {number}
    assert found(index, {"type": "in", "key": "tags", "value": [value]}) == {number}


@pytest.mark.parametrize(
    "key",
    [
        "nothing",
        'who" or true or "who',
        "who' or true --",
        "__row",
        "chunks",
        "*",
        "1",
        "lower(who)",
        '"',
        "who; x",
    ],
)
def test_a_key_must_be_a_column(index: Index, key: str) -> None:
    with pytest.raises(QueryError, match="attribute"):
        found(index, {"type": "eq", "key": key, "value": "x"})


@pytest.mark.parametrize(
    ("filters", "says"),
    [
        ({"type": "eq", "key": "year", "value": "2000"}, "year has whole numbers"),
        ({"type": "eq", "key": "year", "value": True}, "year has whole numbers"),
        ({"type": "eq", "key": "who", "value": 3}, "who has texts"),
        ({"type": "eq", "key": "open", "value": 1}, "open has truth values"),
        ({"type": "gt", "key": "tags", "value": "a"}, "no `gt` orders"),
        ({"type": "lt", "key": "open", "value": False}, "no `lt` orders"),
        ({"type": "in", "key": "who", "value": "a"}, "`in` takes a list"),
        ({"type": "eq", "key": "who", "value": ["a"]}, "`eq` takes one value"),
        ({"type": "eq", "key": "who", "value": "a\0' or true"}, "zero byte"),
    ],
)
def test_what_cannot_be_meant_is_refused(index: Index, filters: Any, says: str) -> None:
    with pytest.raises(QueryError, match=says):
        found(index, filters)


def test_filters_are_bounded() -> None:
    def translated(filters: Any) -> str:
        from pipeline.index.columns.kinds import Kind

        return Translation(lambda name: Kind.TEXT, ["who"]).condition(ADAPTER.validate_python(filters))

    one: Any = {"type": "eq", "key": "who", "value": "x"}
    deep = one
    for _ in range(DEEPEST - 1):
        deep = {"type": "and", "filters": [deep]}
    assert translated(deep)
    with pytest.raises(QueryError, match="deep"):
        translated({"type": "or", "filters": [deep]})
    wide = {"type": "or", "filters": [one] * (MOST_COMPARISONS // 2)}
    assert translated({"type": "and", "filters": [wide, wide]})
    with pytest.raises(QueryError, match="comparisons"):
        translated({"type": "and", "filters": [wide, wide, one]})


def test_a_long_filter_is_answered_and_one_beyond_the_limit_refused(index: Index) -> None:
    values = [f"value {number}" for number in range(999)]
    one = {"type": "in", "key": "who", "value": [*values, "it's"]}
    assert found(index, {"type": "or", "filters": [one] * 7}) == {0}
    with pytest.raises(QueryError, match="characters"):
        found(index, {"type": "or", "filters": [one] * 8})

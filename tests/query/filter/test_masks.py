"""A filter asks a condition of combinations of values, and keeps the chunks that the condition is true of."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import QueryError
from pipeline.index.columns.derive import columns_of
from pipeline.index.columns.reader import SegmentColumns
from pipeline.query.filter import masks, table
from pipeline.query.filter.masks import FEW, ChunkFilter
from pipeline.query.filter.table import ColumnTable
from tests.support.filter_reference import satisfying, table_of

Metadata = Mapping[str, Any]


def chunks_with(records: Sequence[Metadata]) -> pa.Table:
    """Chunks with this metadata, three to a document."""
    rows = range(len(records))
    return pa.table(
        {
            "chunk_id": [f"d{row // 3}.md#{row % 3}" for row in rows],
            "doc_id": [f"d{row // 3}.md" for row in rows],
            "source": [f"folder/d{row // 7}.md" for row in rows],
            "ordinal": pa.array([row % 3 for row in rows], pa.int32()),
            "metadata": pa.array([json.dumps(record, ensure_ascii=False) for record in records], pa.string()),
        }
    )


def filter_over(chunks: pa.Table, cuts: Sequence[int] = (), few: int = FEW) -> ChunkFilter:
    """A filter over segments that end where the cuts are."""
    edges = [0, *sorted(cuts), len(chunks)]
    parts = [chunks.slice(start, end - start) for start, end in itertools.pairwise(edges)]
    columns = [SegmentColumns(columns_of([part]), Path("columns")) for part in parts]
    return ChunkFilter(ColumnTable(columns), few=few)


def kept(conditions: ChunkFilter, condition: str) -> list[int] | None:
    """The chunks that a filter keeps, `None` if it refuses the condition."""
    try:
        masks = conditions.masks(condition)
    except QueryError:
        return None
    found: list[int] = np.flatnonzero(np.concatenate(masks)).tolist()
    return found


words = st.sampled_from(["ko", "en", "a", "b%", "it's", "", "한국", "12", "1.5", "true", "[1]", "null"])
whole = st.integers(-3, 3) | st.sampled_from([2**40, -(2**63), 2**63 - 1])
numbers = st.sampled_from([0.5, -1.5, 2.0, 1e300, float("inf"), float("nan"), -0.0])
lists = st.lists(words | whole | st.none() | st.booleans() | st.lists(words, max_size=1), max_size=3)
records = st.dictionaries(st.sampled_from(["x", "y"]), words | whole, max_size=2)
anything = st.none() | words | st.integers(-3, 3) | numbers | st.booleans() | lists | records
metadata = st.fixed_dictionaries(
    {},
    optional={
        "lang": words,
        "Lang": words | st.none(),
        "year": whole | st.none(),
        "ratio": numbers | st.integers(-3, 3),
        "open": st.booleans(),
        "tags": lists,
        "meta": records,
        "mixed": anything,
        "none": st.none(),
        "source": words,
        "Ordinal": whole,
    },
)

texts = st.sampled_from(["lang", "LANG", "mixed", "none", "doc_id", "source", "chunk_id"])
countable = st.sampled_from(["year", "ratio", "ordinal"])
columns = texts | countable | st.sampled_from(["open", "tags", "meta", "chunks"])
literals = words.map(lambda word: "'" + word.replace("'", "''") + "'")
constants = st.sampled_from(["0", "1", "-2", "1.5", "2e0", "2", "9223372036854775807", "'nan'::double"])
operators = st.sampled_from(["=", "<>", "<", "<=", ">", ">=", "is distinct from", "is not distinct from"])
comparisons = st.builds("{} {} {}".format, texts, operators, literals)
comparisons |= st.builds("{} {} {}".format, countable, operators, constants)
comparisons |= st.builds("{} {} {}".format, columns, operators, columns)
comparisons |= st.builds("{} in ({}, {})".format, texts, literals, literals)
comparisons |= st.builds("{} not in ({}, {})".format, countable, constants, constants)
comparisons |= st.builds("{} between {} and {}".format, countable, constants, constants)
comparisons |= st.builds(
    "{} {} {}".format,
    texts,
    st.sampled_from(["like", "not like", "ilike", "glob", "similar to"]),
    st.sampled_from(["'%k%'", "'_'", "'[a-z]'", "'d1%'", "'%#1'", "'E_'"]),
)
comparisons |= st.builds("{} is {}null".format, columns, st.sampled_from(["", "not "]))
others = st.sampled_from(
    [
        "open",
        "not open",
        "true",
        "null",
        "list_contains(tags, 'ko')",
        "'12' = any(tags)",
        "tags[1] = 'a'",
        "len(tags) > 1",
        "tags = ['a']",
        "len([tag for tag in tags if tag > 'a']) = 1",
        "list_has_any(tags, ['a', lang])",
        "lang.upper() = 'KO'",
        "chunks.lang = 'en'",
        "meta->>'$.x' = 'ko'",
        "try_cast(mixed as double) > 0",
        "mixed::text = '1'",
        "mixed",
        "year::text || lang = '2ko'",
        "year + ordinal > 2",
        "coalesce(lang, 'none') = 'none'",
        "coalesce(year, 'x'::int) > 0",
        "case when open then year > 0 else ratio > 0 end",
        "ratio::int = 2",
        "isnan(ratio)",
        "greatest(year, ratio) > 1",
        "split_part(chunk_id, '#', 2)::int = ordinal",
        "row(year, lang) = row(2, 'ko')",
        "current_date > date '2020-01-01'",
        "typeof(mixed) = 'VARCHAR'",
        "typeof(year) = 'BIGINT'",
        "unknown = 1",
        "lang = ",
    ]
)
conditions = st.recursive(
    comparisons | others,
    lambda inner: (
        st.builds("({} {} {})".format, inner, st.sampled_from(["and", "or"]), inner) | inner.map("not ({})".format)
    ),
    max_leaves=4,
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(metadata, min_size=1, max_size=24),
    st.lists(st.integers(0, 24), max_size=3),
    st.sampled_from([FEW, 12, 1]),
    st.sampled_from([(8, 65_536, 262_144), (8, 65_536, 0), (0, 1, 0), (0, 20, 262_144)]),
    st.data(),
)
def test_what_is_kept_is_what_the_condition_is_true_of(
    found: list[Metadata], cuts: list[int], few: int, places: tuple[int, int, int], data: st.DataObject
) -> None:
    """As a whole and in parts, by combinations and chunk by chunk, by dictionaries and by values."""
    chunks = chunks_with(found)
    conditions_over = filter_over(chunks, [min(cut, len(found)) for cut in cuts], few)
    reference = table_of(chunks)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in zip(("_PLACES_PER_CHUNK", "_FEWEST_PLACES", "_DECODED"), places, strict=True):
            patch.setattr(table, name, value)
        for condition in data.draw(st.lists(conditions, min_size=1, max_size=6)):
            assert kept(conditions_over, condition) == satisfying(reference, condition), condition


RECORDS = [
    {"lang": "ko" if i % 2 else "en", "year": 2000 + i % 10, "mixed": "x" if i == 7 else i} for i in range(30)
]
CHUNKS = chunks_with(RECORDS)


def test_a_condition_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    over = filter_over(CHUNKS, [11])
    first = over.masks("lang = 'ko'")
    monkeypatch.setattr(masks, "database", None)
    again = over.masks("lang = 'ko'")
    assert [one is other for one, other in zip(first, again, strict=True)] == [True, True]


@pytest.mark.parametrize(
    "condition",
    [
        "current_date > date '2020-01-01'",
        "date '2020-01-01' < today()",
        "now() > timestamp '2020-01-01'",
        "age(timestamp '2020-01-01') > interval 1 day",
        "localtimestamp > timestamp '2020-01-01'",
    ],
)
def test_what_may_say_something_else_tomorrow_is_asked_again(condition: str) -> None:
    over = filter_over(CHUNKS)
    first, again = over.masks(condition), over.masks(condition)
    assert first[0].all()
    assert first[0] is not again[0]


def test_a_condition_looks_at_the_columns_that_it_mentions_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    real = ColumnTable.combinations

    def spy(self: ColumnTable, columns: Sequence[table.Column], group_rows: int) -> table.Combinations:
        asked.append([column.name for column in columns])
        found = real(self, columns, group_rows)
        assert len(found.table) <= 20
        return found

    monkeypatch.setattr(ColumnTable, "combinations", spy)
    over = filter_over(CHUNKS)
    assert kept(over, "LANG = 'ko' and chunks.year >= 2005") == [5, 7, 9, 15, 17, 19, 25, 27, 29]
    assert kept(over, "len([year for lang in [1]]) = 1") == list(range(30))
    assert kept(over, "1 = 1") == list(range(30))
    assert asked == [["lang", "year"], ["lang", "year"], []]


def test_what_one_part_fails_at_may_be_kept_from_it_by_another() -> None:
    """Alone, the cast fails at `x`; the whole condition never gets there, as before."""
    condition = "doc_id <> 'd2.md' and year + mixed::int > 2030"
    reference = satisfying(table_of(CHUNKS), condition)
    assert kept(filter_over(CHUNKS, few=1), condition) == kept(filter_over(CHUNKS), condition) == reference


def test_whole_numbers_beyond_64_bits_are_texts() -> None:
    over = filter_over(chunks_with([{"id": 2**64}, {"id": 7}, {}]))
    assert kept(over, "id = '18446744073709551616' or id is null") == [0, 2]


@pytest.mark.parametrize("size", [0, 1])
def test_empty_segments_are_no_trouble(size: int) -> None:
    over = filter_over(chunks_with(RECORDS[:size]), [0, 0, size])
    assert kept(over, "ordinal = 0") == list(range(size))

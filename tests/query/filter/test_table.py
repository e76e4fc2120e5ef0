"""Every combination of values that chunks have comes once, and a mask of combinations is one of chunks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.index.columns.derive import columns_of
from pipeline.index.columns.kinds import Kind
from pipeline.index.columns.reader import SegmentColumns
from pipeline.query.filter import table as tables
from pipeline.query.filter.table import ColumnTable
from tests.index.columns.test_derive import chunks_with


def table_of(*segments: Sequence[dict[str, Any]]) -> ColumnTable:
    return ColumnTable([SegmentColumns(columns_of([chunks_with(one)]), Path("columns")) for one in segments])


SMALL = st.fixed_dictionaries(
    {}, optional={"a": st.integers(0, 2), "b": st.sampled_from("xyz"), "c": st.integers(0, 9), "d": st.booleans()}
)


@given(
    st.lists(st.lists(SMALL, min_size=1, max_size=12), min_size=1, max_size=3),
    st.lists(st.sampled_from("abcd"), unique=True),
    st.sampled_from([(8, 65_536, 262_144), (8, 65_536, 0), (0, 1, 0), (0, 12, 0), (0, 30, 262_144)]),
    st.integers(1, 5),
)
def test_each_combination_comes_once_and_stands_for_its_chunks(
    found: list[list[dict[str, Any]]], names: list[str], places: tuple[int, int, int], group_rows: int
) -> None:
    """Also where combinations are renumbered, where there are too many to number, and without dictionaries."""
    table = table_of(*found)
    columns = [column for name in names if (column := table.column(name)) is not None]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in zip(("_PLACES_PER_CHUNK", "_FEWEST_PLACES", "_DECODED"), places, strict=True):
            patch.setattr(tables, name, value)
        combinations = table.combinations(columns, group_rows)
    rows = combinations.table.to_pylist()
    assert [row["__row"] for row in rows] == list(range(len(rows)))
    assert max(batch.num_rows for batch in combinations.table.to_batches()) <= group_rows
    seen = set()
    for number, row in enumerate(rows):
        masks = combinations.masks(np.array([number]))
        expected = [
            [all(record.get(column.name) == row[column.name] for column in columns) for record in segment]
            for segment in found
        ]
        (segment,) = [i for i, mask in enumerate(masks) if mask.any()]
        if places[0]:
            assert masks[segment].tolist() == expected[segment]
        else:
            assert not (masks[segment] & ~np.array(expected[segment])).any()
        seen |= {(segment, chunk) for chunk in np.flatnonzero(masks[segment]).tolist()}
    assert len(seen) == sum(map(len, found))


def test_types_are_those_of_all_segments() -> None:
    table = table_of([{"n": 1, "m": 1, "l": ["a"]}], [{"n": 2.5, "m": [1], "L": ["b"]}], [{"z": None}])
    assert table.names == ["chunk_id", "doc_id", "source", "ordinal", "l", "m", "n", "z"]
    kinds = {name: column.kind for name in "lmnz" if (column := table.column(name))}
    assert kinds == {"l": Kind.LIST, "m": Kind.TEXT, "n": Kind.FLOAT, "z": Kind.NOTHING}
    columns = [column for name in "lmnz" if (column := table.column(name))]
    rows = table.combinations(columns, 9).table.drop_columns("__row").to_pylist()
    assert rows == [
        {"l": ["a"], "m": "1", "n": 1.0, "z": None},
        {"l": ["b"], "m": "[1]", "n": 2.5, "z": None},
        {"l": None, "m": None, "n": None, "z": None},
    ]


def test_a_column_is_found_in_any_case_under_its_last_spelling() -> None:
    table = table_of([{"LANG": "a"}], [{"Lang": "b"}])
    assert table.names[4:] == ["Lang"]
    assert table.column("lAnG") == table.column("Lang")
    assert table.column("language") is None


def test_the_row_number_is_no_metadata() -> None:
    assert table_of([{"__row": 7, "__ROW": 8}]).names == ["chunk_id", "doc_id", "source", "ordinal"]


def test_no_columns_are_one_combination() -> None:
    combinations = table_of([{"a": 1}, {"a": 2}], [{}]).combinations([], 9)
    assert combinations.table.to_pydict() == {"__row": [0, 1]}
    assert [mask.tolist() for mask in combinations.masks(np.array([1]))] == [[False, False], [True]]

"""Facets count what a look at every live chunk counts: values, elements of lists, chunks and documents."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import QueryError
from pipeline.index.columns.derive import columns_of
from pipeline.index.columns.kinds import as_kind, as_text, common, kind_of
from pipeline.index.columns.reader import SegmentColumns
from pipeline.query.filter.facet_request import FacetRequest
from pipeline.query.filter.facets import FacetCounter
from pipeline.query.filter.table import ColumnTable
from pipeline.records import Facet, FacetValue


def counter(
    documents: Sequence[int], records: Sequence[dict[str, Any]], cuts: Sequence[int], gone: Sequence[bool]
) -> tuple[FacetCounter, list[Any]]:
    """A counter over chunks of these documents and metadata in segments, and what it leaves out as deleted."""
    rows = range(len(records))
    chunks = pa.table(
        {
            "chunk_id": [f"d{documents[row]}#{row}" for row in rows],
            "doc_id": [f"d{documents[row]}" for row in rows],
            "source": ["s"] * len(records),
            "ordinal": pa.array(list(rows), pa.int32()),
            "metadata": pa.array([json.dumps(one) for one in records], pa.string()),
        }
    )
    edges = [0, *sorted(cuts), len(records)]
    spans = list(itertools.pairwise(edges))
    columns = [columns_of([chunks.slice(start, end - start)]) for start, end in spans]
    deleted = [np.array(gone[start:end], np.bool_) for start, end in spans]
    live = len({documents[row] for row in rows if not gone[row]})
    table = ColumnTable([SegmentColumns(one, Path("columns")) for one in columns])
    return FacetCounter(table, deleted, live), deleted


def scanned(
    field: str, documents: Sequence[int], records: Sequence[dict[str, Any]], gone: Sequence[bool]
) -> tuple[list[tuple[Any, int, int]], int]:
    """The values of a field with their chunks and documents, and the chunks without, by looking at each chunk."""
    kind = common(kind_of(record.get(field)) for record in records)
    chunks: dict[Any, int] = defaultdict(int)
    held: dict[Any, set[int]] = defaultdict(set)
    missing = 0
    for document, record, is_gone in zip(documents, records, gone, strict=True):
        if is_gone:
            continue
        value = record.get(field)
        if value is not None:
            value = as_text(value) if kind.name == "TEXT" else as_kind(value, kind)
        members = [] if value is None else set(value) if isinstance(value, list) else [value]
        missing += not members
        for member in members:
            chunks[member] += 1
            held[member].add(document)
    rows = [(value, count, len(held[value])) for value, count in chunks.items()]
    return sorted(rows, key=lambda row: (-row[1], row[0])), missing


FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "lang": st.sampled_from(["ko", "en", ""]),
        "year": st.integers(0, 2),
        "number": st.sampled_from([1, 1.0, 2.5, -0.0, 0]),
        "open": st.booleans(),
        "tags": st.lists(st.sampled_from(["a", "b", 1, None]), max_size=3),
        "mixed": st.sampled_from(["1", 1, [1], True, None]),
        "none": st.none(),
    },
)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), FIELDS, st.booleans()), min_size=1, max_size=20),
    st.lists(st.integers(0, 20), max_size=3),
    st.booleans(),
)
def test_every_count_is_that_of_a_scan(
    rows: list[tuple[int, dict[str, Any], bool]], cuts: list[int], together: bool
) -> None:
    """Also of documents that are in several segments, apart or whose chunks differ."""
    if together:
        rows = sorted(rows, key=lambda row: row[0])
    documents, records, gone = (list(column) for column in zip(*rows, strict=True))
    counting, excluded = counter(documents, records, [min(cut, len(rows)) for cut in cuts], gone)
    fields = sorted({key for record in records for key in record})
    found = counting.facets(FacetRequest.of(fields, None), excluded)
    assert [facet.field for facet in found] == fields
    for facet in found:
        expected, missing = scanned(facet.field, documents, records, gone)
        assert [(one.value, one.chunks, one.documents) for one in facet.values] == expected
        assert (facet.distinct, facet.missing) == (len(expected), missing)


ROWS: list[dict[str, Any]] = [
    {"lang": "ko", "tags": ["ops", "night", "ops"]},
    {"lang": "ko", "tags": ["ops"]},
    {"lang": "en", "tags": []},
    {"lang": "de"},
]


def counted(fields: object, limit: object = 10) -> list[Facet]:
    counting, excluded = counter([0, 0, 1, 2], ROWS, [3], [False] * 4)
    return counting.facets(FacetRequest.of(fields, limit), excluded)


def test_a_hand_counted_example() -> None:
    lang, tags = counted(["lang", "TAGS"])
    assert lang == Facet(
        "lang", (FacetValue("ko", 2, 1), FacetValue("de", 1, 1), FacetValue("en", 1, 1)), distinct=3, missing=0
    )
    assert tags == Facet("tags", (FacetValue("ops", 2, 1), FacetValue("night", 1, 1)), distinct=2, missing=2)


def test_a_limit_leaves_out_the_rarest_and_says_how_many() -> None:
    (lang,) = counted("lang", 1)
    assert (lang.values, lang.distinct) == ((FacetValue("ko", 2, 1),), 3)


def test_columns_of_chunks_are_fields_too() -> None:
    (doc_id,) = counted(("doc_id",))
    assert doc_id.values == (FacetValue("d0", 2, 1), FacetValue("d1", 1, 1), FacetValue("d2", 1, 1))
    (chunk_id,) = counted(["chunk_id"], 1)
    assert (chunk_id.values[0], chunk_id.distinct) == (FacetValue("d0#0", 1, 1), 4)


def test_an_unknown_field_is_an_error_that_names_those_there_are() -> None:
    with pytest.raises(
        QueryError, match=r"^facet: unknown field 'language'; did you mean 'lang'\? known: chunk_id.*tags"
    ):
        counted(["lang", "language"])


def test_nan_is_one_value() -> None:
    counting, excluded = counter(
        [0, 1, 2], [{"x": float("nan")}, {"x": float("nan")}, {"x": 1.5}], [1], [False] * 3
    )
    (facet,) = counting.facets(FacetRequest.of("x"), excluded)
    assert [one.chunks for one in facet.values] == [2, 1]


def test_nothing_left_to_count() -> None:
    counting, excluded = counter([0, 1], [{"x": 1}, {}], [1], [True, True])
    assert counting.facets(FacetRequest.of("x"), excluded) == [Facet("x", (), 0, 0)]

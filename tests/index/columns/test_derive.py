"""Columns say of every chunk what its metadata says, however the chunks come in blocks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import CorruptIndexError
from pipeline.index.chunks import CHUNKS_FILE
from pipeline.index.columns.derive import SOURCES, columns_of, derive
from pipeline.index.columns.kinds import Kind, as_kind, as_text, common, kind_of
from pipeline.index.columns.reader import SegmentColumns
from pipeline.index.schemas import chunks_to_table
from pipeline.records import Chunk


def chunks_with(records: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Chunks with this metadata, two to a document."""
    chunks = [
        Chunk(f"d{i // 2}#{i % 2}", f"d{i // 2}", i % 2, 0, 1, "x", (), record, "", f"s{i // 5}")
        for i, record in enumerate(records)
    ]
    return chunks_to_table(chunks)


def columns_with(records: Sequence[Mapping[str, Any]]) -> SegmentColumns:
    return SegmentColumns(columns_of([chunks_with(records)]), Path("columns"))


def values(columns: SegmentColumns, name: str, kind: Kind | None = None) -> list[Any]:
    """What a column says of each chunk, its values as they are or as those of another kind."""
    entries = columns.dictionary(name, columns.kind(name) if kind is None else kind).to_pylist()
    return [entries[code] for code in columns.codes(name)]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=3,
)
records = st.lists(st.dictionaries(st.sampled_from(["a", "b", "c d", "값", ""]), json_values), max_size=12)


@given(records, st.integers(0, 12))
def test_every_value_is_there_under_the_type_of_all(found: list[dict[str, Any]], cut: int) -> None:
    table = chunks_with(found)
    found = [json.loads(text) for text in table.column("metadata").to_pylist()]
    blocks = [table.slice(0, cut), table.slice(cut)]
    columns = SegmentColumns(columns_of(blocks), Path("columns"))
    assert columns.names[:4] == ("chunk_id", "doc_id", "source", "ordinal")
    assert set(columns.names[4:]) == {key for record in found for key in record}
    for name in columns.names[:4]:
        assert values(columns, name) == table.column(name).to_pylist()
    for name in columns.names[4:]:
        held = [record.get(name) for record in found]
        kind = columns.kind(name)
        assert kind is common(kind_of(value) for value in held)
        texts = [None if value is None else as_text(value) for value in held]
        assert values(columns, name, Kind.TEXT) == texts
        typed = texts if kind is Kind.TEXT else [None if one is None else as_kind(one, kind) for one in held]
        assert values(columns, name) == typed
    assert columns_of(blocks).equals(columns_of([table]))


def test_keys_that_differ_by_case_are_one_column_of_the_last_spelling() -> None:
    columns = columns_with([{"Lang": "a"}, {"LANG": "b", "Lang": "c"}, {"Lang": "d", "LANG": None}, {"lang": None}])
    assert columns.names[4:] == ("lang",)
    assert values(columns, "lang") == ["a", "c", "d", None]


def test_keys_named_as_columns_of_chunks_are_hidden() -> None:
    columns = columns_with([{"source": "mine", "Ordinal": 7, "chunk_ID": "x"}])
    assert columns.names == SOURCES[:4]
    assert values(columns, "source") == ["s0"]


def test_a_key_that_few_chunks_have_takes_next_to_nothing() -> None:
    """Ten thousand keys of one chunk each would else take ten thousand codes for every chunk."""
    sparse = columns_of([chunks_with([{"rare": "x"} if i == 500 else {} for i in range(1000)])])
    dense = columns_of([chunks_with([{"often": "xy"[i % 2]} for i in range(1000)])])
    assert pa.types.is_run_end_encoded(sparse.column("rare").type)
    assert sparse.column("rare").nbytes < 100 < 1000 <= dense.column("often").nbytes
    assert [i for i, value in enumerate(values(SegmentColumns(sparse, Path("x")), "rare")) if value] == [500]


@pytest.mark.parametrize("distinct", [255, 256, 65_535, 65_536])
def test_codes_are_as_narrow_as_they_can_be(distinct: int) -> None:
    batch = columns_of([chunks_with([{"n": i} for i in range(distinct)])])
    wanted = pa.uint8() if distinct < 256 else pa.uint16() if distinct < 65_536 else pa.uint32()
    assert batch.column("n").type.index_type == wanted
    assert values(SegmentColumns(batch, Path("x")), "n")[-1] == distinct - 1


@pytest.mark.parametrize("metadata", ["[1]", "3", '"a"', "null", "{", '{"a": "\\ud800"}'])
def test_metadata_that_is_no_json_object_is_named(tmp_path: Path, metadata: str) -> None:
    table = chunks_with([{}])
    place = table.schema.get_field_index("metadata")
    pq.write_table(table.set_column(place, table.schema.field(place), [[metadata]]), tmp_path / CHUNKS_FILE)
    with pytest.raises(CorruptIndexError, match=rf"{CHUNKS_FILE}: malformed metadata .*pipeline build --full"):
        derive(tmp_path)


def test_a_file_of_anything_else_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"chunk_id": ["a"]}), tmp_path / CHUNKS_FILE)
    with pytest.raises(CorruptIndexError, match="unexpected columns"):
        derive(tmp_path)
    (tmp_path / CHUNKS_FILE).write_bytes(json.dumps({}).encode())
    with pytest.raises(CorruptIndexError, match="cannot be read"):
        derive(tmp_path)

"""Rows whose vectors are given: what they become, and why one is rejected."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import IngestSettings, SourceSettings
from pipeline.errors import ConfigError
from pipeline.given import GivenVectors, Wanted
from pipeline.ingest.document_fields import from_fields, to_fields
from pipeline.ingest.formats.by_suffix import read_file
from pipeline.ingest.formats.decoding import UnreadableError
from pipeline.ingest.formats.given.given_arrays import vectors_of
from pipeline.ingest.given_sources import giving
from pipeline.ingest.guard import Guard
from pipeline.ingest.sources import SourceFile
from pipeline.records import Document

DIMENSION = 4
WANTED = Wanted(DIMENSION)
FULL = Wanted(DIMENSION, lexical=True, token_dimension=2)
UNIT = [0.5, 0.5, 0.5, 0.5]


def parquet(path: Path, table: pa.Table) -> None:
    pq.write_table(table, path)


def arrow_file(path: Path, table: pa.Table) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def arrow_stream(path: Path, table: pa.Table) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)


def feather(path: Path, table: pa.Table) -> None:
    import pyarrow.feather

    pyarrow.feather.write_feather(table, str(path), compression="zstd")


def read(
    folder: Path,
    table: pa.Table,
    wanted: Wanted | None = WANTED,
    name: str = "t.parquet",
    write: Callable[[Path, pa.Table], None] = parquet,
    **source: Any,
) -> list[Document | str]:
    """The documents of a table, as they cross to the build, and the reasons of those that are rejected."""
    write(folder / name, table)
    file = SourceFile(str(folder / name), name, name, SourceSettings(path=".", **source), wanted=wanted)
    outcomes = Guard(None).outcomes(name, read_file(file, IngestSettings()))
    found: list[Document | str] = []
    for outcome in outcomes:
        if isinstance(outcome.result, UnreadableError):
            found.append(f"{outcome.line}: {outcome.result}")
        else:
            carried = from_fields(json.loads(json.dumps(to_fields(outcome.result))))
            assert carried == outcome.result
            found.append(carried)
    return found


def lists(*rows: Any) -> pa.Array:
    return pa.array(list(rows), pa.list_(pa.float32()))


def vectors(document: Document | str) -> list[list[float]]:
    assert isinstance(document, Document), document
    return [np.frombuffer(chunk.given.dense, np.float32).tolist() for chunk in document.chunks if chunk.given]


def test_rows_of_one_id_that_follow_each_other_are_the_chunks_of_a_document(tmp_path: Path) -> None:
    table = pa.table(
        {
            "id": ["a", "b", "b", "a"],
            "text": ["one", "two", "three", "four"],
            "vector": lists(UNIT, [1, 0, 0, 0], [0, 1, 0, 0], UNIT),
            "page": [1, 2, 3, 4],
        }
    )
    first, second, third = read(tmp_path, table)
    assert isinstance(second, Document)
    assert [(c.chunk_id, c.text, c.start, c.end, dict(c.metadata)) for c in second.chunks] == [
        ("b#0", "two", 0, 3, {"page": 2}),
        ("b#1", "three", 4, 9, {"page": 3}),
    ]
    assert vectors(second) == [[1, 0, 0, 0], [0, 1, 0, 0]]
    assert isinstance(third, Document)
    assert third.doc_id == "a", "which the build rejects as a duplicate: it would be half a document"
    assert isinstance(first, Document)
    assert first.content_hash != third.content_hash


def test_the_form_of_an_export_is_read_as_it_is(tmp_path: Path) -> None:
    table = pa.table(
        {
            "doc_id": ["a"],
            "text": ["text\nof a chunk"],
            "vector": lists(UNIT),
            "chunk_ordinal": pa.array([7], pa.int32()),
            "chunk_start": [30],
            "chunk_end": [45],
            "chunk_headings": [["One", "Two"]],
            "chunk_context": ["One"],
            "chunk_metadata": ['{"title": "T", "list": [1, 2.5, null], "page": 3}'],
            "chunk_source": ["elsewhere.md"],
        }
    )
    (document,) = read(tmp_path, table)
    assert isinstance(document, Document)
    (chunk,) = document.chunks
    assert (chunk.chunk_id, chunk.ordinal, chunk.start, chunk.end) == ("a#7", 7, 30, 45)
    assert (chunk.headings, chunk.context) == (("One", "Two"), "One")
    assert dict(chunk.metadata) == {"title": "T", "list": [1, 2.5, None], "page": 3}
    assert chunk.encoded_text == "One\n\ntext\nof a chunk"


def test_nothing_is_put_before_a_text_that_was_encoded(tmp_path: Path) -> None:
    table = pa.table({"text": ["body"], "title": ["Title"], "vector": lists(UNIT)})
    (document,) = read(tmp_path, table, prefix="p/")
    assert isinstance(document, Document)
    assert (document.doc_id, document.chunks[0].encoded_text) == ("t.parquet:1", "body")
    assert dict(document.chunks[0].metadata) == {"title": "Title"}


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("t.parquet", parquet),
        ("t.arrow", arrow_file),
        ("t.arrow", arrow_stream),
        ("t.feather", feather),
    ],
)
@pytest.mark.parametrize("kind", [pa.float16(), pa.float32(), pa.float64()])
@pytest.mark.parametrize("form", ["list", "large", "fixed"])
def test_every_form_of_a_vector_gives_the_same(
    tmp_path: Path, name: str, write: Callable[[Path, pa.Table], None], kind: pa.DataType, form: str
) -> None:
    types = {"list": pa.list_(kind), "large": pa.large_list(kind), "fixed": pa.list_(kind, DIMENSION)}
    rows = [np.array(row, kind.to_pandas_dtype()) for row in (UNIT, [0, 0, 3, 4], [0, 1, 0, 0])]
    table = pa.table({"id": ["a", "b", "c"], "text": ["x", "y", "z"], "v": pa.array(rows, types[form])})
    documents = read(tmp_path, table, name=name, write=write, vector_field="v")
    assert [vectors(document) for document in documents] == [
        [UNIT],
        [np.array([0, 0, 0.6, 0.8], np.float32).tolist()],
        [[0, 1, 0, 0]],
    ]


def test_arrow_files_are_sources_of_their_own_too(tmp_path: Path) -> None:
    table = pa.table({"id": ["a", "b"], "text": ["one", "two"], "lang": ["en", None]})
    for name, write in (("t.arrow", arrow_file), ("t.arrow", arrow_stream), ("t.feather", feather)):
        documents = read(tmp_path, table, None, name, write)
        assert [d.text for d in documents if isinstance(d, Document)] == ["one", "two"]
    (tmp_path / "t.arrow").write_bytes(b"ARROW1 and then nothing")
    file = SourceFile(str(tmp_path / "t.arrow"), "t.arrow", "t.arrow", SourceSettings(path="."))
    with pytest.raises(UnreadableError, match="broken Arrow"):
        list(read_file(file, IngestSettings()))


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("vector", None, "vector: is null"),
        ("vector", [0.5, None, 0.5, 0.5], "vector: holds a null"),
        ("vector", [0.5, float("nan"), 0.5, 0.5], "vector: holds a number that is not finite"),
        ("vector", [0.5, float("inf"), 0.5, 0.5], "vector: holds a number that is not finite"),
        ("vector", [1e300, 0, 0, 0], "vector: holds a number that is not finite, or beyond float32"),
        ("vector", [0.0, 0.0, 0.0, 0.0], "vector: is zero"),
        ("vector", [0.5, 0.5, 0.5], "vector: has 3 dimensions, not 4"),
        ("vector", [], "vector: has 0 dimensions, not 4"),
        ("text", "  \n", "empty"),
        ("text", None, "empty"),
        ("token_ids", None, "token_ids: is null"),
        ("token_ids", [3, -1], "token_ids: -1 is below 0"),
        ("token_ids", [3, 3], "token_ids: 3 is there twice"),
        ("token_ids", [3], "has 1 token_ids and 2 weights"),
        ("weights", [1.0, 0.0], "weights: 0 is not above 0"),
        ("weights", [1.0, -2.0], "weights: -2 is not above 0"),
        ("weights", [1.0, float("nan")], "weights: holds a number that is not finite"),
        ("weights", [1.0, 1e-300], "weights: 0 is not above 0"),
        ("multivectors", None, "has no multivectors"),
        ("multivectors", [], "has no multivectors"),
        ("multivectors", [None], "multivectors: one of them is null"),
        ("multivectors", [[1.0, 0.0], [1.0]], "multivectors: have 1 and 2 dimensions, not 2"),
        ("multivectors", [[1.0, 0.0], [0.0, 0.0]], "multivectors: is zero"),
        ("chunk_ordinal", -1, "field `chunk_ordinal` is -1"),
        ("chunk_start", -1, "-1 to 2 is not where a text of 3 characters stands"),
        ("chunk_end", 2, "0 to 2 is not where a text of 3 characters stands"),
        ("chunk_metadata", "[1]", "field `chunk_metadata` is no JSON object"),
        ("chunk_metadata", "{", "field `chunk_metadata` is no JSON object"),
        ("chunk_metadata", '{"a": "\\ud800"}', "holds half of a surrogate pair"),
    ],
)
def test_a_bad_row_is_rejected_alone_with_its_reason(tmp_path: Path, column: str, value: Any, reason: str) -> None:
    good = {
        "id": "good",
        "text": "one",
        "vector": UNIT,
        "token_ids": [9, 3],
        "weights": [1.0, 2.0],
        "multivectors": [[1.0, 0.0], [0.0, 1.0]],
        "chunk_ordinal": 0,
        "chunk_start": 0,
        "chunk_end": None,
        "chunk_metadata": "{}",
    }
    schema = pa.schema(
        {
            "id": pa.string(),
            "text": pa.string(),
            "vector": pa.list_(pa.float64()),
            "token_ids": pa.list_(pa.int64()),
            "weights": pa.list_(pa.float64()),
            "multivectors": pa.list_(pa.list_(pa.float64())),
            "chunk_ordinal": pa.int64(),
            "chunk_start": pa.int64(),
            "chunk_end": pa.int64(),
            "chunk_metadata": pa.string(),
        }
    )
    rows = [good, {**good, "id": "bad", column: value}, {**good, "id": "last"}]
    first, second, third = read(tmp_path, pa.Table.from_pylist(rows, schema), FULL)
    assert isinstance(first, Document)
    assert isinstance(third, Document)
    assert isinstance(second, str)
    assert second.startswith(f"2: {reason}")
    given_vectors = first.chunks[0].given
    assert given_vectors is not None
    assert np.frombuffer(given_vectors.token_ids, np.uint64).tolist() == [3, 9], "tokens ascend"
    assert np.frombuffer(given_vectors.weights, np.float32).tolist() == [2.0, 1.0]


def test_columns_that_are_not_used_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    table = pa.table({"text": ["x"], "vector": lists(UNIT), "weights": ["2 kg"], "image": [b"x"]})
    (document,) = read(tmp_path, table)
    assert isinstance(document, Document)
    assert dict(document.chunks[0].metadata) == {}
    assert "t.parquet: binary columns left out: image" in caplog.text
    assert "t.parquet: columns left out, which the configured encoder has no use for: weights" in caplog.text


def test_a_document_with_a_bad_row_is_rejected_whole(tmp_path: Path) -> None:
    table = pa.table(
        {"id": ["a", "a", "a", "b"], "text": ["x", "y", "z", "w"], "vector": lists(UNIT, None, UNIT, UNIT)}
    )
    rejected, kept = read(tmp_path, table)
    assert rejected == "1: row 2, one of its 3: vector: is null"
    assert isinstance(kept, Document)
    assert kept.doc_id == "b"


@pytest.mark.parametrize(
    ("table", "wanted", "reason"),
    [
        ({"text": ["x"]}, WANTED, "has no column `vector`"),
        ({"text": ["x"], "vector": ["1 2 3"]}, WANTED, "column `vector` is string, not a list of floating"),
        ({"text": ["x"], "vector": [[1, 2, 3, 4]]}, WANTED, "column `vector` is list<.*int64>, not a list"),
        ({"vector": [UNIT]}, WANTED, "no field text or content or body"),
        ({"text": ["x"], "vector": pa.array([UNIT[:3]], pa.list_(pa.float32(), 3))}, WANTED, "3 dimensions, 4 are"),
        (
            {"text": ["x"], "vector": [UNIT]},
            Wanted(4, lexical=True),
            "no column `token_ids`.*lexical: bm25",
        ),
        ({"text": ["x"], "vector": [UNIT]}, Wanted(4, token_dimension=2), "no column `multivectors`"),
    ],
)
def test_a_file_without_a_needed_column_is_a_mistake_of_the_configuration(
    tmp_path: Path, table: dict[str, Any], wanted: Wanted, reason: str
) -> None:
    for name, write in (("t.parquet", parquet), ("t.arrow", arrow_file)):
        write(tmp_path / name, pa.table(table))
        file = SourceFile(str(tmp_path / name), name, name, SourceSettings(path="."))
        with pytest.raises(ConfigError, match=f"{name}: .*{reason}"):
            giving([file], wanted)


def test_files_that_cannot_hold_vectors_are_a_mistake_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "t.md").write_text("text")
    (tmp_path / "broken.parquet").write_bytes(b"broken")
    source = SourceSettings(path=".")
    broken = SourceFile(str(tmp_path / "broken.parquet"), "broken.parquet", "broken.parquet", source)
    assert [file.wanted for file in giving([broken], WANTED)] == [WANTED], "which its rejection tells"
    with pytest.raises(ConfigError, match=r"t\.md: .*reads vectors from \.arrow \.feather \.parquet"):
        giving([broken, SourceFile(str(tmp_path / "t.md"), "t.md", "t.md", source)], WANTED)


numbers = st.one_of(st.floats(width=64), st.none(), st.sampled_from([0.0, 1.0, -1.0, 1e300, 5e-324]))


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(st.none(), st.lists(numbers, max_size=6)),
    st.one_of(st.none(), st.lists(st.one_of(st.none(), st.integers(-5, 2**63 - 1)), max_size=4)),
    st.one_of(st.none(), st.lists(numbers, max_size=4)),
    st.one_of(st.none(), st.lists(st.one_of(st.none(), st.lists(numbers, max_size=3)), max_size=3)),
)
def test_whatever_a_row_gives_is_sound_or_refused(
    vector: list[float | None] | None,
    ids: list[int | None] | None,
    weights: list[float | None] | None,
    tokens: list[list[float | None] | None] | None,
) -> None:
    batch = pa.record_batch(
        {
            "vector": pa.array([vector], pa.list_(pa.float64())),
            "token_ids": pa.array([ids], pa.list_(pa.int64())),
            "weights": pa.array([weights], pa.list_(pa.float64())),
            "multivectors": pa.array([tokens], pa.list_(pa.list_(pa.float64()))),
        }
    )
    try:
        found: GivenVectors = vectors_of(batch, 0, "vector", FULL)
    except UnreadableError:
        return
    dense = np.frombuffer(found.dense, np.float32)
    assert dense.shape == (DIMENSION,)
    assert abs(np.linalg.norm(dense.astype(np.float64)) - 1) <= 0.01
    token_ids = np.frombuffer(found.token_ids, np.uint64)
    assert (np.diff(token_ids.astype(np.float64)) >= 0).all()
    assert len(set(token_ids.tolist())) == len(token_ids) == len(found.weights) // 4
    kept = np.frombuffer(found.weights, np.float32)
    assert np.isfinite(kept).all()
    assert (kept > 0).all()
    rows = np.frombuffer(found.multivectors, np.float32).reshape(-1, 2)
    assert len(rows)
    assert np.abs(np.linalg.norm(rows.astype(np.float64), axis=1) - 1).max() <= 0.03


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-1, 1, width=32), min_size=DIMENSION, max_size=DIMENSION).filter(any))
def test_a_vector_of_length_one_keeps_every_bit(values: list[float]) -> None:
    exact = np.array(values, np.float64)
    if np.linalg.norm(exact) < 1e-30:
        return
    stored = (exact / np.linalg.norm(exact)).astype(np.float16)
    batch = pa.record_batch({"vector": pa.array([stored], pa.list_(pa.float16()))})
    found = np.frombuffer(vectors_of(batch, 0, "vector", WANTED).dense, np.float32)
    assert found.astype(np.float16).tobytes() == stored.tobytes()

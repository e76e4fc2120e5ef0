"""Indexes of vectors that the sources give: built night by night, checked against the query encoder, searched."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import pipeline
from pipeline.config import Config, EncoderSettings
from pipeline.errors import ConfigError, IncompatibleIndexError, QueryError
from pipeline.index.upkeep.repair import repair
from pipeline.index.upkeep.verify import verify
from pipeline.job import build as builder
from pipeline.job.cluster import shares
from pipeline.job.cluster.shares import Share
from pipeline.models.choose.encoder import load_encoder
from pipeline.query.similar import Examples
from pipeline.transfer.exporting import ModelSource, export
from tests.support.collection import TEXTS, config_for
from tests.support.command_line import refused, run

BARE: dict[str, Any] = {"model": "precomputed", "dimension": 4}
NAMES = ("a", "b", "c", "d")
WORDS = ("one fish", "two fish", "red fish", "blue fish")


def vectors(seed: int = 0, count: int = 4, dimension: int = 4) -> list[np.ndarray[Any, Any]]:
    drawn = np.random.default_rng(seed).normal(size=(count, dimension))
    return list((drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32))


def write(folder: Path, rows: Sequence[Any], names: Sequence[str] = NAMES, words: Sequence[str] = WORDS) -> None:
    (folder / "documents").mkdir(exist_ok=True)
    column = pa.array([None if row is None else list(row) for row in rows], pa.list_(pa.float32()))
    table = pa.table({"id": list(names), "text": list(words), "vector": column})
    pq.write_table(table, folder / "documents/v.parquet")


def stored(index: Path) -> dict[str, list[float]]:
    """The vector of each document's one chunk."""
    with pipeline.open_index(index) as opened:
        snapshot = opened.snapshot
        every = range(sum(segment.chunks for segment in snapshot.segments))
        live = np.array([number for number in every if snapshot.is_live(number)])
        dense = opened.leg("dense").passages(live).dense
        assert dense is not None
        return {snapshot.doc_id(int(number)): row.tolist() for number, row in zip(live, dense, strict=True)}


def halves(row: Any) -> list[float]:
    return [float(value) for value in np.asarray(row, np.float32).astype(np.float16)]


def test_changed_vectors_are_indexed_anew_and_nothing_else_is(tmp_path: Path) -> None:
    config, first = config_for(tmp_path, encoder=BARE), vectors()
    write(tmp_path, first)
    assert pipeline.build(config).changes.added == 4
    assert stored(tmp_path / "index") == {name: halves(row) for name, row in zip(NAMES, first, strict=True)}
    for rehash in (False, True):
        again = pipeline.build(config, rehash=rehash)
        assert (again.published, again.changes.unchanged) == (False, 4)
    changed = [*first[:3], vectors(1)[3]]
    write(tmp_path, changed)
    report = pipeline.build(config)
    assert (report.changes.changed, report.changes.unchanged, report.encoded_chunks) == (1, 3, 1)
    assert stored(tmp_path / "index") == {name: halves(row) for name, row in zip(NAMES, changed, strict=True)}
    write(tmp_path, changed[:3], NAMES[:3], WORDS[:3])
    assert pipeline.build(config).changes.deleted == 1
    assert verify(tmp_path / "index", deep=True).problems == ()


def test_a_row_with_a_text_and_vector_that_are_stored_is_copied(tmp_path: Path) -> None:
    config = config_for(tmp_path, encoder=BARE)
    write(tmp_path, vectors())
    pipeline.build(config)
    write(tmp_path, vectors(), ("e", "b", "c", "d"))
    moved = pipeline.build(config)
    assert moved.changes.moved == (("a", "e"),)
    assert (moved.encoded_chunks, moved.reused_chunks) == (0, 1)
    rows, names = [*vectors(), vectors()[0], vectors(3)[0]], ("e", "b", "c", "d", "f", "g")
    write(tmp_path, rows, names, [*WORDS, WORDS[0], WORDS[0]])
    report = pipeline.build(config)
    assert (report.encoded_chunks, report.reused_chunks) == (1, 1), "the same text with another vector is another"
    found = stored(tmp_path / "index")
    assert found["f"] == found["e"]
    assert found["g"] == halves(vectors(3)[0])


def test_a_bad_row_is_listed_and_the_last_version_of_its_document_stays(tmp_path: Path) -> None:
    config = config_for(tmp_path, encoder=BARE)
    write(tmp_path, vectors())
    pipeline.build(config)
    write(tmp_path, [*vectors(2)[:2], None, [0.0] * 4])
    report = pipeline.build(config)
    assert [(rejection.source, rejection.reason) for rejection in report.rejections] == [
        ("documents/v.parquet:3", "vector: is null"),
        ("documents/v.parquet:4", "vector: is zero, which has no direction"),
    ]
    expected = [*vectors(2)[:2], *vectors()[2:]]
    assert stored(tmp_path / "index") == {name: halves(row) for name, row in zip(NAMES, expected, strict=True)}


def test_ingest_and_encode_apart_do_the_same(tmp_path: Path) -> None:
    config = config_for(tmp_path, encoder=BARE, encode={"shard_chunks": 3})
    write(tmp_path, vectors())
    planned = builder.plan(config)
    assert planned.chunks == 4
    builder.ingest(config)
    assert builder.encode(config).chunks == 4
    write(tmp_path, [*vectors()[:1], *vectors(1)[1:]])
    builder.ingest(config)
    builder.encode(config)
    expected = [*vectors()[:1], *vectors(1)[1:]]
    assert stored(tmp_path / "index") == {name: halves(row) for name, row in zip(NAMES, expected, strict=True)}


def test_staged_vectors_that_were_changed_are_refused(tmp_path: Path) -> None:
    config = config_for(tmp_path, encoder=BARE)
    write(tmp_path, vectors())
    builder.ingest(config)
    (staged,) = (tmp_path / "index/staging/ingest").glob("*.given.parquet")
    data = bytearray(staged.read_bytes())
    data[len(data) // 2] ^= 1
    staged.write_bytes(data)
    with pytest.raises(pipeline.PipelineError, match=r"given\.parquet: damaged \(its checksum does not match\)"):
        builder.encode(config)


def test_without_a_query_encoder_texts_search_words_and_vectors_search_vectors(tmp_path: Path) -> None:
    write(tmp_path, vectors())
    pipeline.build(config_for(tmp_path, encoder=BARE))
    with pipeline.open_index(tmp_path / "index") as index:
        assert index.legs == ("dense", "lexical")
        assert index.search("red", mode="lexical")[0].doc_id == "c"
        for mode in ("hybrid", "dense"):
            with pytest.raises(QueryError, match=r"no encoder\.query_model.*mode lexical.*search_encoded"):
                index.search("red", mode=mode)
        asked = dataclasses.replace(index.encode(["red", "blue"]), dense=np.array(vectors())[[1, 3]])
        dense = index.search_encoded(asked, 4, legs=("dense",))
        assert [hits[0].doc_id for hits in dense] == ["b", "d"]
        assert [round(hits[0].score, 2) for hits in dense] == [1, 1]
        both = index.search_encoded(asked, 4)
        assert {leg for hits in both for hit in hits for leg in hit.legs} == {"dense", "lexical"}
        with pytest.raises(QueryError, match=r"queries\.dense: has the shape \(2, 3\); \(2, 4\) is needed"):
            index.search_encoded(dataclasses.replace(asked, dense=asked.dense[:, :3]))
        assert index.similar(Examples(documents=("a",)), 2)
        with pytest.raises(QueryError, match="query_model"):
            index.similar(Examples(texts=("a fish",)), 2)
        assert index.similar(Examples(texts=("a fish",)), 2, mode="lexical")
    refused(tmp_path, "query", "red", "--index", "index", code=1, says="mode lexical")
    assert "red fish" in run(tmp_path, "query", "red", "--index", "index", "--mode", "lexical").output


def embedded_rows(texts: Sequence[str]) -> list[np.ndarray[Any, Any]]:
    encoded = load_encoder(EncoderSettings()).encode_documents(texts).dense
    assert encoded is not None
    return list(encoded)


def with_embedded(folder: Path, rows: Sequence[Any], **encode: Any) -> Config:
    write(folder, rows, list(TEXTS), list(TEXTS.values()))
    return config_for(folder, encoder={"model": "precomputed", "query_model": "embedded"}, encode=encode)


def test_vectors_of_the_query_encoder_are_found_by_text(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = with_embedded(tmp_path, embedded_rows(list(TEXTS.values())))
    with caplog.at_level(logging.INFO):
        pipeline.build(config)
    assert "given vectors are those of the query encoder: at least 1.0000" in caplog.text
    with pipeline.open_index(tmp_path / "index") as index:
        assert index.search("how are ranks fused?", mode="dense")[0].doc_id == "en/fusion.md"
        assert index.search("how are ranks fused?")[0].doc_id == "en/fusion.md"
        assert index.similar(Examples(texts=("rare words",)), 1)
    export(tmp_path / "index", tmp_path / "exported", model=ModelSource())
    with pipeline.open_index(tmp_path / "exported") as carried:
        assert carried.search("how are ranks fused?")[0].doc_id == "en/fusion.md"


def test_vectors_of_another_model_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    rows = embedded_rows([text.upper()[::-1] for text in TEXTS.values()])
    config = with_embedded(tmp_path, rows)
    with pytest.raises(ConfigError, match=r"not those of embedded: \d of 6 comparisons fall short of 0\.95, the"):
        pipeline.build(config)
    assert not (tmp_path / "index/segments").exists()
    assert pipeline.build(with_embedded(tmp_path, rows, check_texts=0)).chunks == 6
    swapped = embedded_rows(list(TEXTS.values()))
    swapped[0], swapped[1] = swapped[1], swapped[0]
    with pytest.raises(ConfigError, match="2 of 6 comparisons"):
        pipeline.build(with_embedded(tmp_path, swapped), full=True)
    assert pipeline.build(with_embedded(tmp_path, swapped, check_cosine=0.1), full=True).chunks == 6


def test_the_check_looks_at_so_many_texts_whatever_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[str]] = []
    from pipeline.models.precomputed import PrecomputedEncoder

    encode_documents = PrecomputedEncoder.encode_documents

    def noted(self: PrecomputedEncoder, texts: Sequence[str]) -> Any:
        seen[-1].update(texts)
        return encode_documents(self, texts)

    monkeypatch.setattr(PrecomputedEncoder, "encode_documents", noted)
    monkeypatch.setattr("pipeline.job.draft.Draft.calibrate", lambda *given: None)
    rows = embedded_rows(list(TEXTS.values()))
    for order in (list(range(6)), [3, 1, 5, 0, 2, 4]):
        seen.append(set())
        names, words = list(TEXTS), list(TEXTS.values())
        write(tmp_path, [rows[i] for i in order], [names[i] for i in order], [words[i] for i in order])
        encoder = {"model": "precomputed", "query_model": "embedded"}
        pipeline.build(
            config_for(tmp_path, encoder=encoder, encode={"check_texts": 3, "shard_chunks": 2}), full=True
        )
    assert len(seen[0]) == 3
    assert seen[0] == seen[1]


def test_another_dimension_than_the_query_encoders_rejects_rows_or_the_file(tmp_path: Path) -> None:
    config = with_embedded(tmp_path, vectors(count=6))
    with pytest.raises(pipeline.PipelineError, match="no document could be indexed"):
        pipeline.build(config)
    table = pq.read_table(tmp_path / "documents/v.parquet")
    fixed = table.column("vector").combine_chunks().cast(pa.list_(pa.float32(), 4))
    pq.write_table(table.set_column(2, "vector", fixed), tmp_path / "documents/v.parquet")
    with pytest.raises(ConfigError, match=r"v\.parquet: column `vector` has vectors of 4 dimensions, 384 are"):
        pipeline.build(config)


def test_a_source_without_vectors_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    write(tmp_path, vectors())
    (tmp_path / "documents/readme.md").write_text("Text.")
    with pytest.raises(ConfigError, match=r"documents/readme\.md: encoder\.model: precomputed reads vectors from"):
        pipeline.build(config_for(tmp_path, encoder=BARE))
    assert not (tmp_path / "index/staging").exists()
    source = {"path": "documents", "include": ["*.parquet"]}
    assert pipeline.build(config_for(tmp_path, encoder=BARE, sources=[source])).chunks == 4


def test_given_and_made_vectors_do_not_mix(tmp_path: Path) -> None:
    pipeline.build(with_embedded(tmp_path, embedded_rows(list(TEXTS.values()))))
    with pytest.raises(IncompatibleIndexError, match="vectors: precomputed → \\(absent\\)"):
        pipeline.build(config_for(tmp_path))
    assert pipeline.build(config_for(tmp_path), full=True).published
    with pytest.raises(IncompatibleIndexError, match="vectors: \\(absent\\) → precomputed"):
        pipeline.build(with_embedded(tmp_path, embedded_rows(list(TEXTS.values()))))


def test_derived_files_are_repaired_and_texts_are_verified(tmp_path: Path) -> None:
    write(tmp_path, vectors())
    pipeline.build(config_for(tmp_path, encoder=BARE))
    (postings,) = (tmp_path / "index").glob("segments/*/postings.arrow")
    postings.write_bytes(b"damaged")
    assert verify(tmp_path / "index").problems
    repair(tmp_path / "index")
    assert verify(tmp_path / "index", deep=True).problems == ()


@pytest.mark.parametrize(
    ("encoder", "reason"),
    [
        ({"model": "precomputed"}, "precomputed needs encoder.query_model"),
        ({"model": "precomputed", "query_model": "embedded", "dimension": 4}, "remove one of the two"),
        ({"model": "precomputed", "query_model": "none"}, "query_model=none: name the model"),
        ({"model": "precomputed", "query_model": "precomputed"}, "query_model=precomputed: name the model"),
        ({"model": "precomputed", "dimension": 4, "multivectors": True}, "multivectors: name the model"),
        ({"query_model": "embedded"}, "query_model is for encoder.model: precomputed"),
        ({"dimension": 4}, "dimension is for encoder.model: precomputed"),
    ],
)
def test_settings_that_make_no_sense(tmp_path: Path, encoder: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        config_for(tmp_path, encoder=encoder)


def test_what_encodes_nothing_takes_no_devices_and_no_chunker(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"encode\.devices: the vectors are given"):
        config_for(tmp_path, encoder=BARE, encode={"devices": ["cpu"]})
    write(tmp_path, vectors())
    from pipeline.ingest.cutting.given_chunks import GivenChunks

    with pytest.raises(ConfigError, match="chunker: rows whose vectors are given are chunks already"):
        pipeline.build(config_for(tmp_path, encoder=BARE), chunker=GivenChunks())


def test_a_dense_index_alone(tmp_path: Path) -> None:
    write(tmp_path, vectors())
    pipeline.build(config_for(tmp_path, encoder={**BARE, "lexical": "none"}))
    with pipeline.open_index(tmp_path / "index") as index:
        assert index.legs == ("dense",)
        asked = dataclasses.replace(index.encode(["red"]), dense=np.array(vectors()[2:3]))
        assert index.search_encoded(asked, 1)[0][0].doc_id == "c"


def test_given_vectors_reach_the_workers_of_a_divided_encoding(tmp_path: Path) -> None:
    """Each half encodes its shards from what was staged; the index has the vectors of the source."""
    config = config_for(tmp_path, encoder=BARE, encode={"shard_chunks": 1})
    write(tmp_path, rows := vectors())
    builder.ingest(config)
    shares.plan_shards(config)
    for share in ("1/2", "0/2"):
        shares.encode_share(config, Share.parsed(share))
    report = builder.encode(config, commit_only=True)
    assert report.chunks == 4
    assert stored(tmp_path / "index") == {name: halves(row) for name, row in zip(NAMES, rows, strict=True)}

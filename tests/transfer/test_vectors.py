"""An index, exported with its vectors and built again from them, answers with the same hits to the last bit."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pipeline
from pipeline.config import Config
from pipeline.errors import ConfigError, CorruptIndexError, IndexStoreError
from pipeline.given import MADE_BY
from pipeline.index.multivector.search import _quantise
from pipeline.index.upkeep.compact import compact
from pipeline.index.upkeep.verify import verify
from pipeline.records import Hit
from pipeline.transfer import vectors
from pipeline.transfer.vectors import export_vectors
from tests.models import tiny
from tests.support.collection import TEXTS, config_for, write_documents
from tests.support.command_line import refused, run

QUESTIONS = ["how are ranks fused?", "잘못된 빌드", "cut into chunks with an overlap", "rare words", "세대를 발행"]
SMALL: dict[str, Any] = {"max_tokens": 24, "overlap_tokens": 4}


@pytest.fixture(scope="module")
def m3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    base = tmp_path_factory.mktemp("models")
    tiny.save_bge_m3(base / "tiny-m3")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HYBRID_PIPELINE_CACHE", str(base / "cache"))
        yield base / "tiny-m3"


def answers(index: Path, **options: Any) -> dict[str, list[list[dict[str, Any]]]]:
    """What each mode answers, without the file that a hit comes from."""
    with pipeline.open_index(index) as opened:
        modes = ("hybrid", *opened.legs)
        wanted = {"context": 1, **options}
        found = {mode: opened.search_many(QUESTIONS, 10, mode, **wanted) for mode in modes}
    return {mode: [[_plain(hit) for hit in hits] for hits in each] for mode, each in found.items()}


def _plain(hit: Hit) -> dict[str, Any]:
    return {name: value for name, value in dataclasses.asdict(hit).items() if name != "source"}


def read_back(folder: Path, target: Path, model: str | Path | None, **changes: Any) -> Config:
    """A configuration that indexes an export."""
    (folder / "again").mkdir(exist_ok=True)
    encoder = {"model": "precomputed", "query_model": None if model is None else str(model)}
    encoder |= changes.pop("encoder", {})
    return config_for(folder / "again", sources=[{"path": str(target)}], encoder=encoder, **changes)


@pytest.mark.parametrize("name", ["v.parquet", "v", "v.feather"])
def test_dense_and_bm25(tmp_path: Path, name: str) -> None:
    write_documents(tmp_path / "documents")
    pipeline.build(config_for(tmp_path, chunking=SMALL))
    written = name.replace(".feather", ".parquet")
    report = export_vectors(tmp_path / "index", tmp_path / written)
    assert (report.lexical, report.multivectors, report.documents) == (False, False, len(TEXTS))
    if written != name:
        pyarrow.feather.write_feather(pq.read_table(tmp_path / written), str(tmp_path / name))
    built = pipeline.build(read_back(tmp_path, tmp_path / name, "embedded"))
    assert (built.chunks, built.rejections) == (report.chunks, ())
    assert answers(tmp_path / "index") == answers(tmp_path / "again/index")
    assert answers(tmp_path / "index", collapse=True) == answers(tmp_path / "again/index", collapse=True)
    assert verify(tmp_path / "again/index", deep=True).problems == ()


@pytest.mark.parametrize("dense", ["auto", "Flat", "SQ8"])
def test_every_storage_of_vectors_keeps_its_bits(tmp_path: Path, dense: str) -> None:
    write_documents(tmp_path / "documents")
    segments = {"dense": dense}
    pipeline.build(config_for(tmp_path, chunking=SMALL, segments=segments))
    export_vectors(tmp_path / "index", tmp_path / "v.parquet")
    kind = pq.read_schema(tmp_path / "v.parquet").field("vector").type.value_type
    assert kind == (pa.float32() if dense == "Flat" else pa.float16())
    pipeline.build(read_back(tmp_path, tmp_path / "v.parquet", "embedded", segments=segments))
    assert answers(tmp_path / "index") == answers(tmp_path / "again/index")


@pytest.mark.parametrize("precision", ["int8", "fp16"])
def test_weights_and_multivectors_of_a_bge_m3(tmp_path: Path, m3: Path, precision: str) -> None:
    write_documents(tmp_path / "documents")
    encoder = {"model": str(m3), "multivectors": True, "device": "cpu"}
    segments = {"multivectors": precision}
    pipeline.build(config_for(tmp_path, encoder=encoder, segments=segments, chunking=SMALL))
    report = export_vectors(tmp_path / "index", tmp_path / "v")
    assert (report.lexical, report.multivectors, report.dimension) == (True, True, tiny.HIDDEN)
    again = read_back(
        tmp_path, tmp_path / "v", m3, encoder={"multivectors": True, "device": "cpu"}, segments=segments
    )
    assert pipeline.build(again).rejections == ()
    assert answers(tmp_path / "index") == answers(tmp_path / "again/index")
    reranked = answers(tmp_path / "index", rerank="multivectors")
    assert reranked == answers(tmp_path / "again/index", rerank="multivectors")
    assert reranked != answers(tmp_path / "index")
    assert verify(tmp_path / "again/index", deep=True).problems == ()


def test_a_dense_and_a_lexical_model(tmp_path: Path, m3: Path) -> None:
    write_documents(tmp_path / "documents")
    lexical = {"lexical": str(m3), "device": "cpu"}
    pipeline.build(config_for(tmp_path, encoder=lexical, chunking=SMALL))
    assert export_vectors(tmp_path / "index", tmp_path / "v.parquet").lexical
    pipeline.build(read_back(tmp_path, tmp_path / "v.parquet", "embedded", encoder=lexical))
    assert answers(tmp_path / "index") == answers(tmp_path / "again/index")
    bm25 = read_back(tmp_path, tmp_path / "v.parquet", "embedded", encoder={"lexical": "bm25"})
    pipeline.build(bm25, full=True)
    assert answers(tmp_path / "index")["dense"] == answers(tmp_path / "again/index")["dense"]
    words_alone = read_back(tmp_path, tmp_path / "v.parquet", None, encoder={"dimension": 384, **lexical})
    pipeline.build(words_alone, full=True)
    with pipeline.open_index(tmp_path / "again/index") as opened:
        found = [[_plain(hit) for hit in hits] for hits in opened.search_many(QUESTIONS, 10, "lexical", context=1)]
    assert found == answers(tmp_path / "index")["lexical"]


@pytest.mark.parametrize("leg", ["dense", "lexical", "multivector"])
def test_every_leg_is_compared_with_what_the_model_makes(tmp_path: Path, m3: Path, leg: str) -> None:
    write_documents(tmp_path / "documents")
    encoder = {"multivectors": True, "device": "cpu"}
    pipeline.build(config_for(tmp_path, encoder={"model": str(m3), **encoder}))
    export_vectors(tmp_path / "index", tmp_path / "v.parquet")
    table = pq.read_table(tmp_path / "v.parquet")
    rows = table.to_pylist()
    for row in rows:
        row["vector"] = row["vector"][::-1] if leg == "dense" else row["vector"]
        row["token_ids"] = [token + 1 for token in row["token_ids"]] if leg == "lexical" else row["token_ids"]
        tokens = row["multivectors"]
        row["multivectors"] = [vector[::-1] for vector in tokens] if leg == "multivector" else tokens
    pq.write_table(pa.Table.from_pylist(rows, table.schema), tmp_path / "v.parquet")
    with pytest.raises(ConfigError, match=rf"6 of 18 comparisons fall short of 0\.95, the {leg} one of"):
        pipeline.build(read_back(tmp_path, tmp_path / "v.parquet", m3, encoder=encoder))


def test_documents_that_lie_in_several_segments_come_out_whole(tmp_path: Path) -> None:
    long = "\n\n".join(f"Paragraph {number} of a document that is cut into many chunks." for number in range(40))
    write_documents(tmp_path / "documents", {**TEXTS, "a.md": long, "z.md": long})
    changes: dict[str, Any] = {
        "chunking": SMALL,
        "encode": {"shard_chunks": 8},
        "segments": {"max_chunks": 8, "auto_compact": False},
    }
    config = config_for(tmp_path, **changes)
    pipeline.build(config)
    (tmp_path / "documents/en/bm25.md").unlink()
    write_documents(tmp_path / "documents", {"a.md": f"{long} More."})
    pipeline.build(config)
    compact(config.index_path, lambda live: [(live.segments[i], live.segments[i + 3]) for i in range(2)])
    export_vectors(tmp_path / "index", tmp_path / "v.parquet")
    table = pq.read_table(tmp_path / "v.parquet")
    documents = table.column("doc_id").to_pylist()
    assert "en/bm25.md" not in documents
    changed = [i for i in range(1, len(documents)) if documents[i] != documents[i - 1]]
    assert len(changed) + 1 == len(set(documents)), "each stands in one piece"
    ordinals = table.column("chunk_ordinal").to_pylist()
    assert all(ordinals[i] == 0 for i in [0, *changed])
    pipeline.build(read_back(tmp_path, tmp_path / "v.parquet", "embedded"))
    before, after = (answers(index, context=0) for index in (tmp_path / "index", tmp_path / "again/index"))
    for leg in ("dense", "lexical"):  # the fusion was calibrated by the first build, and for the export anew
        assert before[leg] == after[leg]


def test_a_folder_of_files_splits_no_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "MOST_ROWS", 3)
    long = "\n\n".join(f"Paragraph {number} of a document that is cut into many chunks." for number in range(9))
    write_documents(tmp_path / "documents", {**TEXTS, "long.md": long})
    pipeline.build(config_for(tmp_path, chunking=SMALL))
    report = export_vectors(tmp_path / "index", tmp_path / "v")
    files = sorted((tmp_path / "v").iterdir())
    assert len(files) == report.files > 2
    found = [set(pq.read_table(file, columns=["doc_id"]).column(0).to_pylist()) for file in files]
    assert sum(map(len, found)) == len(set().union(*found)) == report.documents
    assert sum(file.stat().st_size for file in files) == report.written_bytes
    pipeline.build(read_back(tmp_path, tmp_path / "v", "embedded"))
    assert answers(tmp_path / "index") == answers(tmp_path / "again/index")


def test_an_export_of_an_export_is_the_same(tmp_path: Path) -> None:
    write_documents(tmp_path / "documents")
    pipeline.build(config_for(tmp_path))
    export_vectors(tmp_path / "index", tmp_path / "first.parquet")
    pipeline.build(read_back(tmp_path, tmp_path / "first.parquet", "embedded"))
    export_vectors(tmp_path / "again/index", tmp_path / "second.parquet")
    first, second = (pq.read_table(tmp_path / f"{name}.parquet") for name in ("first", "second"))
    assert first.drop_columns("chunk_source") == second.drop_columns("chunk_source")


def test_a_file_of_another_model_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_documents(tmp_path / "documents")
    pipeline.build(config_for(tmp_path))
    export_vectors(tmp_path / "index", tmp_path / "v.parquet")
    again = read_back(tmp_path, tmp_path / "v.parquet", "embedded")
    pipeline.build(again)
    assert "of another model" not in caplog.text
    other = read_back(tmp_path, tmp_path / "v.parquet", "embedded-english")
    with pytest.raises(ConfigError, match="not those of embedded-english"):
        pipeline.build(other, full=True)
    assert "dense of another model (file → configured): " in caplog.text
    table = pq.read_table(tmp_path / "v.parquet")
    for metadata in ("no JSON", "[]", '{"dense": 5}'):
        pq.write_table(table.replace_schema_metadata({MADE_BY: metadata}), tmp_path / "v.parquet")
        caplog.clear()
        pipeline.build(again, full=True)
        assert "says in its metadata hybrid-pipeline.made-by what cannot be read" in caplog.text


def test_random_rows_come_out_as_they_went_in(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(50, 16))
    halves = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)
    kind = pa.list_(pa.float16(), 16)
    given_table = pa.table(
        {
            "doc_id": [f"d{i // 3}" for i in range(50)],
            "text": [f"text {i}" for i in range(50)],
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(halves.reshape(-1)), type=kind),
        }
    )
    pq.write_table(given_table, tmp_path / "given.parquet")
    sources = [{"path": str(tmp_path / "given.parquet")}]
    pipeline.build(config_for(tmp_path, sources=sources, encoder={"model": "precomputed", "dimension": 16}))
    export_vectors(tmp_path / "index", tmp_path / "out.parquet")
    found = pq.read_table(tmp_path / "out.parquet", columns=["doc_id", "text", "vector"])
    assert found.to_pylist() == given_table.to_pylist()


def test_what_is_there_already_and_what_is_damaged_is_refused(tmp_path: Path) -> None:
    write_documents(tmp_path / "documents")
    pipeline.build(config_for(tmp_path))
    index = tmp_path / "index"
    (tmp_path / "there.parquet").write_text("mine")
    with pytest.raises(IndexStoreError, match="is there already"):
        export_vectors(index, tmp_path / "there.parquet")
    assert (tmp_path / "there.parquet").read_text() == "mine"
    with pytest.raises(IndexStoreError, match="is in the index"):
        export_vectors(index, index / "v.parquet")
    (file,) = index.glob("segments/*/dense.faiss")
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    for name in ("v", "v.parquet"):
        with pytest.raises(CorruptIndexError, match=r"dense\.faiss"):
            export_vectors(index, tmp_path / name)
        assert not [path for path in tmp_path.iterdir() if path.name.lstrip(".").startswith(name)]


@pytest.mark.parametrize("name", ["v.parquet", "v"])
def test_an_export_that_fails_leaves_nothing(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_documents(tmp_path / "documents")
    pipeline.build(config_for(tmp_path))

    def fail(*given: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(vectors, "_table", fail)
    with pytest.raises(OSError, match="No space"):
        export_vectors(tmp_path / "index", tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["documents", "index"]


def test_an_index_without_vectors_is_refused(tmp_path: Path) -> None:
    write_documents(tmp_path / "documents")
    pipeline.build(config_for(tmp_path, encoder={"model": "none"}))
    with pytest.raises(IndexStoreError, match="has no vectors; `pipeline export` without --vectors"):
        export_vectors(tmp_path / "index", tmp_path / "v.parquet")


@settings(max_examples=300, deadline=None)
@given(st.lists(st.floats(-1, 1, width=32), min_size=3, max_size=3), st.floats(1e-3, 1))
def test_quantising_what_was_quantised_changes_no_bit(values: list[float], scale: float) -> None:
    vectors_before = np.array([values], np.float32) * np.float32(scale)
    codes, scales = _quantise(vectors_before, "int8")
    again, scales_again = _quantise(codes.astype(np.float32) * scales[:, None], "int8")
    assert scales_again.tobytes() == scales.tobytes()
    assert again.tobytes() == codes.tobytes()


def test_the_command(tmp_path: Path) -> None:
    write_documents(tmp_path / "documents")
    pipeline.build(config_for(tmp_path))
    (tmp_path / "config.yaml").write_text("index: index\nsources: [{path: documents}]\n")
    done = run(tmp_path, "export", "--vectors", "v.parquet")
    assert done.exit_code == 0, done.output
    assert "exported the vectors of generation 1 to v.parquet: 6 documents, 6 chunks, 384 dim" in done.output
    report = json.loads(run(tmp_path, "export", "--vectors", "w", "--json").output)
    assert (report["target"], report["files"], report["chunks"]) == ("w", 1, 6)
    assert (report["lexical"], report["multivectors"]) == (False, False)
    refused(tmp_path, "export", "--vectors", "--with-model", "x", code=2, says="leave out --with-model and --extra")
    refused(tmp_path, "export", "--vectors", "--extra", "serve", "x", code=2, says="leave out --with-model")
    again = run(tmp_path, "export", "--vectors", "v.parquet")
    assert again.exit_code not in (0, 2)
    assert "is there already" in again.output

"""Title and headings in an index: found by every leg, seen by pseudo-queries and rerankers, and not shown."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config import Config
from pipeline.errors import IncompatibleIndexError
from pipeline.index.upkeep.compact import compact
from pipeline.index.upkeep.verify import verify
from pipeline.job import build as builder
from pipeline.query.fusion.index_calibration import sample
from pipeline.query.searcher import Index, open_index
from tests.support.collection import TEXTS, config_for, write_documents

TITLED = "---\ntitle: Quagmire handbook\n---\n"
PAGES = {
    "bog.md": f"{TITLED}Some words on water that stands and on what grows there.\n\n# Peat\n\n"
    "Cut with a spade in spring, dried for a whole summer in the wind, and burnt in stoves at home.",
    **TEXTS,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("context")
    write_documents(place / "documents", PAGES)
    return place


def config(folder: Path, **chunking: Any) -> Config:
    return config_for(folder, chunking={"max_tokens": 40, "overlap_tokens": 0, **chunking})


@pytest.fixture(scope="module")
def index(folder: Path) -> Index:
    builder.build(config(folder))
    return open_index(folder / "index")


def test_a_title_in_front_matter_is_found_and_not_shown(index: Index) -> None:
    hits = index.search("quagmire", 3, mode="lexical")
    assert {hit.doc_id for hit in hits} == {"bog.md"}
    assert len(hits) == 2, "every chunk of the page says what it is about"
    assert all("quagmire" not in hit.text.casefold() for hit in hits)
    body = PAGES["bog.md"].removeprefix(TITLED)
    assert all(hit.text == body[hit.start : hit.end] for hit in hits)


def test_vectors_are_those_of_context_and_text(index: Index) -> None:
    hit = index.search("peat", 1, mode="lexical")[0]
    ids = np.array([i for i in range(index.manifest.chunks) if index.snapshot.chunk(i).chunk_id == hit.chunk_id])
    (text,) = index.snapshot.encoded_texts(ids)
    assert text == f"Quagmire handbook\nPeat\n\n{hit.text}"
    expected = index.encoder.encode_documents([text]).dense
    query = index.encode(["stoves"])
    assert expected is not None
    assert query.dense is not None
    found = index.search("stoves", 20, mode="dense")
    (score,) = [one.score for one in found if one.chunk_id == hit.chunk_id]
    assert score == pytest.approx(float(expected[0] @ query.dense[0]), abs=2e-3)


def test_pseudo_queries_are_cut_out_of_the_text_and_judged_in_its_context(index: Index) -> None:
    samples = sample(index.snapshot, 100, seed=0)
    assert samples
    for one in samples:
        chunk = index.snapshot.chunk(one.number)
        assert one.query.text in chunk.text
        before, _, after = chunk.text.partition(one.query.text)
        assert one.query.passage == f"{chunk.context}\n\n{before} {after}"


def test_a_build_changes_nothing_where_nothing_changed(folder: Path, index: Index) -> None:
    report = builder.build(config(folder))
    assert (report.added, report.changed, report.deleted) == (0, 0, 0)
    assert verify(folder / "index", deep=True).problems == ()


def test_an_index_without_contexts_goes_on_without_unless_they_are_asked_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_documents(tmp_path / "documents", PAGES)
    builder.build(config(tmp_path, context="none"))
    write_documents(tmp_path / "documents", {"late.md": "---\ntitle: Latecomer\n---\nA page of the second night."})
    with caplog.at_level(logging.WARNING):
        assert builder.build(config(tmp_path)).added == 1
    assert "chunking.context: none" in caplog.text
    with open_index(tmp_path / "index") as index:
        assert index.search("latecomer", 1, mode="lexical") == []
    with pytest.raises(IncompatibleIndexError, match=r"chunker context: \(absent\) → title"):
        builder.build(config(tmp_path, context="title"))
    builder.build(config(tmp_path), full=True)
    compact(tmp_path / "index")
    with open_index(tmp_path / "index") as index:
        assert [hit.doc_id for hit in index.search("latecomer", 1, mode="lexical")] == ["late.md"]
    assert verify(tmp_path / "index", deep=True).problems == ()


def test_an_index_without_headers_of_tables_goes_on_without_unless_they_are_asked_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = "".join(f"| widget {i} | {i}.50 | blue |\n" for i in range(40))
    write_documents(tmp_path / "documents", {"a.md": f"| name | price | quagmire |\n|---|---|---|\n{rows}"})
    builder.build(config(tmp_path, table_headers=False))
    with caplog.at_level(logging.WARNING):
        builder.build(config(tmp_path))
    assert "chunking.table_headers: false" in caplog.text
    with open_index(tmp_path / "index") as index:
        assert len(index.search("quagmire", 100, mode="lexical")) == 1
    with pytest.raises(IncompatibleIndexError, match=r"chunker table_headers: \(absent\) → 1"):
        builder.build(config(tmp_path, table_headers=True))
    builder.build(config(tmp_path), full=True)
    with open_index(tmp_path / "index") as index:
        assert len(index.search("quagmire", 100, mode="lexical")) == index.manifest.chunks > 5


def test_a_staged_ingest_without_contexts_is_encoded_without(tmp_path: Path) -> None:
    write_documents(tmp_path / "documents", PAGES)
    builder.ingest(config(tmp_path, context="none"))
    builder.encode(config(tmp_path))
    with open_index(tmp_path / "index") as index:
        assert index.search("quagmire", 1, mode="lexical") == []

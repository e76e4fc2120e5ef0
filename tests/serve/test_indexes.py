"""What the service has, and whether it is ready."""

from __future__ import annotations

import re

from pipeline.query.searcher import Index
from tests.support.live import Live


def test_indexes_are_listed_in_the_order_given(live: Live, index: Index) -> None:
    listed = live.get("/v1/indexes")["indexes"]
    assert [one["name"] for one in listed] == ["first", "second"]
    assert listed[0] == {
        "name": "first",
        "generation": 1,
        "created_at": index.manifest.created_at,
        "documents": 14,
        "chunks": 14,
        "legs": ["dense", "lexical"],
    }


def test_an_index_says_what_it_was_built_with(live: Live, index: Index) -> None:
    shown = live.get("/v1/indexes/second")
    assert shown["bytes"] == sum(file.size for entry in index.manifest.segments for file in entry.files)
    assert shown["dimension"] == index.manifest.dimension
    dense = index.manifest.fingerprint("dense")
    assert dense is not None
    assert shown["fingerprints"]["dense"] == dense.digest
    assert shown["refused"] is None
    live.refused("GET", "/v1/indexes/third", 404)


def test_a_document_is_its_chunks_in_order(live: Live, index: Index) -> None:
    for doc_id in ("ko/1", "it's", "003.txt"):
        shown = live.get(f"/v1/documents/{doc_id}")
        chunks = index.document(doc_id)
        assert shown["doc_id"] == doc_id
        assert [one["chunk_id"] for one in shown["chunks"]] == [chunk.chunk_id for chunk in chunks] != []
        assert [one["text"] for one in shown["chunks"]] == [chunk.text for chunk in chunks]
        assert shown["metadata"] == dict(chunks[0].metadata)
    assert live.get("/v1/documents/ko%2F1?index=second")["doc_id"] == "ko/1"
    live.refused("GET", "/v1/documents/nowhere", 404)
    live.refused("GET", "/v1/documents/ko%2F1?index=third", 404)


def test_it_lives_and_is_ready(live: Live) -> None:
    assert live.get("/livez") == {"status": "alive"}
    assert live.get("/readyz") == {
        "status": "ready",
        "indexes": {name: {"generation": 1, "refused": None} for name in ("first", "second")},
    }


def test_what_is_not_there_is_a_problem_too(live: Live) -> None:
    live.refused("GET", "/nothing", 404)
    live.refused("GET", "/v1/search/", 404)
    answer = live.client.delete("/v1/search")
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) >= {"GET", "POST"}
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_page_for_people_loads_nothing_from_elsewhere(live: Live) -> None:
    page = live.client.get("/docs").text
    assert "/v1/search" in page
    assert {link[0] for link in re.findall(r"(?:href|src)=['\"]?([^'\"> ]+)", page)} == {"/", "#"}
    assert "<script" not in page
    assert {one.removeprefix("#") for one in re.findall(r"href='(#[^']+)", page)} <= set(
        re.findall(r"id='([^']+)", page)
    )
    assert "/docs" in live.client.get("/").text


def test_what_prometheus_reads(live: Live) -> None:
    live.post("/v1/search", {"query": "apples"})
    text = live.client.get("/metrics").text
    assert 'hybrid_pipeline_index_generation{index="first"} 1.0' in text
    assert 'hybrid_pipeline_requests_total{method="POST",route="/v1/search",status="200"}' in text
    assert 'hybrid_pipeline_stage_seconds_count{stage="search"}' in text
    assert "hybrid_pipeline_in_flight 0.0" in text
    assert 'hybrid_pipeline_index_age_seconds{index="second"}' in text

"""A search over HTTP is the search of the library: same request, same hits, to the last bit."""

from __future__ import annotations

import dataclasses
import gzip
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from pipeline.query.searcher import Index
from pipeline.records import Encoded, Hit
from tests.faults import stub
from tests.support.live import Live, serving

QUERY = "a document about apples"
BOOST = "saturation(year, 10, 1)"


def as_told(hit: Hit) -> dict[str, Any]:
    """What an answer has to say of a hit."""
    return {
        "rank": hit.rank,
        "score": hit.score,
        "chunk_id": hit.chunk_id,
        "doc_id": hit.doc_id,
        "ordinal": hit.ordinal,
        "start": hit.start,
        "end": hit.end,
        "text": hit.text,
        "headings": list(hit.headings),
        "metadata": dict(hit.metadata),
        "before": hit.before,
        "after": hit.after,
        "section": None if hit.section is None else dataclasses.asdict(hit.section),
        "highlight": None if hit.highlight is None else json.loads(json.dumps(dataclasses.asdict(hit.highlight))),
        "boosts": [{"boost": one.boost, "factor": one.factor} for one in hit.boosts],
        "legs": {
            name: {
                "score": leg.score,
                "rank": leg.rank,
                "normalized": leg.normalized,
                "weight": leg.weight,
                "contribution": leg.contribution,
            }
            for name, leg in hit.legs.items()
        },
        "matches": [
            {
                "token": match.token,
                "query_weight": match.query_weight,
                "passage_weight": match.passage_weight,
                "contribution": match.contribution,
            }
            for match in hit.matches
        ],
    }


def told(answer: dict[str, Any], query: int = 0) -> list[dict[str, Any]]:
    """The hits of an answer without what has a test of its own."""
    return [
        {name: value for name, value in hit.items() if name != "source"} for hit in answer["results"][query]["hits"]
    ]


@pytest.mark.parametrize(
    ("body", "options"),
    [
        ({}, {}),
        ({"k": 3, "mode": "lexical"}, {"k": 3, "mode": "lexical"}),
        ({"mode": "dense", "k": 50}, {"mode": "dense", "k": 50}),
        ({"fusion": "rrf"}, {"fusion": "rrf"}),
        (
            {"fusion": {"method": "weighted", "weights": {"dense": 0.2, "lexical": 1}}},
            {"fusion": {"method": "weighted", "weights": {"dense": 0.2, "lexical": 1}}},
        ),
        ({"filter": "lang = 'ko' and year >= 2024"}, {"where": "lang = 'ko' and year >= 2024"}),
        ({"rerank": "multivectors", "rerank_top": 4}, {"rerank": "multivectors", "rerank_top": 4}),
        ({"collapse": True, "distinct": 0.5}, {"collapse": True, "distinct": 0.5}),
        (
            {"boosts": ["1.5 if lang = 'ko'", BOOST], "now": "2026-01-01T00:00:00Z", "explain": True},
            {"boosts": ["1.5 if lang = 'ko'", BOOST], "now": datetime(2026, 1, 1, tzinfo=UTC), "explain": True},
        ),
        ({"boosts": [BOOST], "highlights": True}, {"boosts": [BOOST], "highlights": True}),
        ({"merge": True, "context": 1}, {"merge": True, "context": 1}),
        ({"group": "doc_id", "group_size": 2, "k": 3}, {"group": "doc_id", "group_size": 2, "k": 3}),
        ({"context": 1, "explain": True}, {"context": 1, "explain": True}),
    ],
)
def test_the_hits_are_those_of_the_library(
    live: Live, index: Index, body: dict[str, Any], options: dict[str, Any]
) -> None:
    answer = live.post("/v1/search", {"query": QUERY, **body})
    assert told(answer) == [as_told(hit) for hit in index.search(QUERY, **options)]
    assert (answer["index"], answer["generation"]) == ("first", 1)


def test_several_queries_are_answered_in_their_order(live: Live, index: Index) -> None:
    queries = ["plums", QUERY, "pears and 사과"]
    answer = live.post("/v1/search", {"query": queries, "k": 2, "index": "second"})
    assert answer["index"] == "second"
    assert [one["query"] for one in answer["results"]] == queries
    for place, hits in enumerate(index.search_many(queries, 2)):
        assert told(answer, place) == [as_told(hit) for hit in hits]


def test_a_link_asks_for_the_same(live: Live) -> None:
    asked = {"k": 3, "mode": "lexical", "filter": "year > 2000", "explain": True, "highlights": True}
    now = {"now": "2026-01-01T00:00:00Z"}
    by_link = live.get("/v1/search", params={"q": "plums", "boost": BOOST, **asked, **now})
    assert by_link == live.post("/v1/search", {"query": "plums", "boosts": [BOOST], **asked, **now})
    for nothing in ("none", ""):
        by_link = live.get("/v1/search", params={"q": "plums", "boost": nothing, **asked})
        assert by_link == live.post("/v1/search", {"query": "plums", "boosts": [], **asked})


def test_an_explanation_adds_up_and_says_why(live: Live) -> None:
    (result,) = live.post("/v1/search", {"query": QUERY, "explain": True})["results"]
    for hit in result["hits"]:
        assert sum(leg["contribution"] for leg in hit["legs"].values()) == pytest.approx(hit["score"])
    assert {one["leg"] for one in result["trust"]} == {"dense", "lexical"}
    assert all(one["words"] for one in result["trust"])


def test_highlights_mark_the_words_of_the_query(live: Live) -> None:
    (result,) = live.post("/v1/search", {"query": "plums", "mode": "lexical", "highlights": True})["results"]
    for hit in result["hits"]:
        shown = hit["highlight"]
        assert {hit["text"][start:end].lower() for start, end in shown["spans"]} == {"plums"}
        marked = {shown["text"][start:end].lower() for start, end in shown["marks"]}
        assert marked == {"plums"}
    (plain,) = live.post("/v1/search", {"query": "plums"})["results"]
    assert all(hit["highlight"] is None for hit in plain["hits"])


def test_words_that_no_text_has_are_told_with_near_ones(live: Live, index: Index) -> None:
    answer = live.post("/v1/search", {"query": ["plms and pears", "plums"], "suggest": True})
    first, second = (one["suggestions"] for one in answer["results"])
    assert first == [{"word": "plms", "start": 0, "end": 4, "near": ["plums"]}]
    assert second == []
    assert first == [
        dataclasses.asdict(one) | {"near": list(one.near)} for one in index.suggestions("plms and pears")
    ]
    assert live.post("/v1/search", {"query": "plms"})["results"][0]["suggestions"] == []


def test_facets_are_those_of_the_library(live: Live, index: Index) -> None:
    fields = ["lang", "tags"]
    answer = live.post("/v1/search", {"query": QUERY, "facets": fields, "facet_limit": 2, "filter": "year > 2000"})
    assert answer["facets"] == [
        {
            "field": facet.field,
            "values": [
                {"value": one.value, "chunks": one.chunks, "documents": one.documents} for one in facet.values
            ],
            "distinct": facet.distinct,
            "missing": facet.missing,
        }
        for facet in index.facets(fields, "year > 2000", 2)
    ]
    assert [one["value"] for one in answer["facets"][0]["values"]] == ["en", "ko"]
    link = live.get(
        "/v1/search", params={"q": QUERY, "facets": "lang,tags", "facet_limit": 2, "filter": "year > 2000"}
    )
    assert link == answer
    assert live.post("/v1/search", {"query": QUERY})["facets"] == []


def test_sources_are_named_as_in_the_configuration(live: Live) -> None:
    (result,) = live.post("/v1/search", {"query": "plums", "k": 20})["results"]
    assert all(hit["source"] and not hit["source"].startswith("/") for hit in result["hits"])


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "query"),
        ({"query": ""}, "query"),
        ({"query": " "}, "empty"),
        ({"query": []}, "query"),
        ({"query": "x", "k": 0}, "k"),
        ({"query": "x", "k": "3"}, "k"),
        ({"query": "x", "k": 1001}, "k: at most 1,000 here"),
        ({"query": "x", "mode": "sparse"}, "mode"),
        ({"query": "x", "fusion": "nonsense"}, "nonsense"),
        ({"query": "x", "fusion": {"method": "rrf", "weight": 1}}, "fusion"),
        ({"query": "x", "filter": "year >"}, "filter: "),
        ({"query": "x", "filter": "year > (select 1)"}, "no subqueries"),
        ({"query": "x", "rerank": "/etc/passwd"}, "rerank: this service has none, multivectors"),
        ({"query": "x", "rerank_top": 201}, "rerank_top: at most 200"),
        ({"query": "x", "context": 11}, "context: at most 10"),
        ({"query": "x", "facets": ["lan"]}, "lang"),
        ({"query": "x", "facets": ["lang"] * 21}, "facets: at most 20"),
        ({"query": "x", "facets": ["lang"], "facet_limit": 1001}, "facet_limit: at most 1,000"),
        ({"query": "x", "facet_limit": 3}, "facet_limit: nothing is counted"),
        ({"query": "x", "group_size": 3}, "group_size=3: nothing is grouped"),
        ({"query": "x", "kk": 3}, "kk"),
        ({"query": ["x"] * 65}, "at most 64 queries"),
        ({"query": "x" * 8193}, "8,193 characters"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(live: Live, body: dict[str, Any], says: str) -> None:
    assert says in live.refused("POST", "/v1/search", 422, json=body)["detail"]


def test_multivectors_that_an_encoder_does_not_give_are_the_clients_mistake(tmp_path: Path) -> None:
    class Plain(stub.HashedEncoder):
        gives_multivectors = False

        def encode_documents(self, texts: Sequence[str]) -> Encoded:
            return dataclasses.replace(super().encode_documents(texts), multivectors=None)

        encode_queries = encode_documents

    stub.write_texts(tmp_path, 0)
    plain = stub.encoder(Plain())
    stub.build(stub.stub_config(tmp_path), encoder=plain)
    with stub.open_index(tmp_path / "index", encoder=plain) as index, serving({"plain": index}) as running:
        problem = running.refused("POST", "/v1/search", 422, json={"query": "plums", "rerank": "multivectors"})
    assert "gives no multi-vectors" in problem["detail"]


def test_an_unknown_index_is_not_there(live: Live) -> None:
    live.refused("POST", "/v1/search", 404, json={"query": "x", "index": "third"})
    live.refused("GET", "/v1/search?q=x&index=third", 404)


def test_a_query_string_says_each_thing_once(live: Live) -> None:
    assert "k: stands twice" in live.refused("GET", "/v1/search?q=x&k=3&k=4", 422)["detail"]
    assert "page" in live.refused("GET", "/v1/search?q=x&page=2", 422)["detail"]


def test_only_json_is_read(live: Live) -> None:
    live.refused("POST", "/v1/search", 415, content=b'{"query": "x"}', headers={"Content-Type": "text/plain"})
    live.refused("POST", "/v1/search", 415, content=b'{"query": "x"}')
    json_type = {"Content-Type": "application/json"}
    for body, encoding in ((gzip.compress(b'{"query": "x"}'), "gzip"), (b'{"query": "x"}', "br")):
        headers = {**json_type, "Content-Encoding": encoding}
        problem = live.refused("POST", "/v1/search", 415, content=body, headers=headers)
        assert "Content-Encoding" in problem["detail"]
    same = live.client.post(
        "/v1/search", content=b'{"query": "x"}', headers={**json_type, "Content-Encoding": "identity"}
    )
    assert same.status_code == 200
    headers = {"Content-Type": "application/json; charset=utf-8"}
    for wrong in (b"", b"{", b"[]", b'{"query": "\xff"}', b'{"query": "\\ud800"}', b"[" * 10_000):
        live.refused("POST", "/v1/search", 422, content=wrong, headers=headers)
    assert live.client.post("/v1/search", content=b'{"query": "x"}', headers=headers).status_code == 200


def test_a_body_that_is_too_large_is_not_read(live: Live) -> None:
    big = json.dumps({"query": "x" * 2**20}).encode()
    headers = {"Content-Type": "application/json"}
    live.refused("POST", "/v1/search", 413, content=big, headers=headers)
    live.refused("POST", "/v1/search", 413, content=iter([big[:1000], big[1000:]]), headers=headers)
    assert isinstance(live.client, httpx2.Client)
    assert live.get("/livez") == {"status": "alive"}

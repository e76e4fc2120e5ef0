"""Searches by example over HTTP: the hits of the library, and nothing by way of what a caller may not see."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import ServeLimits, ServeSettings
from pipeline.query.access import ALL_GROUPS
from pipeline.query.searcher import Index
from pipeline.query.similar import Examples
from pipeline.serve.guard.keys import hash_of, load_keys
from pipeline.serve.schemas.hits import hit_answer
from tests.faults import stub
from tests.support.grouped import built as built_for_groups
from tests.support.grouped import records
from tests.support.live import Live, serving

KOREAN = "2 if lang = 'ko'"


@pytest.mark.parametrize(
    ("body", "examples", "options"),
    [
        ({"texts": ["plums", "사과"]}, Examples(texts=("plums", "사과")), {}),
        ({"doc_ids": ["ko/1"], "texts": ["plums"]}, Examples(documents=("ko/1",), texts=("plums",)), {}),
        (
            {"texts": ["apples"], "unlike_doc_ids": ["ko/1"], "unlike_texts": ["plums"]},
            Examples(texts=("apples",), unlike_documents=("ko/1",), unlike_texts=("plums",)),
            {},
        ),
        (
            {"doc_ids": ["it's"], "mode": "dense", "collapse": False, "k": 3, "context": 1},
            Examples(documents=("it's",)),
            {"mode": "dense", "collapse": False, "k": 3, "context": 1},
        ),
        (
            {"texts": ["plums"], "boosts": [KOREAN], "explain": True, "fusion": "rrf", "filter": "year >= 2023"},
            Examples(texts=("plums",)),
            {"boosts": [KOREAN], "explain": True, "fusion": "rrf", "where": "year >= 2023"},
        ),
    ],
)
def test_hits_are_those_of_the_library(
    live: Live, index: Index, body: dict[str, Any], examples: Examples, options: dict[str, Any]
) -> None:
    answer = live.post("/v1/similar", {"index": "second", **body})
    expected = index.similar(examples, **options)
    assert answer["hits"] == [hit_answer(hit).model_dump(mode="json") for hit in expected]
    assert expected
    assert (answer["index"], answer["mode"], answer["doc_id"]) == ("second", body.get("mode", "hybrid"), None)


def test_a_link_is_boosted_and_explained_as_a_body_is(live: Live) -> None:
    linked = live.get("/v1/similar", params={"doc_id": "it's", "boost": KOREAN, "explain": "true", "k": 4})
    asked = live.post("/v1/similar", {"doc_ids": ["it's"], "boosts": [KOREAN], "explain": True, "k": 4})
    assert linked == {**asked, "doc_id": "it's"}
    assert {one["boosts"][0]["boost"] for one in linked["hits"]} == {KOREAN}


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({}, 422, "at least one document or text"),
        ({"unlike_texts": ["x"]}, 422, "at least one document or text"),
        ({"texts": [" "]}, 422, "a text is empty"),
        ({"doc_ids": [" "]}, 404, "no document ' '"),
        ({"texts": [""]}, 422, "texts.0"),
        ({"texts": "plums"}, 422, "texts"),
        ({"text": ["plums"]}, 422, "text"),
        ({"texts": ["plums"], "fusion": "rff"}, 422, "did you mean 'rrf'"),
        ({"texts": ["plums"], "unlike_doc_ids": ["nowhere"]}, 404, "no document 'nowhere'"),
        ({"texts": ["plums"], "boosts": ["recency(yaer, 3d)"]}, 422, "unknown field 'yaer'; did you mean 'year'"),
        ({"texts": ["plums"], "now": "2026-01-01T00:00:00"}, 422, "timezone"),
        ({"texts": ["plums"], "filter": "yaer > 3"}, 422, "did you mean 'year'"),
        ({"texts": ["plums"], "index": "third"}, 404, "index"),
        ({"texts": ["plums"], "k": 100_000}, 422, "at most 1,000 here"),
        ({"texts": ["x"] * 300}, 422, "texts: at most 256 here"),
        ({"doc_ids": ["x" * 9000]}, 422, "doc_ids: a text of 9,000 characters; at most 8,192"),
    ],
)
def test_what_makes_no_sense_is_told(live: Live, body: dict[str, Any], status: int, says: str) -> None:
    problem = live.refused("POST", "/v1/similar", status, json=body)
    assert says in problem["detail"]
    assert problem["errors"], "which field is wrong"


def test_the_example_that_is_wrong_is_the_field_that_is_named(live: Live) -> None:
    def named(problem: dict[str, Any]) -> list[str]:
        return [one["field"] for one in problem["errors"]]

    assert named(live.refused("POST", "/v1/similar", 422, json={})) == ["doc_ids", "texts"]
    body = {"doc_ids": ["it's", "nowhere"], "unlike_doc_ids": ["nowhere"]}
    assert named(live.refused("POST", "/v1/similar", 404, json=body)) == ["doc_ids.1"]
    body = {"doc_ids": ["it's"], "unlike_doc_ids": ["nowhere"]}
    assert named(live.refused("POST", "/v1/similar", 404, json=body)) == ["unlike_doc_ids.0"]
    assert named(live.refused("GET", "/v1/similar?doc_id=nowhere", 404)) == ["doc_id"]
    assert named(live.refused("GET", f"/v1/similar?doc_id={'x' * 9000}", 422)) == ["doc_id"]


def test_limits_of_the_service_count_and_are_described(index: Index) -> None:
    limits = ServeLimits(texts=2, query_characters=20, k=5)
    with serving({"one": index}, ServeSettings(refresh_seconds=3600.0, limits=limits)) as live:
        assert len(live.post("/v1/similar", {"texts": ["plums"]})["hits"]) == 5
        live.refused("POST", "/v1/similar", 422, json={"texts": ["a", "b", "c"]})
        live.refused("POST", "/v1/similar", 422, json={"texts": ["a" * 21]})
        fields = live.get("/openapi.json")["components"]["schemas"]["SimilarBody"]["properties"]
        assert (fields["texts"]["maxItems"], fields["unlike_texts"]["items"]["maxLength"]) == (2, 20)
        assert any(option.get("maximum") == 5 for option in fields["k"]["anyOf"])


@pytest.fixture(scope="module")
def grouped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A service of an index with an access field; a key is called as its group is."""
    folder: Path = built_for_groups(tmp_path_factory.mktemp("alike"), records(), access_field="groups").index_path
    file = tmp_path_factory.mktemp("keys") / "keys.yaml"
    entries = [f"- {{name: {name}, hash: '{hash_of(name)}', groups: [{name}]}}\n" for name in ("staff", "hr")]
    file.write_text("keys:\n" + "".join(entries))
    with (
        stub.open_index(folder, groups=ALL_GROUPS) as index,
        serving({"docs": index}, keys=load_keys(file, {})) as live,
    ):
        yield live


@pytest.mark.parametrize("key", ["staff", "hr"])
def test_a_hidden_document_is_no_example_and_is_told_as_a_missing_one(grouped: Live, key: str) -> None:
    visible = {one["_id"] for one in records() if key in one.get("groups", ())}
    hidden = next(one["_id"] for one in records() if one["_id"] not in visible)
    seen = min(visible)

    def ask(**body: Any) -> Any:
        return grouped.client.post("/v1/similar", json=body, headers={"X-API-Key": key})

    for names in (("doc_ids", hidden), ("unlike_doc_ids", hidden)):
        told = []
        for doc_id in (names[1], "none"):
            answer = ask(**{"texts": ["plums"], names[0]: [doc_id]})
            assert answer.status_code == 404
            told.append({**answer.json(), "request_id": ""})
        assert str(told[0]).replace(hidden, "none") == str(told[1])
    alike = ask(doc_ids=[seen], texts=["plums"], k=500, explain=True, context=2, mode="dense").json()["hits"]
    assert {hit["doc_id"] for hit in alike} == visible - {seen}

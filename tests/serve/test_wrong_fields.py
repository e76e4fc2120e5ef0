"""Which field of a request is wrong, and why, in the names that were sent."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.live import Live


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"query": 5}, "query"),
        ({"query": ["x", 5]}, "query.1"),
        ({"query": "x", "fusion": 7}, "fusion"),
        ({"query": "x", "fusion": {"method": "rrf", "rrf_k": -1}}, "fusion.rrf_k"),
        ({"query": "x", "fusion": {"method": "auto", "weights": {"dense": -1}}}, "fusion"),
        ({"query": "x", "str": 3}, "str"),
        ({"query": "x", "filter": "year >"}, "filter"),
        ({"query": "x", "boosts": ["2 if year >"]}, "boosts"),
        ({"query": "x", "boosts": ["nonsense"]}, "boosts"),
        ({"query": "x", "facets": ["lan"]}, "facets"),
        ({"query": "x", "facet_limit": 3}, "facet_limit"),
        ({"query": "x", "group_size": 3}, "group_size"),
        ({"query": "x", "rerank": "/etc/passwd"}, "rerank"),
        ({"query": " "}, "query"),
        ({"query": ["x", " "]}, "query.1"),
        ({"query": "x", "fusion": "rff"}, "fusion"),
        ({"query": "x", "fusion": {"method": "weighted", "weights": {"dense": 0, "lexical": 0}}}, "fusion"),
        ({"query": "x", "merge": True, "collapse": True}, "merge"),
        ({"query": "x", "merge": True, "collapse": True}, "collapse"),
        ({"query": "x", "group": "doc_id", "distinct": 0.5}, "distinct"),
        ({"query": "x", "group": "doc_id", "k": 500, "group_size": 500}, "group_size"),
        ({"query": "x", "group": "doc_id", "k": 500, "group_size": 500}, "k"),
    ],
)
def test_fields_have_the_names_that_were_sent(live: Live, body: dict[str, Any], field: str) -> None:
    problem = live.refused("POST", "/v1/search", 422, json=body)
    named = {one["field"] for one in problem["errors"]}
    assert field in named
    assert all(one.partition(".")[0] in body for one in named)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"query": ["x", ""]}, "query.1: String should have at least 1 character"),
        ({"query": []}, "query: List should have at least 1 item after validation, not 0"),
        ({"query": "x", "fusion": {"metod": "rrf"}}, "fusion.metod: Extra inputs are not permitted"),
        (
            {"query": "x", "fusion": {"method": "auto", "weights": {"dens": 1}}},
            "fusion: query.fusion.weights: there is",
        ),
        ({"query": 5}, "query: Input should be a valid string; and 1 more"),
    ],
)
def test_of_a_value_with_several_forms_the_one_that_was_meant_is_told(
    live: Live, body: dict[str, Any], told: str
) -> None:
    problem = live.refused("POST", "/v1/search", 422, json=body)
    assert problem["detail"].startswith(told)
    assert problem["error"]["param"] == problem["errors"][0]["field"]


def test_a_link_names_its_own_parameter(live: Live) -> None:
    for link, field in (
        ("q=x&boost=nonsense", "boost"),
        ("q=x&filter=year+%3E", "filter"),
        ("q=x&k=3&k=4", "k"),
        ("q=+", "q"),
        ("q=x&fusion=rff", "fusion"),
        (f"q={'x' * 9000}", "q"),
    ):
        problem = live.refused("GET", f"/v1/search?{link}", 422)
        assert [one["field"] for one in problem["errors"]] == [field]
        assert problem["error"]["param"] == field


def test_an_index_that_there_is_not_is_told_as_the_field_that_names_it(live: Live) -> None:
    for method, path, options in (
        ("POST", "/v1/search", {"json": {"query": "x", "index": "third"}}),
        ("GET", "/v1/search?q=x&index=third", {}),
        ("GET", "/v1/documents/ko/1?index=third", {}),
        ("POST", "/v1/similar", {"json": {"texts": ["x"], "index": "third"}}),
    ):
        problem = live.refused(method, path, 404, **options)
        assert [one["field"] for one in problem["errors"]] == ["index"]
    assert live.refused("GET", "/v1/indexes/third", 404)["errors"] == [], "its address names it, no field does"


def test_a_fault_that_several_forms_share_is_told_once(live: Live) -> None:
    problem = live.refused(
        "POST", "/v1/vector_stores/first/search", 422, json={"query": "x", "filters": {"lang": "ko"}}
    )
    told = [(one["field"], one["message"]) for one in problem["errors"]]
    assert len(told) == len(set(told))
    assert ("filters.lang", "Extra inputs are not permitted") in told


@pytest.mark.parametrize("now", [2026, 1.5, True, "2026", "1767225600", "-3", "today", "", {}])
def test_a_moment_is_written_out(live: Live, now: object) -> None:
    """A number would be seconds since 1970, and 2026 be half an hour after."""
    for path, body in (("/v1/search", {"query": "x"}), ("/v1/similar", {"texts": ["x"]})):
        problem = live.refused("POST", path, 422, json={**body, "now": now})
        assert problem["detail"] == "now: write the moment out with its time zone, as in 2026-01-31T12:00:00Z"
        assert [one["field"] for one in problem["errors"]] == ["now"]
    if isinstance(now, str | int):
        live.refused("GET", f"/v1/search?q=x&now={now}", 422)
    for right in ("2026-01-31T12:00:00Z", "2026-01-31 12:00:00+09:00"):
        assert live.post("/v1/search", {"query": "x", "now": right})["results"]


def test_a_broken_body_is_called_one(live: Live) -> None:
    problem = live.refused("POST", "/v1/search", 422, content="{", headers={"Content-Type": "application/json"})
    assert problem["detail"].startswith("body: Invalid JSON")

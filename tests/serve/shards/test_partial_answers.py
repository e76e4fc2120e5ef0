"""Where a shard is down, every address says so: an answer without it where that is allowed, else an error."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from pipeline.config import Config, ServeSettings
from pipeline.integrations.parameters import SearchParameters
from pipeline.integrations.service import ServiceSettings, ServiceSource
from pipeline.query.shards.partition import Share
from tests.faults import stub
from tests.support.live import Live, serving
from tests.support.sharded import NearShard, down, front

ERROR = ServeSettings(refresh_seconds=3600.0)
PARTIAL = ERROR.model_copy(update={"on_shard_failure": "partial"})
GONE = "1/3"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    base = tmp_path_factory.mktemp("partial")
    stub.write_texts(base, 0)
    config = stub.stub_config(base, segments={"max_chunks": 5, "auto_compact": False})
    stub.build(config)
    return config


@pytest.fixture
def broken(config: Config) -> Iterator[tuple[Live, list[NearShard]]]:
    """A front that may do without shards, one of which is down."""
    index, shards = front(config.index_path, 3)
    with serving({"index": index}, PARTIAL) as live:
        shards[1].broken = down
        yield live, shards


def documents(config: Config, is_there: bool) -> str:
    """A document that is with the shards that answer, or with the one that does not."""
    from pipeline.index import manifest as manifests

    places = set(Share.parsed(GONE).segments_of(manifests.load(config.index_path, 1)))
    with stub.open_index(config.index_path) as whole:
        snapshot = whole.snapshot
        for number in range(whole.manifest.chunks):
            ((segment, _, _),) = snapshot.by_segment(snapshot.background[number : number + 1])
            if (segment not in places) is is_there:
                return snapshot.doc_id(int(snapshot.background[number]))
    raise AssertionError("all documents are with one shard")


def test_every_address_answers_in_part(config: Config, broken: Any) -> None:
    live, _ = broken
    there = documents(config, is_there=True)
    answers = [
        live.post("/v1/search", {"query": ["plums", "pears"], "k": 30}),
        live.post(
            "/v1/search", {"query": "plums", "facets": ["doc_id"], "suggest": True, "boosts": ["2 if ordinal = 0"]}
        ),
        live.get("/v1/search?q=plums"),
        live.get(f"/v1/similar?doc_id={there}"),
        live.get(f"/v1/documents/{there}"),
        live.post("/v1/vector_stores/index/search", {"query": "plums"}),
    ]
    assert [(one["partial"], one["missing_shards"]) for one in answers] == [(True, [GONE])] * len(answers)
    assert len(answers[0]["results"]) == 2
    assert 0 < answers[1]["facets"][0]["distinct"] < 24


def test_every_address_is_an_error_where_that_is_asked(config: Config, broken: Any) -> None:
    live, _ = broken
    there = documents(config, is_there=True)
    asked = {"on_shard_failure": "error"}
    refused = [
        live.refused("POST", "/v1/search", 503, json={"query": "plums", **asked}),
        live.refused("GET", f"/v1/similar?doc_id={there}&on_shard_failure=error", 503),
        live.refused("GET", f"/v1/documents/{there}?on_shard_failure=error", 503),
        live.refused("POST", "/v1/vector_stores/index/search", 503, json={"query": "plums", **asked}),
    ]
    assert all(GONE in one["detail"] for one in refused)


def test_a_document_that_may_be_with_the_missing_shard_is_not_denied(config: Config, broken: Any) -> None:
    live, shards = broken
    gone = documents(config, is_there=False)
    for address in (f"/v1/documents/{gone}", f"/v1/similar?doc_id={gone}"):
        assert GONE in live.refused("GET", address, 503)["detail"]
    shards[1].broken = None


def test_a_full_answer_says_that_it_is_full(config: Config) -> None:
    index, _ = front(config.index_path, 3)
    with serving({"index": index}, PARTIAL) as live:
        doc_id = documents(config, is_there=False)
        for answer in (
            live.post("/v1/search", {"query": "plums"}),
            live.get(f"/v1/similar?doc_id={doc_id}"),
            live.get(f"/v1/documents/{doc_id}"),
            live.post("/v1/vector_stores/index/search", {"query": "plums"}),
        ):
            assert (answer["partial"], answer["missing_shards"]) == (False, [])
        live.refused("GET", "/v1/documents/nowhere", 404)


async def called(live: Live, tool: str, **arguments: Any) -> Any:
    """What the protocol's own client is answered."""
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client

    async with (
        httpx2.AsyncClient() as http,
        Client(streamable_http_client(f"{live.url}/mcp", http_client=http)) as client,
    ):
        return await client.call_tool(tool, arguments)


def test_tools_for_agents_say_what_is_missing(config: Config, broken: Any) -> None:
    pytest.importorskip("mcp")
    live, _ = broken
    there, gone = documents(config, is_there=True), documents(config, is_there=False)
    for tool, arguments in (
        ("search", {"query": "plums"}),
        ("similar", {"texts": ["plums"]}),
        ("read_document", {"doc_id": there}),
    ):
        answer = asyncio.run(called(live, tool, **arguments))
        assert not answer.is_error, answer.content
        assert (answer.structured_content["partial"], answer.structured_content["missing_shards"]) == (True, [GONE])
    answer = asyncio.run(called(live, "read_document", doc_id=gone))
    assert answer.is_error
    assert GONE in answer.content[0].text


def test_tools_for_agents_name_the_shards_that_failed(config: Config) -> None:
    pytest.importorskip("mcp")
    index, shards = front(config.index_path, 3)
    with serving({"index": index}, ERROR) as live:
        assert not asyncio.run(called(live, "search", query="plums")).is_error
        shards[1].broken = down
        answer = asyncio.run(called(live, "search", query="pears"))
        assert answer.is_error
        assert f"shards of index index did not answer: {GONE}" in answer.content[0].text


def test_an_adapter_of_the_service_warns(broken: Any, caplog: pytest.LogCaptureFixture) -> None:
    live, _ = broken
    source = ServiceSource(ServiceSettings(url=live.url))
    assert source.search("plums", SearchParameters())
    assert f"these shards failed: {GONE}" in caplog.text

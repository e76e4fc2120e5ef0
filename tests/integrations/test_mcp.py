"""The MCP server, through the SDK's own client: in memory and over HTTP."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS

from pipeline.errors import EncoderError
from pipeline.integrations.agents.answers import uri
from pipeline.integrations.agents.arguments import CONDITIONS, MOST_HITS
from pipeline.integrations.mcp import http_app, mcp_server
from pipeline.job import build as builder
from pipeline.query.searcher import Index, open_index
from pipeline.query.similar import Examples
from tests.support.collection import config_for, write_documents

QUERY = "how do I roll back a bad build?"
LONG = "# Long\n\n" + "\n\n".join(f"Paragraph {i} of a document about pears. " * 12 for i in range(12))


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """An index of one document of several chunks, whose id is no easy one."""
    folder = tmp_path_factory.mktemp("long")
    write_documents(folder / "documents", {"한글 & more/a b?#.md": LONG})
    config = config_for(folder, chunking={"max_tokens": 128, "overlap_tokens": 16})
    builder.build(config)
    with open_index(config.index_path) as opened:
        yield opened


@contextlib.asynccontextmanager
async def client(index: Index, **others: Any) -> AsyncIterator[Client]:
    async with Client(mcp_server({"handbook": index, **others})) as found:
        yield found


async def call(found: Client, tool: str, **arguments: Any) -> Any:
    """What a tool answers, structured; the same must stand there as text."""
    result = await found.call_tool(tool, arguments)
    assert not result.is_error, result.content
    assert json.loads(result.content[0].text) == result.structured_content
    return result.structured_content


async def refusal(found: Client, tool: str, **arguments: Any) -> str:
    result = await found.call_tool(tool, arguments)
    assert result.is_error
    return str(result.content[0].text)


async def test_what_is_offered(index: Index) -> None:
    async with client(index) as found:
        tools = {tool.name: tool for tool in (await found.list_tools()).tools}
        assert tools.keys() == {"search", "read_document", "similar", "index_info"}
        for tool in tools.values():
            assert tool.output_schema is not None
            assert tool.description
            assert tool.annotations is not None
            assert tool.annotations.read_only_hint is True
            assert tool.annotations.destructive_hint is False
            assert tool.input_schema["additionalProperties"] is False
            for name, argument in tool.input_schema["properties"].items():
                assert argument["description"], f"{tool.name}: {name}"
        assert tools["search"].input_schema["required"] == ["query"]
        assert found.server_info.version == version("hybrid-pipeline")
        templates = (await found.list_resource_templates()).resource_templates
        assert [one.uri_template for one in templates] == ["document://{index}/{+doc_id}"]


async def test_search_gives_the_hits_of_the_index(index: Index) -> None:
    async with client(index) as found:
        answer = await call(
            found, "search", query=QUERY, k=3, filter="lang = 'en'", context=1, one_per_document=True
        )
    hits = index.search(QUERY, 3, where="lang = 'en'", context=1, collapse=True)
    assert (answer["index"], answer["generation"]) == ("handbook", index.manifest.generation)
    for shown, hit in zip(answer["hits"], hits, strict=True):
        for name in ("rank", "score", "doc_id", "chunk_id", "text", "before", "after", "source"):
            assert shown[name] == getattr(hit, name)
        assert shown["metadata"] == dict(hit.metadata)
        assert shown["legs"] == {leg: {"score": one.score, "rank": one.rank} for leg, one in hit.legs.items()}


async def test_a_document_is_read_on_from_where_a_part_ended(long: Index) -> None:
    (doc_id,) = {hit.doc_id for hit in long.search("pears", 50)}
    chunks = long.document(doc_id)
    assert len(chunks) > 4
    async with Client(mcp_server({"long": long})) as found:
        passages: list[Any] = []
        following: int | None = 0
        while following is not None:
            part = await call(found, "read_document", doc_id=doc_id, first=following, passages=2)
            assert part["total"] == len(chunks)
            passages += part["passages"]
            following = part["next"]
        assert [one["text"] for one in passages] == [chunk.text for chunk in chunks]
        assert [one["ordinal"] for one in passages] == list(range(len(chunks)))
        past_the_end = await call(found, "read_document", doc_id=doc_id, first=len(chunks))
        assert (past_the_end["passages"], past_the_end["next"]) == ([], None)


async def test_a_resource_is_the_document_without_its_overlaps(long: Index) -> None:
    async with Client(mcp_server({"long": long})) as found:
        (hit,) = (await call(found, "search", query="pears", k=1))["hits"]
        assert hit["uri"] == uri("long", hit["doc_id"])
        (content,) = (await found.read_resource(hit["uri"])).contents
    assert content.mime_type == "text/plain"
    assert content.text.split() == LONG.split()


@pytest.mark.parametrize("doc_id", ["../../etc/passwd", "/etc/passwd", "no such", "a\x00b"])
async def test_a_resource_that_is_not_there(index: Index, doc_id: str) -> None:
    async with client(index) as found:
        with pytest.raises(MCPError) as caught:
            await found.read_resource(uri("handbook", doc_id))
        assert str(index.path) not in str(caught.value)
        with pytest.raises(MCPError, match="there is no index 'other'; there are: handbook"):
            await found.read_resource(uri("other", "en/bm25.md"))


async def test_similar_documents(index: Index) -> None:
    async with client(index) as found:
        answer = await call(
            found, "similar", doc_ids=["en/rollback.md"], unlike_texts=["chunking"], k=3, filter="year > 2019"
        )
    examples = Examples(documents=("en/rollback.md",), unlike_texts=("chunking",))
    expected = index.similar(examples, 3, where="year > 2019")
    assert [one["chunk_id"] for one in answer["hits"]] == [hit.chunk_id for hit in expected]


async def test_similar_takes_what_search_takes(index: Index) -> None:
    boosts = ["2 if lang = 'ko'"]
    async with client(index) as found:
        alike = await call(
            found,
            "similar",
            texts=["roll back", "되돌리기"],
            mode="lexical",
            one_per_document=False,
            context=1,
            boosts=boosts,
        )
        boosted = await call(found, "search", query=QUERY, boosts=boosts)
        plain = await call(found, "search", query=QUERY)
    examples = Examples(texts=("roll back", "되돌리기"))
    expected = index.similar(examples, 8, "lexical", collapse=False, context=1, boosts=boosts)
    assert [(one["chunk_id"], one["score"], one["before"]) for one in alike["hits"]] == [
        (hit.chunk_id, hit.score, hit.before) for hit in expected
    ]
    assert [one["score"] for one in boosted["hits"]] == [hit.score for hit in index.search(QUERY, 8, boosts=boosts)]
    assert [one["score"] for one in boosted["hits"]] != [one["score"] for one in plain["hits"]]


async def test_indexes_and_their_fields(index: Index, long: Index) -> None:
    async with client(index, long=long) as found:
        both = (await call(found, "index_info"))["indexes"]
        assert [one["name"] for one in both] == ["handbook", "long"]
        (one,) = (await call(found, "index_info", index="handbook"))["indexes"]
        assert one == both[0]
        fields = {field["name"]: field["type"] for field in one["fields"]}
        assert (fields["lang"], fields["year"], fields["doc_id"]) == ("texts", "whole numbers", "texts")
        assert (one["documents"], one["legs"]) == (index.manifest.documents, ["dense", "lexical"])
        other = await call(found, "search", query="pears", index="long")
        assert other["index"] == "long"


@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        ("search", {"query": QUERY, "filter": "lagn = 'ko'"}, "unknown column 'lagn'; did you mean 'lang'"),
        ("search", {"query": " "}, "the query is empty"),
        ("search", {"query": QUERY, "index": "other"}, "there is no index 'other'; there are: handbook"),
        ("search", {"query": QUERY, "k": MOST_HITS + 1}, "less than or equal to 50"),
        ("search", {"query": QUERY, "mode": "fuzzy"}, "hybrid"),
        ("search", {"query": "x" * 9000}, "8192"),
        ("search", {"query": QUERY, "top_k": 3}, "there is no argument 'top_k'; known: query, k, mode, filter, "),
        ("search", {"query": QUERY, "filters": "true"}, "no argument 'filters'; did you mean 'filter'? known: "),
        ("read_document", {"doc_id": "en/bm25.md", "start": 3}, "known: doc_id, first, passages, index"),
        ("search", {"k": "many", "context": 9}, "query: Field required; k: Input should be a valid integer"),
        ("read_document", {"doc_id": "nowhere"}, "index handbook has no document 'nowhere'"),
        ("similar", {}, "give at least one document or text"),
        ("similar", {"doc_ids": [""]}, "doc_ids.0: String should have at least 1 character"),
        ("similar", {"doc_ids": ["nowhere"]}, "nowhere"),
        ("similar", {"texts": ["x"], "boosts": ["7 if"]}, "'7 if' is no boost; write recency("),
        ("search", {"query": QUERY, "boosts": ["recency(no, 3d)"]}, "unknown field 'no'"),
    ],
)
async def test_what_cannot_be_answered_says_why(
    index: Index, tool: str, arguments: dict[str, Any], words: str
) -> None:
    async with client(index) as found:
        told = await refusal(found, tool, **arguments)
    assert words in told
    assert "pydantic" not in told
    assert str(index.path) not in told


@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        ("search", {"query": QUERY, "filter": "lang:ko"}, "filter: at character 5, `:`: not expected here"),
        (
            "search",
            {"query": QUERY, "filter": "json(lang) = 'ko'"},
            "a condition may not use the function json; write",
        ),
        ("search", {"query": QUERY, "filter": {"lang": "ko"}}, "filter: Input should be a valid string; write"),
        ("similar", {"texts": ["x"], "filter": "lagn = 'ko'"}, "did you mean 'lang'"),
        ("search", {"query": QUERY, "boosts": ["2 if lagn = 'ko'"]}, "did you mean 'lang'"),
    ],
)
async def test_a_wrong_filter_is_told_with_conditions_that_are_right(
    index: Index, tool: str, arguments: dict[str, Any], words: str
) -> None:
    """An agent cannot read a page of documentation."""
    async with client(index) as found:
        told = await refusal(found, tool, **arguments)
        (offered,) = [one for one in (await found.list_tools()).tools if one.name == "search"]
    assert words in told
    assert told.endswith(f"; write conditions as in: {'; '.join(CONDITIONS)}")
    assert "docs/" not in told
    assert all(one in offered.input_schema["properties"]["filter"]["description"] for one in CONDITIONS)


def test_the_conditions_that_are_shown_are_right(tmp_path: Path) -> None:
    rows = [
        {"_id": "a", "text": "x", "lang": "ko", "year": 2024, "tags": ["ops", "x"], "title": "The Runbook"},
        {"_id": "b", "text": "y", "lang": "en", "year": 2019, "tags": ["y"], "title": "Other"},
    ]
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "all.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    config = config_for(tmp_path)
    builder.build(config)
    with open_index(config.index_path) as opened:
        for condition in CONDITIONS:
            assert [hit.doc_id for hit in opened.search("x", mode="dense", where=condition)] == ["a"], condition


async def test_a_prompt_that_there_is_not_is_the_callers_mistake(
    index: Index, caplog: pytest.LogCaptureFixture
) -> None:
    async with client(index) as found:
        for arguments in (None, {"a": "b"}):
            with pytest.raises(MCPError) as refused:
                await found.get_prompt("summary", arguments)
            assert refused.value.code == INVALID_PARAMS
            assert refused.value.message == "there is no prompt 'summary'; there are: none"
        assert not (await found.list_prompts()).prompts
    assert caplog.records == []


async def test_a_document_of_an_index_that_there_is_not_is_the_callers_mistake(index: Index) -> None:
    async with client(index) as found:
        with pytest.raises(MCPError, match="there is no index 'other'; there are: handbook") as refused:
            await found.read_resource("document://other/en/bm25.md")
    assert refused.value.code == INVALID_PARAMS


async def test_what_is_wrong_with_the_server_is_told_in_its_log_alone(
    index: Index, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise EncoderError(f"{index.path}/model: damaged")

    monkeypatch.setattr(Index, "search", fails)
    async with client(index) as found:
        told = await refusal(found, "search", query=QUERY)
    assert told.endswith("the index could not be searched; the server's log says why")
    assert f"index handbook: {index.path}/model: damaged" in caplog.text

    def breaks(*_: object, **__: object) -> None:
        raise RuntimeError(f"{index.path}: a fault of ours")

    monkeypatch.setattr(Index, "search", breaks)
    async with client(index) as found:
        assert str(index.path) not in await refusal(found, "search", query=QUERY)


async def test_over_http(index: Index) -> None:
    import httpx2
    from mcp.client.streamable_http import streamable_http_client

    app = http_app(mcp_server({"handbook": index}))
    async with app.router.lifespan_context(app):
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport) as http:
            async with Client(streamable_http_client("http://127.0.0.1:8000/mcp", http_client=http)) as found:
                answer = await call(found, "search", query=QUERY, k=2)
            refused = await http.post("http://evil.example/mcp", json={})
    assert [one["chunk_id"] for one in answer["hits"]] == [hit.chunk_id for hit in index.search(QUERY, 2)]
    assert refused.status_code == 421

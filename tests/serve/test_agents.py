"""Agents at `/mcp` of the service: hits of the index, those that the caller's key may see, within limits."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from pipeline.config import ServeSettings
from pipeline.job import build as builder
from pipeline.query.access import ALL_GROUPS, Groups
from pipeline.query.searcher import Index, open_index
from pipeline.serve.guard.keys import Caller, Key, Keyring, Role, hash_of, new_key
from pipeline.serve.routes.agents import Agents
from pipeline.serve.service import Service
from tests.support.collection import config_for, write_documents
from tests.support.live import Live, serving

LISTING = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
HEADERS = {"Accept": "application/json, text/event-stream"}


async def call(live: Live, tool: str, key: str | None = None, **arguments: Any) -> Any:
    """What a tool answers to the protocol's own client."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with (
        httpx2.AsyncClient(headers=headers) as http,
        Client(streamable_http_client(f"{live.url}/mcp", http_client=http)) as client,
    ):
        answer = await client.call_tool(tool, arguments)
    assert not answer.is_error, answer.content
    return answer.structured_content


async def test_hits_are_those_of_the_index(live: Live, index: Index) -> None:
    answer = await call(live, "search", query="plums and pears", k=3)
    hits = index.search("plums and pears", 3)
    assert [(one["chunk_id"], one["score"]) for one in answer["hits"]] == [(h.chunk_id, h.score) for h in hits]
    assert 'requests_total{method="POST",route="/mcp",status="200"}' in live.client.get("/metrics").text


def test_nothing_else_is_answered_there(live: Live) -> None:
    assert live.refused("GET", "/mcp", 405)["detail"]
    assert live.client.post("/mcp", json=LISTING, headers={"Host": "evil.example", **HEADERS}).status_code >= 400
    body = '{"jsonrpc": "2.0", "id": 1, "method": "x", "params": {"text": "' + "x" * 5_000_000 + '"}}'
    answer = live.client.post("/mcp", content=body, headers={"Content-Type": "application/json", **HEADERS})
    assert answer.status_code == 413


def test_it_is_said_where_the_extra_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "mcp" else find(name, *rest)
    )
    with serving({"one": _built(tmp_path)}) as live:
        assert "extra mcp" in live.refused("POST", "/mcp", 501, json=LISTING)["detail"]


def test_a_rush_is_told_to_come_again(tmp_path: Path) -> None:
    service = Service.of({"one": _built(tmp_path)}, ServeSettings(threads=1, queue=1, refresh_seconds=3600.0))
    agents = Agents(service)
    assert agents._refusal() is None
    agents._at_work = 2
    problem = agents._refusal()
    assert problem is not None
    assert problem.status == 429
    assert problem.headers == {"Retry-After": "1"}
    service.close()


async def test_a_key_shows_what_its_groups_may_see(tmp_path: Path) -> None:
    index = _built(tmp_path, access_field="groups")
    staff_key, boss_key = new_key(), new_key()
    keys = Keyring([_key(staff_key, frozenset({"staff"})), _key(boss_key, ALL_GROUPS)])
    with serving({"one": index}, keys=keys) as live:
        assert live.client.post("/mcp", json=LISTING, headers=HEADERS).status_code == 401
        staff = await call(live, "search", staff_key, query="pears", k=10)
        boss = await call(live, "search", boss_key, query="pears", k=10)
        assert {one["doc_id"] for one in staff["hits"]} == {"open.md"}
        assert {one["doc_id"] for one in boss["hits"]} == {"open.md", "secret.md"}
        told = await call(live, "index_info", staff_key)
        reports = [
            live.client.get("/builds", headers={"Accept": "text/html", "X-API-Key": key}).status_code
            for key in (staff_key, boss_key)
        ]
    assert told["indexes"][0]["documents"] == 1
    assert reports == [404, 200], "a report names documents"


def _key(key: str, groups: Groups) -> Key:
    return Key(hash_of(key), Caller("someone", frozenset({Role.READ}), groups))


def _built(folder: Path, **settings: Any) -> Index:
    texts = {
        "open.md": "---\ngroups: [staff]\n---\nPears are sold in the yard.",
        "secret.md": "---\ngroups: [board]\n---\nPears will be sold no more.",
    }
    write_documents(folder / "documents", texts)
    config = config_for(folder, **settings)
    builder.build(config)
    return open_index(config.index_path, groups=ALL_GROUPS if settings else None)

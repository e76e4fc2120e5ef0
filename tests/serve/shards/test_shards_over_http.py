"""Shards and a front on ports of this machine: hits of the whole index, and every way in which a shard fails."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from pipeline.config import Config, ServeSettings
from pipeline.errors import ConfigError, ServiceError, ShardsFailedError
from pipeline.query.access import ALL_GROUPS
from pipeline.query.searcher import Index
from pipeline.query.shards.partition import Share
from pipeline.query.shards.served import ServedShare
from pipeline.query.shards.sharded import ShardedIndex, open_shards
from pipeline.serve.guard.keys import NO_KEYS, Keyring, load_keys
from pipeline.serve.shards.client import HttpShard
from pipeline.serve.shards.shard_service import ShardService
from tests.faults import stub
from tests.support.live import Live, listening_for, serving

KEY = "a-key-that-is-long-enough"
SETTINGS = ServeSettings(refresh_seconds=3600.0)
SECONDS = 10.0


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    base = tmp_path_factory.mktemp("sharded")
    stub.write_texts(base, 0)
    config = stub.stub_config(base, segments={"max_chunks": 5, "auto_compact": False})
    stub.build(config)
    return config


@contextlib.contextmanager
def shards_of(config: Config, count: int, keys: Keyring = NO_KEYS) -> Iterator[list[str]]:
    """The addresses of the index's shards."""
    with contextlib.ExitStack() as stack:
        urls = []
        for number in range(count):
            service = ShardService.of(ServedShare(config.index_path, Share(number, count)), SETTINGS, keys)
            urls.append(stack.enter_context(listening_for(service))[0])
        yield urls


def opened(urls: list[str], key: str | None = None, seconds: float = SECONDS) -> ShardedIndex:
    shards = [HttpShard(url, seconds, key) for url in urls]
    return open_shards(shards, name="shards of index", encoder=stub.encoder(), groups=ALL_GROUPS)


@pytest.fixture(scope="module")
def urls(config: Config) -> Iterator[list[str]]:
    with shards_of(config, 2) as found:
        yield found


@pytest.fixture
def whole(config: Config) -> Iterator[Index]:
    with stub.open_index(config.index_path) as index:
        yield index


@pytest.fixture
def live(urls: list[str]) -> Iterator[Live]:
    with serving({"index": opened(urls)}, SETTINGS) as running:
        yield running


SEARCHES: list[dict[str, Any]] = [
    {"query": "a document about plums", "k": 30, "explain": True},
    {"query": ["number 7", "pears", "edition"], "k": 5, "fusion": "rrf", "collapse": True, "context": 1},
    {"query": "apples", "mode": "lexical", "filter": "doc_id > '010'", "facets": ["doc_id"], "highlights": True},
    {"query": "apples", "mode": "dense", "distinct": 0.9, "rerank": "multivectors"},
]


@pytest.mark.parametrize("body", SEARCHES)
def test_a_front_answers_as_the_whole_index_does(live: Live, whole: Index, body: dict[str, Any]) -> None:
    with serving({"index": whole}, SETTINGS) as plain:
        assert live.post("/v1/search", body) == plain.post("/v1/search", body)


@pytest.mark.parametrize(
    "address",
    [
        "/v1/indexes",
        "/v1/indexes/index",
        "/v1/documents/007.txt",
        "/v1/similar?doc_id=007.txt",
        "/v1/search?q=pears&k=3",
        "/readyz",
    ],
)
def test_all_addresses_answer_as_those_of_the_whole_index(live: Live, whole: Index, address: str) -> None:
    with serving({"index": whole}, SETTINGS) as plain:
        assert live.get(address) == plain.get(address)


def test_the_page_shows_hits(live: Live) -> None:
    page = live.client.get("/?q=plums", headers={"Accept": "text/html"})
    assert page.status_code == 200
    assert "plums" in page.text


def test_threads_share_a_front(live: Live, whole: Index) -> None:
    wanted = [hit.chunk_id for hit in whole.search("plums", 10)]
    answers: list[Any] = []

    def ask() -> None:
        for _ in range(5):
            hits = live.post("/v1/search", {"query": "plums", "k": 10})["results"][0]["hits"]
            answers.append([hit["chunk_id"] for hit in hits])

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [wanted] * 20


def test_a_shard_answers_no_searches(urls: list[str]) -> None:
    with httpx2.Client(base_url=urls[0]) as client:
        assert client.get("/readyz").json()["indexes"]["shard 0/2"]["generation"] == 1
        assert client.get("/livez").json() == {"status": "alive"}
        assert "hybrid_pipeline_requests" in client.get("/metrics").text
        answer = client.post("/v1/search", json={"query": "plums"})
        assert answer.status_code == 404
        assert "this is shard 0/2" in answer.json()["detail"]
        assert client.post("/v1/shard", content=b"garbage").status_code == 500
        assert client.get("/v1/shard").status_code == 405


def test_a_key_is_asked_for(config: Config) -> None:
    keys = load_keys(None, {"PIPELINE_API_KEYS": KEY})
    with shards_of(config, 2, keys) as found:
        with pytest.raises(ShardsFailedError, match=r"refuses the key of this front \(HTTP 401\)") as caught:
            opened(found)
        assert caught.value.shards == {"0/2", "1/2"}
        with opened(found, KEY) as index:
            assert index.search("plums", 3)
        with pytest.raises(ShardsFailedError) as wrong:
            opened(found, "another-key-that-is-wrong")
        assert "another-key" not in str(wrong.value)


@contextlib.contextmanager
def answering_with(reply: bytes | None) -> Iterator[str]:
    """A port that takes requests and answers with these bytes, or never."""
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def run() -> None:
            held = []
            listening.settimeout(0.05)
            while not done.is_set():
                with contextlib.suppress(TimeoutError):
                    connection, _ = listening.accept()
                    held.append(connection)
                    if reply is not None:
                        connection.recv(65536)
                        connection.sendall(reply)
                        connection.close()
            for one in held:
                one.close()

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            done.set()
            thread.join()


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (None, "did not answer within 0.2 s"),
        (b"", "cannot be reached"),
        (b"SSH-2.0\r\n\r\n", "cannot be reached"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi",
            "answers what no shard does",
        ),
        (b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", "is no shard"),
        (b"HTTP/1.1 429 Busy\r\nContent-Length: 0\r\n\r\n", "has too much to do"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n", "what no shard does"),
    ],
)
def test_what_is_no_shard_is_told(reply: bytes | None, says: str) -> None:
    with answering_with(reply) as url:
        shard = HttpShard(url, 0.2 if reply is None else SECONDS)
        with pytest.raises(ServiceError, match=says):
            shard.ask(b"question")


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    with pytest.raises(ServiceError, match="cannot be reached"):
        HttpShard(url, SECONDS).ask(b"question")


@pytest.mark.parametrize("url", ["", "10.0.0.1:8000", "ftp://a", "http://user:secret@a", "http://a?b"])
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(ConfigError, match="give addresses"):
        HttpShard(url, SECONDS)


def test_a_shard_that_goes_away_is_named_or_done_without(config: Config) -> None:
    with contextlib.ExitStack() as stack:
        services = [
            ShardService.of(ServedShare(config.index_path, Share(number, 2)), SETTINGS) for number in (0, 1)
        ]
        stays = stack.enter_context(listening_for(services[0]))[0]
        with contextlib.ExitStack() as other:
            goes = other.enter_context(listening_for(services[1]))[0]
            front = stack.enter_context(serving({"index": opened([stays, goes])}, SETTINGS))
            full = front.post("/v1/search", {"query": "plums", "k": 30})
            assert (full["partial"], full["missing_shards"]) == (False, [])
        problem = front.refused("POST", "/v1/search", 503, json={"query": "plums"})
        assert problem["detail"].startswith("shards of the index did not answer: 1/2")
        assert "127.0.0.1" not in problem["detail"]
        front.refused("GET", "/v1/documents/007.txt", 503)
        part = front.post("/v1/search", {"query": "plums", "k": 30, "on_shard_failure": "partial"})
        assert (part["partial"], part["missing_shards"]) == (True, ["1/2"])
        assert 0 < len(part["results"][0]["hits"]) < len(full["results"][0]["hits"])
        assert front.get("/v1/search?q=plums&on_shard_failure=partial")["partial"]


def test_a_front_may_do_without_shards_unless_it_is_said(config: Config) -> None:
    settings = SETTINGS.model_copy(update={"on_shard_failure": "partial"})
    with contextlib.ExitStack() as stack:
        stays = stack.enter_context(
            listening_for(ShardService.of(ServedShare(config.index_path, Share(0, 2)), SETTINGS))
        )[0]
        with listening_for(ShardService.of(ServedShare(config.index_path, Share(1, 2)), SETTINGS)) as (goes, _):
            front = stack.enter_context(serving({"index": opened([stays, goes])}, settings))
        assert front.post("/v1/search", {"query": "plums"})["missing_shards"] == ["1/2"]
        front.refused("POST", "/v1/search", 503, json={"query": "plums", "on_shard_failure": "error"})


def test_a_front_moves_on_where_its_shards_have(tmp_path: Path) -> None:
    stub.write_texts(tmp_path, 0)
    config = stub.stub_config(tmp_path)
    stub.build(config)
    with contextlib.ExitStack() as stack:
        served = [ServedShare(config.index_path, Share(number, 2)) for number in (0, 1)]
        urls = [stack.enter_context(listening_for(ShardService.of(one, SETTINGS)))[0] for one in served]
        front = stack.enter_context(serving({"index": opened(urls)}, SETTINGS))
        for version in (1, 2):
            stub.write_texts(tmp_path, version)
            stub.build(config)
            assert [one.look() for one in served] == [True, True]
        answer = front.post("/v1/search", {"query": "plums", "k": 30})
        assert answer["generation"] == 3
        with stub.open_index(config.index_path) as whole, serving({"index": whole}, SETTINGS) as plain:
            assert answer == plain.post("/v1/search", {"query": "plums", "k": 30})

"""Ten thousand requests that mean harm or make no sense: the service answers each in order, and then as before."""

from __future__ import annotations

import json
import random
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from pipeline.config import Config, ServeLimits, ServeSettings
from tests.faults import stub
from tests.support.live import Live, serving

REQUESTS, CLIENTS = 10_000, 8
POSTS = ("/v1/search", "/v1/similar", "/v1/vector_stores/first/search", "/v1/embeddings", "/v1/rerank")
GETS = ("/v1/search?q=", "/v1/documents/", "/v1/indexes/", "/", "/docs/", "/v1/vector_stores/")
_POST = b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\n"
EXPECTED = {200, 400, 404, 405, 413, 415, 422, 429}
TRICKS = (
    "1=1; drop table chunks",
    "(select 1)",
    "doc_id in (select doc_id from chunks)",
    "read_text('/etc/passwd') is not null",
    "true union select * from chunks",
    "getenv('HOME') = 'x'",
    "') or 1=1 --",
    "repeat('x', 1000000000) = 'x'",
    "(((((((((((((((((((((((((((((((((((((((((true",
    "\\u0000",
    "'" * 999,
    "doc_id = 'a' or " * 300 + "true",
    "list_transform(range(1000000000), x -> x)",
    "pg_sleep(10)",
    "__row > 0",
    "regexp_matches(doc_id, '(a+)+$')",
    "copy chunks to '/tmp/x'",
    "installed_extension()",
)
PATHS = (
    "../../etc/passwd",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "%00",
    "%ff%fe",
    "..%5c..",
    "a" * 9000,
    "%",
    "//",
    "사과",
)
TEXTS = (
    "\u202e\u0000x",
    "\U0001f600" * 50,
    "ﷺ" * 100,
    "a\u0301" * 200,
    " ",
    "\n",
    "x" * 9000,
    "NULL",
    "${jndi:ldap://x}",
)
VALUES: tuple[object, ...] = (None, True, -1, 0, 10**400, 1.5, [], {}, "", "x", [[]], {"a": {}}, 2**63, "\ud800")


@dataclass
class Attack:
    """Makes requests, each other than the last but the same in every run."""

    seed: int
    chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)

    def requests(self, count: int) -> Iterator[bytes]:
        """So many requests."""
        kinds: list[tuple[Callable[[], bytes], int]] = [
            (self.broken_json, 33),
            (self.odd_fields, 33),
            (self.odd_address, 25),
            (self.no_http, 6),
            (self.large, 2),
            (self.sql, 1),
        ]
        for kind in self.chance.choices([one for one, _ in kinds], [weight for _, weight in kinds], k=count):
            yield kind()

    def post(self, body: bytes, content_type: str = "application/json", path: str | None = None) -> bytes:
        """A request with a body."""
        path = path or self.chance.choice(POSTS)
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\n"
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

    def broken_json(self) -> bytes:
        """What is no JSON, or more of it than anybody means."""
        chance = self.chance
        body: bytes = chance.choice(
            (
                chance.randbytes(chance.randrange(200)),
                b"[" * chance.randrange(1, 50_000),
                b'{"query":' * chance.randrange(1, 2000),
                b'{"query": "x", "k": 1e999}',
                b'{"query": "x", "k": NaN}',
                b'{"query": "\\ud800", "mode": "dense"}',
                b'{"query": "x", "query": ["y"]}',
                b'{"query": "x"',
                b'\xef\xbb\xbf{"query": "x"}',
                b"null",
                b"",
            )
        )
        return self.post(body, chance.choice(("application/json", "application/json", "text/plain", "")))

    def odd_fields(self) -> bytes:
        """JSON of the right keys and wrong values."""
        keys = (
            "query",
            "k",
            "mode",
            "fusion",
            "filter",
            "facets",
            "rerank",
            "input",
            "model",
            "documents",
            "filters",
            "texts",
            "doc_ids",
            "boosts",
            "now",
        )
        chosen = self.chance.sample(keys, self.chance.randrange(1, 6))
        body = {key: self.chance.choice((*VALUES, self.chance.choice(TEXTS))) for key in chosen}
        return self.post(json.dumps(body).encode())

    def odd_address(self) -> bytes:
        """Paths, query strings and methods that nobody means."""
        chance = self.chance
        method = chance.choice(("GET", "GET", "GET", "HEAD", "DELETE", "OPTIONS", "BREW", "PUT", "PATCH"))
        rest = chance.choice((*PATHS, quote(chance.choice(TEXTS)), "x&k=" + "9" * 50, "x&k=1&k=2", "x&filter=%27"))
        path = quote(chance.choice(GETS) + rest, safe="/?=&%")
        return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()

    def no_http(self) -> bytes:
        """What is no HTTP, or breaks its rules."""
        made: bytes = self.chance.choice(
            (
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + self.chance.randbytes(50) + b"\r\n\r\n",
                b"GET / HTTP/9.9\r\n\r\n",
                b"GET /\r\n\r\n",
                b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
                b"GET / HTTP/1.1\r\n\r\n",
                b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
                b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
                _POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
                b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n\r\n",
                b"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic \xff\xff\r\nX-API-Key: \xfe\r\n\r\n",
            )
        )
        return made

    def large(self) -> bytes:
        """A body beyond the limit, or one that is announced to be."""
        if self.chance.random() < 0.5:
            return self.post(b'{"query": "' + b"x" * 300_000 + b'"}')
        return _POST + b"Content-Type: application/json\r\nContent-Length: 9999999999\r\n\r\n{"

    def sql(self) -> bytes:
        """Conditions that want more than to compare."""
        body = {"query": "plums", "k": 1, "mode": "dense", "filter": self.chance.choice(TRICKS)}
        return self.post(json.dumps(body).encode(), path="/v1/search")


class Client:
    """Sends bytes as they are, on one connection after the other."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 0)
        self._socket: socket.socket | None = None
        self._rest = b""

    def ask(self, request: bytes) -> tuple[int, bytes]:
        """Status and body of the answer; 0 where the connection was closed instead."""
        try:
            if self._socket is None:
                self._socket, self._rest = socket.create_connection(self._address, timeout=30), b""
            self._socket.sendall(request)
            return self._answer(is_head=request.startswith(b"HEAD "))
        except ConnectionError:
            self.close()
            return 0, b""

    def _answer(self, is_head: bool) -> tuple[int, bytes]:
        head = self._until_blank_line()
        if not head:
            self.close()
            return 0, b""
        lines = head.decode("latin-1").lower().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:])
        length = 0 if is_head else int(headers.get("content-length", 0))
        while len(self._rest) < length and (part := self._receive()):
            self._rest += part
        body, self._rest = self._rest[:length], self._rest[length:]
        status = int(lines[0].split()[1])
        if headers.get("connection") == "close" or status in (400, 413):
            self.close()
        return status, body

    def _until_blank_line(self) -> bytes:
        while b"\r\n\r\n" not in self._rest:
            part = self._receive()
            if not part:
                return b""
            self._rest += part
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        return head

    def _receive(self) -> bytes:
        assert self._socket is not None
        return self._socket.recv(65_536)

    def close(self) -> None:
        """End the connection."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None


@pytest.fixture
def service(built: Config) -> Iterator[Live]:
    """A service that takes no large bodies."""
    settings = ServeSettings(refresh_seconds=3600.0, limits=ServeLimits(body_kb=200))
    with stub.open_index(built.index_path) as index, serving({"first": index}, settings) as live:
        yield live


def test_it_is_up_afterwards_and_has_told_nothing(service: Live, built: Config) -> None:
    body = {"query": "plums and pears", "k": 5, "explain": True}
    before, files = service.post("/v1/search", body), _open_files()

    def attack(seed: int) -> Counter[int]:
        client, statuses = Client(service.url), Counter[int]()
        for request in Attack(seed).requests(REQUESTS // CLIENTS):
            status, answer = client.ask(request)
            statuses[status] += 1
            assert status in EXPECTED or status in (0, 421), (status, request[:300], answer[:300])
            text = answer.decode(errors="replace")
            assert "Traceback" not in text
            assert str(built.base) not in text
            assert "root:" not in text
        client.close()
        return statuses

    with ThreadPoolExecutor(CLIENTS) as pool:
        statuses = sum(pool.map(attack, range(CLIENTS)), Counter[int]())
    assert statuses.total() == REQUESTS
    assert {200, 400, 404, 405, 413, 415, 421, 422} <= set(statuses)
    assert service.get("/livez") == {"status": "alive"}
    assert service.post("/v1/search", body) == before
    metrics = service.client.get("/metrics").text
    assert "hybrid_pipeline_in_flight 0.0" in metrics
    assert len(metrics) < 100_000  # whatever was asked for became no label
    assert _open_files() <= files + CLIENTS + 10
    assert not (Path("/tmp") / "x").exists()


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0

"""A real HTTP server on loopback that speaks the three embedding protocols, with faults switched on per request.

Vectors are pseudo-random functions of the text alone, so that any order and any batching must give the same ones.
"""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from pipeline.errors import EncoderError
from pipeline.models.contract import Encoder
from pipeline.models.endpoint.encoders import endpoint_encoder
from pipeline.models.endpoint.settings import EndpointProtocol, EndpointSettings

PROTOCOLS: list[EndpointProtocol] = ["huggingface", "tei", "openai"]
TEXTS = [f"text number {i} " + "word " * (i % 7) for i in range(40)]
DIMENSION = 12
INFO = {
    "model_id": "test/model",
    "model_sha": "0123456789abcdef0123456789abcdef01234567",
    "model_dtype": "float32",
    "model_type": {"embedding": {"pooling": "cls"}},
    "max_input_length": 512,
    "max_batch_tokens": 16384,
    "max_client_batch_size": 32,
}


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request. `kind` is one of the branches of `_Handler._fail`."""

    kind: str
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None


def vector(text: str) -> np.ndarray:
    """float64 (12,), not normalised."""
    seed = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
    return np.random.default_rng(seed).normal(size=DIMENSION) * 3


def unit(text: str) -> np.ndarray:
    """float32 (12,), as the encoder must give it."""
    return (vector(text) / np.linalg.norm(vector(text))).astype(np.float32)


def weights(text: str) -> dict[int, float]:
    """One token a word; a word's weight is its length."""
    return {
        int.from_bytes(hashlib.blake2b(w.encode(), digest_size=2).digest()): float(len(w)) for w in text.split()
    }


def relevance(query: str, text: str) -> float:
    """What `/rerank` answers: the share of the query's words that stand in the text, as a logit would be."""
    words = query.split()
    return 8.0 * sum(word in text.split() for word in words) / len(words) - 4.0


class EndpointServer(ThreadingHTTPServer):
    """`faults` are used up one a request; `choose`, called by many threads, may pick one by the texts instead."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        self.faults: list[Fault] = []
        self.choose: Callable[[list[str]], Fault | None] | None = None
        self.max_texts: int | None = None
        self.max_characters: int | None = None
        self.info: Any = INFO
        self.token: str | None = None
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        self.answered: Counter[str] = Counter()
        self.in_flight = self.most_in_flight = 0
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def posts(self) -> list[tuple[str, dict[str, str], Any]]:
        """Path, headers and body of the requests that carried texts."""
        return [request for request in self.requests if request[2] is not None]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each answer waits 40 ms for the client's delayed acknowledgement
    server: EndpointServer

    def log_message(self, *_: Any) -> None: ...

    def do_GET(self) -> None:
        with self.server.lock:
            self.server.requests.append((self.path, dict(self.headers), None))
        if self.path.endswith("/info") and self.server.info is not None:
            self._send(200, self.server.info)
        else:
            self._send(404, {"error": "no such page"})

    def do_POST(self) -> None:
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        texts = next(body[name] for name in ("input", "inputs", "texts") if name in body)
        with server.lock:
            server.requests.append((self.path, dict(self.headers), body))
            fault = server.faults.pop(0) if server.faults else None
            server.in_flight += 1
            server.most_in_flight = max(server.most_in_flight, server.in_flight)
        try:
            self._answer(texts, body, server.choose(texts) if server.choose else fault)
        finally:
            with server.lock:
                server.in_flight -= 1

    def _answer(self, texts: list[str], body: Any, fault: Fault | None) -> None:
        server = self.server
        if server.token is not None and self.headers.get("Authorization") != f"Bearer {server.token}":
            self._send(401, {"error": f"Incorrect token provided: {self.headers.get('Authorization')}"})
        elif (server.max_texts and len(texts) > server.max_texts) or (
            server.max_characters and sum(map(len, texts)) > server.max_characters
        ):
            self._send(413, {"error": f"batch size {len(texts)} > maximum", "error_type": "Validation"})
        elif fault is None or not self._fail(fault, texts, body):
            with server.lock:
                server.answered.update(texts)
            self._send(200, self._embedded(texts, body))

    def _embedded(self, texts: list[str], body: Any) -> Any:
        if self.path.endswith("/rerank"):
            scores = [{"index": i, "score": relevance(body["query"], text)} for i, text in enumerate(texts)]
            return sorted(scores, key=lambda entry: -entry["score"])
        if self.path.endswith("/embed_sparse"):
            return [[{"index": i, "value": v} for i, v in weights(text).items()] for text in texts]
        vectors = [vector(text).tolist() for text in texts]
        if "input" in body:
            data = [{"object": "embedding", "index": i, "embedding": row} for i, row in enumerate(vectors)]
            return {"object": "list", "model": body["model"], "data": data}
        return vectors

    def _fail(self, fault: Fault, texts: list[str], body: Any) -> bool:
        """Answer wrongly and return True, or return False for a right answer after all."""
        answer = self._embedded(texts, body)
        rows = answer["data"] if isinstance(answer, dict) else answer
        match fault.kind:
            case "status":
                self._send(fault.status, fault.body or {"error": "as ordered"}, fault.headers)
            case "answer":
                self._send(200, fault.body, fault.headers)
            case "slow":
                self.server.released.wait(5)
                self.close_connection = True
            case "cut":
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
            case "cut in the body":
                whole = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(whole)))
                self.end_headers()
                self.wfile.write(whole[: len(whole) // 2])
                self.wfile.flush()
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
            case "reordered":
                rows.reverse()
                with self.server.lock:
                    self.server.answered.update(texts)
                self._send(200, answer)
            case "wrong count":
                rows.pop()
                self._send(200, answer)
            case "wrong dimension":
                self._send(200, [row[:-1] for row in answer])
            case "html":
                self._send(
                    fault.status or 200, b"<html><body>It works!</body></html>", {"Content-Type": "text/html"}
                )
            case _:
                raise AssertionError(fault.kind)
        return True

    def _send(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def running_server() -> Iterator[EndpointServer]:
    server = EndpointServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


class Made:
    """An encoder whose waits are recorded instead of slept."""

    def __init__(self, server: EndpointServer, protocol: EndpointProtocol = "tei", **changes: Any) -> None:
        self.waits: list[float] = []
        values: dict[str, Any] = {"model": "test/model", "url": server.url, "batch_texts": 8, **changes}
        self.encoder: Encoder = endpoint_encoder(
            EndpointSettings(protocol=protocol, **values), sleep=self.waits.append
        )

    def dense(self, texts: list[str]) -> np.ndarray:
        vectors = self.encoder.encode_documents(texts).dense
        assert vectors is not None
        return vectors


def expected(texts: list[str]) -> np.ndarray:
    return np.stack([unit(text) for text in texts])


def error_of(call: Callable[[], object]) -> str:
    with pytest.raises(EncoderError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture(name="running", scope="module")
def running_fixture() -> Iterator[EndpointServer]:
    with running_server() as server:
        yield server


@pytest.fixture(name="server", autouse=True)
def server_fixture(running: EndpointServer, monkeypatch: pytest.MonkeyPatch) -> EndpointServer:
    for name in ("HF_TOKEN", "HUGGINGFACEHUB_API_TOKEN", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    running.reset()
    return running

"""A service that listens on a free port of this machine for as long as a test needs it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2

from pipeline.config import ServeSettings
from pipeline.query.searcher import Index
from pipeline.serve.guard.keys import NO_KEYS, Keyring
from pipeline.serve.server import Server, listen, make_server
from pipeline.serve.service import Service


@dataclass(frozen=True, slots=True)
class Live:
    """A running service and a client of it."""

    url: str
    service: Service
    client: httpx2.Client
    server: Server

    def get(self, path: str, **options: Any) -> Any:
        """What GET answers, as JSON; it must be a success."""
        answer = self.client.get(path, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """What POST answers, likewise."""
        answer = self.client.post(path, json=dict(body))
        assert answer.status_code == 200, answer.text
        return answer.json()

    def refused(self, method: str, path: str, status: int, **options: Any) -> dict[str, Any]:
        """The problem that a request meets."""
        answer = self.client.request(method, path, **options)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        problem: dict[str, Any] = answer.json()
        assert problem["status"] == status
        assert problem["request_id"] == answer.headers["x-request-id"]
        return problem


@contextmanager
def serving(
    indexes: Mapping[str, Index], settings: ServeSettings | None = None, keys: Keyring = NO_KEYS
) -> Iterator[Live]:
    """A service over open indexes, in a thread of this process. They are closed with it."""
    settings = settings or ServeSettings(refresh_seconds=3600.0)
    service = Service.of(indexes, settings, keys)
    with listen("127.0.0.1", 0) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        server = make_server(service, "127.0.0.1")
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            until = time.monotonic() + 30
            while not server.started and thread.is_alive() and time.monotonic() < until:
                time.sleep(0.005)
            assert server.started
            with httpx2.Client(base_url=url, timeout=30.0) as client:
                yield Live(url, service, client, server)
        finally:
            server.should_exit = True
            thread.join(30)
            service.close()
            assert not thread.is_alive()

"""The tools for agents at `/mcp`, behind the same guards and limits as every other address (extra `mcp`)."""

from __future__ import annotations

import contextlib
import importlib.util
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TypeVar

from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.query.searcher import Index
from pipeline.serve.guard.headers import REQUEST_ID
from pipeline.serve.holder import IndexHolder
from pipeline.serve.problems import Problem
from pipeline.serve.service import Service
from pipeline.serve.shards.trying import answer_of

T = TypeVar("T")

PATH = "/mcp"
_MISSING = Problem(501, "this service does not talk to agents; its extra mcp would have to be installed")


class Agents:
    """The address, once `running`. What an agent may see is what the caller of the request may see."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._app: ASGIApp | None = None
        self._at_work = 0

    def route(self) -> Route:
        """Where it is. Nothing is ever streamed, so that POST is all there is."""
        return Route(PATH, self, methods=["POST"])

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Answer for as long as this lasts, if the extra is installed."""
        if importlib.util.find_spec("mcp") is None:
            yield
            return
        from pipeline.integrations.mcp import http_app, mcp_server

        turns = threading.BoundedSemaphore(self._service.settings.threads)
        server = mcp_server(
            {name: _InTurn(holder, turns, self._service) for name, holder in self._service.holders.items()}
        )
        app = http_app(server, hosts=[], most_bytes=self._service.settings.limits.body_kb * 1024)
        async with server.session_manager.run():
            self._app = app
            try:
                yield
            finally:
                self._app = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        service, status = self._service, 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        problem = self._refusal()
        if problem is not None or self._app is None:
            response = (problem or _MISSING).response(scope["state"][REQUEST_ID])
            await response(scope, receive, noting)
        else:
            self._at_work += 1
            try:
                await self._app(scope, receive, noting)
            finally:
                self._at_work -= 1
        service.metrics.requests.labels(PATH, scope["method"], str(status)).inc()

    def _refusal(self) -> Problem | None:
        settings = self._service.settings
        if self._at_work < settings.threads + settings.queue:
            return None
        self._service.metrics.rejected.labels("queue").inc()
        return Problem(429, "too many requests wait already; come again later", headers={"Retry-After": "1"})


class _InTurn:
    """Lends an index to as many at once as the service has threads."""

    def __init__(self, holder: IndexHolder, turns: threading.BoundedSemaphore, service: Service) -> None:
        self._holder, self._turns, self._service = holder, turns, service

    @contextlib.contextmanager
    def lent(self) -> Iterator[Index]:
        """The index as the caller sees it."""
        with self._turns, self._holder.lent() as index:
            yield index

    def answered(self, work: Callable[[Index], T]) -> tuple[T, tuple[str, ...]]:
        """What `work` makes of it, and the names of shards that it had to do without."""
        with self._turns:
            return answer_of(self._holder, work, self._service.settings.on_shard_failure == "partial")

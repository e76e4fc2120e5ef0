"""The application of a shard: one address for fronts, and those that say how it is. It answers no searches."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Collection

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pipeline.serve import metrics
from pipeline.serve.guard.gate import CALLER, Gate
from pipeline.serve.guard.headers import REQUEST_ID, Guard
from pipeline.serve.problems import Problem, as_problem
from pipeline.serve.schemas.indexes import LiveAnswer, ReadyAnswer, ReadyIndex
from pipeline.serve.shards.address import PATH, shard_function
from pipeline.serve.shards.shard_service import ShardService


def make_shard_app(service: ShardService, hosts: Collection[str] = ()) -> Starlette:
    """An ASGI application that answers a front from `service`, and closes it in the end. `hosts`: as for
    `make_app`."""

    async def live(request: Request) -> Response:
        return Response(LiveAnswer().as_json(), media_type="application/json")

    async def ready(request: Request) -> Response:
        served = service.served
        known = {f"shard {served.share}": ReadyIndex(generation=served.manifest.generation)}
        answer = ReadyAnswer(status="ready", indexes=known if CALLER.get().roles else {})
        return Response(answer.as_json(), media_type="application/json")

    async def numbers(request: Request) -> Response:
        return Response(service.metrics.text(), media_type=metrics.MEDIA_TYPE)

    async def problem(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        found = Problem(error.status_code, f"this is shard {service.served.share}, which answers fronts alone")
        return found.response(request.scope["state"][REQUEST_ID])

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        service.start()
        try:
            yield
        finally:
            service.close()

    app = Starlette(
        routes=[
            Route(PATH, shard_function(service), methods=["POST"]),
            Route("/livez", live, methods=["GET"]),
            Route("/readyz", ready, methods=["GET"]),
            Route("/metrics", numbers, methods=["GET"]),
        ],
        middleware=[
            Middleware(
                Guard,
                hosts=hosts,
                refused=lambda: service.metrics.rejected.labels("host").inc(),
                failed=lambda error, request_id: as_problem(error, {}, request_id),
            ),
            Middleware(
                Gate,
                keys=service.keys,
                groups_header=None,
                refused=lambda: service.metrics.rejected.labels("key").inc(),
            ),
        ],
        exception_handlers={HTTPException: problem},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return app

"""The application: addresses, what guards them, and how it starts and stops."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from pipeline.serve import metrics, openapi
from pipeline.serve.docs_page import docs_page
from pipeline.serve.endpoint import Endpoint, respond
from pipeline.serve.guard.gate import Gate
from pipeline.serve.guard.headers import REQUEST_ID, Guard
from pipeline.serve.page.routes import Site
from pipeline.serve.problems import Problem, as_problem, method_not_allowed
from pipeline.serve.routes import health, indexes, models, search, similar, vector_stores
from pipeline.serve.routes.agents import Agents
from pipeline.serve.service import Service

ENDPOINTS: tuple[Endpoint, ...] = (
    *search.ENDPOINTS,
    *similar.ENDPOINTS,
    *vector_stores.ENDPOINTS,
    *models.ENDPOINTS,
    *indexes.ENDPOINTS,
    *health.ENDPOINTS,
)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def make_app(service: Service, hosts: Collection[str] = ()) -> Starlette:
    """An ASGI application that answers from `service`, and closes it in the end.

    `hosts`: names by which it may be called; without any, by all.
    """
    described = openapi.document(ENDPOINTS, service.settings.limits, bool(service.keys))
    page, site, agents = docs_page(described), Site(service), Agents(service)

    async def docs(request: Request) -> Response:
        return HTMLResponse(page)

    async def description(request: Request) -> Response:
        return JSONResponse(described)

    async def numbers(request: Request) -> Response:
        return Response(service.metrics.text(), media_type=metrics.MEDIA_TYPE)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        service.start()
        try:
            async with agents.running():
                yield
        finally:
            service.close()

    async def problem(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        method = request.method if request.method in _METHODS else "other"
        service.metrics.requests.labels("other", method, str(error.status_code)).inc()
        return site.failure(request, error) or _told(error).response(request.scope["state"][REQUEST_ID])

    def failed(error: Exception, request_id: str) -> Problem:
        service.metrics.requests.labels("other", "other", "500").inc()
        return as_problem(error, service.folders, request_id)

    routes = [
        *site.routes(),
        agents.route(),
        Route("/docs", docs, methods=["GET"]),
        Route("/openapi.json", description, methods=["GET"]),
        Route("/metrics", numbers, methods=["GET"]),
        *(_routes(service)),
    ]
    app = Starlette(
        routes=routes,
        middleware=[
            Middleware(
                Guard, hosts=hosts, refused=lambda: service.metrics.rejected.labels("host").inc(), failed=failed
            ),
            *_cors(service),
            Middleware(
                Gate,
                keys=service.keys,
                groups_header=service.settings.groups_header,
                refused=lambda: service.metrics.rejected.labels("key").inc(),
            ),
        ],
        exception_handlers={HTTPException: problem},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return app


def _cors(service: Service) -> list[Middleware]:
    """What lets pages of other origins call the service, if any may."""
    origins = service.settings.cors_origins
    if not origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-API-Key"],
            expose_headers=["Retry-After", "X-Request-Id"],
        )
    ]


def _routes(service: Service) -> list[Route]:
    """A route for each address, whatever methods it has: a wrong one is told all that are right."""
    by_path: dict[str, list[Endpoint]] = {}
    for endpoint in ENDPOINTS:
        by_path.setdefault(endpoint.path, []).append(endpoint)
    return [
        Route(path, _function(service, found), methods=[one.method for one in found])
        for path, found in by_path.items()
    ]


def _function(service: Service, endpoints: list[Endpoint]) -> Callable[[Request], Awaitable[Response]]:
    by_method = {endpoint.method: endpoint for endpoint in endpoints}

    async def answer(request: Request) -> Response:
        endpoint = by_method["GET" if request.method == "HEAD" else request.method]
        return await respond(endpoint, service, request, request.scope["state"][REQUEST_ID])

    return answer


def _told(error: HTTPException) -> Problem:
    """What is told of an address that there is not, or of a method that it does not have."""
    if error.status_code == 405:
        return method_not_allowed(name.strip() for name in (error.headers or {}).get("Allow", "").split(","))
    if error.status_code == 404:
        return Problem(404, "there is nothing at this address; /docs lists what there is")
    return Problem(error.status_code, "the request is malformed")

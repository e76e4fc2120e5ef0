"""One address of the service: what it takes, what it gives, and the way from a request to an answer.

The function behind an address is plain: it gets a `Call` and returns an answer, or raises. Where it takes time, it
runs in one of the service's threads.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError
from starlette.datastructures import QueryParams
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from pipeline.serve.problems import Problem, as_problem, wrong_values
from pipeline.serve.schemas.base import Answer, Body, Empty, Parameters
from pipeline.serve.service import Service

B = TypeVar("B", bound=Body)
P = TypeVar("P", bound=Parameters)


@dataclass(frozen=True, slots=True)
class Call:
    """What a function behind an address is given."""

    service: Service
    path: Mapping[str, str]
    body: Body | None
    parameters: Parameters

    def body_as(self, kind: type[B]) -> B:
        """The body, which the address says is of this kind."""
        assert isinstance(self.body, kind)
        return self.body

    def parameters_as(self, kind: type[P]) -> P:
        """The query string's values, likewise."""
        assert isinstance(self.parameters, kind)
        return self.parameters


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`method` and `path` say where it is, `answer` what comes back; what is `quick` runs in no thread.

    `status`: by which an answer may say that it is not the best, such as 503.
    """

    method: str
    path: str
    summary: str
    tag: str
    handle: Callable[[Call], Answer]
    answer: type[Answer]
    body: type[Body] | None = None
    parameters: type[Parameters] = Empty
    quick: bool = False
    problems: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """Unique, for the OpenAPI document."""
        return self.handle.__name__

    @property
    def fields(self) -> frozenset[str]:
        """What a request may have in its body and in its query string."""
        return frozenset(self.parameters.model_fields).union(self.body.model_fields if self.body else ())


async def respond(endpoint: Endpoint, service: Service, request: Request, request_id: str) -> Response:
    """The answer to a request, or the problem that stands in its way."""
    started = time.perf_counter()
    try:
        body = await _body(endpoint, service, request)
        parameters = _parameters(endpoint.parameters, request.query_params)
        service.metrics.stage.labels("read").observe(time.perf_counter() - started)
        call = Call(service, request.path_params, body, parameters)

        def work() -> bytes:
            answer = endpoint.handle(call)
            answered = time.perf_counter()
            written = answer.as_json()
            service.metrics.stage.labels("write").observe(time.perf_counter() - answered)
            return written

        content = work() if endpoint.quick else await service.workers.run(work)
        response = Response(content, media_type="application/json")
    except Exception as error:
        response = as_problem(error, service.folders, request_id, endpoint.fields).response(request_id)
    seconds = time.perf_counter() - started
    service.metrics.requests.labels(endpoint.path, request.method, str(response.status_code)).inc()
    service.metrics.seconds.labels(endpoint.path).observe(seconds)
    return response


async def _body(endpoint: Endpoint, service: Service, request: Request) -> Body | None:
    """The JSON that was sent, checked. Raises `Problem`."""
    if endpoint.body is None:
        return None
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise Problem(415, "send JSON, with `Content-Type: application/json`")
    if request.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise Problem(415, "send the JSON as it is: a body with a `Content-Encoding` is not read")
    data = await _read(request, service)
    try:
        return endpoint.body.model_validate_json(data)
    except ValidationError as error:
        raise wrong_values(error) from None


async def _read(request: Request, service: Service) -> bytes:
    limits = service.settings.limits
    most = limits.body_kb * 1024
    parts: list[bytes] = []
    announced = request.headers.get("content-length", "")
    size = 0
    try:
        if announced.isdecimal() and int(announced[:20]) > most:
            raise _too_large(service)
        async with asyncio.timeout(limits.seconds):
            async for part in request.stream():
                size += len(part)
                if size > most:
                    raise _too_large(service)
                parts.append(part)
    except TimeoutError:
        raise Problem(408, f"the body did not arrive within {limits.seconds:g} s") from None
    except ClientDisconnect:
        raise Problem(400, "the body broke off") from None
    return b"".join(parts)


def _too_large(service: Service) -> Problem:
    service.metrics.rejected.labels("size").inc()
    return Problem(413, f"the body is larger than {service.settings.limits.body_kb} KiB")


def _parameters(kind: type[P], given: QueryParams) -> P:
    repeated = [name for name in given if len(given.getlist(name)) > 1]
    if repeated:
        raise Problem(422, f"{repeated[0][:80]}: stands twice in the query string")
    values: dict[str, Any] = dict(given)
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise wrong_values(error) from None

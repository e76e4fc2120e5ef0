"""The address at which a shard answers a front."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from pipeline.query.shards.panel import FAILED, GONE, QUERY
from pipeline.serve.guard.gate import CALLER
from pipeline.serve.guard.headers import REQUEST_ID
from pipeline.serve.problems import Problem, as_problem
from pipeline.serve.shards.shard_service import ShardService

PATH = "/v1/shard"
MEDIA_TYPE = "application/octet-stream"
MOST_BYTES = 64 << 20
"""A question with the multi-vectors and candidates of many queries is far below this."""
_STATUS = {None: 200, QUERY: 422, GONE: 409, FAILED: 500}


def shard_function(service: ShardService) -> Callable[[Request], Awaitable[Response]]:
    """What answers at the address."""

    async def answer(request: Request) -> Response:
        started = time.perf_counter()
        try:
            question, groups = await _body(request, service.settings.limits.seconds), CALLER.get().groups
            kind, content = await service.workers.run(lambda: service.served.outcome(question, groups))
            response = Response(content, _STATUS[kind], media_type=MEDIA_TYPE)
        except Exception as error:
            request_id = request.scope["state"][REQUEST_ID]
            response = as_problem(error, {}, request_id).response(request_id)
        service.metrics.requests.labels(PATH, request.method, str(response.status_code)).inc()
        service.metrics.seconds.labels(PATH).observe(time.perf_counter() - started)
        return response

    return answer


async def _body(request: Request, seconds: float) -> bytes:
    """What was sent. Raises `Problem`."""
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(seconds):
            async for part in request.stream():
                size += len(part)
                if size > MOST_BYTES:
                    raise Problem(413, f"the question is larger than {MOST_BYTES:,} bytes")
                parts.append(part)
    except TimeoutError:
        raise Problem(408, f"the question did not arrive within {seconds:g} s") from None
    except ClientDisconnect:
        raise Problem(400, "the question broke off") from None
    return b"".join(parts)

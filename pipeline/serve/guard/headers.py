"""What every answer carries, and by which names the service may be called."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.serve.problems import Problem

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
REQUEST_ID = "request_id"
_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; "
    "form-action 'self'; base-uri 'none'",
    "Cache-Control": "no-store",
}


log = logging.getLogger(__name__)


class _Gone(Exception):  # noqa: N818
    """The connection takes no answer any more."""


class Guard:
    """Gives every answer its headers, and refuses a `Host` that is not among `hosts` (empty: any is right).

    A page on the web can make its own name lead to this machine; its visitors' browsers then call the service by
    that name.
    """

    def __init__(
        self,
        app: ASGIApp,
        hosts: Collection[str],
        refused: Callable[[], None],
        failed: Callable[[Exception, str], Problem],
    ) -> None:
        """`failed`: what to answer for an error that nobody else has made a problem of."""
        self._app, self._refused, self._failed = app, refused, failed
        self._hosts = {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        request_id = uuid.uuid4().hex
        scope.setdefault("state", {})[REQUEST_ID] = request_id

        begun = False

        async def with_headers(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                for name, value in _ALWAYS.items():
                    headers.setdefault(name, value)
                headers["X-Request-Id"] = request_id
            try:
                await send(message)
            except Exception as error:
                raise _Gone from error

        if self._hosts and without_port(Headers(scope=scope).get("host", "")) not in self._hosts:
            self._refused()
            problem = Problem(421, "the service is not called by this name; its setting serve.hosts lists more")
            await problem.response(request_id)(scope, receive, with_headers)
            return
        try:
            await self._app(scope, receive, with_headers)
        except _Gone as gone:  # it has broken the rules of HTTP, and been told so by the server
            log.info("request %s: nobody is there to be answered: %s", request_id, gone.__cause__)
        except Exception as error:
            if begun:
                raise
            await self._failed(error, request_id).response(request_id)(scope, receive, with_headers)


def without_port(host: str) -> str:
    """The name in a `Host` header, in lower case."""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdecimal() else host).lower()

"""Lets in who has the key for what is asked, and keeps who that is for as long as the request lasts."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from urllib.parse import unquote

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from pipeline.serve.guard.headers import REQUEST_ID
from pipeline.serve.guard.keys import NOBODY, Caller, Keyring, Role
from pipeline.serve.problems import Problem

OPEN = frozenset({"/livez", "/readyz"})
"""What is answered without a key, if only with yes or no."""
_METRICS = "/metrics"
_CHALLENGE = 'Bearer realm="hybrid-pipeline"'
_ASK_A_PERSON = 'Basic realm="hybrid-pipeline", charset="UTF-8"'

CALLER: ContextVar[Caller] = ContextVar("caller", default=NOBODY)
"""Who asks; nobody outside of a request."""


class Gate:
    """Asks for a key on the way to all but `OPEN`, if there are any keys."""

    def __init__(self, app: ASGIApp, keys: Keyring, groups_header: str | None, refused: Callable[[], None]) -> None:
        self._app, self._keys, self._header, self._refused = app, keys, groups_header, refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        caller = self._keys.caller(presented(headers))
        path = scope["path"]
        problem = None if path in OPEN else _refusal(caller, path, headers)
        if problem is not None:
            self._refused()
            await problem.response(scope["state"][REQUEST_ID])(scope, receive, send)
            return
        caller = caller or NOBODY
        if caller.by_header and self._header is not None:
            caller = dataclasses.replace(caller, groups=header_groups(headers.getlist(self._header)))
        token = CALLER.set(caller)
        try:
            await self._app(scope, receive, send)
        finally:
            CALLER.reset(token)


def presented(headers: Headers) -> str | None:
    """The key in a request's headers: a bearer's, the password of a browser's user, or that of `X-API-Key`."""
    scheme, _, rest = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip() or None
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(rest.strip(), validate=True).decode().partition(":")[2] or None
        except ValueError:  # no base64, or no UTF-8
            return None
    return headers.get("x-api-key") or None


def header_groups(values: Sequence[str]) -> frozenset[str]:
    """The groups in a header: commas between them, what is not ASCII or a comma as UTF-8 behind percent signs."""
    names = (unquote(name.strip()) for value in values for name in value.split(","))
    return frozenset(filter(None, names))


def _refusal(caller: Caller | None, path: str, headers: Headers) -> Problem | None:
    if caller is None:
        is_person = "text/html" in headers.get("accept", "")
        words = "give a key, as `Authorization: Bearer KEY`"
        return Problem(401, words, headers={"WWW-Authenticate": _ASK_A_PERSON if is_person else _CHALLENGE})
    wanted = Role.METRICS if path == _METRICS else Role.READ
    if wanted in caller.roles:
        return None
    return Problem(403, f"this key is not for {'the metrics' if wanted is Role.METRICS else 'searching'}")

"""What is answered to a line on a pipe that is no message (extra `mcp`)."""

from __future__ import annotations

import contextlib
import contextvars
import json
from typing import Any

from pydantic import ValidationError

from pipeline.integrations.extras import needs_extra

with needs_extra("mcp"):
    from mcp.shared.message import SessionMessage
    from mcp_types import INVALID_REQUEST, PARSE_ERROR, ErrorData, JSONRPCError


class Readable:
    """A client's messages without those that cannot be read, each of which is answered with an error.

    The SDK drops them, and a client that sent half a character of a pair, which JSON may write, would wait for
    ever.
    """

    def __init__(self, messages: Any, answers: Any) -> None:
        self._messages, self._answers = messages, answers

    @property
    def last_context(self) -> contextvars.Context | None:
        """That of the last message's sender."""
        found: contextvars.Context | None = self._messages.last_context
        return found

    def __aiter__(self) -> Readable:
        return self

    async def __anext__(self) -> SessionMessage:
        while isinstance(message := await self._messages.__anext__(), Exception):
            if not _is_blank(message):
                await self._answers.send(SessionMessage(_refusal(message)))
        assert isinstance(message, SessionMessage)
        return message

    async def aclose(self) -> None:
        """Close the stream."""
        await self._messages.aclose()


def _is_blank(error: Exception) -> bool:
    told = error.errors(include_url=False) if isinstance(error, ValidationError) else []
    return bool(told) and isinstance(told[0]["input"], str) and not told[0]["input"].strip()


def _refusal(error: Exception) -> JSONRPCError:
    told = error.errors(include_url=False, include_context=False) if isinstance(error, ValidationError) else []
    is_json = bool(told) and told[0]["type"] != "json_invalid"
    why = "no JSON-RPC 2.0 message" if is_json else told[0]["msg"] if told else "not to be read"
    return JSONRPCError(
        jsonrpc="2.0",
        id=next((found for one in told if (found := _id(one["input"])) is not None), None),
        error=ErrorData(code=INVALID_REQUEST if is_json else PARSE_ERROR, message=why),
    )


def _id(given: object) -> int | str | None:
    """The id of a message as far as it can be read."""
    if isinstance(given, str):
        with contextlib.suppress(ValueError, RecursionError):
            given = json.loads(given)
    found = given.get("id") if isinstance(given, dict) else None
    return found if isinstance(found, int | str) and not isinstance(found, bool) and _is_text(found) else None


def _is_text(found: int | str) -> bool:
    return isinstance(found, int) or not any("\ud800" <= one <= "\udfff" for one in found)

"""What all requests and answers have in common, and the form of an error (RFC 9457)."""

from __future__ import annotations

import json
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticSerializationError

_set = object.__setattr__


class Body(BaseModel):
    """A request's JSON. A key that nobody knows is refused, and so is a value of another type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Parameters(BaseModel):
    """A request's query string. Values arrive as text."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Answer(BaseModel):
    """An answer's JSON."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    @classmethod
    def of(cls, **fields: Any) -> Self:
        """The answer of all its fields, which are known to be right: `model_construct` in less time."""
        answer = cls.__new__(cls)
        _set(answer, "__dict__", fields)
        _set(answer, "__pydantic_fields_set__", set(fields))
        _set(answer, "__pydantic_extra__", None)
        _set(answer, "__pydantic_private__", None)
        return answer

    def as_json(self) -> bytes:
        """The answer as UTF-8; `null` stands for numbers that JSON does not have."""
        try:
            return self.__pydantic_serializer__.to_json(self, exclude_none=False, by_alias=True)
        except PydanticSerializationError:  # half a character in a document's metadata
            return json.dumps(self.model_dump(mode="python", by_alias=True)).encode()


class PartialAnswer(Answer):
    """An answer of an index that may be with shards."""

    partial: bool = False
    """Whether shards of the index failed, and this is what the others have."""
    missing_shards: list[str] = Field(default=[])
    """Those shards, such as `1/3`."""


class WrongValue(Answer):
    """One thing that is wrong with a request."""

    field: str
    """Where in the request, such as `query.0`."""
    message: str


class ErrorAnswer(Answer):
    """The same as OpenAI's clients read it."""

    message: str
    type: str
    param: str | None
    code: str | None = None


class ProblemAnswer(Answer):
    """Why a request was not answered (RFC 9457, `application/problem+json`)."""

    type: str = Field(examples=["about:blank"])
    title: str
    status: int
    detail: str
    request_id: str
    """Also in the header `X-Request-Id` and in the service's log."""
    errors: list[WrongValue] = []
    error: ErrorAnswer


class Empty(Parameters):
    """A query string without parameters."""


JsonObject = dict[str, Any]

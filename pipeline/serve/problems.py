"""Errors as problem details (RFC 9457). What goes out names no folder, no secret and no line of code."""

from __future__ import annotations

import http
import logging
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from starlette.responses import Response

from pipeline.errors import (
    EncoderError,
    IndexStoreError,
    NoMultivectorsError,
    PipelineError,
    QueryError,
    ServiceError,
    ShardsFailedError,
)
from pipeline.serve.schemas.base import ErrorAnswer, ProblemAnswer, WrongValue

MEDIA_TYPE = "application/problem+json"
_MOST_ERRORS = 20
_FORM = re.compile(r"str|bool|float|constrained-\w+|[\w-]+\[.*\]|[A-Z]\w*(?:Settings|Filter|Document)")
_SUBJECT = re.compile(r"(\w+)(?:: |=| ['\"])")
_LONGEST = 600
_ALSO = {"query": ("q",), "documents": ("doc_ids", "doc_id"), "doc_ids": ("doc_id",)}
"""What requests call arguments that have another name in the library."""

log = logging.getLogger(__name__)


class Problem(Exception):  # noqa: N818 - the word of RFC 9457
    """An answer that is an error. `detail` is read by whoever asked."""

    def __init__(
        self,
        status: int,
        detail: str,
        errors: Sequence[WrongValue] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.errors, self.headers = status, detail, tuple(errors), dict(headers or {})

    def response(self, request_id: str) -> Response:
        """The problem as an answer."""
        detail = self.detail[:_LONGEST]
        body = ProblemAnswer(
            type="about:blank",
            title=http.HTTPStatus(self.status).phrase,
            status=self.status,
            detail=detail,
            request_id=request_id,
            errors=list(self.errors),
            error=ErrorAnswer(
                message=detail,
                type="server_error" if self.status >= 500 else "invalid_request_error",
                param=self.errors[0].field if self.errors else None,
            ),
        )
        return Response(body.as_json(), self.status, headers=self.headers, media_type=MEDIA_TYPE)


def wrong_values(error: ValidationError, name: str = "") -> Problem:
    """422 for a body or a query string that is not what it should be. What was given is not repeated."""
    told = error.errors(include_url=False, include_context=False, include_input=False)
    every = [
        WrongValue(field=_field(name, one["loc"], one["type"]), message=one["msg"].removeprefix("Value error, "))
        for one in _without_other_forms(told)
    ]
    found = list(dict.fromkeys(every))[:_MOST_ERRORS]
    first = f"{found[0].field}: {found[0].message}" if found else "malformed"
    return Problem(422, first if len(found) == 1 else f"{first}; and {len(found) - 1} more", found)


def _without_other_forms(found: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """What is wrong, without the forms of a value that were not meant: of a list with an empty text, that this text
    is empty, and not that a list is no text. All forms, where a value has none of them."""

    def has_another_form(one: ErrorDetails) -> bool:
        return one["type"].endswith("_type") and _is_form(one["loc"][-1])

    meant = {
        one["loc"][:length]
        for one in found
        if one["loc"] and not has_another_form(one)
        for length in range(len(one["loc"]))
    }
    return [one for one in found if not one["loc"] or not has_another_form(one) or one["loc"][:-1] not in meant]


def _is_form(part: int | str) -> bool:
    return isinstance(part, str) and _FORM.fullmatch(part) is not None


def _field(name: str, place: Sequence[int | str], kind: str) -> str:
    """Where in a request something is wrong, without pydantic's names for the forms that a value may have."""
    *parents, last = [*place] or ["body"]
    known = [*parents] if kind == "extra_forbidden" else [*parents, last]
    kept = [str(one) for one in known if not _is_form(one)]
    return ".".join([*([name] if name else []), *kept, *([str(last)] if kind == "extra_forbidden" else [])])


def as_problem(
    error: Exception, folders: Mapping[str, Path], request_id: str, fields: Collection[str] = ()
) -> Problem:
    """What is told of an error. `folders`: of the indexes, by name; one that a message names becomes the name.
    `fields`: what the request may have, for a message that begins with one of them to be told as wrong there."""
    if isinstance(error, Problem):
        return _as_named(error, fields) if error.errors else _about_a_field(error, fields)
    if isinstance(error, QueryError):
        told = without_folders(str(error), folders)
        wrong = [WrongValue(field=name, message=told) for one in error.fields if (name := _asked(one, fields))]
        return Problem(422, told, wrong) if wrong else _about_a_field(Problem(422, told), fields)
    if isinstance(error, NoMultivectorsError):
        told = "rerank: the encoder of this index gives no multi-vectors; ask for another reranker"
        return _about_a_field(Problem(422, told), fields)
    if isinstance(error, EncoderError):
        log.error("request %s: %s", request_id, error)
        return Problem(503, "the model could not be used; the service's log says why")
    if isinstance(error, IndexStoreError):
        log.error("request %s: %s", request_id, error)
        return Problem(503, "the index could not be read; the service's log says why")
    if isinstance(error, ShardsFailedError):
        log.error("request %s: %s", request_id, error)
        which = ", ".join(sorted(error.shards))
        return Problem(503, f"shards of the index did not answer: {which}; the service's log says why")
    if isinstance(error, ServiceError):
        log.error("request %s: %s", request_id, error)
        return Problem(503, "the index's shards could not be asked; the service's log says why")
    if isinstance(error, PipelineError):
        log.error("request %s: %s", request_id, error)
    else:
        log.error("request %s failed", request_id, exc_info=error)
    return Problem(500, "something went wrong; the service's log says what")


def _as_named(problem: Problem, fields: Collection[str]) -> Problem:
    """The problem with the names that the request has for what is wrong."""
    named = [one.model_copy(update={"field": _asked(one.field, fields) or one.field}) for one in problem.errors]
    return Problem(problem.status, problem.detail, named, problem.headers)


def _asked(argument: str, fields: Collection[str]) -> str | None:
    """What a request calls an argument of a search, if it has it."""
    name, dot, place = argument.partition(".")
    return next((f"{one}{dot}{place}" for one in (name, *_ALSO.get(name, ())) if one in fields), None)


def _about_a_field(problem: Problem, fields: Collection[str]) -> Problem:
    """The problem with the field that its words begin with, as in `filter: …`, `group_size=2: …` or `boost '…`."""
    subject = _SUBJECT.match(problem.detail)
    if subject is None:
        return problem
    name = subject[1]
    for field in (name, f"{name}s", name.removesuffix("s")):
        if field in fields:
            message = problem.detail[subject.end() :] if subject[0].endswith(": ") else problem.detail
            return Problem(
                problem.status, problem.detail, [WrongValue(field=field, message=message)], problem.headers
            )
    return problem


def without_folders(message: str, folders: Mapping[str, Path]) -> str:
    """A message that speaks of indexes by their names."""
    known: Iterable[tuple[str, str]] = (
        (str(form), name) for name, path in folders.items() for form in (path, path.absolute(), path.resolve())
    )
    for form, name in sorted(known, key=lambda pair: -len(pair[0])):
        message = message.replace(form, f"index {name}") if form != "." else message
    return message


def method_not_allowed(allowed: Iterable[str]) -> Problem:
    """405, with what is allowed instead."""
    names = ", ".join(sorted(allowed))
    return Problem(405, f"this address answers {names}", headers={"Allow": names})


def not_found(what: str) -> Problem:
    """404."""
    return Problem(404, what)


def problem_schema() -> dict[str, Any]:
    """How the OpenAPI document refers to a problem."""
    return {"$ref": "#/components/schemas/ProblemAnswer"}

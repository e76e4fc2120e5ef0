"""What a request may not ask for more of. Raises `Problem`: 422 that names the limit."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.config import ServeLimits
from pipeline.serve.problems import Problem
from pipeline.serve.schemas.base import WrongValue


def at_most(field: str, value: int | None, limit: int) -> None:
    """Refuse a number above its limit. `field` may be a product, such as `k · group_size`."""
    if value is not None and value > limit:
        message = f"at most {limit:,} here"
        named = [WrongValue(field=one, message=f"{field}: {message}") for one in field.split(" · ")]
        raise Problem(422, f"{field}: {message}", named) if len(named) > 1 else _beyond(field, message)


def checked_queries(queries: Sequence[str], limits: ServeLimits) -> None:
    """Refuse too many queries, and one that is too long or empty."""
    if len(queries) > limits.queries:
        raise _beyond("query", f"at most {limits.queries:,} queries in one request")
    checked_texts("query", queries, limits)


def checked_texts(field: str, texts: Sequence[str], limits: ServeLimits) -> None:
    """Refuse a text that is too long."""
    for text in texts:
        if len(text) > limits.query_characters:
            raise _beyond(field, f"a text of {len(text):,} characters; at most {limits.query_characters:,}")


def _beyond(field: str, message: str) -> Problem:
    return Problem(422, f"{field}: {message}", [WrongValue(field=field, message=message)])

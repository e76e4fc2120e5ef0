"""The boosts that a search asks for, and the moment that it is asked at."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pipeline.arguments import shown
from pipeline.config.boosts import MOST, SHAPES, Boost, parse_boost
from pipeline.errors import QueryError


def wanted_boosts(boosts: Any, configured: Sequence[str]) -> tuple[Boost, ...]:
    """Boosts as records; `None`: those that are configured. Raises `QueryError`."""
    given = configured if boosts is None else boosts
    if not isinstance(given, list | tuple) or not all(isinstance(one, str | Boost) for one in given):
        raise QueryError(f"boosts={shown(given)}: give a list of boosts as text, such as {SHAPES}")
    if len(given) > MOST:
        raise QueryError(f"boosts: {len(given)} are given; at most {MOST} are allowed")
    try:
        return tuple(parse_boost(str(one)) if isinstance(one, str) else one for one in given)
    except ValueError as error:
        raise QueryError(f"boosts: {error}") from None


def moment(now: Any, is_needed: bool) -> datetime | None:
    """The moment that recency is counted from, this one by default if one is needed. Raises `QueryError`."""
    if now is None:
        return datetime.now(UTC) if is_needed else None
    if not isinstance(now, datetime) or now.tzinfo is None:
        raise QueryError(f"now={shown(now)}: give a datetime with its time zone, such as datetime.now(UTC)")
    return now

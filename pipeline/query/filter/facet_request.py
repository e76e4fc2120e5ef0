"""What is to be counted: one record, checked before anything is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from pipeline.arguments import shown, whole_number
from pipeline.errors import QueryError

FACET_VALUES = 10
"""How many values of a field are listed, unless it is said."""


@dataclass(frozen=True, slots=True)
class FacetRequest:
    """Which metadata fields to count, and how many of the values of each to list; `None`: all of them."""

    fields: tuple[str, ...]
    limit: int | None = FACET_VALUES

    @classmethod
    def of(cls, fields: object, limit: object = FACET_VALUES) -> FacetRequest:
        """Check what is asked for: names in order, or one name. Raises `QueryError`."""
        listed = [fields] if isinstance(fields, str) else None
        is_flat = getattr(fields, "ndim", 1) == 1
        if isinstance(fields, Iterable) and is_flat and not isinstance(fields, str | bytes | Mapping | AbstractSet):
            listed = list(fields)
        if listed is None or not all(isinstance(field, str) for field in listed):
            raise QueryError(f"fields={shown(fields)}: give a list of metadata fields, such as ['lang', 'tags']")
        if limit is None:
            return cls(tuple(map(str, listed)), None)
        meant = "give how many values of a field to list, or None for all"
        count = whole_number("limit", limit, meant, QueryError)
        if count < 1:
            raise QueryError(f"limit={shown(count)}: {meant}")
        return cls(tuple(map(str, listed)), count)

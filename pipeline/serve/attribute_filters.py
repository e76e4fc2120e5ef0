"""OpenAI's filters as conditions of this package's grammar.

A key must be the name of a column, and is quoted; a value becomes a literal of the column's type, with its quotes
doubled. So whatever stands in a filter, its condition has the shape that this module gave it.
"""

from __future__ import annotations

from collections.abc import Callable

from pipeline.errors import QueryError
from pipeline.index.columns.kinds import Kind
from pipeline.query.fusion.methods import unknown
from pipeline.serve.schemas.vector_stores import ComparisonFilter, CompoundFilter, Value

MOST_COMPARISONS, DEEPEST = 100, 8

KindOf = Callable[[str], Kind | None]
_SIGNS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_NUMBERS = (Kind.INT, Kind.FLOAT)


class Translation:
    """Makes a condition of a filter. `kind_of`: the kind of a column, `None` if there is none of this name."""

    def __init__(self, kind_of: KindOf, names: list[str]) -> None:
        self._kind_of, self._names = kind_of, names
        self._comparisons = 0

    def condition(self, filters: ComparisonFilter | CompoundFilter, depth: int = 1) -> str:
        """The condition. Raises `QueryError` for a filter that cannot be meant."""
        if depth > DEEPEST:
            raise QueryError(f"filters: nested more than {DEEPEST} deep")
        if isinstance(filters, CompoundFilter):
            parts = [self.condition(one, depth + 1) for one in filters.filters]
            return f"({f' {filters.type} '.join(parts)})"
        self._comparisons += 1
        if self._comparisons > MOST_COMPARISONS:
            raise QueryError(f"filters: more than {MOST_COMPARISONS} comparisons")
        return self._comparison(filters)

    def _comparison(self, one: ComparisonFilter) -> str:
        kind = self._kind_of(one.key)
        if kind is None:
            raise QueryError(f"filters: {unknown('attribute', one.key, self._names)}")
        column = '"' + one.key.replace('"', '""') + '"'
        takes_list = one.type in ("in", "nin")
        if isinstance(one.value, list) is not takes_list:
            raise QueryError(f"filters: `{one.type}` takes {'a list' if takes_list else 'one value, not a list'}")
        values = one.value if isinstance(one.value, list) else [one.value]
        literals = [_literal(one.key, value, kind) for value in values]
        if one.type in _SIGNS:
            if kind is Kind.LIST or kind is Kind.BOOL:
                raise QueryError(f"filters: {one.key} has {kind.value}, which no `{one.type}` orders")
            return f"{column} {_SIGNS[one.type]} {literals[0]}"
        if not literals:
            return "(true)" if one.type == "nin" else "(false)"
        if kind is Kind.LIST:
            found = " or ".join(f"list_contains({column}, {literal})" for literal in literals)
        else:
            found = f"{column} in ({', '.join(literals)})"
        return f"(not coalesce({found}, false))" if one.type in ("ne", "nin") else f"({found})"


def _literal(key: str, value: Value, kind: Kind) -> str:
    """A value as it stands in a condition on a column of this kind."""
    right = {
        bool: kind is Kind.BOOL,
        int: kind in _NUMBERS,
        float: kind in _NUMBERS,
        str: kind in (Kind.TEXT, Kind.LIST, Kind.NOTHING),
    }
    if not right[type(value)]:
        raise QueryError(f"filters: {key} has {kind.value}; the filter compares it with something else")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        written = repr(value)
        return written if "e" in written else f"{written}e0"
    if "\0" in value:
        raise QueryError(f"filters: the value for {key} has a zero byte")
    return "'" + value.replace("'", "''") + "'"

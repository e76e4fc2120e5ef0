"""Frameworks' filters as conditions on metadata (docs/filters.md). A condition is true or false, never NULL.

Columns may hold anything: a number is compared with what reads as a number, a text with what a value looks like
written out, so that no value of another type ends the search with an error.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

from pipeline.arguments import shown
from pipeline.errors import QueryError

Logic = Literal["and", "or", "not"]
ORDERED = {">": ">", ">=": ">=", "<": "<", "<=": "<="}


@dataclass(frozen=True, slots=True)
class Comparison:
    """`field` compared with `value`. `path`: names of records inside it. `operator`: a key of `OPERATORS`."""

    field: str
    operator: str
    value: Any
    path: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Combination:
    """`not` holds unless all parts do."""

    operator: Logic
    parts: tuple[Condition, ...]


Condition = Comparison | Combination


def as_sql(condition: Condition) -> str:
    """The condition as `where` takes it. Raises `QueryError` for a value that an operator cannot have."""
    if isinstance(condition, Comparison):
        try:
            make = OPERATORS[condition.operator]
        except KeyError:
            raise QueryError(
                f"filter on {condition.field}: unknown operator {shown(condition.operator)}; "
                f"known: {', '.join(OPERATORS)}"
            ) from None
        return make(condition)
    parts = [f"({as_sql(part)})" for part in condition.parts]
    if condition.operator == "or":
        return " or ".join(parts) or "false"
    everything = " and ".join(parts) or "true"
    return f"not ({everything})" if condition.operator == "not" else everything


def combined(*wheres: str | None) -> str | None:
    """All of the conditions that there are."""
    found = [where for where in wheres if where is not None]
    # The line break ends a comment.
    return found[0] if len(found) == 1 else " and ".join(f"({where}\n)" for where in found) or None


def _equal(one: Comparison) -> str:
    value = _scalar(one, one.value)
    if value is None:
        return f"{_column(one)} is null"
    return f"coalesce({_operand(one, value)} = {_literal(value)}, false)"


def _ordered(one: Comparison) -> str:
    value = _scalar(one, one.value)
    if value is None:
        return "false"
    return f"coalesce({_operand(one, value)} {ORDERED[one.operator]} {_literal(value)}, false)"


def _among(one: Comparison) -> str:
    values = _list(one)
    kinds: dict[str, list[str]] = {}
    for value in values:
        if value is not None:
            kinds.setdefault(_operand(one, value), []).append(_literal(value))
    parts = [f"coalesce({operand} in ({', '.join(found)}), false)" for operand, found in kinds.items()]
    parts += [f"{_column(one)} is null"] if None in values else []
    return " or ".join(parts) or "false"


def _holds(one: Comparison) -> str:
    return f"coalesce(list_contains({_column(one)}, {_quoted(_text(_scalar(one, one.value)))}), false)"


def _holds_some(function: str) -> Callable[[Comparison], str]:
    def make(one: Comparison) -> str:
        values = ", ".join(_quoted(_text(value)) for value in _list(one))
        return f"coalesce({function}({_column(one)}, [{values}]), false)"

    return make


def _has_text(fold: str) -> Callable[[Comparison], str]:
    def make(one: Comparison) -> str:
        if not isinstance(one.value, str):
            raise QueryError(f"filter on {one.field}: {one.operator} takes a text, not {shown(one.value)}")
        return f"coalesce(contains({fold}({_written(one)}), {fold}({_quoted(one.value)})), false)"

    return make


def _empty(one: Comparison) -> str:
    return f"coalesce({_written(one)} in ('', '[]'), true)"


def _opposite(make: Callable[[Comparison], str]) -> Callable[[Comparison], str]:
    return lambda one: f"not ({make(one)})"


OPERATORS: Mapping[str, Callable[[Comparison], str]] = {
    "==": _equal,
    "!=": _opposite(_equal),
    **dict.fromkeys(ORDERED, _ordered),
    "in": _among,
    "not in": _opposite(_among),
    "contains": _holds,
    "any": _holds_some("list_has_any"),
    "all": _holds_some("list_has_all"),
    "text_match": _has_text(""),
    "text_match_insensitive": _has_text("lower"),
    "is_empty": _empty,
}


def _column(one: Comparison) -> str:
    name = '"' + one.field.replace('"', '""') + '"'
    if not one.path:
        return name
    path = "$" + "".join(f".{json.dumps(part, ensure_ascii=False)}" for part in one.path)
    return f"({name}->>{_quoted(path)})"


def _written(one: Comparison) -> str:
    return f"cast({_column(one)} as varchar)"


def _operand(one: Comparison, value: object) -> str:
    """The column as what can be compared with a value."""
    if isinstance(value, datetime):
        return f"try_cast({_column(one)} as timestamp)"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"try_cast({_column(one)} as double)"
    return _written(one)


def _literal(value: object) -> str:
    if isinstance(value, datetime):
        return f"cast({_quoted(value.isoformat(' '))} as timestamp)"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"cast({value!r} as double)"
    return _quoted(_text(value))


def _text(value: object) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _scalar(one: Comparison, value: Any) -> str | int | float | bool | datetime | None:
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    fine = value is None or isinstance(value, str | int | float | datetime)
    if not fine or (isinstance(value, float) and not math.isfinite(value)):
        raise QueryError(f"filter on {one.field}: {one.operator} cannot be asked of {shown(value)}")
    return value  # type: ignore[no-any-return]


def _list(one: Comparison) -> Sequence[str | int | float | bool | datetime | None]:
    if not isinstance(one.value, list):
        raise QueryError(f"filter on {one.field}: {one.operator} takes a list, not {shown(one.value)}")
    return [_scalar(one, value) for value in one.value]

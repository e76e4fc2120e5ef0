"""Facets: which fields are worth listing, and what a chosen value is as a condition."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from pipeline.errors import QueryError
from pipeline.index.columns.kinds import CHUNK_COLUMNS, Kind
from pipeline.names import LINES, PAGES
from pipeline.query.searcher import Index
from pipeline.serve.page.state import Choice, PageState
from pipeline.serve.page.views import ChoiceView, FacetView, ValueView
from pipeline.serve.page.words import Words
from pipeline.serve.schemas.search import FacetAnswer

SHOWN = 6
"""How many values of a field are seen at once."""
LISTED = 30
"""How many more unfold, at most, with those."""
_FIELDS = 5
_MOST_ENTRIES = 2000


class FacetFields:
    """The fields that the page offers of each index, found once for each generation."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, tuple[str, ...]]] = {}

    def of(self, name: str, index: Index) -> tuple[str, ...]:
        """The fields of the index that is served by this name."""
        generation = index.manifest.generation
        known = self._known.get(name)
        if known is None or known[0] != generation:
            known = self._known[name] = (generation, telling_fields(index))
        return known[1]


def telling_fields(index: Index) -> tuple[str, ...]:
    """Metadata fields whose values sort documents into groups, those of the fewest values first."""
    table, documents = index.snapshot.columns, index.manifest.documents
    columns = [column for name in table.names if (column := table.column(name)) is not None]
    asked = [
        column
        for column in columns
        if column.name not in (*CHUNK_COLUMNS, *PAGES, *LINES)
        and column.kind not in (Kind.NOTHING, Kind.FLOAT)
        and table.entries(column) <= _MOST_ENTRIES
    ]
    found = index.facets([column.name for column in asked], None, 1) if asked else []
    telling = [
        facet
        for column, facet in zip(asked, found, strict=True)
        if facet.distinct >= 2
        and facet.values[0].documents >= 2
        and (column.kind is Kind.LIST or facet.distinct * 2 <= documents)
    ]
    return tuple(facet.field for facet in sorted(telling, key=lambda facet: facet.distinct)[:_FIELDS])


def condition(state: PageState, index: Index) -> str | None:
    """All that the page's address says documents must satisfy, as one filter. Raises `QueryError`."""
    chosen = [_condition(choice, index) for choice in state.choices]
    if not chosen:
        return state.filter or None
    return " and ".join(([f"({state.filter}\n)"] if state.filter else []) + chosen)


def facet_views(facets: Iterable[FacetAnswer], state: PageState) -> tuple[FacetView, ...]:
    """The values of each field as links that choose them; those that are chosen already are left out."""
    views = []
    for facet in facets:
        values = [
            ValueView(choice.value, f"{value.documents:,}", state.with_choice(choice))
            for value in facet.values
            if value.value == value.value
            and value.value is not None
            and (choice := Choice(facet.field, as_text(value.value))) not in state.choices
        ]
        if values:
            views.append(FacetView(facet.field, tuple(values[:SHOWN]), tuple(values[SHOWN:])))
    return tuple(views)


def choice_views(state: PageState, words: Words) -> tuple[ChoiceView, ...]:
    """Every condition, and the search without it."""
    found = [ChoiceView(f"{one.field}: {one.value}", state.without_choice(one)) for one in state.choices]
    if state.filter:
        found.append(ChoiceView(state.filter, state.address(filter="", k="")))
    if state.collapse and not state.like:
        found.append(ChoiceView(words.collapse, state.address(collapse=False, k="")))
    return tuple(found)


def as_text(value: str | int | float | bool) -> str:
    """A value as an address has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _condition(choice: Choice, index: Index) -> str:
    column = index.snapshot.columns.column(choice.field)
    if column is None or column.name in CHUNK_COLUMNS:
        raise QueryError(f"filter: the index has no metadata field {choice.field[:80]!r}")
    name = '"' + column.name.replace('"', '""') + '"'
    if column.kind is Kind.LIST:
        return f"list_contains({name}, {_quoted(choice.value)})"
    return f"{name} = {_literal(choice, column.kind)}"


def _literal(choice: Choice, kind: Kind) -> str:
    text = choice.value
    try:
        if kind is Kind.INT:
            return str(int(text))
        if kind is Kind.FLOAT and math.isfinite(number := float(text)):
            return repr(number)
    except ValueError:
        pass
    if kind is Kind.BOOL and text in ("true", "false"):
        return text
    if kind in (Kind.INT, Kind.FLOAT, Kind.BOOL):
        raise QueryError(f"filter: {choice.field[:80]!r} has {kind.value}, not {text[:80]!r}")
    return _quoted(text)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def wanted(fields: Sequence[str], state: PageState, limit: int) -> list[str]:
    """The fields to count: those of the page and those in which something was chosen."""
    return list(dict.fromkeys([*fields, *(choice.field for choice in state.choices)]))[:limit]

"""What may be asked of an index; refused before anything is encoded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any, TypedDict

from pipeline.arguments import flag, shown, whole
from pipeline.config import FusionSettings, RerankSettings
from pipeline.errors import QueryError

MODES = ("hybrid", "dense", "lexical")
Fusion = FusionSettings | Mapping[str, Any] | str | None
Rerank = RerankSettings | Mapping[str, Any] | str | None


class SearchOptions(TypedDict, total=False):
    """The keyword arguments of `Index.search`, which are those of `Index.search_many`."""

    fusion: Fusion
    collapse: bool
    explain: bool
    where: str | None
    rerank: Rerank
    rerank_top: int | None
    distinct: float | None
    context: int


def query_texts(texts: object) -> tuple[str, ...]:
    """The texts of queries, from anything that lists them in order. Raises `QueryError` for anything else."""
    found = _listed(texts)
    if found is None:
        raise QueryError(
            f"texts={shown(texts)}: search_many takes a list of queries, not {type(texts).__name__}; "
            "`search` takes one text"
        )
    for number, text in enumerate(found):
        if not isinstance(text, str):
            name = "text" if len(found) == 1 else f"texts[{number}]"
            raise QueryError(f"{name}={shown(text)}: give a query as str, not {type(text).__name__}")
    return tuple(map(str, found))


def wanted_legs(path: Path, legs: Sequence[str], texts: Sequence[str], mode: object) -> tuple[str, ...]:
    """The legs of `mode`, which the index at `path` has. Raises `QueryError`, also for a text that is empty."""
    if not isinstance(mode, str) or mode not in MODES:
        raise QueryError(f"unknown mode {shown(mode)}; known: {', '.join(MODES)}")
    for number, text in enumerate(texts, 1):
        if not text.strip():
            raise QueryError(f"{'the query' if len(texts) == 1 else f'query {number}'} is empty")
    return known_legs(path, legs, legs if mode == "hybrid" else (mode,))


def known_legs(path: Path, legs: Sequence[str], wanted: object) -> tuple[str, ...]:
    """Those of the `legs` of the index at `path` that are wanted, or all if none is named. Raises `QueryError`."""
    if wanted is None:
        return tuple(legs)
    found = _listed(wanted)
    if found is None:
        raise QueryError(f"legs={shown(wanted)}: give a tuple of legs, such as ('dense',)")
    for leg in found:
        if leg not in legs:
            name = leg if isinstance(leg, str) else shown(leg)
            raise QueryError(f"{path}: this index has no {name} leg; it has: {', '.join(legs)}")
    return tuple(dict.fromkeys(found)) or tuple(legs)


def hits_wanted(k: object) -> int:
    """How many hits are asked for. Raises `QueryError` for less than one."""
    count = whole("k", k, "give a whole number of hits", QueryError)
    if count < 1:
        raise QueryError(f"k={shown(count)}: ask for at least one hit")
    return count


def neighbours_wanted(context: object) -> int:
    """How many chunks to show on each side of a hit. Raises `QueryError` for less than none."""
    meant = "give how many chunks before and after a hit to show, or 0"
    count = whole("context", context, meant, QueryError)
    if count < 0:
        raise QueryError(f"context={shown(count)}: {meant}")
    return count


def narrowing(collapse: object, where: object, distinct: Any) -> tuple[bool, str | None, float | None]:
    """The three arguments that leave out chunks. Raises `QueryError` for one that makes no sense."""
    if not (where is None or isinstance(where, str)):
        raise QueryError(f"where={shown(where)}: give an SQL condition as text, such as \"lang = 'ko'\"")
    if distinct is not None:
        number = isinstance(distinct, Real) and not isinstance(distinct, bool)
        if not number or not 0 < distinct <= 1:
            raise QueryError(f"distinct={shown(distinct)}: give a similarity above 0 and up to 1, such as 0.8")
        distinct = float(distinct)
    return flag("collapse", collapse, QueryError), where, distinct


def _listed(values: Any) -> list[Any] | None:
    """What a list, tuple, one-dimensional array or generator holds; `None` for anything else."""
    no_list = isinstance(values, str | bytes | bytearray | memoryview | Mapping | set | frozenset)
    if no_list or not isinstance(values, Iterable) or getattr(values, "ndim", 1) != 1:
        return None
    return list(values)

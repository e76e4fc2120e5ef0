"""What a search asks for: one record, checked and completed before anything is encoded."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from numbers import Real
from pathlib import Path
from typing import Any, Protocol, TypedDict, Unpack

from pipeline import names
from pipeline.arguments import flag, shown, whole_number
from pipeline.config import FusionSettings, QuerySettings, RerankSettings
from pipeline.config.boosts import Boost
from pipeline.errors import QueryError
from pipeline.query.boosting.wanted import moment, wanted_boosts
from pipeline.query.fusion.resolve import chosen_fusion
from pipeline.query.rerank import NONE, choose_reranker

Fusion = FusionSettings | Mapping[str, Any] | str | None
Rerank = RerankSettings | Mapping[str, Any] | str | None
GROUPED_BY = "doc_id"
GROUP_SIZE = 3
Boosts = Sequence[str | Boost] | None


class RankEncodedOptions(TypedDict, total=False):
    """The keyword arguments of `Index.rank_encoded`."""

    fusion: Fusion
    collapse: bool
    where: str | None
    rerank: Rerank
    distinct: float | None
    boosts: Boosts
    now: datetime | None


class RankOptions(RankEncodedOptions, total=False):
    """The keyword arguments of `Index.rank`."""

    rerank_top: int | None


class SimilarOptions(TypedDict, total=False):
    """The keyword arguments of `Index.similar` beside the examples."""

    fusion: Fusion
    collapse: bool
    where: str | None
    context: int
    boosts: Boosts
    now: datetime | None
    explain: bool


class SearchOptions(RankOptions, total=False):
    """The keyword arguments of `Index.search` and `Index.search_many`."""

    explain: bool
    context: int
    highlights: bool
    merge: bool
    group: str | None
    group_size: int | None


class Searchable(Protocol):
    """What a request is checked against; an open index is."""

    @property
    def path(self) -> Path:
        """The folder, for errors to name."""

    @property
    def legs(self) -> tuple[str, ...]:
        """The legs that can be searched."""

    @property
    def settings(self) -> QuerySettings:
        """What counts where a request says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """Everything that one search asks of an index, made and checked by `for_texts` or `for_legs`.

    `texts`: the queries; `k`: how many hits of each. `legs`: those that rank; `depth`: how many of each leg's best
    are fused. `rerank`: what scores the best chunks again, `None`: nothing does. `where`: an SQL condition on the
    chunks' metadata. `distinct`: how much of its text a hit must not share with a better one, 0 to 1. `collapse`:
    only the best chunk of each document. `context`: how many chunks to show before and after a hit. `explain`:
    whether hits say how their score came about. `highlights`: whether they say where the query's words
    stand. `merge`: whether a section stands for its chunks where most of them are found. `group`: by `doc_id`, `k`
    documents with their best `group_size` chunks. `boosts`: what multiplies scores; `now`: the moment that recency
    is counted from, `None` where nothing is boosted. `dataclasses.replace` checks what it changes.
    """

    texts: tuple[str, ...]
    k: int
    legs: tuple[str, ...]
    depth: int
    fusion: FusionSettings
    rerank: RerankSettings | None = None
    where: str | None = None
    distinct: float | None = None
    collapse: bool = False
    context: int = 0
    explain: bool = False
    highlights: bool = False
    merge: bool = False
    group: str | None = None
    group_size: int = GROUP_SIZE
    boosts: tuple[Boost, ...] = ()
    now: datetime | None = None

    def __post_init__(self) -> None:
        """Bring the fields to their types. Raises `QueryError` for what makes no sense on any index."""
        if not isinstance(self.fusion, FusionSettings):
            raise QueryError(f"fusion={shown(self.fusion)}: a request holds settings; `for_texts` takes names too")
        if not isinstance(self.rerank, RerankSettings | None):
            raise QueryError(f"rerank={shown(self.rerank)}: a request holds settings; `for_texts` takes names too")
        legs = _listed(self.legs)
        if not legs:
            raise QueryError(f"legs={shown(self.legs)}: give a tuple of legs, such as ('dense',)")
        merge, group = together(self)
        boosts = wanted_boosts(self.boosts, ())
        collapse, where, distinct = narrowing(self.collapse, self.where, self.distinct)
        checked = {
            "texts": query_texts(self.texts),
            "context": neighbours_wanted(self.context),
            "explain": flag("explain", self.explain, QueryError),
            "highlights": flag("highlights", self.highlights, QueryError),
            "merge": merge,
            "group": group,
            "group_size": _at_least_one("group_size", self.group_size, "give how many chunks of each document"),
            "k": hits_wanted(self.k),
            "legs": tuple(dict.fromkeys(map(str, legs))),
            "depth": _at_least_one("depth", self.depth, "fuse at least one candidate of each leg"),
            "rerank": None if self.rerank is None or self.rerank.model == NONE else self.rerank,
            "where": where,
            "distinct": distinct,
            "collapse": collapse,
            "boosts": boosts,
            "now": moment(self.now, bool(boosts)),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @classmethod
    def for_texts(
        cls,
        index: Searchable,
        texts: Iterable[str],
        k: int | None = None,
        mode: str | None = None,
        **options: Unpack[SearchOptions],
    ) -> SearchRequest:
        """Make the request of a search from what `Index.search_many` takes, on top of the index's settings.

        Raises `QueryError` for an empty query, k < 1 or an argument that makes no sense.
        """
        refuse_unknown(options, SearchOptions)
        settings = index.settings
        texts = query_texts(texts)
        context = neighbours_wanted(options.get("context", 0))
        explain = flag("explain", options.get("explain", False), QueryError)
        k = hits_wanted(settings.k if k is None else k)
        legs = wanted_legs(index.path, index.legs, texts, settings.mode if mode is None else mode)
        fusion = chosen_fusion(settings.fusion, options.get("fusion"))
        rerank = choose_reranker(settings.rerank, options.get("rerank"), options.get("rerank_top"))
        return cls(
            texts=texts,
            k=k,
            legs=legs,
            depth=settings.depth,
            fusion=fusion,
            rerank=rerank,
            where=options.get("where"),
            distinct=options.get("distinct"),
            collapse=options.get("collapse", False),
            context=context,
            explain=explain,
            highlights=options.get("highlights", False),
            merge=options.get("merge", False),
            group=options.get("group"),
            group_size=_group_size(options.get("group_size"), options.get("group")),
            boosts=wanted_boosts(options.get("boosts"), settings.boosts),
            now=options.get("now"),
        )

    @classmethod
    def for_legs(
        cls,
        index: Searchable,
        texts: tuple[str, ...],
        k: int | None = None,
        legs: Sequence[str] | None = None,
        **options: Unpack[RankEncodedOptions],
    ) -> SearchRequest:
        """Make a request of what `Index.rank_encoded` takes: nothing is reranked or boosted unless it says so.

        `legs`: by default all. `texts` may be empty ones. Raises `QueryError` for an argument that makes no sense.
        """
        refuse_unknown(options, RankEncodedOptions)
        settings = index.settings
        rerank = options.get("rerank")
        return cls(
            texts=texts,
            k=settings.k if k is None else k,
            legs=known_legs(index.path, index.legs, legs),
            depth=settings.depth,
            fusion=chosen_fusion(settings.fusion, options.get("fusion")),
            rerank=None if rerank is None else choose_reranker(settings.rerank, rerank, None),
            where=options.get("where"),
            distinct=options.get("distinct"),
            collapse=options.get("collapse", False),
            boosts=wanted_boosts(options.get("boosts"), ()),
            now=options.get("now"),
        )


def refuse_unknown(options: Iterable[str], known: type | Collection[str]) -> None:
    """Raise `TypeError` for a keyword argument that is not among `known`, names or a `TypedDict` of them."""
    names = known.__annotations__ if isinstance(known, type) else known
    for name in options:
        if name not in names:
            raise TypeError(f"unexpected keyword argument {name!r}; known: {', '.join(sorted(names))}")


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
    if not isinstance(mode, str) or mode not in names.MODES:
        raise QueryError(f"unknown mode {shown(mode)}; known: {', '.join(names.MODES)}", fields=("mode",))
    for number, text in enumerate(texts, 1):
        if not text.strip():
            if len(texts) == 1:
                raise QueryError("the query is empty", fields=("query",))
            raise QueryError(f"query {number} is empty", fields=(f"query.{number - 1}",))
    return known_legs(path, legs, legs if mode == names.HYBRID else (mode,))


def known_legs(path: Path, legs: Sequence[str], wanted: object) -> tuple[str, ...]:
    """Return the wanted ones of the `legs` of the index at `path`, all if none is named. Raises `QueryError`."""
    if wanted is None:
        return tuple(legs)
    found = _listed(wanted)
    if found is None:
        raise QueryError(f"legs={shown(wanted)}: give a tuple of legs, such as ('dense',)")
    for leg in found:
        if not isinstance(leg, str) or leg not in legs:
            name = leg if isinstance(leg, str) else shown(leg)
            told = f"{path}: this index has no {name} leg; it has: {', '.join(legs)}"
            raise QueryError(told, fields=("mode",))
    return tuple(dict.fromkeys(found)) or tuple(legs)


def hits_wanted(k: object) -> int:
    """How many hits are asked for. Raises `QueryError` for less than one."""
    count = whole_number("k", k, "give a whole number of hits", QueryError)
    return _at_least_one("k", count, "ask for at least one hit")


def _at_least_one(name: str, value: object, meant: str) -> int:
    count = whole_number(name, value, meant, QueryError)
    if count < 1:
        raise QueryError(f"{name}={shown(count)}: {meant}")
    return count


def neighbours_wanted(context: object) -> int:
    """How many chunks to show on each side of a hit. Raises `QueryError` for less than none."""
    meant = "give how many chunks before and after a hit to show, or 0"
    count = whole_number("context", context, meant, QueryError)
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


def together(request: SearchRequest) -> tuple[bool, str | None]:
    """Whether sections merge, and by what hits are grouped. Raises `QueryError` for two that exclude each other."""
    merge = flag("merge", request.merge, QueryError)
    if request.group is not None and not (isinstance(request.group, str) and request.group == GROUPED_BY):
        raise QueryError(f"group={shown(request.group)}: hits are grouped by {GROUPED_BY}")
    others = {
        "merge": merge,
        "group": request.group is not None,
        "collapse": request.collapse is not False,
        "distinct": request.distinct is not None,
    }
    given = [name for name, is_given in others.items() if is_given]
    if (merge or request.group is not None) and len(given) > 1:
        raise QueryError(f"{' and '.join(given[:2])} exclude each other: give one of them", fields=given[:2])
    return merge, request.group


def _group_size(size: int | None, group: str | None) -> int:
    if size is None:
        return GROUP_SIZE
    if group is None:
        raise QueryError(f"group_size={shown(size)}: nothing is grouped; give group={GROUPED_BY!r} with it")
    return size


def _listed(values: Any) -> list[Any] | None:
    """What a list, tuple, one-dimensional array or generator holds; `None` for anything else."""
    if isinstance(values, tuple | list):
        return list(values)
    no_list = isinstance(values, str | bytes | bytearray | memoryview | Mapping | set | frozenset)
    if no_list or not isinstance(values, Iterable) or getattr(values, "ndim", 1) != 1:
        return None
    return list(values)

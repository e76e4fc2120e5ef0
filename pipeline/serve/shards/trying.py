"""Answers of an index that may be with shards: again where they have moved on, without some where that is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pipeline.config.serve import OnShardFailure
from pipeline.errors import GenerationGoneError
from pipeline.query.searcher import Index
from pipeline.query.shards.sharded import ShardedIndex
from pipeline.serve.holder import IndexHolder
from pipeline.serve.problems import Problem
from pipeline.serve.schemas.base import PartialAnswer, WrongValue
from pipeline.serve.service import Service

T = TypeVar("T")
A = TypeVar("A", bound=PartialAnswer)


def answer_of(holder: IndexHolder, work: Callable[[Index], T], partial: bool = False) -> tuple[T, tuple[str, ...]]:
    """What `work` makes of an index at one generation, and the names of shards that it had to do without.

    None are, unless `partial`. Raises `ShardsFailedError`, and what `work` raises.
    """
    try:
        return _answer(holder, work, partial, stays=False)
    except GenerationGoneError:
        holder.look()
        return _answer(holder, work, partial, stays=True)


def answered(service: Service, holder: IndexHolder, work: Callable[[Index], A], asked: OnShardFailure | None) -> A:
    """The answer that `work` makes, which says which shards it had to do without, as asked or as configured.

    Raises `ShardsFailedError`, and what `work` raises.
    """
    wanted = asked or service.settings.on_shard_failure
    found, missing = answer_of(holder, work, wanted == "partial")
    return found.model_copy(update={"partial": True, "missing_shards": list(missing)}) if missing else found


def no_such_document(index: Index, doc_id: str, field: str | None = None) -> Problem:
    """What to say of a document that this index does not have: it may be with a shard that is missing. `field`:
    where the request named it, unless that was its address."""
    if isinstance(index, ShardedIndex) and index.missing:
        which = ", ".join(index.missing)
        return Problem(503, f"no shard that answers has the document {doc_id!r}, and some do not answer: {which}")
    told = f"the index has no document {doc_id!r}; `doc_id` of a hit is one"
    return Problem(404, told, [] if field is None else [WrongValue(field=field, message=told)])


def _answer(
    holder: IndexHolder, work: Callable[[Index], T], partial: bool, stays: bool
) -> tuple[T, tuple[str, ...]]:
    with holder.lent() as index:
        if isinstance(index, ShardedIndex):
            return index.attempt(work, partial, stays)
        return work(index), ()

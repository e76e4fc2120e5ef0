"""Answers of an index that may be with shards: again where they have moved on, without some where that is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pipeline.errors import GenerationGoneError
from pipeline.query.searcher import Index
from pipeline.query.shards.sharded import ShardedIndex
from pipeline.serve.holder import IndexHolder

T = TypeVar("T")


def answer_of(holder: IndexHolder, work: Callable[[Index], T], partial: bool = False) -> tuple[T, tuple[str, ...]]:
    """What `work` makes of an index at one generation, and the names of shards that it had to do without.

    None are, unless `partial`. Raises `ShardsFailedError`, and what `work` raises.
    """
    try:
        return _answer(holder, work, partial, stays=False)
    except GenerationGoneError:
        holder.look()
        return _answer(holder, work, partial, stays=True)


def _answer(
    holder: IndexHolder, work: Callable[[Index], T], partial: bool, stays: bool
) -> tuple[T, tuple[str, ...]]:
    with holder.lent() as index:
        if isinstance(index, ShardedIndex):
            return index.attempt(work, partial, stays)
        return work(index), ()

"""Groups: the best documents, each with its best chunks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from pipeline.query.ranked import Ranked
from pipeline.query.snapshot import Ids, Snapshot

Widen = Callable[[Ranked, Ids], Ranked]
"""Adds chunks to the candidates, with their exact scores."""


def documents(snapshot: Snapshot, ranked: Ranked, k: int) -> dict[str, int]:
    """The first `k` documents, each with the position of its first chunk."""
    heads: dict[str, int] = {}
    for position in ranked.order.tolist():
        if len(heads) == k:
            break
        heads.setdefault(snapshot.doc_id(int(ranked.ids[position])), position)
    return heads


def grouped(snapshot: Snapshot, ranked: Ranked, heads: Mapping[str, int], size: int, widen: Widen) -> Ranked:
    """These documents, each with up to `size` chunks, which follow each other.

    A document's first chunk is its first in the ranking; the others are those of all its chunks that were reranked,
    then those of the highest scores, so that they do not depend on how deep the legs were asked.
    """
    members = snapshot.each(snapshot.chunks_of, heads)
    whole = widen(ranked, np.concatenate([np.zeros(0, np.int64), *members])) if size > 1 else ranked
    places = {int(number): place for place, number in enumerate(whole.ids.tolist())}
    order: list[int] = []
    for head, numbers in zip(heads.values(), members, strict=True):
        rest = np.array([places[n] for n in numbers.tolist() if n in places and places[n] != head], np.int64)
        order += [head, *_best(snapshot, whole, rest)[: size - 1]]
    return dataclasses.replace(whole, order=np.array(order, np.int64))


def _best(snapshot: Snapshot, ranked: Ranked, positions: Ids) -> list[int]:
    known = ranked.reranked.columns if ranked.reranked is not None else {}
    is_behind = np.array([place not in known for place in positions.tolist()], np.bool_)
    order = snapshot.order(ranked.ids[positions], [is_behind, -ranked.scores[positions]])
    best: list[int] = positions[order].tolist()
    return best

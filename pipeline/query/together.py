"""Searches that would wait for each other, ranked together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from pipeline.combining import Combiner
from pipeline.query.legs.contract import EncodedQueries
from pipeline.query.ranked import Ranked
from pipeline.query.ranking import FirstStage
from pipeline.query.request import SearchRequest
from pipeline.query.rerank import SecondLook
from pipeline.query.search_stages import rank_in_stages
from pipeline.query.snapshot import Snapshot
from pipeline.records import SparseRows

MOST_TOGETHER = 16


@dataclass(frozen=True, slots=True)
class Search:
    """A request with its texts encoded, and how its candidates are found."""

    request: SearchRequest
    queries: EncodedQueries
    stage: FirstStage


RankSearch = Combiner[Search, list[Ranked]]


def rank_search(snapshot: Snapshot, second_look: SecondLook) -> RankSearch:
    """What ranks searches: those that `may_wait`, with others of their kind that come meanwhile."""
    return Combiner(partial(_ranked, snapshot, second_look), most=MOST_TOGETHER, size=_size, kind=_kind)


def may_wait(request: SearchRequest) -> bool:
    """Whether a request is quickly done with, so that others wait for it: some queries, of which nothing is
    filtered, reranked or left out."""
    plain = request.where is None and request.rerank is None and request.distinct is None and not request.collapse
    return plain and 0 < len(request.texts) <= MOST_TOGETHER


def _size(search: Search) -> int:
    return len(search.request.texts)


def _kind(search: Search) -> object:
    stage, queries = search.stage, search.queries
    sides = (queries.dense is None, queries.lexical is None)
    return search.request.k, stage.legs, stage.depth, stage.fusion, stage.calibration, sides


def _ranked(snapshot: Snapshot, second_look: SecondLook, searches: Sequence[Search]) -> list[list[Ranked]]:
    first = searches[0]
    queries = first.queries if len(searches) == 1 else _joined([search.queries for search in searches])
    ranked = rank_in_stages(snapshot, first.request, queries, first.stage, second_look)
    ends = np.cumsum([_size(search) for search in searches]).tolist()
    return [ranked[end - _size(search) : end] for end, search in zip(ends, searches, strict=True)]


def _joined(parts: Sequence[EncodedQueries]) -> EncodedQueries:
    dense = [part.dense for part in parts if part.dense is not None]
    lexical = [part.lexical for part in parts if part.lexical is not None]
    return EncodedQueries(
        tuple(text for part in parts for text in part.texts),
        np.concatenate(dense) if dense else None,
        SparseRows.concatenate(lexical) if lexical else None,
        None,
        tuple(script for part in parts for script in part.scripts),
    )

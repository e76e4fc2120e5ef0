"""From requests to rankings and hits: each for itself, or those that would wait for each other at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from pipeline.combining import Combiner, HandOn
from pipeline.forking import Lock, shared_property
from pipeline.models.shared import MOST_TOGETHER, SharedEncoder
from pipeline.query.fusion.calibration import Calibration
from pipeline.query.fusion.resolve import calibration_of
from pipeline.query.fusion.scripts import dominant_script
from pipeline.query.legs.contract import EncodedQueries, Leg
from pipeline.query.ranked import Ranked
from pipeline.query.ranking import FirstStage
from pipeline.query.request import SearchRequest
from pipeline.query.rerank import SecondLook
from pipeline.query.search_stages import rank_in_stages
from pipeline.query.showing.hits import to_hits
from pipeline.query.showing.words import QueryWords
from pipeline.query.snapshot import Snapshot
from pipeline.records import Hit


class Ranker:
    """Encodes and ranks the requests of an open index. `legs`: all that it has."""

    def __init__(
        self, snapshot: Snapshot, encoder: SharedEncoder, second_look: SecondLook, legs: Mapping[str, Leg[Any]]
    ) -> None:
        self._snapshot, self._encoder, self._second_look, self._legs = snapshot, encoder, second_look, legs
        self.turn = Lock()

    @shared_property
    def calibration(self) -> Calibration:
        """How the index's legs are calibrated."""
        return calibration_of(self._snapshot.manifest, tuple(self._legs))

    @property
    def encodes_together(self) -> bool:
        """Whether a query is encoded the same among others."""
        return self._encoder.combines_queries

    def has_filtered(self, where: str | None) -> bool:
        """Whether nothing has to be evaluated to know which chunks may be found."""
        return where is None or self._snapshot.has_masks(where)

    def encode(self, texts: tuple[str, ...]) -> EncodedQueries:
        """The texts' vectors and lexical weights."""
        encoded = self._encoder.encode_queries(texts)
        scripts = tuple(dominant_script(text) for text in texts)
        return EncodedQueries(texts, encoded.dense, encoded.lexical, encoded.multivectors, scripts)

    def rank(self, request: SearchRequest, queries: EncodedQueries) -> list[Ranked]:
        """The best `request.k` of each query."""
        legs = tuple(self._legs[leg] for leg in request.legs)
        stage = FirstStage(legs, request.depth, request.fusion, self.calibration)
        return rank_in_stages(self._snapshot, request, queries, stage, self._second_look)

    def hits(self, request: SearchRequest, ranked: Sequence[Ranked], queries: EncodedQueries) -> list[list[Hit]]:
        """The hits of each text of a request, which it ranked. `queries`: those texts."""
        tokens: Sequence[Mapping[int, str]] = [{} for _ in ranked]
        if request.explain or request.highlights:
            tokens = self._encoder.describe_queries(request.texts, queries.lexical)
        return [self._hits(request, *pair) for pair in zip(tokens, ranked, strict=True)]

    def _hits(self, request: SearchRequest, tokens: Mapping[int, str], ranked: Ranked) -> list[Hit]:
        words = QueryWords(tokens, self._encoder.describe_queries) if request.highlights else None
        return to_hits(self._snapshot, ranked, tokens if request.explain else None, request.context, words)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, and whether its hits are wanted or numbers do."""

    request: SearchRequest
    with_hits: bool


@dataclass(frozen=True, slots=True)
class Answered:
    """What each of a request's texts found. `hits`: none where they are not wanted."""

    ranked: list[Ranked]
    hits: list[list[Hit]]


def combined(ranker: Ranker) -> Combiner[Asked, Answered]:
    """What answers requests that `may_wait`, with others of their kind that come meanwhile.

    While one batch is ranked, the next is encoded. The one that ranks makes the hits of all, because threads that
    each made their own would keep taking the interpreter's lock from those at work.
    """
    return Combiner(partial(_answered, ranker), most=MOST_TOGETHER, size=_size, kind=_kind)


def may_wait(ranker: Ranker, request: SearchRequest) -> bool:
    """Whether a request is ranked the same with others, and quickly enough for them to wait for it: one of few
    texts, with a filter at most that has been evaluated, of which nothing is reranked, boosted, left out
    or put together."""
    plain = request.rerank is None and request.distinct is None and not request.collapse
    plain = plain and not request.boosts and not request.merge and request.group is None
    few = 0 < len(request.texts) <= MOST_TOGETHER
    return plain and few and ranker.encodes_together and ranker.has_filtered(request.where)


def _size(asked: Asked) -> int:
    return len(asked.request.texts)


def _kind(asked: Asked) -> object:
    request = asked.request
    return request.k, request.legs, request.depth, request.where, request.fusion


def _answered(ranker: Ranker, asked: Sequence[Asked], hand_on: HandOn) -> list[Answered]:
    requests = [each.request for each in asked]
    texts = tuple(text for request in requests for text in request.texts)
    queries = ranker.encode(texts)
    with ranker.turn:
        hand_on()
        ranked = ranker.rank(requests[0], queries)
    ends = np.cumsum([len(request.texts) for request in requests]).tolist()
    own = [slice(end - len(request.texts), end) for end, request in zip(ends, requests, strict=True)]
    return [
        Answered(
            ranked[part], ranker.hits(each.request, ranked[part], queries.part(part)) if each.with_hits else []
        )
        for each, part in zip(asked, own, strict=True)
    ]

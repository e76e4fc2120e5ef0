"""What an open index answers."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt

from pipeline.arguments import shown
from pipeline.config import QuerySettings
from pipeline.errors import QueryError
from pipeline.index.manifest import Manifest
from pipeline.models.shared import SharedEncoder
from pipeline.names import DENSE
from pipeline.openness import Closable, Openness, while_open
from pipeline.query.compatibility import check_encodable
from pipeline.query.filter.facet_request import FACET_VALUES, FacetRequest
from pipeline.query.fusion.trust import LegTrust, trust
from pipeline.query.legs.contract import EncodedQueries, Leg
from pipeline.query.legs.registry import open_legs
from pipeline.query.log.writer import QueryLog
from pipeline.query.ranked import Ranked
from pipeline.query.request import (
    RankEncodedOptions,
    RankOptions,
    Rerank,
    SearchOptions,
    SearchRequest,
    SimilarOptions,
    known_legs,
    narrowing,
    query_texts,
    refuse_unknown,
)
from pipeline.query.rerank import NONE, SecondLook, choose_reranker
from pipeline.query.showing.document import document_chunks
from pipeline.query.showing.hits import to_hits
from pipeline.query.similar import Examples, as_query, similar_request, words_of
from pipeline.query.snapshot import Snapshot
from pipeline.query.suggesting.near_words import NearWords
from pipeline.query.together import Asked, Ranker, combined, may_wait
from pipeline.records import Chunk, Facet, Hit, Suggestion


class Searches(Closable):
    """The searches of one generation, for any number of threads."""

    def __init__(
        self,
        path: Path,
        snapshot: Snapshot,
        encoder: SharedEncoder,
        settings: QuerySettings,
        second_look: SecondLook,
    ) -> None:
        self.path = path
        self.snapshot = snapshot
        self.encoder = encoder
        self.settings = settings
        self._legs = self._opened_legs(snapshot)
        self._open = Openness(f"{path}: this index was closed; open it again with `open_index`", snapshot.close)
        self._second_look = second_look
        self._log = QueryLog(path, settings) if settings.log else None
        self._ranker = Ranker(snapshot, encoder, second_look, self._legs)
        self._answer_together = combined(self._ranker)

    def _opened_legs(self, snapshot: Snapshot) -> dict[str, Leg[Any]]:
        return open_legs(snapshot)

    @property
    def manifest(self) -> Manifest:
        """The generation."""
        return self.snapshot.manifest

    @property
    def legs(self) -> tuple[str, ...]:
        """The legs this index can search."""
        return tuple(self._legs)

    def leg(self, name: str) -> Leg[Any]:
        """One of the legs this index can search. Raises `QueryError`."""
        (name,) = known_legs(self.path, self.legs, (name,))
        return self._legs[name]

    def search(
        self, text: str, k: int | None = None, mode: str | None = None, **options: Unpack[SearchOptions]
    ) -> list[Hit]:
        """The best `k` chunks for one query, best first. See `search_many`."""
        (hits,) = self.search_many([text], k, mode, **options)
        return hits

    @while_open
    def search_many(
        self,
        texts: Iterable[str],
        k: int | None = None,
        mode: str | None = None,
        **options: Unpack[SearchOptions],
    ) -> list[list[Hit]]:
        """The best `k` chunks for each query. What is not given comes from the settings the index was opened with.

        `mode`: `hybrid`, `dense` or `lexical`. `collapse`: only the best chunk of each document. Fewer hits come
        back when the index is smaller than `k`, or when a lexical query shares no token with more chunks.
        `explain`: say how each score came about (`LegScore.contribution`, `Hit.matches`). `where`: an SQL condition
        on the chunks' metadata that is applied before ranking, for example `lang = 'ko' and year >= 2024`.
        `fusion`: the name of a method or preset, or settings, or a mapping of them.
        `rerank`: `none`, `multivectors`, or the hub id or folder of a cross-encoder, or settings, or a mapping of
        them; the best `rerank_top` chunks are then scored again, and those after them follow in their old order
        with their old score.
        `distinct`: above 0 and up to 1; leaves out chunks that share at least this much of their text with a better
        hit. `context`: how many neighbouring chunks to show as `Hit.before` and `Hit.after`.
        Raises `QueryError` for an empty query, k < 1 or an argument that makes no sense, `EncoderError` for a
        reranker that cannot be loaded.
        """
        return self.answer(SearchRequest.for_texts(self, texts, k, mode, **options))

    @while_open
    def answer(self, request: SearchRequest) -> list[list[Hit]]:
        """The hits of each of a request's texts, logged where `query.log` is set. See `search_many`."""
        self._check_request(request)
        started = time.perf_counter()
        if request.texts and may_wait(self._ranker, request):
            hits = self._answer_together(Asked(request, with_hits=True)).hits
        else:
            hits = self._ranker.hits(request, *self._ranked_alone(request)) if request.texts else []
        if self._log is not None:
            self._log.add(request, hits, time.perf_counter() - started, self.manifest.generation)
        return hits

    @while_open
    def similar(
        self, examples: Examples, k: int | None = None, mode: str | None = None, **options: Unpack[SimilarOptions]
    ) -> list[Hit]:
        """The best `k` chunks that are like the examples and unlike the counter-examples, none of them theirs.

        The other arguments are those of `search_many`, but that `collapse` is on unless it is `False`. Documents of
        the index are asked for by what is stored of them; only texts are encoded, as passages. Nothing is reranked.
        Raises `QueryError` for a document that the index does not have.
        """
        request = similar_request(self, examples, k, mode, **options)
        legs = [self._legs[leg] for leg in request.legs]
        if examples.texts or examples.unlike_texts:
            self._check_encodable(request)
        asked = as_query(self.snapshot, legs, self.encoder.encode_documents, examples)
        deeper = dataclasses.replace(request, k=request.k + len(asked.chunks))
        (ranked,) = self._ranker.rank(deeper, asked.queries)
        words = words_of(self.snapshot, examples, self.encoder.describe_queries) if request.explain else None
        return to_hits(self.snapshot, asked.others(ranked, request.k), words, request.context)

    @while_open
    def suggestions(self, text: str) -> list[Suggestion]:
        """Did you mean: for each word of a query that the index does not hold, near ones that it does.

        Nothing is searched for in its place. None where the lexical side is not BM25. Raises `QueryError`.
        """
        (text,) = query_texts([text])
        return NearWords(self.snapshot, self._legs, self.encoder.describe_tokens).suggestions(text)

    @while_open
    def document(self, doc_id: str) -> list[Chunk]:
        """A document's chunks in their order; none if the index has no such document."""
        return document_chunks(self.snapshot, doc_id)

    @while_open
    def rerank(self, text: str, passages: Sequence[str], rerank: Rerank = None) -> npt.NDArray[np.float64]:
        """A reranker's score of any passages for a query. `rerank`: as in `search_many`. Raises `QueryError`."""
        settings = choose_reranker(self.settings.rerank, rerank, None)
        if settings.model == NONE:
            raise QueryError("rerank: nothing reranks; name a reranker, or configure query.rerank.model")
        return self._second_look.scores_of_texts(settings, text, passages)

    @while_open
    def facets(
        self, fields: Iterable[str], where: str | None = None, limit: int | None = FACET_VALUES
    ) -> list[Facet]:
        """For each field, its values and how many chunks and documents have them, most chunks first.

        Counted are all live chunks, or those that satisfy `where`, whatever a query would find among them. `limit`:
        how many values of a field to list, `None`: all. Raises `QueryError`.
        """
        return self.snapshot.facets(FacetRequest.of(fields, limit), narrowing(False, where, None)[1])

    @while_open
    def trust(self, request: SearchRequest) -> list[tuple[LegTrust, ...]]:
        """How far `auto` trusts each leg for each text, and why, in words; empty for other methods."""
        if not isinstance(request, SearchRequest):
            raise QueryError(f"request={shown(request)}: give a SearchRequest")
        known_legs(self.path, self.legs, request.legs)
        legs = tuple(self._legs[leg] for leg in request.legs)
        queries = self._ranker.encode(request.texts)
        return trust(self.snapshot, legs, queries, request.fusion, self._ranker.calibration)

    @while_open
    def rank(
        self,
        texts: Iterable[str],
        k: int | None = None,
        mode: str | None = None,
        **options: Unpack[RankOptions],
    ) -> list[Ranked]:
        """Like `search_many`, but numbers instead of records: no text is read from disk."""
        refuse_unknown(options, RankOptions)
        return self.rank_request(SearchRequest.for_texts(self, texts, k, mode, **options))

    @while_open
    def encode(self, texts: Iterable[str]) -> EncodedQueries:
        """The queries' vectors and lexical weights, for `rank_encoded` and `search_encoded`."""
        return self._ranker.encode(query_texts(texts))

    @while_open
    def rank_encoded(
        self,
        queries: EncodedQueries,
        k: int | None = None,
        legs: Sequence[str] | None = None,
        **options: Unpack[RankEncodedOptions],
    ) -> list[Ranked]:
        """Rank queries that are already encoded; `legs` defaults to all the index has, `rerank` to no reranking."""
        self._check_encoded(queries)
        return self._ranker.rank(SearchRequest.for_legs(self, queries.texts, k, legs, **options), queries)

    @while_open
    def search_encoded(
        self,
        queries: EncodedQueries,
        k: int | None = None,
        legs: Sequence[str] | None = None,
        **options: Unpack[RankEncodedOptions],
    ) -> list[list[Hit]]:
        """Like `rank_encoded`, with the hits of each query.

        For queries with vectors of the application's own, of length 1, put them in place of those of `encode`:
        `dataclasses.replace(index.encode(texts), dense=vectors)`.
        """
        self._check_encoded(queries)
        request = SearchRequest.for_legs(self, queries.texts, k, legs, **options)
        return self._ranker.hits(request, self._ranker.rank(request, queries), queries)

    @while_open
    def rank_request(self, request: SearchRequest, queries: EncodedQueries | None = None) -> list[Ranked]:
        """Like `answer`, but numbers instead of records. `queries`: the request's texts, where they are encoded.

        Raises `QueryError` for a leg that this index has not, or if `queries` are of other texts.
        """
        self._check_request(request, are_encoded=queries is not None)
        if queries is None:
            if request.texts and may_wait(self._ranker, request):
                return self._answer_together(Asked(request, with_hits=False)).ranked
            return self._ranked_alone(request)[0] if request.texts else []
        self._check_encoded(queries)
        if queries.texts != request.texts:
            raise QueryError("queries: these are not the texts of the request")
        return self._ranker.rank(request, queries)

    def _check_request(self, request: SearchRequest, are_encoded: bool = False) -> None:
        if not isinstance(request, SearchRequest):
            raise QueryError(f"request={shown(request)}: give a SearchRequest")
        known_legs(self.path, self.legs, request.legs)
        if request.texts and not are_encoded:
            self._check_encodable(request)

    def _check_encoded(self, queries: object) -> None:
        if not isinstance(queries, EncodedQueries):
            raise QueryError(f"queries={shown(queries)}: give what `encode` makes of the texts")
        needed = len(queries.texts), self.manifest.dimension
        if queries.dense is not None and self.snapshot.has(DENSE) and np.shape(queries.dense) != needed:
            raise QueryError(f"queries.dense: has the shape {np.shape(queries.dense)}; {needed} is needed")

    def _check_encodable(self, request: SearchRequest) -> None:
        if self.encoder.own is None:
            check_encodable(self.path, self.manifest, request.legs)

    def _ranked_alone(self, request: SearchRequest) -> tuple[list[Ranked], EncodedQueries]:
        with self.snapshot.filtering(request.where):
            queries = self._ranker.encode(request.texts)
        return self._ranker.rank(request, queries), queries

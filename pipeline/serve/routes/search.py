"""Searches."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

from pipeline.config import ServeLimits
from pipeline.config.search import RERANKER_WORDS
from pipeline.query.filter.facet_request import FACET_VALUES
from pipeline.query.request import SearchRequest
from pipeline.query.searcher import Index
from pipeline.serve.endpoint import Call, Endpoint
from pipeline.serve.problems import Problem
from pipeline.serve.routes.limits import at_most, checked_queries
from pipeline.serve.schemas.hits import hit_answer
from pipeline.serve.schemas.search import (
    FacetAnswer,
    FacetValueAnswer,
    QueryAnswer,
    SearchAnswer,
    SearchBody,
    SearchParameters,
    SuggestionAnswer,
    TrustAnswer,
)
from pipeline.serve.shards import trying


def search(call: Call) -> SearchAnswer:
    """Search by all that a request may say."""
    return answered(call, call.body_as(SearchBody))


def search_by_link(call: Call) -> SearchAnswer:
    """Search by a link."""
    return answered(call, call.parameters_as(SearchParameters).as_body())


def answered(call: Call, body: SearchBody) -> SearchAnswer:
    """What a search finds. Raises `Problem`, `QueryError`, `EncoderError`."""
    limits = call.service.settings.limits
    _check(body, limits)
    holder = call.service.holder(body.index)
    started = time.perf_counter()
    work = partial(_answer, name=holder.name, body=body, limits=limits)
    found = trying.answered(call.service, holder, work, body.on_shard_failure)
    call.service.metrics.stage.labels("search").observe(time.perf_counter() - started)
    return found


def _answer(index: Index, name: str, body: SearchBody, limits: ServeLimits) -> SearchAnswer:
    request = as_request(index, body, limits)
    found = index.answer(request)
    trust = index.trust(request) if request.explain else [()] * len(found)
    results = [
        QueryAnswer(
            query=text,
            hits=[hit_answer(hit) for hit in hits],
            suggestions=_near(index, text) if body.suggest else [],
            trust=[TrustAnswer(leg=one.leg, weight=one.weight, words=one.words) for one in why],
        )
        for text, hits, why in zip(request.texts, found, trust, strict=True)
    ]
    return SearchAnswer(
        index=name,
        generation=index.manifest.generation,
        mode=body.mode or index.settings.mode,
        results=results,
        facets=_counted(index, body),
    )


def as_request(index: Index, body: SearchBody, limits: ServeLimits) -> SearchRequest:
    """The request that the command line would make. Raises `QueryError`, and `Problem` for another reranker."""
    _check_reranker(body.rerank, index)
    request = SearchRequest.for_texts(
        index,
        body.queries,
        body.k,
        body.mode,
        fusion=body.fusion,
        where=body.filter,
        rerank=body.rerank,
        rerank_top=body.rerank_top,
        distinct=body.distinct,
        collapse=body.collapse,
        context=body.context,
        explain=body.explain,
        merge=body.merge,
        group=body.group,
        group_size=body.group_size,
        highlights=body.highlights,
        boosts=body.boosts,
        now=body.now,
    )
    at_most("k", request.k, limits.k)
    if request.group is not None:
        at_most("k · group_size", request.k * request.group_size, limits.k)
    return request


def _near(index: Index, text: str) -> list[SuggestionAnswer]:
    return [
        SuggestionAnswer(word=one.word, start=one.start, end=one.end, near=list(one.near))
        for one in index.suggestions(text)
    ]


def _counted(index: Index, body: SearchBody) -> list[FacetAnswer]:
    fields = list(dict.fromkeys(body.facets))
    found = index.facets(fields, body.filter, body.facet_limit or FACET_VALUES) if fields else []
    return [
        FacetAnswer(
            field=facet.field,
            values=[
                FacetValueAnswer(value=one.value, chunks=one.chunks, documents=one.documents)
                for one in facet.values
            ],
            distinct=facet.distinct,
            missing=facet.missing,
        )
        for facet in found
    ]


def _check(body: SearchBody, limits: ServeLimits) -> None:
    checked_queries(body.queries, limits)
    at_most("k", body.k, limits.k)
    at_most("rerank_top", body.rerank_top, limits.rerank_top)
    at_most("context", body.context, limits.context)
    at_most("facets", len(body.facets), limits.facets)
    at_most("facet_limit", body.facet_limit, limits.facet_values)
    if body.facet_limit is not None and not body.facets:
        raise Problem(422, "facet_limit: nothing is counted; name a field in facets")


def _check_reranker(name: str | None, index: Index) -> None:
    """Any other name would be looked for on the service's disk, or fetched."""
    known = tuple(dict.fromkeys((*RERANKER_WORDS, index.settings.rerank.model)))
    if name is not None and name not in known:
        raise Problem(422, f"rerank: this service has {_listed(known)}; its configuration may name another")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)


ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/search",
        "Search an index for one query or several",
        "search",
        search,
        SearchAnswer,
        body=SearchBody,
        problems=(404,),
    ),
    Endpoint(
        "GET",
        "/v1/search",
        "Search an index by a link",
        "search",
        search_by_link,
        SearchAnswer,
        parameters=SearchParameters,
        problems=(404,),
    ),
)

"""Searches in OpenAI's shape."""

from __future__ import annotations

import time
from collections.abc import Sequence

from pipeline.query.request import SearchRequest
from pipeline.query.rerank import NONE
from pipeline.query.searcher import Index
from pipeline.query.showing.source import shown_source
from pipeline.records import Hit
from pipeline.serve.attribute_filters import Translation
from pipeline.serve.endpoint import Call, Endpoint
from pipeline.serve.routes.limits import checked_queries
from pipeline.serve.schemas.vector_stores import (
    ContentAnswer,
    StoreHitAnswer,
    StorePageAnswer,
    StoreSearchBody,
    attributes,
)
from pipeline.serve.shards.trying import answered


def search_vector_store(call: Call) -> StorePageAnswer:
    """Search an index as OpenAI's clients search a vector store. Of several queries the hits are put together, each
    chunk once, with its best score."""
    body = call.body_as(StoreSearchBody)
    checked_queries(body.queries, call.service.settings.limits)
    ranking = body.ranking_options
    started = time.perf_counter()

    def work(index: Index) -> StorePageAnswer:
        request = SearchRequest.for_texts(
            index,
            body.queries,
            body.max_num_results,
            where=None if body.filters is None else translation(index).condition(body.filters),
            rerank=NONE if ranking is not None and ranking.ranker == "none" else None,
        )
        hits = _together(index.answer(request))[: body.max_num_results]
        threshold = ranking.score_threshold if ranking is not None else None
        kept = [hit for hit in hits if threshold is None or hit.score >= threshold]
        return StorePageAnswer(search_query=body.queries, data=[_store_hit(hit) for hit in kept])

    found = answered(call.service, call.service.holder(call.path["index"]), work, body.on_shard_failure)
    call.service.metrics.stage.labels("search").observe(time.perf_counter() - started)
    return found


def translation(index: Index) -> Translation:
    """What makes conditions on the columns of an index out of OpenAI's filters."""
    columns = index.snapshot.columns

    def kind_of(name: str) -> object:
        column = columns.column(name)
        return None if column is None else column.kind

    return Translation(kind_of, columns.names)  # type: ignore[arg-type]


def _together(found: Sequence[Sequence[Hit]]) -> list[Hit]:
    best: dict[str, Hit] = {}
    for hits in found:
        for hit in hits:
            if hit.chunk_id not in best or hit.score > best[hit.chunk_id].score:
                best[hit.chunk_id] = hit
    return list(found[0]) if len(found) == 1 else sorted(best.values(), key=lambda hit: (-hit.score, hit.chunk_id))


def _store_hit(hit: Hit) -> StoreHitAnswer:
    return StoreHitAnswer(
        file_id=hit.doc_id,
        filename=shown_source(hit.source) or hit.doc_id,
        score=hit.score,
        attributes=attributes(dict(hit.metadata)),
        content=[ContentAnswer(text=hit.text)],
        chunk_id=hit.chunk_id,
        headings=list(hit.headings),
        legs={name: leg.score for name, leg in hit.legs.items()},
    )


ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/vector_stores/{index}/search",
        "Search an index as OpenAI's clients search a vector store",
        "openai",
        search_vector_store,
        StorePageAnswer,
        body=StoreSearchBody,
        problems=(404,),
    ),
)

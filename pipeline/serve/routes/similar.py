"""Documents that are like another."""

from __future__ import annotations

import time

from pipeline.query.searcher import Index
from pipeline.query.similar import Examples
from pipeline.serve.endpoint import Call, Endpoint
from pipeline.serve.routes.limits import at_most
from pipeline.serve.schemas.hits import hit_answer
from pipeline.serve.schemas.similar import SimilarAnswer, SimilarParameters
from pipeline.serve.shards.trying import answered, no_such_document


def similar(call: Call) -> SimilarAnswer:
    """Find what is like a document of the index, which is none of the hits. Nothing is encoded for it."""
    asked, limits = call.parameters_as(SimilarParameters), call.service.settings.limits
    at_most("k", asked.k, limits.k)
    at_most("context", asked.context, limits.context)
    holder = call.service.holder(asked.index)
    started = time.perf_counter()

    def work(index: Index) -> SimilarAnswer:
        if not index.document(asked.doc_id):
            raise no_such_document(index)
        k = asked.k or min(index.settings.k, limits.k)
        hits = index.similar(
            Examples(documents=(asked.doc_id,)),
            k,
            asked.mode,
            where=asked.filter,
            collapse=asked.collapse,
            context=asked.context,
        )
        return SimilarAnswer(
            index=holder.name,
            generation=index.manifest.generation,
            mode=asked.mode or index.settings.mode,
            doc_id=asked.doc_id,
            hits=[hit_answer(hit) for hit in hits],
        )

    found = answered(call.service, holder, work, asked.on_shard_failure)
    call.service.metrics.stage.labels("search").observe(time.perf_counter() - started)
    return found


ENDPOINTS = (
    Endpoint(
        "GET",
        "/v1/similar",
        "Find what is like a document",
        "search",
        similar,
        SimilarAnswer,
        parameters=SimilarParameters,
        problems=(404,),
    ),
)

"""Searches by example: what is like documents of the index and texts, and unlike others."""

from __future__ import annotations

import time

from pipeline.config import ServeLimits
from pipeline.query.searcher import Index
from pipeline.query.similar import Examples
from pipeline.serve.endpoint import Call, Endpoint
from pipeline.serve.routes.limits import at_most, checked_texts
from pipeline.serve.schemas.hits import hit_answer
from pipeline.serve.schemas.similar import SimilarAnswer, SimilarBody, SimilarParameters
from pipeline.serve.shards.trying import answered, no_such_document


def similar_to_examples(call: Call) -> SimilarAnswer:
    """Search by all that a request may give as examples."""
    return _answered(call, call.body_as(SimilarBody), None)


def similar(call: Call) -> SimilarAnswer:
    """Find what is like a document of the index, which is none of the hits. Nothing is encoded for it."""
    asked = call.parameters_as(SimilarParameters)
    return _answered(call, asked.as_body(), asked.doc_id)


def _answered(call: Call, body: SimilarBody, linked: str | None) -> SimilarAnswer:
    limits = call.service.settings.limits
    _check(body, limits)
    holder = call.service.holder(body.index)
    started = time.perf_counter()

    def work(index: Index) -> SimilarAnswer:
        _check_documents(index, body, linked)
        hits = index.similar(
            Examples(
                documents=tuple(body.doc_ids),
                texts=tuple(body.texts),
                unlike_documents=tuple(body.unlike_doc_ids),
                unlike_texts=tuple(body.unlike_texts),
            ),
            body.k or min(index.settings.k, limits.k),
            body.mode,
            fusion=body.fusion,
            where=body.filter,
            collapse=body.collapse,
            context=body.context,
            boosts=body.boosts,
            now=body.now,
            explain=body.explain,
        )
        return SimilarAnswer(
            index=holder.name,
            generation=index.manifest.generation,
            mode=body.mode or index.settings.mode,
            doc_id=linked,
            hits=[hit_answer(hit) for hit in hits],
        )

    found = answered(call.service, holder, work, body.on_shard_failure)
    call.service.metrics.stage.labels("search").observe(time.perf_counter() - started)
    return found


def _check(body: SimilarBody, limits: ServeLimits) -> None:
    at_most("k", body.k, limits.k)
    at_most("context", body.context, limits.context)
    for name in ("doc_ids", "texts", "unlike_doc_ids", "unlike_texts"):
        given = getattr(body, name)
        at_most(name, len(given), limits.texts)
        checked_texts(name, given, limits)


def _check_documents(index: Index, body: SimilarBody, linked: str | None) -> None:
    """Refuse an example that the caller's view of the index does not have, whether or not others may see it."""
    named = [(f"doc_ids.{i}", doc_id) for i, doc_id in enumerate(body.doc_ids)]
    named += [(f"unlike_doc_ids.{i}", doc_id) for i, doc_id in enumerate(body.unlike_doc_ids)]
    for field, doc_id in named:
        if not len(index.snapshot.chunks_of(doc_id)):
            raise no_such_document(index, doc_id, field if linked is None else "doc_id")


ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/similar",
        "Find what is like documents and texts, and unlike others",
        "search",
        similar_to_examples,
        SimilarAnswer,
        body=SimilarBody,
        problems=(404,),
    ),
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

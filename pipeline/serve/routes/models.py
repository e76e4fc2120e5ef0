"""The models that are loaded anyway: embeddings and reranking."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from pipeline.config import RerankSettings
from pipeline.query.rerank import MULTIVECTORS, NONE
from pipeline.query.searcher import Index
from pipeline.query.showing.source import shown_source
from pipeline.serve.endpoint import Call, Endpoint
from pipeline.serve.problems import Problem
from pipeline.serve.routes.limits import at_most, checked_texts
from pipeline.serve.schemas.models import (
    EmbeddingAnswer,
    EmbeddingsAnswer,
    EmbeddingsBody,
    RankedText,
    RerankAnswer,
    RerankBody,
    RerankedAnswer,
)


def embed(call: Call) -> EmbeddingsAnswer:
    """Embed texts as an index's encoder does, in OpenAI's shape."""
    body, limits = call.body_as(EmbeddingsBody), call.service.settings.limits
    at_most("input", len(body.texts), limits.texts)
    checked_texts("input", body.texts, limits)
    with _encoding(call, body.model) as index:
        dimension = index.encoder.dimension
        if body.dimensions not in (None, dimension):
            raise Problem(422, f"dimensions: this model's vectors have {dimension}")
        encode = index.encoder.encode_queries if body.input_type == "query" else index.encoder.encode_documents
        vectors = encode(body.texts).dense
    assert vectors is not None
    rows = np.ascontiguousarray(vectors, dtype="<f4")
    return EmbeddingsAnswer(
        data=[
            EmbeddingAnswer(
                index=number,
                embedding=base64.b64encode(row.tobytes()).decode()
                if body.encoding_format == "base64"
                else row.tolist(),
            )
            for number, row in enumerate(rows)
        ],
        model=body.model,
    )


def rerank(call: Call) -> RerankAnswer:
    """Order documents by how well they answer a query, in Cohere's shape."""
    body, limits = call.body_as(RerankBody), call.service.settings.limits
    at_most("documents", len(body.documents), limits.texts)
    checked_texts("query", [body.query], limits)
    checked_texts("documents", body.texts, limits)
    with _reranking(call, body.model) as (index, settings):
        scores = index.rerank(body.query, body.texts, settings)
    if settings.model != MULTIVECTORS:
        scores = 1.0 / (1.0 + np.exp(-scores))
    best = np.argsort(-scores, kind="stable")[: body.top_n]
    return RerankAnswer(
        id=uuid.uuid4().hex,
        model=shown_source(settings.model),
        results=[
            RerankedAnswer(
                index=int(place),
                relevance_score=float(scores[place]),
                document=RankedText(text=body.texts[place]) if body.return_documents else None,
            )
            for place in best
        ],
    )


@contextmanager
def _encoding(call: Call, model: str) -> Iterator[Index]:
    """The first index that is of this name, or has this model, and gives vectors."""
    known: list[str] = []
    for holder in call.service.holders.values():
        with holder.lent() as index:
            if index.encoder.dimension is None:
                continue
            names = (holder.name, shown_source(str(index.manifest.encoder.get("model", ""))))
            known += names
            if model in names:
                yield index
                return
    have = f"it has {', '.join(dict.fromkeys(name for name in known if name))}" if known else "no index has vectors"
    raise Problem(404, f"model: the service has no such model; {have}")


@contextmanager
def _reranking(call: Call, model: str | None) -> Iterator[tuple[Index, RerankSettings]]:
    """The first index whose reranker is meant, and the reranker."""
    known = []
    for holder in call.service.holders.values():
        with holder.lent() as index:
            for settings in _rerankers(index):
                known.append(shown_source(settings.model))
                if model in (None, holder.name, known[-1]):
                    yield index, settings
                    return
    have = f"it has {', '.join(dict.fromkeys(known))}" if known else "none is configured"
    raise Problem(404, f"model: the service has no such reranker; {have}")


def _rerankers(index: Index) -> list[RerankSettings]:
    configured = index.settings.rerank
    found = [] if configured.model == NONE else [configured]
    if index.encoder.gives_multivectors and configured.model != MULTIVECTORS:
        found.append(RerankSettings(model=MULTIVECTORS))
    return found


ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/embeddings",
        "Embed texts as an index's encoder does",
        "openai",
        embed,
        EmbeddingsAnswer,
        body=EmbeddingsBody,
        problems=(404,),
    ),
    Endpoint(
        "POST",
        "/v1/rerank",
        "Order documents by how well they answer a query",
        "rerank",
        rerank,
        RerankAnswer,
        body=RerankBody,
        problems=(404,),
    ),
)

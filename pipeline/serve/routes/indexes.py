"""What the service has: indexes and documents."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.index.manifest import Manifest
from pipeline.names import LEXICAL
from pipeline.query.searcher import Index
from pipeline.query.showing.document import document_metadata, own_metadata
from pipeline.query.showing.source import shown_source
from pipeline.serve.endpoint import Call, Endpoint
from pipeline.serve.holder import IndexHolder
from pipeline.serve.schemas.indexes import (
    ChunkAnswer,
    DocumentAnswer,
    DocumentParameters,
    IndexAnswer,
    IndexesAnswer,
    RefusedAnswer,
    StatusAnswer,
)
from pipeline.serve.shards.trying import answered, no_such_document


def list_indexes(call: Call) -> IndexesAnswer:
    """All indexes, in the order in which the service was given them."""
    found = []
    for holder in call.service.holders.values():
        with holder.lent() as index:
            found.append(_short(holder, index))
    return IndexesAnswer(indexes=found)


def show_index(call: Call) -> StatusAnswer:
    """One index and what it was built with."""
    holder = call.service.holder(call.path["name"])
    with holder.lent() as index:
        manifest = index.manifest
        return StatusAnswer(
            **_short(holder, index).model_dump(),
            note=manifest.note,
            bytes=sum(file.size for entry in manifest.segments for file in entry.files),
            segments=len(manifest.segments),
            languages=_languages(manifest),
            model=shown_source(str(manifest.encoder.get("query_model") or manifest.encoder.get("model", ""))),
            dimension=manifest.dimension,
            fingerprints={leg: found.digest for leg in index.legs if (found := manifest.fingerprint(leg))},
            refused=refused_answer(holder),
        )


def show_document(call: Call) -> DocumentAnswer:
    """A document's chunks in order."""
    asked = call.parameters_as(DocumentParameters)
    holder = call.service.holder(asked.index)

    def work(index: Index) -> DocumentAnswer:
        chunks = index.document(call.path["doc_id"])
        if not chunks:
            raise no_such_document(index, call.path["doc_id"])
        return DocumentAnswer(
            index=holder.name,
            generation=index.manifest.generation,
            doc_id=chunks[0].doc_id,
            source=shown_source(chunks[0].source),
            metadata=document_metadata(chunks[0]),
            chunks=[
                ChunkAnswer(
                    chunk_id=chunk.chunk_id,
                    ordinal=chunk.ordinal,
                    start=chunk.start,
                    end=chunk.end,
                    text=chunk.text,
                    headings=list(chunk.headings),
                    metadata=own_metadata(chunk),
                )
                for chunk in chunks
            ],
        )

    return answered(call.service, holder, work, asked.on_shard_failure)


def refused_answer(holder: IndexHolder) -> RefusedAnswer | None:
    """A newer generation that could not be taken, if there is one."""
    refused = holder.refused
    return None if refused is None else RefusedAnswer(generation=refused.generation, reason=refused.reason)


def _short(holder: IndexHolder, index: Index) -> IndexAnswer:
    manifest = index.manifest
    return IndexAnswer(
        name=holder.name,
        generation=manifest.generation,
        created_at=manifest.created_at,
        documents=manifest.documents,
        chunks=manifest.chunks,
        legs=list(index.legs),
    )


def _languages(manifest: Manifest) -> list[str]:
    recorded = manifest.encoder.get("bm25", {}).get("languages") if manifest.fingerprint(LEXICAL) else None
    found: Sequence[str] = recorded if isinstance(recorded, list) else []
    return [str(language) for language in found]


ENDPOINTS = (
    Endpoint("GET", "/v1/indexes", "List the indexes", "indexes", list_indexes, IndexesAnswer),
    Endpoint(
        "GET",
        "/v1/indexes/{name}",
        "Show an index: its generation, languages, fingerprints",
        "indexes",
        show_index,
        StatusAnswer,
        problems=(404,),
    ),
    Endpoint(
        "GET",
        "/v1/documents/{doc_id:path}",
        "Read a document's chunks in order",
        "documents",
        show_document,
        DocumentAnswer,
        parameters=DocumentParameters,
        problems=(404,),
    ),
)

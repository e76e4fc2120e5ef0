"""What MCP tools answer: pydantic models, of which the SDK makes output schemas."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from pydantic import BaseModel, Field

from pipeline.names import LEXICAL
from pipeline.query.searcher import Index
from pipeline.query.showing.document import document_metadata, own_metadata
from pipeline.query.showing.source import shown_source
from pipeline.records import Chunk, Hit

TEMPLATE = "document://{index}/{+doc_id}"
"""The address of a document as a resource; `uri` makes one."""


class LegResult(BaseModel):
    """A passage's score on one side of the search."""

    score: float
    rank: int | None = Field(description="From 1; null: not among that side's candidates.")


class HitResult(BaseModel):
    """A passage that was found."""

    rank: int
    score: float
    doc_id: str = Field(description="For read_document and similar.")
    chunk_id: str
    ordinal: int = Field(
        description="The passage's place in its document, from 0; read_document takes it as first."
    )
    text: str
    before: str | None = Field(default=None, description="The document's text before the passage, if context > 0.")
    after: str | None = Field(default=None, description="The text after it.")
    headings: list[str]
    source: str
    metadata: dict[str, Any]
    uri: str = Field(description="The whole document as a resource.")
    legs: dict[str, LegResult]


class PartialResult(BaseModel):
    """An answer of an index that may be with shards."""

    partial: bool = Field(default=False, description="Parts of the index did not answer: there may be more.")
    missing_shards: list[str] = Field(default=[], description="Those parts.")


class SearchResult(PartialResult):
    """What was found, best first."""

    index: str
    generation: int
    hits: list[HitResult]


class PassageResult(BaseModel):
    """A passage of a document. Passages may overlap."""

    chunk_id: str
    ordinal: int
    start: int
    end: int
    headings: list[str]
    metadata: dict[str, Any] = Field(description="Its pages or lines, if there are any.")
    text: str


class DocumentResult(PartialResult):
    """Part of a document."""

    index: str
    generation: int
    doc_id: str
    source: str
    metadata: dict[str, Any]
    uri: str
    passages: list[PassageResult]
    total: int = Field(description="How many passages the document has.")
    next: int | None = Field(description="What to give as first to read on; null at the end.")


class FieldResult(BaseModel):
    """A column that filters may use."""

    name: str
    type: str


class IndexResult(BaseModel):
    """An index as it is now."""

    name: str
    generation: int
    created_at: str
    documents: int
    chunks: int
    legs: list[str]
    languages: list[str] = Field(description="Whose words the lexical side stems; empty if it does not say.")
    fields: list[FieldResult] = Field(description="What filters may use.")


class IndexesResult(BaseModel):
    """All indexes. The first is searched where a call names none."""

    indexes: list[IndexResult]


def uri(index: str, doc_id: str) -> str:
    """The address of a document as a resource."""
    return f"document://{quote(index, safe='')}/{quote(doc_id, safe='/', errors='surrogatepass')}"


def search_result(name: str, index: Index, hits: list[Hit]) -> SearchResult:
    """Hits as a tool answers them."""
    return SearchResult(index=name, generation=index.manifest.generation, hits=[_hit(name, hit) for hit in hits])


def _hit(name: str, hit: Hit) -> HitResult:
    return HitResult(
        rank=hit.rank,
        score=hit.score,
        doc_id=hit.doc_id,
        chunk_id=hit.chunk_id,
        ordinal=hit.ordinal,
        text=hit.text,
        before=hit.before,
        after=hit.after,
        headings=list(hit.headings),
        source=shown_source(hit.source),
        metadata=dict(hit.metadata),
        uri=uri(name, hit.doc_id),
        legs={leg: LegResult(score=found.score, rank=found.rank) for leg, found in hit.legs.items()},
    )


def document_result(name: str, index: Index, chunks: list[Chunk], first: int, most: int) -> DocumentResult:
    """Up to `most` passages of a document from place `first` on; `chunks` are all of them."""
    part = [chunk for chunk in chunks if chunk.ordinal >= first]
    rest = part[most:]
    return DocumentResult(
        index=name,
        generation=index.manifest.generation,
        doc_id=chunks[0].doc_id,
        source=shown_source(chunks[0].source),
        metadata=document_metadata(chunks[0]),
        uri=uri(name, chunks[0].doc_id),
        passages=[
            PassageResult(
                chunk_id=chunk.chunk_id,
                ordinal=chunk.ordinal,
                start=chunk.start,
                end=chunk.end,
                headings=list(chunk.headings),
                metadata=own_metadata(chunk),
                text=chunk.text,
            )
            for chunk in part[:most]
        ],
        total=len(chunks),
        next=rest[0].ordinal if rest else None,
    )


def index_result(name: str, index: Index) -> IndexResult:
    """An index as a tool tells of it."""
    manifest, columns = index.manifest, index.snapshot.columns
    recorded = manifest.encoder.get("bm25", {}).get("languages") if manifest.fingerprint(LEXICAL) else None
    found = [column for name in columns.names if (column := columns.column(name)) is not None]
    return IndexResult(
        name=name,
        generation=manifest.generation,
        created_at=manifest.created_at,
        documents=manifest.documents,
        chunks=manifest.chunks,
        legs=list(index.legs),
        languages=[str(language) for language in recorded] if isinstance(recorded, list) else [],
        fields=[FieldResult(name=column.name, type=column.kind.value) for column in found],
    )

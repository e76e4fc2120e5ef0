"""What the service has: indexes, documents, and whether it is ready."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from pipeline.config.serve import OnShardFailure
from pipeline.serve.schemas.base import Answer, Parameters, PartialAnswer


class IndexAnswer(Answer):
    """An index as it is now."""

    name: str
    generation: int
    created_at: str
    documents: int
    chunks: int
    legs: list[str]


class IndexesAnswer(Answer):
    """All indexes. The first is asked where a request names none."""

    indexes: list[IndexAnswer]


class RefusedAnswer(Answer):
    """A newer generation that could not be taken, and why."""

    generation: int | None
    reason: str


class StatusAnswer(IndexAnswer):
    """An index and what it was built with."""

    note: str
    bytes: int
    segments: int
    languages: list[str]
    """Whose words the lexical leg stems; empty if it does not say."""
    model: str
    dimension: int | None
    fingerprints: dict[str, str]
    """Of each leg: equal ones are of interchangeable encoders."""
    refused: RefusedAnswer | None = None


class ChunkAnswer(Answer):
    """A slice of a document."""

    chunk_id: str
    ordinal: int
    start: int
    end: int
    text: str
    headings: list[str]
    metadata: dict[str, Any] = Field(default={}, description="Of the chunk: its pages or lines, if there are any.")


class DocumentParameters(Parameters):
    """Where a document is."""

    index: str | None = Field(default=None, description="Name of the index; the first one, unless it is said.")
    on_shard_failure: OnShardFailure | None = Field(
        default=None, description="Where shards fail: the chunks that the others have, or an error."
    )


class DocumentAnswer(PartialAnswer):
    """A document's chunks in order."""

    index: str
    generation: int
    doc_id: str
    source: str
    metadata: dict[str, Any]
    chunks: list[ChunkAnswer]


class LiveAnswer(Answer):
    """The process runs."""

    status: Literal["alive"] = "alive"


class ReadyIndex(Answer):
    """What of an index is answered from."""

    generation: int
    refused: RefusedAnswer | None = None


class ReadyAnswer(Answer):
    """Whether searches are answered. `indexes` is told to callers who may read or see the metrics."""

    status: Literal["ready", "stopping"]
    indexes: dict[str, ReadyIndex] = Field(default={})

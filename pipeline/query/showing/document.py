"""A document as the index has it."""

from __future__ import annotations

from pipeline.query.snapshot import Snapshot
from pipeline.records import Chunk


def document_chunks(snapshot: Snapshot, doc_id: str) -> list[Chunk]:
    """A document's live chunks in their order; none if there is no such document."""
    found = [snapshot.chunk(int(number)) for number in snapshot.chunks_of(doc_id)]
    return sorted(found, key=lambda chunk: chunk.ordinal)

"""A document as the index has it."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.arguments import shown
from pipeline.errors import QueryError
from pipeline.query.snapshot import Snapshot
from pipeline.records import Chunk


def document_chunks(snapshot: Snapshot, doc_id: str) -> list[Chunk]:
    """A document's live chunks in their order; none if there is no such document. Raises `QueryError`."""
    if not isinstance(doc_id, str):
        raise QueryError(f"doc_id={shown(doc_id)}: give the id of a document as text")
    found = [snapshot.chunk(int(number)) for number in snapshot.chunks_of(doc_id)]
    return sorted(found, key=lambda chunk: chunk.ordinal)


def joined_text(chunks: Iterable[Chunk]) -> str:
    """The text of chunks that follow each other in a document; overlaps are not repeated.

    White space between two chunks that belongs to neither becomes a line break.
    """
    text, edge = "", None
    for chunk in chunks:
        if edge is not None and chunk.start > edge:
            text += "\n"
        text += chunk.text[max((chunk.start if edge is None else edge) - chunk.start, 0) :]
        edge = max(chunk.end, edge or 0)
    return text

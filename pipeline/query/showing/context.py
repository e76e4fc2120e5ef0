"""The text around a hit: what its document's neighbouring chunks add to it."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.query.snapshot import Snapshot
from pipeline.records import Chunk


def surroundings(snapshot: Snapshot, number: int, chunk: Chunk, reach: int) -> tuple[str, str]:
    """The text before and after a chunk, of up to `reach` chunks each way; overlaps are not repeated.

    Empty at the document's ends. White space between two chunks that belongs to neither becomes a line break.
    """
    before, after = "", ""
    edge, place = chunk.start, number
    for ordinal in range(chunk.ordinal - 1, max(chunk.ordinal - reach, 0) - 1, -1):
        found = neighbour(snapshot, place, chunk, ordinal)
        if found is None:
            break
        place, other = found
        gap = "\n" if other.end < edge else ""
        before = other.text[: max(edge - other.start, 0)] + gap + before
        edge = min(other.start, edge)
    edge, place = chunk.end, number
    for ordinal in range(chunk.ordinal + 1, chunk.ordinal + reach + 1):
        found = neighbour(snapshot, place, chunk, ordinal)
        if found is None:
            break
        place, other = found
        gap = "\n" if other.start > edge else ""
        after += gap + other.text[max(edge - other.start, 0) :]
        edge = max(other.end, edge)
    return before, after


def neighbour(snapshot: Snapshot, number: int, chunk: Chunk, ordinal: int) -> tuple[int, Chunk] | None:
    """Number and record of the chunk at `ordinal` of `chunk`'s document, next to chunk `number`, if there is one.

    A document's chunks stand one after the other; those that a segment's end cut off stand at the start of another.
    """
    places: Iterable[int] = (number + (1 if ordinal > chunk.ordinal else -1),)
    if not snapshot.same_segment(number, *places):
        places = snapshot.segment_edges(first=ordinal > chunk.ordinal)
    for place in places:
        if snapshot.is_live(place) and snapshot.doc_id(place) == chunk.doc_id:
            found = snapshot.chunk(place)
            if found.ordinal == ordinal and found.doc_hash == chunk.doc_hash:
                return place, found
    return None

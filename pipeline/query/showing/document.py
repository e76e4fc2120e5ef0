"""A document as the index has it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pipeline.arguments import shown
from pipeline.errors import QueryError
from pipeline.names import LINES, PAGES
from pipeline.query.snapshot import Snapshot
from pipeline.records import Chunk, MetadataValue

_FENCE = re.compile("^(?:```|~~~)", re.MULTILINE)


def document_chunks(snapshot: Snapshot, doc_id: str) -> list[Chunk]:
    """A document's live chunks in their order; none if there is no such document. Raises `QueryError`."""
    if not isinstance(doc_id, str):
        raise QueryError(f"doc_id={shown(doc_id)}: give the id of a document as text")
    found = [snapshot.chunk(int(number)) for number in snapshot.chunks_of(doc_id)]
    return sorted(found, key=lambda chunk: chunk.ordinal)


def document_metadata(chunk: Chunk) -> dict[str, MetadataValue]:
    """The metadata of a chunk's document: without the pages or lines, which are the chunk's."""
    own = {name for names in (PAGES, LINES) if all(name in chunk.metadata for name in names) for name in names}
    return {name: value for name, value in chunk.metadata.items() if name not in own}


def joined_text(chunks: Iterable[Chunk]) -> str:
    """The text of chunks that follow each other in a document; overlaps are not repeated.

    White space between two chunks belongs to neither, so it is guessed: a line break, an empty line where there was
    more of it, and in code as many spaces as there is room for. Where lines are counted, code is as it was, if it
    is not indented by tabs.
    """
    parts: list[str] = []
    edge, before, in_fence = 0, None, False
    for chunk in chunks:
        if before is not None and chunk.start > edge:
            parts.append(_between(before, chunk, chunk.start - edge, in_fence))
        parts.append(chunk.text if before is None else chunk.text[max(edge - chunk.start, 0) :])
        in_fence ^= len(_FENCE.findall(parts[-1])) % 2 == 1
        edge, before = max(chunk.end, edge), chunk
    return "".join(parts)


def _between(before: Chunk, after: Chunk, length: int, in_fence: bool) -> str:
    """The white space of this length between two chunks."""
    if not in_fence:
        return "\n" if length == 1 else "\n\n"
    if _FENCE.match(after.text):
        return "\n"
    last, first = before.metadata.get(LINES[1]), after.metadata.get(LINES[0])
    breaks = min(first - last, length) if isinstance(last, int) and isinstance(first, int) else 1
    return "\n" * breaks + " " * (length - breaks)

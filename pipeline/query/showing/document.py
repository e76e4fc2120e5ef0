"""A document as the index has it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Protocol

from pipeline.arguments import shown
from pipeline.errors import QueryError
from pipeline.names import LINES, PAGES
from pipeline.query.snapshot import Snapshot
from pipeline.records import Chunk, Metadata, MetadataValue

_FENCE = re.compile("^(?:```|~~~)", re.MULTILINE)


def document_chunks(snapshot: Snapshot, doc_id: str) -> list[Chunk]:
    """A document's live chunks in their order; none if there is no such document. Raises `QueryError`."""
    if not isinstance(doc_id, str):
        raise QueryError(f"doc_id={shown(doc_id)}: give the id of a document as text")
    found = [snapshot.chunk(int(number)) for number in snapshot.chunks_of(doc_id)]
    return sorted(found, key=lambda chunk: chunk.ordinal)


def document_metadata(chunk: Chunk) -> dict[str, MetadataValue]:
    """The metadata of a chunk's document: without the pages or lines, which are the chunk's."""
    own = own_metadata(chunk)
    return {name: value for name, value in chunk.metadata.items() if name not in own}


def own_metadata(chunk: Chunk) -> dict[str, MetadataValue]:
    """What a chunk has of its own: on which pages or lines it stands, if its document has any."""
    found = chunk.metadata
    spans = [names for names in (PAGES, LINES) if all(name in found for name in names)]
    return {name: found[name] for names in spans for name in names}


class Stretch(Protocol):
    """A stretch of a document: a chunk, or what is told of one. `metadata`: its lines at least, if it has any."""

    @property
    def start(self) -> int: ...

    @property
    def end(self) -> int: ...

    @property
    def text(self) -> str: ...

    @property
    def metadata(self) -> Metadata: ...


def joined_text(chunks: Iterable[Stretch]) -> str:
    """The text of chunks that follow each other in a document."""
    return "".join(joined_parts(chunks))


def joined_parts(chunks: Iterable[Stretch]) -> list[str]:
    """What each chunk adds to that text, with what stands before it; overlaps are not repeated.

    White space between two chunks belongs to neither, so it is guessed: a line break, an empty line where there was
    more of it, and in code as many spaces as there is room for. Where lines are counted, code is as it was, if it
    is not indented by tabs.
    """
    parts: list[str] = []
    edge, before, in_fence = 0, None, False
    for chunk in chunks:
        between, own = "", chunk.text
        if before is not None:
            own = chunk.text[max(edge - chunk.start, 0) :]
            between = _between(before, chunk, chunk.start - edge, in_fence) if chunk.start > edge else ""
        parts.append(between + own)
        in_fence ^= len(_FENCE.findall(own)) % 2 == 1
        edge, before = max(chunk.end, edge), chunk
    return parts


def _between(before: Stretch, after: Stretch, length: int, in_fence: bool) -> str:
    """The white space of this length between two chunks."""
    if not in_fence:
        return "\n" if length == 1 else "\n\n"
    if _FENCE.match(after.text):
        return "\n"
    last, first = before.metadata.get(LINES[1]), after.metadata.get(LINES[0])
    breaks = max(0, min(first - last, length)) if isinstance(last, int) and isinstance(first, int) else 1
    return "\n" * breaks + " " * (length - breaks)

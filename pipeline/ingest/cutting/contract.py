"""What ingest asks of a chunker, whoever made it, and the chunks that stretches of a document's text make."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from pipeline.arguments import shown
from pipeline.errors import ConfigError
from pipeline.names import LINES, PAGES
from pipeline.records import Chunk, Document, Fingerprint


class DocumentChunker(Protocol):
    """Cuts documents into chunks."""

    @property
    def fingerprint(self) -> Fingerprint:
        """Names and values of all that decides where chunks begin and end."""

    def chunk(self, document: Document) -> Iterator[Chunk]:
        """The chunks of a document in order, none for one without any text. What it raises rejects the document."""


def chunks_of(
    document: Document,
    spans: Iterable[tuple[int, int]],
    headings_at: Callable[[int], tuple[str, ...]] = lambda start: (),
    context_at: Callable[[int], str] = lambda start: "",
) -> Iterator[Chunk]:
    """The chunk of each (start, end) of a document's text, in order, with what an index keeps of the document.

    `headings_at`: the headings in force at an offset, outermost first. `context_at`: what is encoded before a
    chunk that begins at an offset.
    """
    doc_hash = document.content_hash
    for ordinal, (start, end) in enumerate(spans):
        yield Chunk(
            chunk_id=f"{document.doc_id}#{ordinal}",
            doc_id=document.doc_id,
            ordinal=ordinal,
            start=start,
            end=end,
            text=document.text[start:end],
            headings=headings_at(start),
            metadata={**document.metadata, **places_of(document, start, end)},
            doc_hash=doc_hash,
            source=document.source,
            context=context_at(start),
        )


def places_of(document: Document, start: int, end: int) -> dict[str, int]:
    """On which pages and lines, counted from 1, a stretch of a document's text begins and ends, if it has any."""
    found: dict[str, int] = {}
    for begins, (first, last) in ((document.pages, PAGES), (document.lines, LINES)):
        if begins:
            found |= {first: bisect_right(begins, start) or 1, last: bisect_left(begins, end) or 1}
    return found


def checked_chunker(value: DocumentChunker) -> DocumentChunker:
    """The argument `chunker`, if it is one. Raises `ConfigError`."""
    if isinstance(value, type):
        raise ConfigError(f"chunker={shown(value)}: is a class; pass an object of it")
    if not callable(getattr(value, "chunk", None)) or not isinstance(
        getattr(value, "fingerprint", None), Fingerprint
    ):
        raise ConfigError(
            f"chunker={shown(value)}: give an object with `chunk(document)` and a `fingerprint` made by "
            "`Fingerprint.of`, or leave it out"
        )
    return value

"""Chunks that a source cut itself, as the vectors it gives are of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from pipeline.given import PRECOMPUTED
from pipeline.records import Chunk, Document, Fingerprint


class GivenChunks:
    """Cuts nothing: a document's chunks are those that its source gives."""

    @property
    def fingerprint(self) -> Fingerprint:
        """Fingerprint of what is cut elsewhere."""
        return Fingerprint.of(kind=PRECOMPUTED)

    def chunk(self, document: Document) -> Iterator[Chunk]:
        """The chunks of a document, as they came."""
        doc_hash = document.content_hash
        for chunk in document.chunks:
            yield dataclasses.replace(chunk, doc_hash=doc_hash, source=document.source)

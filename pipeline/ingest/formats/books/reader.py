"""Books and texts in ZIP archives → a document."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from pipeline.config import IngestSettings
from pipeline.ingest.formats.books.epub import read_epub
from pipeline.ingest.formats.books.odt import read_odt
from pipeline.ingest.formats.books.package import Package, open_package
from pipeline.ingest.formats.decoding import UnreadableError
from pipeline.ingest.formats.lines import max_bytes
from pipeline.ingest.formats.text_files import read_bytes
from pipeline.ingest.guard import Found
from pipeline.ingest.sources import SourceFile
from pipeline.records import Document, MetadataValue

EXPANSION = 20
"""What a file unpacks to is at most this many times `max_document_mb`."""


def read_book(file: SourceFile, settings: IngestSettings) -> Iterator[Found]:
    """One document a file (`.epub`, `.odt`)."""
    yield Found(0, partial(_document, file, settings))


def _document(file: SourceFile, settings: IngestSettings) -> Document:
    data, limit = read_bytes(file.path, settings), max_bytes(settings)
    if not data:
        raise UnreadableError("empty")
    found: list[tuple[str, dict[str, MetadataValue]]] = []

    def read(package: Package) -> None:
        found.append(read_epub(package, limit) if file.suffix == ".epub" else read_odt(package, limit))

    open_package(data, file.suffix, limit * EXPANSION, read)
    text, metadata = found[0]
    return Document(file.name, text, metadata, is_markdown=True)

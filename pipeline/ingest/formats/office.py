"""DOCX and PPTX → Markdown, by markitdown (the extra `docs`), imported only when needed.

The converter is chosen by suffix. markitdown's own guessing would turn a broken file into a page of its raw bytes.
"""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Iterator
from functools import partial
from typing import Any

from pipeline.config import IngestSettings
from pipeline.ingest.formats.decoding import UnreadableError, normalise_newlines
from pipeline.ingest.formats.fields import first_line, refuse_oversize
from pipeline.ingest.formats.lines import max_bytes
from pipeline.ingest.formats.properties import property_title
from pipeline.ingest.formats.text_files import read_bytes
from pipeline.ingest.guard import Found
from pipeline.ingest.sources import SourceFile
from pipeline.records import Document, MetadataValue

INSTALL_DOCS = "pip install 'hybrid-pipeline[docs]'"
ZIPPED = frozenset({".docx", ".pptx"})
TITLED = frozenset({".docx", ".pptx"})
"""Formats whose converter leaves the title among the document's properties."""
EXPANSION = 20
"""A zipped format may unpack to this many times `max_document_mb`; more is a zip bomb or useless."""


def read_office(file: SourceFile, settings: IngestSettings) -> Iterator[Found]:
    """One document a file."""
    yield Found(0, partial(convert, file, settings))


def convert(file: SourceFile, settings: IngestSettings) -> Document:
    """The file as Markdown. Raises `UnreadableError`, with the install command if markitdown is missing."""
    try:
        from markitdown import MissingDependencyException, StreamInfo, converters
    except ImportError:
        raise UnreadableError(f"{file.suffix} needs an extra: {INSTALL_DOCS}") from None
    known: dict[str, Any] = {
        ".docx": converters.DocxConverter,
        ".pptx": converters.PptxConverter,
    }
    data = read_bytes(file.path, settings)
    if not data:
        raise UnreadableError("empty")
    if file.suffix in ZIPPED:
        refuse_zip_bomb(data, file.suffix, max_bytes(settings) * EXPANSION)
    info = StreamInfo(extension=file.suffix, filename=file.path.name, charset="utf-8")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about what a converter could not lay out; the text is there
            result = known[file.suffix]().convert(io.BytesIO(data), info)
        text, title = str(result.markdown), str(result.title or "").strip()
    except MissingDependencyException:
        raise UnreadableError(f"{file.suffix} needs an extra: {INSTALL_DOCS}") from None
    except (MemoryError, RecursionError):
        raise
    except Exception as error:  # the border: two parsers, each with its own errors
        raise UnreadableError(f"broken {file.suffix} file: {first_line(error)}") from error
    text = normalise_newlines(text.encode("utf-8", "replace").decode("utf-8"))
    refuse_oversize(text, max_bytes(settings))
    title = title or (property_title(data) if file.suffix in TITLED else "")
    metadata: dict[str, MetadataValue] = {"title": title} if title else {}
    return Document(file.name, text, metadata, is_markdown=True)


def refuse_zip_bomb(data: bytes, suffix: str, limit: int) -> None:
    """Raise `UnreadableError` if a zipped file says that it unpacks to more than `limit` bytes, or is broken."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        raise UnreadableError(f"broken {suffix} file: {first_line(error).lower()}") from None
    if unpacked > limit:
        raise UnreadableError(
            f"would unpack to {unpacked / 1e6:.0f} MB; more than {limit / 1e6:.0f} MB is not read"
        )

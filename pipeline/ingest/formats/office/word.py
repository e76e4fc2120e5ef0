"""DOCX → Markdown, by markitdown (the extra `docs`), imported only when needed.

The converter is named: markitdown's own guessing would turn a broken file into a page of its raw bytes.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from functools import partial
from typing import Any

from pipeline.config import IngestSettings
from pipeline.ingest.formats.decoding import UnreadableError, normalise_newlines
from pipeline.ingest.formats.fields import first_line, refuse_oversize
from pipeline.ingest.formats.lines import max_bytes
from pipeline.ingest.formats.office.package import missing, read_package
from pipeline.ingest.formats.office.properties import property_title
from pipeline.ingest.guard import Found
from pipeline.ingest.sources import SourceFile
from pipeline.records import Document, MetadataValue


def read_docx(file: SourceFile, settings: IngestSettings) -> Iterator[Found]:
    """One document a file."""
    yield Found(0, partial(_document, file, settings))


def _document(file: SourceFile, settings: IngestSettings) -> Document:
    try:
        from markitdown import MissingDependencyException, StreamInfo, converters
    except ImportError:
        raise missing(file.suffix) from None
    data = read_package(file, settings)
    info = StreamInfo(extension=file.suffix, filename=file.path.name, charset="utf-8")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about what the converter could not lay out; the text is there
            converter: Any = converters.DocxConverter
            text = str(converter().convert(io.BytesIO(data), info).markdown)
    except MissingDependencyException:
        raise missing(file.suffix) from None
    except (MemoryError, RecursionError):
        raise
    except Exception as error:  # the border: two parsers, each with its own errors
        raise UnreadableError(f"broken {file.suffix} file: {first_line(error)}") from error
    text = normalise_newlines(text.encode("utf-8", "replace").decode("utf-8"))
    refuse_oversize(text, max_bytes(settings))
    title = property_title(data)
    metadata: dict[str, MetadataValue] = {"title": title} if title else {}
    return Document(file.name, text, metadata, is_markdown=True)

"""Files of markup, notebooks and subtitles → a document each."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from pipeline.config import IngestSettings
from pipeline.ingest.formats.decoding import UnreadableError, decode
from pipeline.ingest.formats.fields import refuse_oversize
from pipeline.ingest.formats.html.reader import clean
from pipeline.ingest.formats.lines import max_bytes
from pipeline.ingest.formats.markups.asciidoc import asciidoc
from pipeline.ingest.formats.markups.notebook import notebook
from pipeline.ingest.formats.markups.rst import rst
from pipeline.ingest.formats.markups.rtf import rtf
from pipeline.ingest.formats.markups.subtitles import subtitles
from pipeline.ingest.formats.markups.tex import tex
from pipeline.ingest.formats.text_files import read_bytes
from pipeline.ingest.guard import Found
from pipeline.ingest.sources import SourceFile
from pipeline.records import Document, MetadataValue


def read_markup(file: SourceFile, settings: IngestSettings) -> Iterator[Found]:
    """One document a file: `.rst`, `.adoc`, `.tex`, `.rtf`, `.ipynb`, `.srt`."""
    yield Found(0, partial(_document, file, settings))


def _document(file: SourceFile, settings: IngestSettings) -> Document:
    data, limit = read_bytes(file.path, settings), max_bytes(settings)
    if not data.strip():
        raise UnreadableError("empty")
    metadata: dict[str, MetadataValue] = {}
    title = ""
    if file.suffix == ".rtf":
        text, title = rtf(data, limit)
    else:
        source = decode(data, settings.encodings)
        if file.suffix == ".ipynb":
            text, metadata = notebook(source)
        elif file.suffix == ".srt":
            text = subtitles(source)
        else:
            reduce = {".rst": rst, ".tex": tex}.get(file.suffix, asciidoc)
            text, title = reduce(source)
    text = clean(text)
    refuse_oversize(text, limit)
    if title:
        metadata["title"] = clean(title)
    return Document(file.name, text, metadata, is_markdown=file.suffix != ".srt")

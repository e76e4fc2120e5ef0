"""Source files → documents. Without the extra `code`, and where a grammar fails, a file is one block of code."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial

from pipeline.config import IngestSettings
from pipeline.ingest.formats.code.grammars import INSTALL, language_of, parser
from pipeline.ingest.formats.code.outline import Outline, Written
from pipeline.ingest.formats.decoding import UnreadableError, decode
from pipeline.ingest.formats.fields import refuse_oversize
from pipeline.ingest.formats.lines import max_bytes
from pipeline.ingest.formats.text_files import read_bytes
from pipeline.ingest.guard import Found
from pipeline.ingest.sources import SourceFile
from pipeline.records import Document

logger = logging.getLogger(__name__)

LONG_LINE = 500
"""Characters that the lines of a file have on average if a program wrote it for programs."""


def read_code(file: SourceFile, settings: IngestSettings) -> Iterator[Found]:
    """One document a file, with a section for each function and class."""
    yield Found(0, partial(_document, file, settings))


def _document(file: SourceFile, settings: IngestSettings) -> Document:
    whole = decode(read_bytes(file.path, settings), settings.encodings)
    text = whole.strip("\n")
    if not text.strip():
        raise UnreadableError("empty")
    if len(text) > LONG_LINE * (text.count("\n") + 1) and len(text) > 10 * LONG_LINE:
        raise UnreadableError("minified or generated: its lines are longer than anyone writes them")
    language = language_of(file.suffix, text)
    written = _sections(text, language, file)
    text = written.text
    refuse_oversize(text, max_bytes(settings))
    lines = [0] * (len(whole) - len(whole.lstrip("\n"))) + written.lines
    return Document(file.name, text, {"code": language}, is_markdown=True, lines=tuple(lines))


def _sections(text: str, language: str, file: SourceFile) -> Written:
    try:
        grammar = parser(language)
    except ImportError:
        logger.warning("%s: read as one block of code, as its grammar is not installed; %s", file.label, INSTALL)
        block = Written()
        block.add([], text, language, 0)
        return block
    source = text.encode("utf-8")
    return Outline(file.name.rpartition("/")[2].rpartition("!")[2], source, language).write(
        grammar.parse(source).root_node
    )

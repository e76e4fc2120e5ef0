"""Text files that are one document each: plain text, and Markdown with front matter."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from pipeline.config import IngestSettings
from pipeline.ingest.formats.decoding import UnreadableError, decode
from pipeline.ingest.formats.fields import first_line, metadata_value
from pipeline.ingest.formats.lines import max_bytes
from pipeline.ingest.formats.opening import open_regular
from pipeline.ingest.guard import Found
from pipeline.ingest.sources import SourceFile
from pipeline.records import Document, MetadataValue

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)


class _FrontMatterLoader(yaml.SafeLoader):
    """Without aliases: a few lines of them could name billions of values."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (`*name`) are not read")
        return super().compose_node(parent, index)


def read_text(file: SourceFile, settings: IngestSettings) -> Iterator[Found]:
    """A plain text file."""
    yield Found(0, partial(_text, file, settings))


def read_markdown(file: SourceFile, settings: IngestSettings) -> Iterator[Found]:
    """A Markdown file; its front matter is metadata and no part of the text."""
    yield Found(0, partial(_markdown, file, settings))


def _text(file: SourceFile, settings: IngestSettings) -> Document:
    return Document(file.name, decode(read_bytes(file.path, settings), settings.encodings), {})


def _markdown(file: SourceFile, settings: IngestSettings) -> Document:
    metadata, body = split_front_matter(decode(read_bytes(file.path, settings), settings.encodings))
    return Document(file.name, body, metadata, is_markdown=True)


def split_front_matter(text: str) -> tuple[dict[str, MetadataValue], str]:
    """Metadata and the text after it; `({}, text)` if there is none. Raises `UnreadableError` if it is broken."""
    match = _FRONT_MATTER.match(text)
    if not match:
        return {}, text
    try:
        values: Any = yaml.load(match[1], Loader=_FrontMatterLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 2}" if mark else ""
        raise UnreadableError(
            f"front matter is not valid YAML{line}: {getattr(error, 'problem', None) or first_line(error)}"
        ) from None
    except Exception as error:  # the tags convert values, and raise whatever their conversion does
        raise UnreadableError(
            f"front matter cannot be read: {type(error).__name__}: {first_line(error)}"
        ) from error
    if values is not None and not isinstance(values, dict):
        return {}, text  # a thematic break, some text, another break
    metadata = {str(key): metadata_value(value) for key, value in (values or {}).items()}
    return metadata, text[match.end() :]


def read_bytes(path: Path, settings: IngestSettings) -> bytes:
    """The bytes of a regular file no larger than a document may be. Raises `UnreadableError`, `OSError`."""
    with open_regular(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > max_bytes(settings):
            raise UnreadableError(too_large(size, settings))
        return stream.read(max(size, 1))


def too_large(size: int, settings: IngestSettings) -> str:
    """Why a file of so many bytes is rejected that is one document."""
    return (
        f"{size / 1e6:.1f} MB is more than ingest.max_document_mb={settings.max_document_mb:g}; "
        "raise it or split the file"
    )

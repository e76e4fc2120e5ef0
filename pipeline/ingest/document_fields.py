"""Documents as values of JSON, on their way from the process that parses them to the build."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Mapping
from typing import Any

from pipeline.given import GivenVectors
from pipeline.records import Chunk, Document

_CHUNKS, _PAGES, _LINES, _GIVEN, _HEADINGS = "chunks", "pages", "lines", "given", "headings"


def to_fields(document: Document) -> dict[str, Any]:
    """The fields of a document, vectors in base64."""
    return {**_fields(document), _CHUNKS: [_chunk_fields(chunk) for chunk in document.chunks]}


def from_fields(fields: Mapping[str, Any]) -> Document:
    """The document that `to_fields` was given."""
    chunks = tuple(map(_chunk, fields[_CHUNKS]))
    return Document(**{**fields, _PAGES: tuple(fields[_PAGES]), _LINES: tuple(fields[_LINES]), _CHUNKS: chunks})


def _chunk_fields(chunk: Chunk) -> dict[str, Any]:
    vectors = None
    if chunk.given is not None:
        vectors = {name: base64.b64encode(part).decode() for name, part in _fields(chunk.given).items()}
    return {**_fields(chunk), _GIVEN: vectors}


def _chunk(fields: Mapping[str, Any]) -> Chunk:
    vectors = fields[_GIVEN]
    if vectors is not None:
        vectors = GivenVectors(**{name: base64.b64decode(part) for name, part in vectors.items()})
    return Chunk(**{**fields, _GIVEN: vectors, _HEADINGS: tuple(fields[_HEADINGS])})


def _fields(record: Document | Chunk | GivenVectors) -> dict[str, Any]:
    """The fields as they are; `asdict` would copy every part."""
    return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}

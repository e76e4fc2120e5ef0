"""The readers by suffix, and how a file is handed to its own. `by_suffix.py` fills the table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from pipeline.config import IngestSettings
from pipeline.ingest.formats.decoding import UnreadableError
from pipeline.ingest.guard import Found
from pipeline.ingest.sources import SourceFile
from pipeline.ingest.suffixes import SUFFIXES
from pipeline.records import Document, Metadata

Reader = Callable[[SourceFile, IngestSettings], Iterator[Found]]

READERS: dict[str, Reader] = {}


def register_reader(suffix: str, reader: Reader) -> None:
    """Let this process read files of another kind, such as `.log`. Raises `ValueError` if there is a reader."""
    if suffix in READERS or not suffix.startswith("."):
        raise ValueError(f"{suffix}: give a suffix with its dot that has no reader yet")
    READERS[suffix] = reader
    SUFFIXES.add(suffix)


def unregister_reader(suffix: str) -> None:
    """Take an added reader away again."""
    del READERS[suffix]
    SUFFIXES.remove(suffix)


def read_file(file: SourceFile, settings: IngestSettings) -> Iterator[Found]:
    """The documents of a file, each yet to be made. Raises `UnreadableError`, and whatever its parser raises."""
    if file.problem is not None:
        raise UnreadableError(file.problem)
    reader = READERS.get(file.suffix)
    if reader is None:
        known = " ".join(sorted(SUFFIXES))
        raise UnreadableError(
            f"no reader for {file.suffix or 'a file without suffix'}; there are readers for {known}"
        )
    yield from with_extra(reader(file, settings), file)


def with_extra(read: Iterator[Found], file: SourceFile) -> Iterator[Found]:
    """What a reader finds, with the metadata that are known of the file besides. A document's own come first."""
    if not file.extra:
        return read
    return (replace(found, build=partial(_build_with, found.build, file.extra)) for found in read)


def _build_with(build: Callable[[], Document], extra: Metadata) -> Document:
    document = build()
    chunks = tuple(replace(chunk, metadata={**extra, **chunk.metadata}) for chunk in document.chunks)
    return replace(document, metadata={**extra, **document.metadata}, chunks=chunks)

"""Which reader takes which file."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pipeline.config import IngestSettings
from pipeline.ingest.formats.columnar import read_parquet
from pipeline.ingest.formats.decoding import UnreadableError
from pipeline.ingest.formats.hwp.reader import read_hangul
from pipeline.ingest.formats.lines import read_csv, read_jsonl
from pipeline.ingest.formats.office import read_office
from pipeline.ingest.formats.pdf.reader import read_pdf
from pipeline.ingest.formats.sheets import read_xlsx
from pipeline.ingest.formats.text_files import read_markdown, read_text
from pipeline.ingest.guard import Found
from pipeline.ingest.sources import DOCS_SUFFIXES, HWP_SUFFIXES, SUFFIXES, SourceFile

Reader = Callable[[SourceFile, IngestSettings], Iterator[Found]]

READERS: dict[str, Reader] = {
    ".txt": read_text,
    ".md": read_markdown,
    ".markdown": read_markdown,
    ".jsonl": read_jsonl,
    ".csv": read_csv,
    ".tsv": read_csv,
    ".parquet": read_parquet,
    **dict.fromkeys(DOCS_SUFFIXES, read_office),
    ".pdf": read_pdf,
    ".xlsx": read_xlsx,
    **dict.fromkeys(HWP_SUFFIXES, read_hangul),
}

_BUILT_IN = dict(READERS)

FOREIGN = DOCS_SUFFIXES | HWP_SUFFIXES | {".parquet"}
"""Parsed by libraries that may hold on, crash or take all memory where Python cannot stop them."""


def register_reader(suffix: str, reader: Reader) -> None:
    """Let this process read files of another kind, such as `.srt`. Raises `ValueError` if there is a reader."""
    if suffix in READERS or not suffix.startswith("."):
        raise ValueError(f"{suffix}: give a suffix with its dot that has no reader yet")
    READERS[suffix] = reader
    SUFFIXES.add(suffix)


def unregister_reader(suffix: str) -> None:
    """Take an added reader away again."""
    del READERS[suffix]
    SUFFIXES.remove(suffix)


def is_built_in(suffix: str) -> bool:
    """Whether every process of this package has the reader that this one has."""
    return suffix in _BUILT_IN and READERS.get(suffix) is _BUILT_IN[suffix]


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
    yield from reader(file, settings)

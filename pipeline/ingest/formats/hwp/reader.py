"""HWP and HWPX → a document."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from functools import partial

from pipeline.config import IngestSettings
from pipeline.ingest.formats.decoding import UnreadableError
from pipeline.ingest.formats.fields import first_line
from pipeline.ingest.formats.hwp.package import read_hwpx
from pipeline.ingest.formats.hwp.records import read_hwp
from pipeline.ingest.formats.lines import max_bytes
from pipeline.ingest.formats.office.package import EXPANSION
from pipeline.ingest.formats.text_files import read_bytes
from pipeline.ingest.guard import Found
from pipeline.ingest.sources import SourceFile
from pipeline.records import Document

INSTALL = "pip install 'hybrid-pipeline[hwp]'"
_ZIP, _COMPOUND, _OLD = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"HWP Document File V3"


def read_hangul(file: SourceFile, settings: IngestSettings) -> Iterator[Found]:
    """One document a file. What it holds decides how it is read, not its name: both kinds are called either."""
    yield Found(0, partial(_document, file, settings))


def _document(file: SourceFile, settings: IngestSettings) -> Document:
    data, limit = read_bytes(file.path, settings), max_bytes(settings)
    if not data:
        raise UnreadableError("empty")
    if data.startswith(_OLD):
        raise UnreadableError("HWP 3, of before the year 2000, is not read; save it as HWPX")
    if data.startswith(_ZIP):
        text, metadata = read_hwpx(data, limit, limit * EXPANSION)
    elif data.startswith(_COMPOUND):
        try:
            text, metadata = read_hwp(data, limit, limit * EXPANSION)
        except ImportError:
            raise UnreadableError(f"{file.suffix} needs an extra: {INSTALL}") from None
        except (UnreadableError, MemoryError, RecursionError):
            raise
        except (OSError, ValueError, LookupError, TypeError, zlib.error) as error:
            raise UnreadableError(f"broken .hwp file: {first_line(error)}") from error
    else:
        raise UnreadableError(f"broken {file.suffix} file: neither a compound file nor a ZIP archive")
    return Document(file.name, text, metadata, is_markdown=True)

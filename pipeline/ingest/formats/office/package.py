"""What Office documents have in common: ZIP archives that may be bombs, and an extra that reads them."""

from __future__ import annotations

import io
import zipfile

from pipeline.config import IngestSettings
from pipeline.ingest.formats.decoding import UnreadableError
from pipeline.ingest.formats.fields import first_line
from pipeline.ingest.formats.lines import max_bytes
from pipeline.ingest.formats.text_files import read_bytes
from pipeline.ingest.sources import SourceFile

INSTALL_DOCS = "pip install 'hybrid-pipeline[docs]'"
EXPANSION = 20
"""A zipped format may unpack to this many times `max_document_mb`; more is a zip bomb or useless."""


def read_package(file: SourceFile, settings: IngestSettings) -> bytes:
    """The bytes of an Office document. Raises `UnreadableError` if it is none, or would unpack to too much."""
    data = read_bytes(file.path, settings)
    if not data:
        raise UnreadableError("empty")
    limit = max_bytes(settings) * EXPANSION
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        raise UnreadableError(f"broken {file.suffix} file: {first_line(error).lower()}") from None
    if unpacked > limit:
        raise UnreadableError(
            f"would unpack to {unpacked / 1e6:.0f} MB; more than {limit / 1e6:.0f} MB is not read"
        )
    return data


def missing(suffix: str) -> UnreadableError:
    """Why a document is rejected for which a library is missing."""
    return UnreadableError(f"{suffix} needs an extra: {INSTALL_DOCS}")

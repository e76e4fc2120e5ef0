"""A file as the passages that a build would encode of it."""

from __future__ import annotations

from pathlib import Path

from pipeline.config import Config, SourceSettings
from pipeline.errors import SourceError
from pipeline.ingest.cutting.contract import DocumentChunker
from pipeline.ingest.readers import discover, read_documents
from pipeline.job.injected import Injected
from pipeline.records import Rejection


def passages_of(path: Path, config: Config, chunker: DocumentChunker | None = None) -> list[str]:
    """What is encoded of a file's documents: each chunk in its context, cut as configured or by `chunker`.

    Raises `SourceError` if the file, or one document of it, cannot be read.
    """
    if not path.is_file():
        raise SourceError(f"{path}: {'a folder' if path.is_dir() else 'no such file'}; name one file")
    cutting = Injected.passed(None, chunker).chunker(config)
    rejections: list[Rejection] = []
    alone = config.model_copy(update={"sources": [SourceSettings(path=str(path.resolve()))]})
    documents = read_documents(discover(alone), config.ingest, rejections.append)
    found = [chunk.encoded_text for document in documents for chunk in cutting.chunk(document)]
    if rejections:
        raise SourceError(f"{path}: {rejections[0].reason}; give a file that holds readable text")
    return found

"""Reading a folder in one call: what was read, and what was rejected."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from pipeline.config import IngestSettings, SourceSettings, parse_config
from pipeline.ingest.formats.by_suffix import read_file
from pipeline.ingest.guard import Guard, Outcome
from pipeline.ingest.readers import discover, read_documents
from pipeline.ingest.sources import SourceFile
from pipeline.records import Document, Rejection

Read = Callable[..., tuple[list[Document], list[Rejection]]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """`read(ingest={…}, **source)`: documents and rejections of the folder `src` below `tmp_path`."""

    def run(ingest: dict[str, Any] | None = None, **source: Any) -> tuple[list[Document], list[Rejection]]:
        raw = {"sources": [{"path": "src", **source}], "ingest": ingest or {}}
        config = parse_config(raw, base=tmp_path)
        rejections: list[Rejection] = []
        return list(read_documents(discover(config), config.ingest, rejections.append)), rejections

    (tmp_path / "src").mkdir()
    return run


def outcomes(path: Path, **settings: Any) -> list[Outcome]:
    """What becomes of each document of one file, read in this process whatever its format."""
    file = SourceFile(str(path), path.name, path.name, SourceSettings(path=str(path)))
    return list(Guard(None).outcomes(path.name, read_file(file, IngestSettings(**settings))))


def forever() -> NoReturn:
    """Python code that does not come back."""
    while True:
        pass

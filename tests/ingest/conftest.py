"""Reading a folder in one call: what was read, and what was rejected."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import parse_config
from pipeline.ingest.readers import discover, read_documents
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

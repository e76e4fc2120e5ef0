"""What a night over a fetched source reads, and what its index holds then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Config
from pipeline.ingest import ledger, readers
from pipeline.ingest.sources import SourceFile
from pipeline.records import Hit
from tests.faults import stub


def source_config(base: Path, **source: Any) -> Config:
    """A configuration with this source alone."""
    return stub.stub_config(base, sources=[source], gate={"max_reject_ratio": 1.0})


def names_read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Lets the ledger believe the times of files that were just written; lists the names of files that are read."""
    names: list[str] = []
    original = readers._outcomes

    def counted(file: SourceFile, *arguments: object) -> object:
        names.append(file.name)
        return original(file, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(readers, "_outcomes", counted)
    monkeypatch.setattr(ledger, "RACY_NS", -(10**18))
    return names


def documents(config: Config) -> dict[str, Hit]:
    """A chunk of each document of the live generation, by id."""
    with stub.open_index(config.index_path) as opened:
        return {hit.doc_id: hit for hit in opened.search("a", 2000)}


def mirror(config: Config) -> Path:
    """The folder of the one source."""
    (folder,) = (config.index_path / "fetched").iterdir()
    return folder

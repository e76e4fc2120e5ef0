"""What a night over a fetched source reads, and what its index holds then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.config import Config
from pipeline.records import Hit
from tests.faults import stub


def source_config(base: Path, **source: Any) -> Config:
    """A configuration with this source alone."""
    return stub.stub_config(base, sources=[source], gate={"max_reject_ratio": 1.0})


def documents(config: Config) -> dict[str, Hit]:
    """A chunk of each document of the live generation, by id."""
    with stub.open_index(config.index_path) as opened:
        return {hit.doc_id: hit for hit in opened.search("a", 2000)}


def mirror(config: Config) -> Path:
    """The folder of the one source."""
    (folder,) = (config.index_path / "fetched").iterdir()
    return folder

"""One index of the stub for all tests that only read it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.config import Config
from pipeline.query.searcher import Index
from tests.faults import stub
from tests.support.live import Live, serving


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A collection of texts and of records with metadata, and its index."""
    base = tmp_path_factory.mktemp("served")
    stub.write_texts(base, 0, count=12)
    records = base / "documents" / "records.jsonl"
    records.write_text(
        '{"_id": "ko/1", "text": "사과와 배에 관한 문서입니다.", "lang": "ko", "year": 2024, "tags": ["과일"]}\n'
        '{"_id": "it\'s", "text": "plums \\"quoted\\", pears", "lang": "en", "year": 2023, "tags": ["a\'b", "c"]}\n'
    )
    config = stub.stub_config(base)
    stub.build(config)
    return config


@pytest.fixture
def index(built: Config) -> Iterator[Index]:
    """That index, open."""
    with stub.open_index(built.index_path, settings=built.query) as opened:
        yield opened


@pytest.fixture(scope="module")
def live(built: Config) -> Iterator[Live]:
    """A service over it, by two names."""
    with (
        stub.open_index(built.index_path, settings=built.query) as one,
        stub.open_index(built.index_path, settings=built.query) as two,
        serving({"first": one, "second": two}) as running,
    ):
        yield running


@pytest.fixture
def folder(built: Config) -> Path:
    """Where the collection and its index are."""
    return built.base

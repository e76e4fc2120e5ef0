"""One small index that all adapters search."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipeline.job import build as builder
from pipeline.query.searcher import Index, open_index
from tests.integrations.search_server import SearchServer, running
from tests.support.collection import TEXTS, config_for, write_documents

FRONT_MATTER = "---\nlang: {lang}\nyear: {year}\nsource: the handbook\n---\n{text}"


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    folder = tmp_path_factory.mktemp("adapters")
    texts = {
        name: FRONT_MATTER.format(lang=name[:2], year=2020 + number, text=text)
        for number, (name, text) in enumerate(TEXTS.items())
    }
    write_documents(folder / "documents", texts)
    config = config_for(folder)
    builder.build(config)
    with open_index(config.index_path) as opened:
        yield opened


@pytest.fixture
def server(index: Index, monkeypatch: pytest.MonkeyPatch) -> Iterator[SearchServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with running(index) as found:
        yield found

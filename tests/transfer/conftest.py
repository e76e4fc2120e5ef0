"""An index of two generations, the second with deletions, that nobody changes: tests export it or copy it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import stub


@pytest.fixture(scope="session")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("origin")
    stub.build_two_generations(base)
    return stub.stub_config(base).index_path

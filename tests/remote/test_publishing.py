"""Building into an object store and reading from it, on machines that share nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.index import manifest as manifests
from tests.remote.stores import Machine


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"file://{tmp_path}/store/handbook"


def test_what_one_machine_builds_another_finds(tmp_path: Path, url: str) -> None:
    builder, reader = Machine(tmp_path / "a", url), Machine(tmp_path / "b", url)
    report = builder.build()
    assert report.published
    assert report.generation == 1
    assert builder.hits()
    assert reader.hits() == builder.hits()
    assert reader.is_sound()
    builder.write("en/fusion.md", "# Fusion\n\nRanks are fused by their reciprocals, said again.")
    assert builder.build().generation == 2
    assert reader.hits() == builder.hits()
    assert manifests.generations(reader.remote.folder) == [1, 2]

"""What the fault tests share: what an undisturbed job gives, and a fast disk where there is one."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.ingest import ledger
from tests.faults import stub
from tests.faults.walks import Walk


@pytest.fixture(autouse=True, scope="module")
def _settled_sources() -> Iterator[None]:
    """Source files count as old enough to be recorded at once, else a job's writes depend on how fast a test is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger, "RACY_NS", -(10**18))
        yield


@pytest.fixture(scope="session")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[stub.Answers]:
    """What each version of the collection answers, from an undisturbed full build."""
    result = []
    for version in range(4):
        base = tmp_path_factory.mktemp("expected")
        stub.write_texts(base, version)
        stub.build(stub.stub_config(base))
        result.append(stub.answers(base / "index"))
    return result


@pytest.fixture(scope="session")
def two_generations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the collection at version 1 and its index, in which version 0 was live before."""
    base = tmp_path_factory.mktemp("two-generations")
    stub.build_two_generations(base)
    return base


@pytest.fixture
def walk(base: Path, two_generations: Path, expected: list[stub.Answers]) -> Callable[[str], Walk]:
    """A job's walk, by its name."""
    shutil.copytree(two_generations, base, dirs_exist_ok=True)
    return lambda job: Walk(base, job, expected)


@pytest.fixture
def base() -> Iterator[Path]:
    """A folder in memory where possible: a torture does tens of thousands of syncs."""
    memory = Path("/dev/shm")
    parent = memory if memory.is_dir() and os.access(memory, os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="hybrid-pipeline-faults-", dir=parent))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)

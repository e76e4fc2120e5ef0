"""What the fault tests share: the stub encoder everywhere, and a fast disk where there is one."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import stub


@pytest.fixture(autouse=True, scope="module")
def _stub() -> Iterator[None]:
    with stub.patched():
        yield


@pytest.fixture
def base() -> Iterator[Path]:
    """A folder in memory where possible: a torture does tens of thousands of syncs."""
    memory = Path("/dev/shm")
    parent = memory if memory.is_dir() and os.access(memory, os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="hybrid-pipeline-faults-", dir=parent))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)

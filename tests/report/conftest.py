"""What the tests of reports share."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from pipeline.index import files


@pytest.fixture
def no_room_for_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full whenever a report is written."""
    original = files.write_file

    def write_file(path: Path, data: bytes) -> None:
        if "reports" in path.parts:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        original(path, data)

    monkeypatch.setattr(files, "write_file", write_file)

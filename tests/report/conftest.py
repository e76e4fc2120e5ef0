"""What the tests of reports share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def no_room_for_reports(tmp_path: Path) -> None:
    """A file where the folder of reports would be, so that none can be written."""
    (tmp_path / "index").mkdir()
    (tmp_path / "index/reports").write_text("")

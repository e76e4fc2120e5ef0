"""Which files a build reads."""

from __future__ import annotations

import pytest

from pipeline.ingest import ledger, readers
from pipeline.ingest.sources import SourceFile


def names_read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Lets the ledger believe the times of files that were just written; lists the names of files that are read."""
    names: list[str] = []
    original = readers._outcomes

    def counted(file: SourceFile, *arguments: object) -> object:
        names.append(file.name)
        return original(file, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(readers, "_outcomes", counted)
    monkeypatch.setattr(ledger, "RACY_NS", -(10**18))  # status-change times cannot be set
    return names

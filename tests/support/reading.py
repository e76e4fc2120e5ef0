"""Which files a build reads."""

from __future__ import annotations

import pytest

from pipeline.ingest import ledger, readers
from pipeline.ingest.sources import SourceFile
from pipeline.ingest.workers.jobs import Result
from pipeline.ingest.workers.pool import WorkerPool
from pipeline.ingest.workers.process import Ticket


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


def results_taken(monkeypatch: pytest.MonkeyPatch, most: int) -> list[tuple[Ticket, Result]]:
    """Lists what is taken of workers' results. The first ingest is interrupted at so many."""
    taken: list[tuple[Ticket, Result]] = []
    result, interrupted = WorkerPool.result, list[bool]()

    def noted(self: WorkerPool, ticket: Ticket) -> Result:
        found = result(self, ticket)
        taken.append((ticket, found))
        if len(taken) == most and not interrupted:
            interrupted.append(True)
            raise KeyboardInterrupt
        return found

    monkeypatch.setattr(WorkerPool, "result", noted)
    return taken

"""Workers parse foreign files too, each in a process of its own, whose death costs a document; none is left."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from pipeline.config import IngestSettings, SourceSettings
from pipeline.ingest import readers
from pipeline.ingest.guard import CutDocument
from pipeline.ingest.sources import SourceFile
from pipeline.ingest.workers import ahead
from pipeline.ingest.workers.pool import WorkerPool, Workers
from pipeline.ingest.workers.process import WorkerProcess, WorkerSetup
from pipeline.records import Rejection
from tests.faults.stub import OneChunk
from tests.ingest.conftest import order

pytestmark = pytest.mark.usefixtures("stand_in")
SETTINGS = IngestSettings(document_seconds=2.0)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers are started for any file, and each file is a job."""
    monkeypatch.setattr(readers, "WORTH_WORKERS_BYTES", 0)
    monkeypatch.setattr(ahead, "STRETCH_BYTES", 1)


def workers(folder: Path, settings: IngestSettings = SETTINGS) -> Workers:
    setup = WorkerSetup("tests.ingest.workers.deadly", {"folder": str(folder)}, settings)
    return Workers(setup, 2, OneChunk.fingerprint, lambda: b"")


def write(folder: Path, *orders: str) -> list[SourceFile]:
    """Office files that tell the stand-in what to do, in this order."""
    found = []
    for number, text in enumerate(orders):
        path = folder / f"{number:02} {text}.docx"
        path.write_bytes(order(text))
        found.append(SourceFile(str(path), path.name, path.name, SourceSettings(path=str(folder))))
    return found


def read(files: list[SourceFile], settings: IngestSettings, several: Workers | None) -> tuple[list[str], list[str]]:
    """Ids and texts, and reasons of rejections."""
    rejections: list[Rejection] = []
    found = list(readers.read_sources(files, settings, rejections.append, workers=several))
    return [document.doc_id for document in found], [f"{r.source}: {r.reason}" for r in rejections]


def test_what_ends_a_parser_costs_its_document_whoever_started_it(tmp_path: Path) -> None:
    fatal = ["crashes", "leaves", "exits", "raises", "holds on in C"]
    files = write(tmp_path, *(text for name in fatal for text in ("words", name)), "words")
    assert read(files, SETTINGS, workers(tmp_path)) == read(files, SETTINGS, None)


def test_each_worker_has_a_parser_of_its_own(tmp_path: Path) -> None:
    files = write(tmp_path, *["words"] * 40)
    found = list(readers.read_sources(files, SETTINGS, lambda _: None, workers=workers(tmp_path)))
    texts = []
    for document in found:
        assert isinstance(document, CutDocument)
        assert document.chunks is not None
        assert not isinstance(document.chunks, Exception)
        texts += document.chunks.table["text"].to_pylist()[document.chunks.start : document.chunks.stop]
    parsers = {int(text.split()[-1]) for text in texts}
    assert len(parsers) == 2
    assert os.getpid() not in parsers
    for process in parsers:
        wait_for_the_end(process)


@pytest.mark.parametrize("text", ["sleeps", "holds on in C"])
def test_a_parser_ends_with_its_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], text: str
) -> None:
    """In the middle of a document, and whether or not it lets other threads of its own run."""
    started: list[int] = []
    original = WorkerPool._start

    def start(pool: WorkerPool) -> WorkerProcess:
        worker = original(pool)
        started.append(worker.pid)
        return worker

    monkeypatch.setattr(WorkerPool, "_start", start)
    settings = IngestSettings(document_seconds=1000)
    several = workers(tmp_path, settings)
    documents = readers.read_sources(write(tmp_path, "words", text), settings, lambda _: None, workers=several)
    next(documents)
    parsers = [process for worker in started for process in children(worker)]
    assert parsers != []
    documents.close()
    for process in parsers:
        wait_for_the_end(process)


def test_a_worker_that_is_killed_while_its_parser_works_tries_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[int] = []
    original = WorkerProcess.give

    def give(worker: WorkerProcess, ticket: object) -> None:
        original(worker, ticket)  # type: ignore[arg-type]
        if worker.ready is not None and not killed:
            killed.append(worker.pid)
            os.kill(worker.pid, signal.SIGKILL)

    monkeypatch.setattr(WorkerProcess, "give", give)
    files = write(tmp_path, *["words"] * 12)
    ids, rejections = read(files, SETTINGS, workers(tmp_path))
    assert (ids, rejections) == ([file.name for file in files], [])
    assert len(killed) == 1


def children(process: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def wait_for_the_end(process: int) -> None:
    """Raises `AssertionError` if it does not come."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        state = Path(f"/proc/{process}/stat")
        try:
            if state.read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return
        except (FileNotFoundError, ProcessLookupError):
            return
        time.sleep(0.02)
    raise AssertionError(f"process {process} is still there")

"""A document that kills its worker is rejected with how that ended; the rest is read in order; nobody is left."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import IngestSettings, SourceSettings
from pipeline.errors import EncoderError, SourceError
from pipeline.ingest import readers
from pipeline.ingest.guard import CutDocument, time_reason
from pipeline.ingest.sources import SourceFile
from pipeline.ingest.workers import ahead, split
from pipeline.ingest.workers.pool import WorkerPool, Workers
from pipeline.ingest.workers.process import WorkerProcess, WorkerSetup
from pipeline.records import Fingerprint, Rejection
from tests.faults.stub import OneChunk

MODULE = "tests.ingest.workers.deadly"


def workers(folder: Path, count: int = 2, fingerprint: Fingerprint = OneChunk.fingerprint, **facts: Any) -> Workers:
    setup = WorkerSetup(MODULE, {"folder": str(folder), **facts}, IngestSettings(document_seconds=2.0))
    return Workers(setup, count, fingerprint, lambda: b"")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers are started for any file, and jobs are small."""
    monkeypatch.setattr(readers, "WORTH_WORKERS_BYTES", 0)
    monkeypatch.setattr(ahead, "STRETCH_BYTES", 100)
    monkeypatch.setattr(split, "_READ_BYTES", 100)
    monkeypatch.setattr(ahead, "MOST_FILES", 3)


def write_lines(path: Path, *texts: str) -> SourceFile:
    path.write_text("".join(json.dumps({"_id": str(i), "text": text}) + "\n" for i, text in enumerate(texts)))
    return SourceFile(str(path), path.name, path.name, SourceSettings(path=path.name))


def write_files(folder: Path, *texts: str) -> list[SourceFile]:
    files = []
    for i, text in enumerate(texts):
        path = folder / f"{i}.txt"
        path.write_text(text)
        files.append(SourceFile(str(path), path.name, path.name, SourceSettings(path=str(folder))))
    return files


def read(files: list[SourceFile], with_workers: Workers) -> tuple[list[CutDocument], list[Rejection]]:
    rejections: list[Rejection] = []
    settings = with_workers.setup.settings
    found = list(readers.read_sources(files, settings, rejections.append, workers=with_workers))
    assert all(isinstance(document, CutDocument) for document in found)
    return found, rejections  # type: ignore[return-value]


ENDS = {
    "exits": "the process that parsed it ended with exit code 3",
    "crashes": "the process that parsed it was killed by Segmentation fault",
    "starves": "the process that parsed it was killed by Killed; the system kills a process when memory runs out",
}


@pytest.mark.parametrize("word", ENDS)
@pytest.mark.parametrize("whole_files", [False, True])
def test_a_document_that_kills_its_worker_is_rejected(tmp_path: Path, word: str, whole_files: bool) -> None:
    texts = ["good"] * 7 + [word] + ["good"] * 5 + [f"good {word}", "good"]
    deadly = [7, 13]
    files = write_files(tmp_path, *texts) if whole_files else [write_lines(tmp_path / "a.jsonl", *texts)]
    found, rejections = read(files, workers(tmp_path))
    wanted = [i for i in range(len(texts)) if i not in deadly]
    assert [document.doc_id for document in found] == [f"{i}.txt" if whole_files else str(i) for i in wanted]
    places = [f"{i}.txt" if whole_files else f"a.jsonl:{i + 1}" for i in deadly]
    assert [(r.source, r.reason) for r in rejections] == [(place, ENDS[word]) for place in places]


def test_a_worker_that_is_killed_for_another_reason_costs_no_document(tmp_path: Path) -> None:
    file = write_lines(tmp_path / "a.jsonl", *["good"] * 5, "starves-once", *["good"] * 5)
    found, rejections = read([file], workers(tmp_path))
    assert (len(found), rejections) == (11, [])
    assert (tmp_path / "starved").exists()


@pytest.mark.parametrize("whole_files", [False, True])
def test_no_more_is_handed_in_than_memory_is_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole_files: bool
) -> None:
    """Large documents are fewer on their way than workers would take."""
    most = 5000
    monkeypatch.setattr(ahead, "AHEAD_BYTES", most)
    texts = [f"good {'word ' * 400}"] * 12 + ["good"] * 30
    largest, seen = 2500, list[int]()
    original = ahead.ReadAhead._hand_in

    def hand_in(self: ahead.ReadAhead, task: Any) -> None:
        original(self, task)
        seen.append(sum(waiting.bytes for waiting in self._unfinished))

    monkeypatch.setattr(ahead.ReadAhead, "_hand_in", hand_in)
    files = write_files(tmp_path, *texts) if whole_files else [write_lines(tmp_path / "a.jsonl", *texts)]
    found, rejections = read(files, workers(tmp_path, count=3))
    assert (len(found), rejections) == (len(texts), [])
    assert most / 2 < max(seen) < most + largest


def test_what_cannot_be_cut_is_said_and_what_does_not_end_is_ended(tmp_path: Path) -> None:
    file = write_lines(tmp_path / "a.jsonl", "good", "breaks", "loops", "good")
    found, rejections = read([file], workers(tmp_path))
    assert rejections == []  # that is the stage's to do, which keeps its last version
    reasons = [str(document.chunks) for document in found[1:3]]
    assert reasons == ["ZeroDivisionError: of a cut", time_reason(2.0)]


def test_chunks_come_with_their_document(tmp_path: Path) -> None:
    files = write_files(tmp_path, *[f"text number {i}" for i in range(20)])
    found, _ = read(files, workers(tmp_path))
    for i, document in enumerate(found):
        assert not isinstance(document.chunks, Exception)
        assert document.chunks is not None
        rows = document.chunks.table.slice(document.chunks.start, document.chunks.stop - document.chunks.start)
        assert rows.column("text").to_pylist() == [f"text number {i}"]
        assert rows.column("source").to_pylist() == [f"{i}.txt"]


def test_logs_are_passed_on_and_prints_disturb_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = write_lines(tmp_path / "a.jsonl", "logs", "prints", "logs")
    with caplog.at_level(logging.WARNING):
        found, _ = read([file], workers(tmp_path))
    assert len(found) == 3
    assert [record.getMessage() for record in caplog.records if record.name == "pipeline.ingest.test"] == [
        "of 0",
        "of 2",
    ]


def test_what_is_about_the_build_ends_the_build(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"^no tokenizer$"):
        read([write_lines(tmp_path / "a.jsonl", "good", "fails")], workers(tmp_path))
    with pytest.raises(EncoderError, match=r"^no tokenizer at all$"):
        read([write_lines(tmp_path / "a.jsonl", "good")], workers(tmp_path, fails=True))


def test_a_worker_that_does_not_start_is_the_builds_fault(tmp_path: Path) -> None:
    file = write_lines(tmp_path / "a.jsonl", "good")
    with pytest.raises(SourceError, match="ended with exit code 5 as it started; what it wrote to standard error"):
        read([file], workers(tmp_path, exits=True))
    with pytest.raises(SourceError, match="another chunker than the build"):
        read([file], workers(tmp_path, fingerprint=Fingerprint.of(kind="another")))


def test_documents_that_are_live_are_not_cut(tmp_path: Path) -> None:
    from tests.index.test_live import keys_of

    file = write_lines(tmp_path / "a.jsonl", "one", "two", "three")
    first, _ = read([file], workers(tmp_path))
    known = keys_of((document.doc_id, document.content_hash, document.source) for document in first[:2])
    again, _ = read([file], Workers(workers(tmp_path).setup, 2, OneChunk.fingerprint, lambda: known))
    assert [document.chunks is None for document in again] == [True, True, False]
    assert [document.content_hash for document in again] == [document.content_hash for document in first]


def running(numbers: list[int]) -> list[int]:
    def runs(number: int) -> bool:
        try:
            os.kill(number, 0)
        except ProcessLookupError:
            return False
        return True

    return [number for number in numbers if runs(number)]


def test_nobody_is_left_whether_all_is_read_or_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []
    original = WorkerPool._start

    def start(pool: WorkerPool) -> WorkerProcess:
        worker = original(pool)
        started.append(worker.pid)
        return worker

    monkeypatch.setattr(WorkerPool, "_start", start)
    file = write_lines(tmp_path / "a.jsonl", *["good"] * 60)
    read([file], workers(tmp_path))
    documents = readers.read_sources([file], IngestSettings(), lambda _: None, workers=workers(tmp_path))
    next(documents)
    assert running(started) != []
    documents.close()
    assert len(started) == 4
    assert running(started) == []


BUILDER = """
import sys
from pathlib import Path
from pipeline.config import IngestSettings
from pipeline.ingest import readers
from pipeline.ingest.workers.pool import WorkerPool
from tests.ingest.workers import test_worker_pool as here

readers.WORTH_WORKERS_BYTES = 0
folder = Path(sys.argv[1])
original = WorkerPool._start
def start(pool):
    worker = original(pool)
    print(worker.pid, flush=True)
    return worker
WorkerPool._start = start
file = here.write_lines(folder / "a.jsonl", "good", "loops")
list(readers.read_sources([file], IngestSettings(document_seconds=100), lambda _: None,
     workers=here.workers(folder, document_seconds=100)))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_a_builder_that_is_killed_or_interrupted(tmp_path: Path, number: signal.Signals) -> None:
    """Even one whose document does not end. Ctrl-C reaches the whole group; the builder ends its workers."""
    with subprocess.Popen(
        [sys.executable, "-c", BUILDER, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
    ) as builder:
        assert builder.stdout is not None
        worker = int(builder.stdout.readline())
        os.killpg(builder.pid, number) if number is signal.SIGINT else builder.kill()
        builder.wait(60)
        deadline = time.monotonic() + 60
        while running([worker]) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert running([worker]) == []

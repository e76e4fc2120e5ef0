"""With any number of processes an ingest stages the same bytes, and rejects the same documents for like reasons."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Config
from pipeline.ingest import ledger, readers
from pipeline.ingest.formats.by_suffix import register_reader, unregister_reader
from pipeline.ingest.guard import Found
from pipeline.ingest.ledger import LEDGER_FILE
from pipeline.ingest.sources import SourceFile
from pipeline.ingest.workers import ahead
from pipeline.ingest.workers.pool import WorkerPool
from pipeline.job import build as builder
from pipeline.records import Document
from tests.faults import stub
from tests.ingest import test_malformed as malformed
from tests.support.collection import TEXTS, config_for, write_documents

Staged = dict[str, Any]


@pytest.fixture(autouse=True)
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Workers for any collection, and small jobs; the kinds of the jobs that were handed in."""
    monkeypatch.setattr(readers, "WORTH_WORKERS_BYTES", 0)
    monkeypatch.setattr(ahead, "STRETCH_BYTES", 300)
    monkeypatch.setattr(ahead, "MOST_FILES", 3)
    monkeypatch.setattr(ahead, "MOST_DOCUMENTS", 2)
    monkeypatch.setattr(ledger, "RACY_NS", -(10**18))
    kinds: list[str] = []
    original = WorkerPool.submit

    def submit(pool: WorkerPool, job: Any) -> Any:
        kinds.append(job.kind)
        return original(pool, job)

    monkeypatch.setattr(WorkerPool, "submit", submit)
    return kinds


def with_processes(config: Config, processes: int) -> Config:
    """The same sources, and an index of its own."""
    ingest = config.ingest.model_copy(update={"processes": processes})
    return config.model_copy(update={"ingest": ingest, "index": f"index-{processes}"})


def staged(config: Config, **options: Any) -> Staged:
    """All that an ingest leaves, byte for byte, and what it says."""
    report = builder.ingest(config, allow_deletes=True, **options)
    folder = config.index_path / "staging/ingest"
    found: Staged = {path.name: path.read_bytes() for path in folder.iterdir()}
    record = config.index_path / LEDGER_FILE
    found["record"] = record.read_bytes() if record.exists() else b""
    found["said"] = (report.staged, report.rejections)
    return found


def alike(config: Config, **options: Any) -> tuple[Staged, Staged]:
    """What one process and what several make of the sources; each by what its own live generation has."""
    one, several = (staged(with_processes(config, processes), **options) for processes in (1, 3))
    assert one == several
    return one, several


def lines(path: Path, records: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), "utf-8")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Every format, sound and broken, and documents long enough to be cut."""
    folder = write_documents(tmp_path / "documents")
    malformed.write(folder)
    long = "A sentence about pears, plums and apples. " * 40
    records: list[dict[str, object]] = [
        {"_id": f"long-{i}", "title": f"Number {i}", "text": f"{i}. {long}", "tags": ["a", i]} for i in range(30)
    ]
    lines(folder / "long.jsonl", records)
    (folder / "page.html").write_text(f"<title>Fruit</title><h1>Pears</h1><p>{long}</p>")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 nothing")
    (folder / "wide.jsonl").write_bytes(
        (folder / "long.jsonl").read_text("utf-8").replace("long-", "wide-").encode("utf-16")
    )
    return config_for(
        tmp_path,
        sources=[{"path": "documents", "include": ["**/*"]}],
        encoder={"model": "none"},
        encode={"shard_chunks": 7},
        chunking={"max_tokens": 64, "overlap_tokens": 8},
        ingest={"max_document_mb": 0.3},
    )


def test_every_format_and_every_broken_document(config: Config, jobs: list[str]) -> None:
    one, _ = alike(config)
    report, rejections = one["said"]
    assert set(jobs) == {"files", "lines", "documents"}
    assert len(report.parts) > 20
    assert len(rejections) > 50


def test_the_same_file_has_the_same_parts_where_workers_take_over_in_the_middle(
    config: Config, monkeypatch: pytest.MonkeyPatch, jobs: list[str]
) -> None:
    """Parts then hold chunks that were cut here and chunks that were cut there."""
    for worth in (1_000, 5_000, 50_000):
        monkeypatch.setattr(readers, "WORTH_WORKERS_BYTES", worth)
        alike(config)
    assert jobs


def test_nights_after_the_first(config: Config, jobs: list[str]) -> None:
    """Documents change, go, move to another id or file, and come twice; what is unchanged is not cut again."""
    folder = config.base / "documents"
    for processes in (1, 3):
        builder.build(with_processes(config, processes))
    path = folder / "long.jsonl"
    records = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    records[3]["text"] = "changed"
    records[5]["_id"] = "moved"
    lines(path, [*records[:10], *records[11:], {"_id": "new", "text": "new"}])
    lines(folder / "twice.jsonl", [{"_id": "long-1", "text": "twice"}])
    (folder / "en/fusion.md").unlink()
    (folder / "a-first.jsonl").write_text('{"_id": "en/bm25.md", "text": "taken over"}\n')
    jobs.clear()
    one, _ = alike(config)
    changes = one["said"][0].changes
    assert changes.moved == (("long-5", "moved"),)
    assert changes.deleted == 2  # long-10 and en/fusion.md
    assert changes.changed >= 2
    assert jobs
    alike(config, rehash=True)
    alike(config, full=True)


def test_a_chunker_of_a_programs_own_cuts_in_this_process(config: Config, jobs: list[str]) -> None:
    alike(config, chunker=stub.OneChunk())
    assert jobs == []


@pytest.fixture
def own_reader() -> Iterator[None]:
    def read(file: SourceFile, settings: object) -> Iterator[Found]:
        for line, text in enumerate(file.path.read_text().splitlines(), 1):
            yield Found(line, lambda text=text: Document(text.split()[0], text, {}))  # type: ignore[misc]

    register_reader(".list", read)
    yield
    unregister_reader(".list")


def test_files_of_a_programs_own_reader_are_read_in_this_process(
    config: Config, own_reader: None, jobs: list[str]
) -> None:
    (config.base / "documents/x.list").write_text("one document\ntwo documents\n\nfour is broken\n")
    one, _ = alike(config)
    reasons = {rejection.source: rejection.reason for rejection in one["said"][1]}
    assert reasons["documents/x.list:3"] == "IndexError: list index out of range"
    assert "documents" in jobs


def test_few_documents_start_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: list[str]) -> None:
    monkeypatch.undo()
    write_documents(tmp_path / "documents", TEXTS)
    started: list[object] = []
    monkeypatch.setattr(WorkerPool, "__init__", lambda *arguments: started.append(arguments))
    builder.ingest(config_for(tmp_path, encoder={"model": "none"}, ingest={"processes": 4}))
    assert started == []

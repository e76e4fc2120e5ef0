"""Whatever is in a folder, in whatever formats and however broken: workers give what one process gives."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.config import IngestSettings, SourceSettings
from pipeline.index.schemas import chunks_to_table
from pipeline.ingest import readers
from pipeline.ingest.guard import CutDocument, ReadDocument
from pipeline.ingest.sources import SourceFile
from pipeline.ingest.workers import ahead, split
from pipeline.ingest.workers.pool import WorkerPool, Workers
from pipeline.ingest.workers.process import WorkerSetup
from pipeline.records import Document, Rejection
from tests.faults.stub import OneChunk

READING = IngestSettings(max_document_mb=0.0005)

words = st.text("ab 가나。.\n#|é", max_size=80)
names = st.sampled_from(["a", "b", "c"])
lines = st.one_of(
    st.builds(lambda name, text: json.dumps({"_id": name, "text": text}), names, words),
    st.builds(lambda text: json.dumps({"text": text, "n": 1}, ensure_ascii=False), words),
    st.sampled_from(
        ["", " ", "{", "[]", '{"text": 3}', '{"_id": "x"}', '{"text": "\\ud800"}', "z" * 600, "é" * 300]
    ),
)
encoded = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252", "cp949"])
contents = st.one_of(
    st.tuples(st.just(".jsonl"), st.lists(lines, max_size=8).map("\n".join), encoded),
    st.tuples(
        st.just(".csv"), st.lists(words.map(repr), max_size=4).map(lambda rows: "\n".join(["text", *rows])), encoded
    ),
    st.tuples(st.sampled_from([".md", ".txt"]), words, encoded),
    st.tuples(st.just(".md"), st.sampled_from(["---\na: [\n---\nx", "---\ntitle: T\n---\nx", "\0"]), encoded),
)
folders = st.lists(contents, min_size=1, max_size=6)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    folder = tmp_path_factory.mktemp("deadly")
    setup = WorkerSetup("tests.ingest.workers.deadly", {"folder": str(folder)}, READING)
    with WorkerPool(setup, 2, [list(field) for field in OneChunk.fingerprint.fields]) as shared:

        class Shared(Workers):
            """One pool for all examples: it has nothing of an earlier one."""

            def pool(self) -> WorkerPool:
                return _Kept(shared)

        yield Shared(setup, 2, OneChunk.fingerprint, lambda: b"")


class _Kept(WorkerPool):
    """A pool that stays open when its user is done."""

    def __init__(self, kept: WorkerPool) -> None:
        self.__dict__ = kept.__dict__

    def __exit__(self, *details: object) -> None:
        """Nothing is ended."""


def told(files: list[SourceFile], workers: Workers | None) -> tuple[list[object], list[Rejection]]:
    """Each document with its chunks, and the rejections, in order."""
    rejections: list[Rejection] = []
    found = [
        facts(document) for document in readers.read_sources(files, READING, rejections.append, workers=workers)
    ]
    return found, rejections


def facts(document: ReadDocument) -> object:
    if isinstance(document, Document):
        table = chunks_to_table(list(OneChunk().chunk(document)))
    else:
        assert isinstance(document, CutDocument)
        rows = document.chunks
        assert rows is not None
        assert not isinstance(rows, Exception)
        table = rows.table.slice(rows.start, rows.stop - rows.start)
    return document.doc_id, document.content_hash, document.source, document.line, table.to_pylist()


@given(folder=folders, stretch=st.sampled_from([1, 40, 400]), most_bytes=st.sampled_from([1, 300, 10**6]))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_workers_give_what_one_process_gives(
    tmp_path_factory: pytest.TempPathFactory,
    pool: Workers,
    folder: list[tuple[str, str, str]],
    stretch: int,
    most_bytes: int,
) -> None:
    base = tmp_path_factory.mktemp("mixed")
    files = []
    for number, (suffix, text, encoding) in enumerate(folder):
        path = base / f"{number}{suffix}"
        path.write_bytes(text.encode(encoding, "replace"))
        files.append(SourceFile(str(path), path.name, path.name, SourceSettings(path=str(base))))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readers, "WORTH_WORKERS_BYTES", 0)
        patch.setattr(ahead, "STRETCH_BYTES", stretch)
        patch.setattr(ahead, "AHEAD_BYTES", most_bytes)
        patch.setattr(ahead, "MOST_FILES", 2)
        patch.setattr(split, "_READ_BYTES", 64)
        assert told(files, pool) == told(files, None)

"""Builds over documents that break or never end: each costs itself. What is no document's fault ends the build."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from pipeline.cli import cli
from pipeline.config import Config
from pipeline.index import manifest as manifests
from pipeline.index import store
from pipeline.index.cut import parts
from pipeline.ingest.guard import time_reason
from pipeline.records import Chunk, Document
from tests.faults import stub
from tests.ingest.conftest import forever


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    folder = tmp_path / "sources"
    folder.mkdir()
    return folder


class Breaking(stub.OneChunk):
    """Documents with `breaks` in their text cannot be cut, and cutting those with `loops` does not end."""

    def chunk(self, document: Document) -> Iterator[Chunk]:
        pieces = list(super().chunk(document))
        yield pieces[0]
        if "breaks" in document.text:
            raise ZeroDivisionError("of a cut")
        if "loops" in document.text:
            forever()
        yield from pieces[1:]


def config_for(sources: Path, **ingest: object) -> Config:
    return stub.stub_config(
        sources.parent, sources=[{"path": "sources"}], gate={"max_reject_ratio": 1.0}, ingest=ingest
    )


def write(path: Path, **texts: str) -> None:
    path.write_text("".join(json.dumps({"_id": doc_id, "text": text}) + "\n" for doc_id, text in texts.items()))


def live(config: Config) -> dict[str, str]:
    """Id and source of each live document."""
    index = config.index_path
    documents = store.live_documents(index, manifests.load(index, manifests.latest_generation(index)))
    return {doc_id: document.source for doc_id, document in documents.items()}


def test_one_document_does_not_stop_the_night(sources: Path) -> None:
    for name, value in (("bool", "foo"), ("int", "''"), ("timestamp", "x")):
        (sources / f"{name}.md").write_text(f"---\nx: !!{name} {value}\n---\ntext")
    days = pa.array([0, 2**31 - 1], pa.int32()).view(pa.date32())
    pq.write_table(pa.table({"id": ["near", "far"], "text": ["one", "two"], "day": days}), sources / "days.parquet")
    os.mkfifo(sources / "pipe.md")
    (sources / "good.md").write_text("good")
    config = config_for(sources)
    report = stub.build(config)
    assert live(config).keys() == {"good.md", "near"}
    bad = ["bool.md", "days.parquet:2", "int.md", "pipe.md", "timestamp.md"]
    assert [rejection.source for rejection in report.rejections] == [f"sources/{name}" for name in bad]
    assert report.rejects_file is not None
    listed = [json.loads(line) for line in report.rejects_file.read_text("utf-8").splitlines()]
    assert listed[1]["reason"].startswith("OverflowError: ")


def test_a_document_that_cannot_be_cut_is_rejected_and_its_last_version_stays(sources: Path) -> None:
    write(sources / "a.jsonl", one="apples", two="pears", three="plums")
    config = config_for(sources, document_seconds=0.1)
    stub.build(config, chunker=Breaking())
    before = live(config)
    (sources / "a.jsonl").unlink()
    write(sources / "b.jsonl", one="it breaks", new="it breaks", two="it loops", three="plums and more")
    report = stub.build(config, chunker=Breaking())
    assert [(rejection.source, rejection.reason) for rejection in report.rejections] == [
        ("sources/b.jsonl:1", "cannot be cut into chunks: ZeroDivisionError: of a cut"),
        ("sources/b.jsonl:2", "cannot be cut into chunks: ZeroDivisionError: of a cut"),
        ("sources/b.jsonl:3", f"cannot be cut into chunks: {time_reason(0.1)}"),
    ]
    assert (report.added, report.changed, report.unchanged, report.deleted) == (0, 1, 0, 0)
    assert live(config) == before | {"three": "sources/b.jsonl"}
    again = stub.build(config, chunker=Breaking())
    assert (again.published, again.rejections) == (False, report.rejections), "tried again each time"


def test_a_disk_that_is_full_is_no_fault_of_a_document(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (sources / "good.md").write_text("good")
    config = config_for(sources)
    monkeypatch.setattr(parts, "write_table", full)
    with pytest.raises(OSError, match="No space left"):
        stub.build(config)
    assert manifests.generations(config.index_path) == []


def test_the_command_line_lists_it_in_one_line_each(sources: Path) -> None:
    (sources / "bad.md").write_text("---\nx: !!int ''\n---\ntext")
    (sources / "good.md").write_text("good")
    (sources.parent / "config.yaml").write_text("index: index\nsources: [{path: sources}]\n")
    command = ["--config", str(sources.parent / "config.yaml"), "ingest"]
    result = CliRunner().invoke(cli, command, obj=stub.options())
    assert result.exit_code == 3
    assert "rejected sources/bad.md: front matter cannot be read: " in result.output
    assert "Traceback" not in result.output

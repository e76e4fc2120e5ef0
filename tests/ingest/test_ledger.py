"""A file is skipped only if it looks as it did and the live generation has what it gave; identity is content."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config import Config
from pipeline.index import store
from pipeline.ingest import ledger
from pipeline.ingest.ledger import LEDGER_FILE, load_ledger
from tests.faults import stub
from tests.support.reading import names_read

LONG_AGO = 1_700_000_000_000_000_000


@pytest.fixture(autouse=True)
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were read."""
    return names_read(monkeypatch)


def write(base: Path, **texts: str) -> None:
    for name, text in texts.items():
        path = base / "documents" / f"{name}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        os.utime(path, ns=(LONG_AGO, LONG_AGO))


@pytest.fixture
def config(tmp_path: Path, read: list[str]) -> Config:
    write(tmp_path, a="apples", b="pears", c="plums")
    config = stub.stub_config(tmp_path)
    stub.build(config)
    assert sorted(read) == ["a.txt", "b.txt", "c.txt"]
    read.clear()
    return config


def test_what_looks_the_same_is_not_read(config: Config, read: list[str]) -> None:
    report = stub.build(config)
    assert (read, report.published, report.unchanged) == ([], False, 3)
    write(config.base, b="grapes", d="figs")
    (config.base / "documents/c.txt").unlink()
    report = stub.build(config, allow_deletes=True)
    assert read == ["b.txt", "d.txt"]
    assert (report.added, report.changed, report.deleted, report.unchanged) == (1, 1, 1, 1)


def test_rehash_reads_everything(config: Config, read: list[str]) -> None:
    assert not stub.build(config, rehash=True).published
    assert sorted(read) == ["a.txt", "b.txt", "c.txt"]


def test_same_size_and_modification_time_but_another_content_is_noticed(config: Config, read: list[str]) -> None:
    write(config.base, b="figs!")
    report = stub.build(config)
    assert (read, report.changed) == (["b.txt"], 1)


def test_a_touched_file_is_read_and_unchanged(config: Config, read: list[str]) -> None:
    os.utime(config.base / "documents/b.txt")
    report = stub.build(config)
    assert (read, report.published, report.unchanged) == (["b.txt"], False, 3)


def test_a_file_as_young_as_its_record_is_read_again(tmp_path: Path, read: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger, "RACY_NS", 10**18)
        write(tmp_path, a="apples")
        config = stub.stub_config(tmp_path)
        stub.build(config)
        stub.build(config)
        assert read == ["a.txt", "a.txt"]
    stub.build(config)  # by now it has settled: this reading is recorded
    stub.build(config)
    assert read == ["a.txt"] * 3


def test_the_record_does_not_outlive_what_it_stands_for(config: Config, read: list[str]) -> None:
    """After a rollback the live generation has older content than the file that was recorded."""
    write(config.base, b="grapes")
    stub.build(config)
    store.rollback(config.index_path, 1)
    read.clear()
    report = stub.build(config)
    assert (read, report.changed, report.unchanged) == (["b.txt"], 1, 2)


def test_other_settings_read_everything(config: Config, read: list[str]) -> None:
    stub.build(stub.stub_config(config.base, ingest={"encodings": ["cp949"]}))
    assert sorted(read) == ["a.txt", "b.txt", "c.txt"]


def test_an_id_that_an_unread_file_has_is_a_duplicate(tmp_path: Path, read: list[str]) -> None:
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents/a.jsonl").write_text('{"_id": "1", "text": "apples"}\n{"_id": "2", "text": "pears"}\n')
    config = stub.stub_config(tmp_path)
    stub.build(config)
    (tmp_path / "documents/b.jsonl").write_text('{"_id": "2", "text": "plums"}\n{"_id": "3", "text": "figs"}\n')
    read.clear()
    report = stub.build(config)
    assert read == ["b.jsonl"]
    assert [r.reason for r in report.rejections] == ["duplicate id '2'; the first is at documents/a.jsonl"]
    assert (report.added, report.unchanged) == (1, 2)
    (tmp_path / "documents/0.jsonl").write_text('{"_id": "2", "text": "grapes"}\n')
    read.clear()
    report = stub.build(config)
    assert "a.jsonl" in read
    assert (report.changed, report.documents) == (1, 3)


@pytest.mark.parametrize("damage", ["flip", "cut", "other"])
def test_a_damaged_record_costs_only_the_reading(config: Config, read: list[str], damage: str) -> None:
    path = config.index_path / LEDGER_FILE
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 4
    path.write_bytes({"flip": bytes(content), "cut": bytes(content[:50]), "other": b"not a table"}[damage])
    report = stub.build(config)
    assert (report.published, report.unchanged) == (False, 3)
    if damage != "flip":
        assert sorted(read) == ["a.txt", "b.txt", "c.txt"]


def test_a_record_that_names_a_file_twice_is_not_used(config: Config, read: list[str]) -> None:
    path = config.index_path / LEDGER_FILE
    table = pq.read_table(path)
    pq.write_table(pa.concat_tables([table, table]), path, write_page_checksum=True)
    assert not stub.build(config).published
    assert sorted(read) == ["a.txt", "b.txt", "c.txt"]


def test_a_record_that_says_other_contents_hides_nothing(config: Config, read: list[str]) -> None:
    """Edited by hand, checksums and all: it is compared with what is live."""
    path = config.index_path / LEDGER_FILE
    table = pq.read_table(path)
    digests = table["documents"].to_pylist()
    edited = pa.array([digests[1], digests[0], digests[2]], pa.binary(16))
    position = table.schema.get_field_index("documents")
    pq.write_table(table.set_column(position, table.schema.field("documents"), edited), path)
    assert not stub.build(config).published
    assert sorted(read) == ["a.txt", "b.txt"]


def test_what_was_found_is_kept_in_the_record_and_what_is_gone_is_not(config: Config, read: list[str]) -> None:
    write(config.base, b="grapes", d="figs")
    (config.base / "documents/c.txt").unlink()
    stub.build(config, allow_deletes=True)
    assert list(load_ledger(config.index_path).row) == ["documents/a.txt", "documents/b.txt", "documents/d.txt"]


def test_a_document_that_moves_to_another_file_is_told_from_a_duplicate(tmp_path: Path, read: list[str]) -> None:
    """A file that had it and comes later is read, whatever it looks like."""
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents/b.jsonl").write_text('{"_id": "1", "text": "apples"}\n')
    (tmp_path / "documents/c.jsonl").write_text('{"_id": "2", "text": "pears"}\n')
    config = stub.stub_config(tmp_path)
    stub.build(config)
    (tmp_path / "documents/a.jsonl").write_text('{"_id": "1", "text": "apples"}\n')
    read.clear()
    report = stub.build(config)
    assert read == ["a.jsonl", "b.jsonl"]
    assert [r.reason for r in report.rejections] == ["duplicate id '1'; the first is at documents/a.jsonl:1"]
    assert (report.changed, report.unchanged, report.documents) == (1, 1, 2)

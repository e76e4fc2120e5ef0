"""Damage to files that no manifest names: shards, parts and summaries of an ingest, the record of the sources."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.config import Config
from pipeline.errors import CorruptIndexError
from pipeline.index import staging
from pipeline.index.cut.parts import cut_parts
from pipeline.index.upkeep.verify import verify
from pipeline.ingest import ledger, stage
from pipeline.records import Chunk, Document
from tests.faults import processes, stub
from tests.faults.counts import step
from tests.faults.test_damage import damages

SHARD_FILES = ("text-hashes.npy", "dense.npy", "lexical.parquet", "multivector.arrow", "shard.json")


@pytest.fixture
def interrupted(base: Path) -> Config:
    """Version 0 is live; of version 1 everything is ingested and encoded, and no segment is written."""
    config = stub.stub_config(base)
    stub.write_texts(base, 0)
    stub.build(config)
    stub.write_texts(base, 1)
    with pytest.raises(KeyboardInterrupt):
        stub.build(config, progress=stub.raising_at("write segments", KeyboardInterrupt()))
    return config


def damaged(config: Config, file: Path) -> Iterator[str]:
    """Each damage to one file of the index, all the rest as it was."""
    template = config.base / "template"
    shutil.copytree(config.index_path, template)
    data = file.read_bytes()
    for what, content in list(damages(data, file.name))[:: step(5)]:
        shutil.rmtree(config.index_path)
        shutil.copytree(template, config.index_path)
        file.write_bytes(content)
        yield f"{file.name}: {what}"


@pytest.mark.parametrize("name", SHARD_FILES)
def test_a_damaged_shard_is_encoded_again(interrupted: Config, expected: list[stub.Answers], name: str) -> None:
    """Its texts alone: the other shards are used. In the summary a damage may be one that changes nothing."""
    index = interrupted.index_path
    shard = staging.shard_folders(index)[0]
    texts = len(staging.shard_hashes(shard))
    for what in damaged(interrupted, shard / name):

        def build(what: str = what) -> None:
            report = stub.build(interrupted)
            assert report.encoded_chunks == texts or name == "shard.json", what
            assert report.reused_chunks > 0, what

        ending = processes.run(build)
        assert ending.finished, f"{what}: {ending}"
        assert verify(index, deep=True).problems == (), what
        assert stub.answers(index) == expected[1], what


class Stops(stub.OneChunk):
    """Is interrupted at a document."""

    def chunk(self, document: Document) -> Iterator[Chunk]:
        if document.doc_id == "020.txt":
            raise KeyboardInterrupt
        return super().chunk(document)


@pytest.mark.parametrize("place", [0, -1])
def test_a_damaged_part_of_an_ingest_is_cut_again(
    base: Path, expected: list[stub.Answers], monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    """A full one, and one that was kept before it was full."""
    monkeypatch.setattr(stage, "KEEP_SECONDS", 0.0)
    config = stub.stub_config(base)
    stub.write_texts(base, 1)
    with pytest.raises(KeyboardInterrupt):
        stub.build(config, chunker=Stops())
    part = cut_parts(config.index_path)[place]
    assert part.is_so_far == (place == -1)
    for what in damaged(config, part.path):
        ending = processes.run(lambda: stub.build(config))
        assert ending.finished, f"{what}: {ending}"
        assert verify(config.index_path, deep=True).problems == (), what
        assert stub.answers(config.index_path) == expected[1], what


@pytest.mark.parametrize("name", ["part-00000.parquet", "ingest.json"])
def test_a_damaged_ingest_is_refused_and_made_anew(
    interrupted: Config, expected: list[stub.Answers], name: str
) -> None:
    index = interrupted.index_path
    for what in damaged(interrupted, staging.ingest_folder(index) / name):
        ending = processes.run(lambda: stub.encode(interrupted))
        assert (ending.error or "").startswith("clean CorruptIndexError"), f"{what}: {ending}"
        assert "run `pipeline ingest` again" in str(ending.error), what
        assert stub.answers(index) == expected[0], what
        ending = processes.run(lambda: stub.build(interrupted))
        assert ending.finished, f"{what}: {ending}"
        assert verify(index, deep=True).problems == (), what
        assert stub.answers(index) == expected[1], what


def test_a_summary_that_says_something_else_is_refused(interrupted: Config) -> None:
    """Well-formed, with another number or name in it: believed, it would take out the wrong documents."""
    path = staging.ingest_folder(interrupted.index_path) / "ingest.json"
    data = path.read_bytes()
    places = [at for at, byte in enumerate(data) if chr(byte).isalnum()]
    for position in places[:: step(9)]:
        path.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
        with pytest.raises(CorruptIndexError, match="run `pipeline ingest` again"):
            staging.load_ingest(interrupted.index_path)
    path.write_bytes(data)
    assert staging.load_ingest(interrupted.index_path) is not None


def entries(config: Config) -> set[tuple[object, ...]]:
    """What is recorded of each file."""
    found = ledger.load_ledger(config.index_path)
    columns = (found.row, found.size, found.mtime_ns, found.ctime_ns, found.settings, found.contents)
    return set(zip(*columns, strict=True))


@pytest.fixture
def settled(base: Path) -> Config:
    """Version 0 is live, and its files are recorded."""
    stub.write_texts(base, 0)
    config = stub.stub_config(base)
    stub.build(config)
    assert len(entries(config)) == 24
    return config


def test_a_damaged_record_of_the_sources_hides_no_change(settled: Config, expected: list[stub.Answers]) -> None:
    index = settled.index_path
    stub.write_texts(settled.base, 1)
    for what in damaged(settled, index / ledger.LEDGER_FILE):
        ending = processes.run(lambda: stub.build(settled))
        assert ending.finished, f"{what}: {ending}"
        assert stub.answers(index) == expected[1], what


def test_no_flipped_bit_makes_up_an_entry(settled: Config) -> None:
    """What can be read of a damaged record is true: an entry that is lost costs a reading, a wrong one a change."""
    path = settled.index_path / ledger.LEDGER_FILE
    data, right = path.read_bytes(), entries(settled)

    def read(positions: range) -> None:
        for position in positions:
            for bit in range(8):
                path.write_bytes(data[:position] + bytes([data[position] ^ 1 << bit]) + data[position + 1 :])
                assert entries(settled) <= right, f"bit {bit} of {position}"

    for start in range(0, len(data), 500):
        positions = range(start, min(start + 500, len(data)), step(41))
        ending = processes.run(lambda positions=positions: read(positions))  # type: ignore[misc]
        assert ending.finished, f"one of {positions}: {ending}"

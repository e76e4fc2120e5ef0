"""Repair rebuilds what is derived, byte for byte, and names the rest with the way to get it back."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from pipeline.cli import cli
from pipeline.errors import CorruptIndexError, IndexLockedError
from pipeline.index import manifest as manifests
from pipeline.index import store
from pipeline.index.segment import SEGMENTS, file_entry
from pipeline.index.upkeep.repair import repair
from pipeline.index.upkeep.verify import verify
from tests.faults import stub


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("repair")
    stub.build_two_generations(base)
    return base


@pytest.fixture
def base(built: Path, tmp_path: Path) -> Path:
    return shutil.copytree(built, tmp_path / "base")


def contents(index: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(index)): p.read_bytes()
        for p in index.rglob("*")
        if p.is_file() and p.name not in (".writer.lock", ".verified.json")
    }


def spoil(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_sound_index_is_left_alone(base: Path) -> None:
    before = contents(base / "index")
    report = repair(base / "index")
    assert (report.rebuilt, report.lost, report.published, report.generation) == ((), (), False, 2)
    assert contents(base / "index") == before


def test_derived_files_come_back_byte_for_byte(base: Path) -> None:
    index = base / "index"
    before, expected = contents(index), stub.answers(index)
    for path in index.glob("segments/*/postings.arrow"):
        spoil(path)
    for path in index.glob("segments/*/lengths.npy"):
        path.unlink()
    with pytest.raises(CorruptIndexError):
        stub.answers(index)
    report = repair(index)
    assert len(report.rebuilt) == 2 * len(list(index.glob("segments/*")))
    assert (report.lost, report.published) == ((), False)
    assert contents(index) == before
    assert stub.answers(index) == expected


def test_an_approximate_index_comes_from_its_rows(tmp_path: Path) -> None:
    """As the type it had, whatever is configured now."""
    stub.write_texts(tmp_path, 0, 60)
    config = stub.stub_config(tmp_path, segments={"max_chunks": 60, "dense": "IVF2,SQ8"})
    stub.build(config)
    before, expected = contents(config.index_path), stub.answers(config.index_path)
    spoil(next(config.index_path.glob("segments/*/dense.faiss")))
    report = repair(config.index_path)
    assert [file.split("/")[-1] for file in report.rebuilt] == ["dense.faiss"]
    assert stub.answers(config.index_path) == expected
    assert contents(config.index_path) == before


def test_a_rebuilt_file_that_differs_is_published_as_a_new_segment(base: Path) -> None:
    """As after an upgrade of pyarrow: the manifest names bytes that no rebuild gives."""
    index = base / "index"
    expected = stub.answers(index)
    live = manifests.load(index, 2)
    old = next(entry for entry in live.segments if entry.deletes)
    path = index / SEGMENTS / old.segment_id / "lengths.npy"
    lengths = np.load(path)
    with path.open("wb") as file:
        np.lib.format.write_array(file, lengths, version=(2, 0))  # `np.save` writes version 1.0
    entry = dataclasses.replace(old, files=tuple(file_entry(path.parent / file.name) for file in old.files))
    segments = tuple(entry if e.segment_id == old.segment_id else e for e in live.segments)
    manifests.publish(index, dataclasses.replace(live, generation=3, segments=segments))
    spoil(path)
    report = repair(index)
    assert (report.generation, report.published, report.lost) == (4, True, ())
    assert verify(index, deep=True).problems == ()
    assert stub.answers(index) == expected
    store.collect_garbage(index, 1)
    assert verify(index, deep=True).problems == ()


@pytest.mark.parametrize("name", ["chunks.parquet", "dense.faiss", "lexical.parquet"])
def test_what_cannot_be_rebuilt_is_named_with_its_cure(base: Path, name: str) -> None:
    index = base / "index"
    before = contents(index)
    path = sorted(index.glob(f"segments/*/{name}"))[0]
    spoil(path)
    (lost,) = repair(index).lost
    assert lost.file == str(path.relative_to(index))
    assert "checksum" in lost.reason
    assert "--full" in lost.cure if name == "chunks.parquet" else "--drop-damaged" in lost.cure
    changed = {file for file, data in contents(index).items() if data != before[file]}
    assert changed == {lost.file}


@pytest.mark.parametrize("name", ["dense.faiss", "lexical.parquet", "deletes-*.npy"])
def test_dropping_a_damaged_segment_encodes_only_its_documents(base: Path, name: str) -> None:
    index = base / "index"
    expected = stub.answers(index)
    spoil(sorted(index.glob(f"segments/*/{name}"))[0])
    report = repair(index, drop_damaged=True)
    assert (report.generation, report.lost) == (3, ())
    assert report.dropped
    assert verify(index, deep=True).problems == ()
    build = stub.build(stub.stub_config(base))
    assert 0 < build.added <= len(report.dropped) < build.documents
    assert verify(index, deep=True).problems == ()
    assert sorted(hit[0] for hit in stub.answers(index)[0]) == sorted(hit[0] for hit in expected[0])
    assert [hit[1:] for hit in stub.answers(index)[0]] == [hit[1:] for hit in expected[0]]


def test_dropping_never_empties_an_index(tmp_path: Path) -> None:
    stub.write_texts(tmp_path, 0, 5)
    config = stub.stub_config(tmp_path)
    stub.build(config)
    spoil(next(config.index_path.glob("segments/*/dense.faiss")))
    report = repair(config.index_path, drop_damaged=True)
    assert (report.generation, report.dropped) == (1, ())
    assert "--full" in report.lost[0].cure


def test_repair_waits_for_no_writer_and_needs_a_manifest(base: Path) -> None:
    with store.lock(base / "index"), pytest.raises(IndexLockedError):
        repair(base / "index")
    spoil(base / "index/manifest-00000002.json")
    with pytest.raises(CorruptIndexError, match="pipeline rollback"):
        repair(base / "index")


def test_the_command(base: Path) -> None:
    index = str(base / "index")
    result = CliRunner().invoke(cli, ["repair", "--index", index])
    assert (result.exit_code, result.output) == (0, "nothing to repair: generation 2 is sound\n")
    spoil(sorted((base / "index").glob("segments/*/lengths.npy"))[0])
    result = CliRunner().invoke(cli, ["repair", "--index", index])
    assert result.exit_code == 0
    assert result.output.splitlines()[-1] == "1 file rebuilt, 0 lost"
    spoil(sorted((base / "index").glob("segments/*/dense.faiss"))[0])
    result = CliRunner().invoke(cli, ["repair", "--index", index])
    assert result.exit_code == 1
    assert "dense.faiss: its checksum does not match the manifest; `pipeline repair --drop" in result.stderr
    result = CliRunner().invoke(cli, ["repair", "--drop-damaged", "--json", "--index", index])
    assert result.exit_code == 0
    assert '"published": true' in result.stdout

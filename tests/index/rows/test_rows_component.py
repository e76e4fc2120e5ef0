"""The rows of a segment through its life: written, compared, rebuilt, added to older ones; and never believed."""

from __future__ import annotations

import dataclasses
import logging
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.errors import CorruptIndexError
from pipeline.index import manifest as manifests
from pipeline.index.chunks import ChunkStore
from pipeline.index.manifest import Manifest
from pipeline.index.rows.component import ROWS
from pipeline.index.rows.layout import ROWS_FILE
from pipeline.index.rows.reader import RowFile
from pipeline.index.segment import SEGMENTS, Segment
from pipeline.index.upkeep.compact import compact
from pipeline.index.upkeep.repair import repair
from pipeline.index.upkeep.verify import verify
from pipeline.query.searcher import Index
from pipeline.records import Hit
from tests.faults import stub
from tests.faults.stub import sign, without_rows

FORMAT_1 = Path(__file__).parent.parent / "format_1"
OPTIONS: list[dict[str, Any]] = [
    {},
    {"collapse": True},
    {"context": 1},
    {"explain": True},
    {"distinct": 0.9},
    {"mode": "lexical"},
    {"rerank": "multivectors", "rerank_top": 20},
    {"collapse": True, "distinct": 0.5, "k": 3},
]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two generations with deletions, in several segments; many chunks score alike."""
    base = tmp_path_factory.mktemp("rows")
    stub.build_two_generations(base)
    return base


@pytest.fixture
def base(built: Path, tmp_path: Path) -> Path:
    return shutil.copytree(built, tmp_path / "base")


@pytest.fixture
def index(base: Path) -> Path:
    return base / "index"


@pytest.fixture
def older(index: Path) -> Path:
    """The same index as it was before there were rows."""
    for path in index.glob(f"segments/*/{ROWS_FILE}"):
        path.unlink()
    for number in manifests.generations(index):
        manifest = manifests.load(index, number)
        manifests.manifest_path(index, number).unlink()
        manifests.publish(index, without_rows(manifest))
    return index


def live(index: Path) -> Manifest:
    return manifests.load(index, manifests.latest_generation(index))


def files_of_rows(index: Path) -> Iterator[Path]:
    """Those of the live generation."""
    return (index / SEGMENTS / entry.segment_id / ROWS_FILE for entry in live(index).segments)


def everything(opened: Index) -> list[list[list[Hit]]]:
    return [opened.search_many(stub.QUERIES, **{"k": 12} | options) for options in OPTIONS]


def answers(index: Path, **options: Any) -> list[list[list[Hit]]]:
    with stub.open_index(index, **options) as opened:
        return everything(opened)


def kinds(index: Path, verify: bool = True) -> set[type]:
    return {type(Segment(index, entry, verify).open(ROWS)) for entry in live(index).segments}


def test_every_segment_has_them_and_hits_are_those_of_the_chunks(index: Path) -> None:
    assert kinds(index) == {RowFile}
    with_rows = answers(index)
    assert any(hits for found in with_rows for hits in found)
    manifests.publish(index, dataclasses.replace(without_rows(live(index)), generation=3))
    assert kinds(index) == {ChunkStore}
    assert answers(index) == with_rows, "to the last bit"


def test_a_search_opens_no_parquet_file(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So it holds no column of ids either; equal scores, documents and texts are looked up one by one."""
    right = answers(index)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a Parquet file was opened")

    with stub.open_index(index) as opened:
        monkeypatch.setattr(pq, "ParquetFile", refuse)
        assert everything(opened) == right


def test_chunks_and_rows_are_the_same_in_every_segment(index: Path) -> None:
    for entry in live(index).segments:
        segment = Segment(index, entry)
        rows = range(entry.chunks)
        assert segment.open(ROWS).fetch(rows) == segment.store.fetch(rows)
        assert segment.open(ROWS).chunk_ids(rows) == list(segment.store.column("chunk_id"))
        assert segment.open(ROWS).doc_ids(rows) == list(segment.store.column("doc_id"))


def test_an_older_index_opens_and_repair_adds_them(older: Path) -> None:
    assert verify(older, deep=True).ok
    assert kinds(older) == {ChunkStore}
    right, before = answers(older), live(older)
    report = repair(older)
    assert (report.published, report.lost, report.generation) == (True, (), 3)
    assert {Path(name).name for name in report.rebuilt} == {ROWS_FILE}
    assert len(report.rebuilt) == len(before.segments)
    assert kinds(older) == {RowFile}
    assert answers(older) == right
    assert verify(older, deep=True).ok
    assert live(older).statistics == before.statistics
    assert answers(older, generation=2) == right, "the generation before is left as it was"
    assert repair(older).published is False


def test_a_build_and_a_compaction_write_them(older: Path, base: Path) -> None:
    stub.write_texts(base, 2)
    stub.build(stub.stub_config(base, segments={"max_chunks": 12, "dense": "auto", "auto_compact": False}))
    assert kinds(older) == {ChunkStore, RowFile}, "what was there is not touched"
    right = answers(older)
    assert verify(older, deep=True).ok
    compact(older)
    assert kinds(older) == {RowFile}
    assert answers(older) == right


def test_format_1_gets_them(tmp_path: Path) -> None:
    index = shutil.copytree(FORMAT_1 / "index", tmp_path / "index")
    entry = live(index).segments[0]
    right = Segment(index, entry).store.fetch(range(entry.chunks))
    assert kinds(index) == {ChunkStore}
    assert repair(index).lost == ()
    assert kinds(index) == {RowFile}
    assert verify(index, deep=True).ok
    fresh = live(index).segments[0]
    assert Segment(index, fresh).open(ROWS).fetch(range(fresh.chunks)) == right
    assert (fresh.deleted_chunks, fresh.chunks) == (entry.deleted_chunks, entry.chunks)


@pytest.mark.parametrize("damage", ["missing", "cut", "edited"])
def test_a_damaged_file_is_refused_and_rebuilt_byte_for_byte(index: Path, damage: str) -> None:
    path = next(files_of_rows(index))
    data, right = path.read_bytes(), answers(index)
    path.unlink()
    if damage != "missing":
        path.write_bytes(data[:-1] if damage == "cut" else data[:-1] + b"?")
    with pytest.raises(CorruptIndexError, match=r"rows\.bin: .*`pipeline repair`"):
        answers(index)
    assert [problem.file for problem in verify(index).problems] == [str(path.relative_to(index))]
    report = repair(index)
    assert report.rebuilt == (str(path.relative_to(index)),)
    assert (report.published, report.lost) == (False, ())
    assert path.read_bytes() == data
    assert answers(index) == right


def test_what_an_older_segment_lacks_is_not_lost(older: Path) -> None:
    """Nothing is added to a segment that cannot be mended, and it is not named as damage."""
    (path,) = list(older.glob("segments/*/dense.faiss"))[:1]
    path.write_bytes(b"")
    report = repair(older)
    assert [lost.file for lost in report.lost] == [str(path.relative_to(older))]
    assert not any(name.startswith(f"{SEGMENTS}/{path.parent.name}/") for name in report.rebuilt)


def test_with_damaged_chunks_there_is_nothing_to_rebuild_them_from(index: Path) -> None:
    path = next(files_of_rows(index))
    path.unlink()
    (path.parent / "chunks.parquet").write_bytes(b"")
    lost = {Path(lost.file).name for lost in repair(index).lost}
    assert lost == {ROWS_FILE, "chunks.parquet"}


def test_another_version_is_passed_over_with_a_word_and_rebuilt(
    index: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its checksum is right: another version of this program wrote it."""
    right = answers(index)
    path = next(files_of_rows(index))
    data = path.read_bytes()
    path.write_bytes(data[:8] + b"\x63\0\0\0" + data[12:])
    sign(index)
    with caplog.at_level(logging.WARNING):
        assert answers(index) == right
    assert "rows.bin: of another version of the format; chunks.parquet is read instead" in caplog.text
    (problem,) = verify(index, deep=True).problems
    assert problem.reason == "of another version of the format; `pipeline repair` rebuilds it"
    assert repair(index).published
    assert verify(index, deep=True).ok
    assert kinds(index) == {RowFile}
    assert answers(index) == right


def test_deep_finds_rows_of_other_chunks(index: Path) -> None:
    """Each file is sound, and its checksum right."""
    one, other = sorted(files_of_rows(index), key=lambda path: path.stat().st_size)[-2:]
    entries = {entry.segment_id: entry.chunks for entry in live(index).segments}
    assert entries[one.parent.name] == entries[other.parent.name]
    shutil.copyfile(one, other)
    sign(index)
    assert verify(index).ok
    (problem,) = verify(index, deep=True).problems
    assert problem.file == str(other.relative_to(index))
    assert problem.reason == "row 0 differs from what chunks.parquet gives; `pipeline repair` rebuilds it"


def test_a_file_that_lies_is_refused_whether_or_not_checksums_are_compared(index: Path) -> None:
    """Noise where the header is, and a right checksum in the manifest."""
    path = next(files_of_rows(index))
    path.write_bytes(random.Random(1).randbytes(path.stat().st_size))
    sign(index)
    for compared in (True, False):
        with pytest.raises(CorruptIndexError, match=r"rows\.bin: not a file of rows; `pipeline repair`"):
            answers(index, verify=compared)
    assert "not a file of rows" in verify(index, deep=True).problems[0].reason
    right = repair(index)
    assert (right.lost, len(right.rebuilt)) == ((), 1)
    assert verify(index, deep=True).ok

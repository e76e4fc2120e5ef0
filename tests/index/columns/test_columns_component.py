"""The file of columns is derived: verified against the chunks, rebuilt from them, and no segment needs it."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import CorruptIndexError
from pipeline.index import manifest as manifests
from pipeline.index.columns.component import COLUMNS
from pipeline.index.columns.derive import COLUMNS_FILE, columns_of, write
from pipeline.index.manifest import Manifest
from pipeline.index.segment import SEGMENTS, Segment, file_entry
from pipeline.index.upkeep.compact import compact
from pipeline.index.upkeep.repair import repair
from pipeline.index.upkeep.verify import verify
from pipeline.query.searcher import open_index
from tests.faults import stub
from tests.index.columns.test_derive import chunks_with
from tests.support.collection import write_documents

FORMAT_1 = Path(__file__).parents[1] / "format_1"
CONDITIONS = ("lang = 'ko'", "year >= 2005 and lang <> 'ko'", "ratio > 2", "mixed = '1'", "doc_id like '%3.md'")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("columns")
    texts = {
        f"{i:02}.md": f"---\nlang: {'ko' if i % 2 else 'en'}\nyear: {2000 + i}\nratio: {i / 2}\n"
        f"{'mixed: 1' if i < 9 else 'mixed: a'}\n---\napples number {i}"
        for i in range(18)
    }
    write_documents(base / "documents", texts)
    config = stub.stub_config(base, segments={"max_chunks": 6, "dense": "auto", "auto_compact": False})
    stub.build(config)
    (base / "documents/11.md").unlink()
    stub.build(config)
    return base / "index"


@pytest.fixture
def index(built: Path, tmp_path: Path) -> Path:
    return shutil.copytree(built, tmp_path / "index")


def files_of(index: Path) -> list[Path]:
    live = manifests.load(index, manifests.latest_generation(index))
    return [index / SEGMENTS / entry.segment_id / COLUMNS_FILE for entry in live.segments]


def republish(index: Path, keep: Callable[[str], bool] = lambda name: True) -> Manifest:
    """Publish the live generation with the files as they are now, those to keep."""
    live = manifests.load(index, manifests.latest_generation(index))
    entries = []
    for entry in live.segments:
        folder = index / SEGMENTS / entry.segment_id
        files = tuple(file_entry(folder / file.name) for file in entry.files if keep(file.name))
        entries.append(dataclasses.replace(entry, files=files))
    fresh = dataclasses.replace(live, generation=live.generation + 1, segments=tuple(entries))
    manifests.publish(index, fresh)
    return fresh


def without_columns(index: Path) -> None:
    """What the index was before there were columns."""
    republish(index, lambda name: name != COLUMNS_FILE)
    for path in index.glob(f"{SEGMENTS}/*/{COLUMNS_FILE}"):
        path.unlink()


def kept(index: Path) -> list[list[tuple[str, float]]]:
    with stub.open_index(index) as opened:
        return [
            [(hit.chunk_id, hit.score) for hit in opened.search("apples", 50, fusion="rrf", where=where)]
            for where in CONDITIONS
        ]


def test_every_segment_has_it_and_it_verifies(index: Path) -> None:
    assert len(files_of(index)) > 2
    assert all(path.exists() for path in files_of(index))
    assert verify(index, deep=True).ok


def test_filters_answer_the_same_without_it(index: Path) -> None:
    expected = kept(index)
    assert [bool(found) for found in expected] == [True, True, True, True, True]
    without_columns(index)
    assert verify(index, deep=True).ok
    assert kept(index) == expected


def test_repair_gives_it_to_segments_that_are_older(index: Path) -> None:
    expected = kept(index)
    without_columns(index)
    report = repair(index)
    assert report.published
    assert {Path(file).name for file in report.rebuilt} == {COLUMNS_FILE}
    assert all(path.exists() for path in files_of(index))
    assert verify(index, deep=True).ok
    assert kept(index) == expected
    assert not repair(index).published


def test_so_does_a_compaction(index: Path) -> None:
    expected = kept(index)
    without_columns(index)
    compact(index)
    (path,) = files_of(index)
    assert path.exists()
    assert verify(index, deep=True).ok
    assert kept(index) == expected


def test_an_index_of_the_first_format_is_given_it(tmp_path: Path) -> None:
    folder = shutil.copytree(FORMAT_1, tmp_path / "copy")

    def found() -> list[list[bool]]:
        with open_index(folder / "index") as opened:
            return [mask.tolist() for mask in opened.snapshot.kept_by("doc_id like 'ko/%' or ordinal > 0")]

    expected = found()
    assert {True, False} == {kept for mask in expected for kept in mask}
    assert not files_of(folder / "index")[0].exists()
    assert repair(folder / "index").published
    assert all(path.exists() for path in files_of(folder / "index"))
    assert verify(folder / "index", deep=True).ok
    assert found() == expected


@pytest.mark.parametrize("damage", ["missing", "cut", "flipped"])
def test_damage_is_refused_and_mended(index: Path, damage: str) -> None:
    expected, path = kept(index), files_of(index)[0]
    data = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(data[:-1] if damage == "cut" else data[:-300] + bytes([data[-300] ^ 1]) + data[-299:])
    assert [Path(problem.file).name for problem in verify(index).problems] == [COLUMNS_FILE]
    with pytest.raises(CorruptIndexError, match=r"columns\.arrow.*pipeline repair"):
        kept(index)
    report = repair(index)
    assert (report.lost, report.published) == ((), False)
    assert path.read_bytes() == data
    assert kept(index) == expected


def test_columns_of_other_chunks_are_found_by_a_deep_check(index: Path) -> None:
    path = files_of(index)[0]
    count = manifests.load(index, manifests.latest_generation(index)).segments[0].chunks
    write(path, columns_of([chunks_with([{"lang": "fr"}] * count)]))
    republish(index)
    assert verify(index).ok
    problems = verify(index, deep=True).problems
    assert [(Path(one.file).name, one.reason) for one in problems] == [
        (COLUMNS_FILE, "differs from what chunks.parquet gives; `pipeline repair` rebuilds it")
    ]


@pytest.mark.parametrize(
    "edit",
    [
        lambda batch: batch.replace_schema_metadata({"hybrid-pipeline columns": "99"}),
        lambda batch: batch.slice(1),
        lambda batch: batch.rename_columns(["x", *batch.schema.names[1:]]),
    ],
)
def test_what_this_version_does_not_read_is_refused_and_rebuilt(
    index: Path, edit: Callable[[pa.RecordBatch], pa.RecordBatch]
) -> None:
    expected, path = kept(index), files_of(index)[0]
    with pa.OSFile(str(path)) as file:
        batch = pa.ipc.open_file(file.read_buffer()).get_batch(0)
    write(path, edit(batch))
    republish(index)
    assert not verify(index, deep=True).ok
    with pytest.raises(CorruptIndexError, match="pipeline repair"):
        kept(index)
    assert repair(index).published
    assert verify(index, deep=True).ok
    assert kept(index) == expected


def test_nan_equals_itself_in_a_deep_check(tmp_path: Path, index: Path) -> None:
    live = manifests.load(index, manifests.latest_generation(index))
    place = Segment(index, live.segments[0]).place
    table = chunks_with([{"ratio": float("nan")}, *[{"ratio": 1.5}] * (place.entry.chunks - 1)])
    pq.write_table(table, place.folder / "chunks.parquet")
    write(place.folder / COLUMNS_FILE, columns_of([table]))
    assert list(COLUMNS.check(place, live)) == []

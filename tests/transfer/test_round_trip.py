"""What is exported answers as it did, wherever it is read again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from pipeline.errors import (
    CorruptIndexError,
    IncompatibleIndexError,
    IndexLockedError,
    IndexNotFoundError,
    IndexStoreError,
)
from pipeline.index import manifest as manifests
from pipeline.index import store
from pipeline.index.upkeep.verify import verify
from pipeline.transfer.contents import from_bytes
from pipeline.transfer.exporting import export
from pipeline.transfer.importing import import_index
from tests.faults import stub
from tests.support.command_line import refused, run


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file with its inode and bytes."""
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_ino, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (".writer.lock", ".verified.json")
    }


@pytest.mark.parametrize("name", ["out", "out.tar.zst"])
@pytest.mark.parametrize("generation", [None, 1])
def test_an_import_answers_as_what_was_exported(
    tmp_path: Path, origin: Path, name: str, generation: int | None
) -> None:
    before = snapshot(origin)
    written = export(origin, tmp_path / name, generation)
    expected = stub.answers(origin, generation)
    assert written.generation == (generation or 2)
    report = import_index(tmp_path / name, tmp_path / "copy")
    assert (report.published, report.generation, report.chunks) == (True, written.generation, written.chunks)
    assert stub.answers(tmp_path / "copy") == expected
    assert verify(tmp_path / "copy", deep=True).ok
    assert snapshot(origin) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", name]
    assert sorted(path.name for path in (tmp_path / "copy").iterdir() if path.name[0] != ".") == [
        f"manifest-{written.generation:08d}.json",
        "segments",
    ]


def test_an_exported_folder_is_an_index(tmp_path: Path, origin: Path) -> None:
    export(origin, tmp_path / "out")
    assert stub.answers(tmp_path / "out") == stub.answers(origin)
    assert verify(tmp_path / "out", deep=True).ok
    export(tmp_path / "out", tmp_path / "again")
    assert stub.answers(tmp_path / "again") == stub.answers(origin)


def test_the_same_generation_gives_the_same_bytes(tmp_path: Path, origin: Path) -> None:
    shutil.copytree(origin, tmp_path / "copy")
    for path in (tmp_path / "copy").rglob("*"):
        os.utime(path, (1, 1))
    export(origin, tmp_path / "a.tar.zst")
    export(tmp_path / "copy", tmp_path / "b.tar.zst")
    assert (tmp_path / "a.tar.zst").read_bytes() == (tmp_path / "b.tar.zst").read_bytes()


@pytest.mark.skipif(shutil.which("zstd") is None, reason="zstd is not installed")
def test_the_archive_is_one_that_other_programs_read(tmp_path: Path, origin: Path) -> None:
    export(origin, tmp_path / "a.tar.zst")
    export(origin, tmp_path / "folder")
    subprocess.run(["zstd", "-q", "-d", "a.tar.zst"], cwd=tmp_path, check=True)
    with tarfile.open(tmp_path / "a.tar") as archive:
        assert archive.getnames()[0] == "export.json"
        archive.extractall(tmp_path / "plain", filter="data")
    plain, folder = snapshot(tmp_path / "plain"), snapshot(tmp_path / "folder")
    assert {name: data for name, (_, data) in plain.items()} == {name: data for name, (_, data) in folder.items()}


def test_the_record_names_every_file(tmp_path: Path, origin: Path) -> None:
    report = export(origin, tmp_path / "out")
    contents = from_bytes((tmp_path / "out/export.json").read_bytes(), "")
    found = {
        path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()
    }
    assert {file.path for file in contents.files} == found - {"export.json"}
    assert report.bytes == sum((tmp_path / "out" / file.path).stat().st_size for file in contents.files)


def test_an_import_into_an_index_is_its_next_generation(tmp_path: Path, origin: Path) -> None:
    export(origin, tmp_path / "one", 1)
    export(origin, tmp_path / "two.tar.zst", 2)
    index = tmp_path / "index"
    import_index(tmp_path / "one", index)
    first, second = stub.answers(origin, 1), stub.answers(origin, 2)
    with stub.open_index(index) as reader:
        report = import_index(tmp_path / "two.tar.zst", index)
        assert (report.published, report.generation, report.exported) == (True, 2, 2)
        assert stub.ask(reader) == first
        moved = reader.refresh()
        assert stub.ask(moved) == second
        moved.close()
    back = import_index(tmp_path / "one", index)
    assert (back.published, back.generation, back.exported) == (True, 3, 1)
    assert [stub.answers(index, number) for number in (1, 2, 3)] == [first, second, first]
    assert manifests.load(index, 3).note == "import of generation 1"
    for number in (1, 2, 3):
        assert verify(index, number, deep=True).ok


def test_a_folder_that_is_there_is_used_as_it_is(tmp_path: Path, origin: Path) -> None:
    """An empty one may be a volume that is mounted there, which no rename could replace."""
    export(origin, tmp_path / "out")
    (tmp_path / "empty").mkdir()
    inode = (tmp_path / "empty").stat().st_ino
    (tmp_path / "link").symlink_to("empty")
    assert import_index(tmp_path / "out", tmp_path / "link").generation == 2
    assert (tmp_path / "empty").stat().st_ino == inode
    assert stub.answers(tmp_path / "empty") == stub.answers(origin)
    (tmp_path / "file").write_text("mine")
    with pytest.raises((IndexStoreError, OSError)):
        import_index(tmp_path / "out", tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_what_is_live_is_not_imported_again(tmp_path: Path, origin: Path) -> None:
    export(origin, tmp_path / "out")
    import_index(tmp_path / "out", tmp_path / "index")
    before = snapshot(tmp_path / "index")
    report = import_index(tmp_path / "out", tmp_path / "index")
    assert (report.published, report.generation) == (False, 2)
    assert snapshot(tmp_path / "index") == before


def test_segments_that_are_there_are_used_and_damaged_ones_are_not(tmp_path: Path, origin: Path) -> None:
    """Generation 2 has segments of generation 1, with deletions: they need not be written twice."""
    export(origin, tmp_path / "one", 1)
    export(origin, tmp_path / "two", 2)
    index = tmp_path / "index"
    import_index(tmp_path / "one", index)
    shared = {e.segment_id for e in manifests.load(origin, 1).segments} & {
        e.segment_id for e in manifests.load(origin, 2).segments
    }
    assert shared
    inodes = {path: path.stat().st_ino for path in index.rglob("chunks.parquet")}
    import_index(tmp_path / "two", index)
    assert all(path.stat().st_ino == inode for path, inode in inodes.items())
    spoilt = index / "segments" / min(shared) / "chunks.parquet"
    spoilt.write_bytes(spoilt.read_bytes()[::-1])
    with pytest.raises(CorruptIndexError):
        stub.answers(index)
    import_index(tmp_path / "one", index)
    assert stub.answers(index) == stub.answers(origin, 1)


def test_old_generations_of_imports_are_collected(tmp_path: Path, origin: Path) -> None:
    for number in (1, 2):
        export(origin, tmp_path / str(number), number)
    index = tmp_path / "index"
    for turn in range(4):
        import_index(tmp_path / str(1 + turn % 2), index, retain=2)
    assert manifests.generations(index) == [3, 4]
    named = {entry.segment_id for number in (3, 4) for entry in manifests.load(index, number).segments}
    assert {path.name for path in (index / "segments").iterdir()} == named


def test_another_encoder_is_refused_unless_wanted(tmp_path: Path, origin: Path) -> None:
    export(origin, tmp_path / "out")
    stub.write_texts(tmp_path, 0)
    config = stub.stub_config(tmp_path, encoder={"model": "none"})
    stub.builder.build(config, chunker=stub.OneChunk())
    before = snapshot(config.index_path)
    with pytest.raises(IncompatibleIndexError, match=r"dense kind: \(absent\) → stub.*--new-encoder"):
        import_index(tmp_path / "out", config.index_path)
    assert snapshot(config.index_path) == before
    import_index(tmp_path / "out", config.index_path, new_encoder=True)
    assert stub.answers(config.index_path) == stub.answers(origin)


def test_one_writer_at_a_time(tmp_path: Path, origin: Path) -> None:
    export(origin, tmp_path / "out")
    import_index(tmp_path / "out", tmp_path / "index")
    with store.lock(tmp_path / "index"), pytest.raises(IndexLockedError):
        import_index(tmp_path / "out", tmp_path / "index")


def test_a_target_that_is_there_is_left_alone(tmp_path: Path, origin: Path) -> None:
    for name in ("folder", "archive.tar.zst", "link.tar.zst"):
        target = tmp_path / name
        if name == "folder":
            target.mkdir()
        elif name.startswith("link"):
            target.symlink_to("nowhere")
        else:
            target.write_text("mine")
        with pytest.raises(IndexStoreError, match="is there already; name another"):
            export(origin, target)
    assert (tmp_path / "archive.tar.zst").read_text() == "mine"


def test_a_target_in_the_index_is_refused(tmp_path: Path, origin: Path) -> None:
    (tmp_path / "link").symlink_to(origin)
    for target in (origin / "out", tmp_path / "link/segments/out.tar.zst"):
        with pytest.raises(IndexStoreError, match="is in the index that is exported"):
            export(origin, target)
        assert not target.exists()


def test_only_what_an_export_of_the_same_name_left_is_swept(tmp_path: Path, origin: Path) -> None:
    digits = "0123456789abcdef" * 2
    stays = [
        ".out.tmp",
        f".out.{digits}.txt",
        f".other.{digits}.tmp",
        f".out.tar.zst.{digits}.tmp",
        ".out.mine.tmp",
    ]
    goes = [f".out.{digits}.tmp", f".out.{digits[::-1]}.tmp"]
    for name in (*stays, goes[0]):
        (tmp_path / name).write_text("half")
    (tmp_path / goes[1]).mkdir()
    (tmp_path / goes[1] / "file").write_text("half")
    export(origin, tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {*stays, "out"}


def test_a_damaged_index_is_not_exported(tmp_path: Path, origin: Path) -> None:
    shutil.copytree(origin, tmp_path / "index")
    for name in ("dense.faiss", "rows.bin"):
        path = sorted((tmp_path / "index").glob(f"segments/*/{name}"))[-1]
        sound = path.read_bytes()
        for spoilt in (sound[:-1] + bytes([sound[-1] ^ 1]), sound[:-1], sound + b"x"):
            path.write_bytes(spoilt)
            for target in (tmp_path / "out", tmp_path / "out.tar.zst"):
                with pytest.raises(CorruptIndexError, match=name):
                    export(tmp_path / "index", target)
        path.write_bytes(sound)
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


def test_what_is_not_there(tmp_path: Path, origin: Path) -> None:
    with pytest.raises(IndexNotFoundError, match="no index here"):
        export(tmp_path / "none", tmp_path / "out")
    with pytest.raises(IndexNotFoundError, match="no generation 9; there are: 1, 2"):
        export(origin, tmp_path / "out", 9)
    with pytest.raises(IndexNotFoundError, match="no archive that can be read"):
        import_index(tmp_path / "missing.tar.zst", tmp_path / "index")
    with pytest.raises(IndexNotFoundError, match="no export is here"):
        import_index(tmp_path, tmp_path / "index")
    assert list(tmp_path.iterdir()) == []


def test_the_commands(tmp_path: Path, origin: Path) -> None:
    done = run(tmp_path, "export", "out.tar.zst", "--index", str(origin), "--json")
    assert done.exit_code == 0, done.output
    written = json.loads(done.stdout)
    assert (written["generation"], written["with_model"]) == (2, False)
    assert written["written_bytes"] == (tmp_path / "out.tar.zst").stat().st_size
    done = run(tmp_path, "import", "out.tar.zst", "index")
    assert done.exit_code == 0, done.output
    assert "imported generation 2" in done.stdout
    again = run(tmp_path, "import", "out.tar.zst", "index", "--json")
    assert again.exit_code == 4
    assert json.loads(again.stdout)["published"] is False
    refused(tmp_path, "export", "out.tar.zst", "--index", str(origin), code=1, says="is there already")
    (tmp_path / "cut.tar.zst").write_bytes((tmp_path / "out.tar.zst").read_bytes()[:-9])
    refused(tmp_path, "import", "cut.tar.zst", "new", code=1, says=r"cut.tar.zst: .*; export it again")
    assert not (tmp_path / "new").exists()

"""Writes are all or nothing, and one writer wins."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import CorruptIndexError, IndexLockedError
from pipeline.index import files, locks


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    files.write_file(path, b"old")

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        files.write_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_new_file_never_replaces(tmp_path: Path) -> None:
    path = tmp_path / "manifest"
    files.write_new_file(path, b"first")
    with pytest.raises(FileExistsError):
        files.write_new_file(path, b"second")
    assert path.read_bytes() == b"first"
    assert [p.name for p in tmp_path.iterdir()] == ["manifest"]


@pytest.mark.parametrize("hard_links", [True, False])
def test_new_file_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hard_links: bool) -> None:
    if not hard_links:

        def refuse(source: object, target: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "link", refuse)
    files.write_new_file(tmp_path / "m", b"first")
    with pytest.raises(FileExistsError):
        files.write_new_file(tmp_path / "m", b"second")
    assert (tmp_path / "m").read_bytes() == b"first"


def test_folder_appears_complete_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), files.new_folder(tmp_path / "segment") as folder:
        (folder / "half").write_bytes(b"x")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with files.new_folder(tmp_path / "segment") as folder:
        (folder / "whole").write_bytes(b"x")
        assert not (tmp_path / "segment").exists()
    assert [p.name for p in (tmp_path / "segment").iterdir()] == ["whole"]


def test_a_tree_appears_complete_or_not_at_all_and_never_over_another(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), files.new_tree(tmp_path / "tree") as folder:
        (folder / "a").mkdir()
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with files.new_tree(tmp_path / "tree") as folder:
        (folder / "a/b").mkdir(parents=True)
        (folder / "a/b/c").write_bytes(b"1")
    assert (tmp_path / "tree/a/b/c").read_bytes() == b"1"
    (tmp_path / "file").write_bytes(b"2")
    for name in ("tree", "file"):
        with pytest.raises(FileExistsError), files.new_tree(tmp_path / name) as folder:
            (folder / "d").write_bytes(b"3")
    assert {path.name for path in tmp_path.rglob("*")} == {"tree", "file", "a", "b", "c"}


def test_a_stream_appears_complete_or_not_at_all_and_never_over_another(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), files.new_stream(tmp_path / "a") as stream:
        stream.write(b"half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    for text in (b"first", b"second"):
        if text == b"second":
            with pytest.raises(FileExistsError), files.new_stream(tmp_path / "a") as stream:
                stream.write(text)
        else:
            with files.new_stream(tmp_path / "a") as stream:
                stream.write(text)
                stream.close()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"first"}


def test_a_folder_is_kept_as_long_as_its_owner_lives(tmp_path: Path) -> None:
    class Owner:
        pass

    owner = Owner()
    (tmp_path / "held").mkdir()
    locks.hold_for(owner, tmp_path / "held")
    assert not locks.remove_unheld_folder(tmp_path / "held")
    del owner
    assert locks.remove_unheld_folder(tmp_path / "held")
    assert not (tmp_path / "held").exists()


def test_symlinks_and_wrong_sizes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"abc")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert files.regular_file(tmp_path / "real", 3) == tmp_path / "real"
    with pytest.raises(CorruptIndexError, match="3 bytes where the manifest says 4"):
        files.regular_file(tmp_path / "real", 4)
    with pytest.raises(CorruptIndexError, match="not a plain file"):
        files.regular_file(tmp_path / "link", (tmp_path / "link").lstat().st_size)
    with pytest.raises(CorruptIndexError, match="missing"):
        files.regular_file(tmp_path / "gone", 1)


def test_lock_names_its_holder_and_dies_with_it(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from pipeline.index.locks import writer_lock\n"
        f"with writer_lock(Path({str(tmp_path / '.writer.lock')!r})):\n"
        "    print('held', flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with (
            pytest.raises(IndexLockedError, match=f"process {holder.pid} "),
            locks.writer_lock(tmp_path / ".writer.lock"),
        ):
            pass
        holder.kill()
    with locks.writer_lock(tmp_path / ".writer.lock"):
        pass

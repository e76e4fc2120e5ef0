"""A mirror holds what was fetched, all or nothing, and leaves alone what did not change."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from pipeline.ingest.fetching.mirror import FETCHED, Mirror, drop_others


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_same_bytes_leave_a_file_as_it_is(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path)
    paths = [mirror.write("a/one.md", b"one"), mirror.path("two.jsonl")]
    with mirror.stream("two.jsonl") as stream:
        stream.write(b"two")
    before = [(path.stat().st_ino, path.stat().st_mtime_ns, path.stat().st_ctime_ns) for path in paths]
    again = Mirror(tmp_path)
    again.write("a/one.md", b"one")
    with again.stream("two.jsonl") as stream:
        stream.write(b"tw")
        stream.write(b"o")
    again.finish()
    after = [(path.stat().st_ino, path.stat().st_mtime_ns, path.stat().st_ctime_ns) for path in paths]
    assert after == before
    with again.stream("two.jsonl") as stream:
        stream.write(b"TWO")
    again.write("a/one.md", b"ONE")
    assert content(tmp_path) == {"a/one.md": b"ONE", "two.jsonl": b"TWO"}
    assert [path.stat().st_ino for path in paths] != [inode for inode, _, _ in before]


def test_what_is_not_there_any_more_is_removed_with_its_folders(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path)
    for name in ("a/b/c.md", "a/d.md", "e.md"):
        mirror.write(name, b"x")
    mirror.finish()
    later = Mirror(tmp_path)
    later.keep("a/d.md")
    later.finish()
    assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*")) == ["a", "a/d.md"]


def test_a_stream_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path)
    mirror.write("a.jsonl", b"old")
    with pytest.raises(RuntimeError), mirror.stream("a.jsonl") as stream:
        stream.write(b"new")
        raise RuntimeError
    assert content(tmp_path) == {"a.jsonl": b"old"}


def test_a_full_disk_is_told_of_the_file(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path)
    with pytest.raises(OSError, match=r"No space left.*a\.jsonl") as caught, mirror.stream("a.jsonl"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert caught.value.filename == str(tmp_path / "a.jsonl")
    assert content(tmp_path) == {}


def test_what_a_killed_fetch_left_is_swept(tmp_path: Path) -> None:
    (tmp_path / ".0123.tmp").write_bytes(b"half")
    Mirror(tmp_path)
    assert content(tmp_path) == {}


@pytest.mark.parametrize("name", ["", ".", "/etc/passwd", "../a", "a/../../b"])
def test_no_name_leads_out_of_the_mirror(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="no name in a mirror"):
        Mirror(tmp_path).write(name, b"x")


def test_mirrors_of_other_sources_go(tmp_path: Path) -> None:
    ours, other = tmp_path / FETCHED / "a", tmp_path / FETCHED / "b"
    Mirror(ours).write("x", b"x")
    Mirror(other).write("x", b"x")
    drop_others(tmp_path, {ours})
    assert content(tmp_path) == {f"{FETCHED}/a/x": b"x"}


def test_a_folder_that_is_kept_stays_with_all_that_is_in_it(tmp_path: Path) -> None:
    mirror = Mirror(tmp_path)
    (mirror.keep_folder("copy") / "deep").mkdir(parents=True)
    (tmp_path / "copy/deep/a").write_bytes(b"a")
    mirror.write("b", b"b")
    mirror.finish()
    assert content(tmp_path) == {"copy/deep/a": b"a", "b": b"b"}
    Mirror(tmp_path).finish()
    assert content(tmp_path) == {}

"""What was compared with its checksum is not compared again, unless anything about it changed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.errors import CorruptIndexError
from pipeline.index import files, verified
from pipeline.index.manifest import FileEntry
from pipeline.index.segment import file_entry
from pipeline.index.verified import NAME, Verified
from tests.faults import stub

CONTENTS = {"a.bin": b"the first file", "b.bin": b"another one", "c.bin": b""}


class Place:
    """An index with a folder of files, and the names of those that were read to be compared."""

    def __init__(self, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.index, self.folder = index, index / "segments" / "s"
        self.folder.mkdir(parents=True)
        for name, data in CONTENTS.items():
            (self.folder / name).write_bytes(data)
        self.entries = [file_entry(self.folder / name) for name in CONTENTS]
        self._read: list[str] = []
        checksum = files.checksum

        def noted(path: Path) -> str:
            self._read.append(path.name)
            return checksum(path)

        monkeypatch.setattr(files, "checksum", noted)

    def opened(self, *entries: FileEntry) -> list[str]:
        """Which files an opening read."""
        self._read.clear()
        known = Verified(self.index)
        known.check(self.folder, entries or self.entries)
        known.save()
        return sorted(self._read)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Files count as settled at once."""
    monkeypatch.setattr(verified, "SETTLED_NS", 0)
    return Place(tmp_path, monkeypatch)


def test_files_are_read_once(place: Place) -> None:
    assert place.opened() == sorted(CONTENTS)
    assert place.opened() == place.opened() == []


def same_size_and_time(path: Path) -> None:
    before = path.stat()
    path.write_bytes(b"x" * before.st_size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replaced(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"x" * path.stat().st_size)
    other.replace(path)


@pytest.mark.parametrize("change", [same_size_and_time, replaced])
def test_a_file_that_was_changed_is_read_again_and_refused(place: Place, change: Callable[[Path], None]) -> None:
    place.opened()
    change(place.folder / "b.bin")
    for _ in range(2):
        with pytest.raises(CorruptIndexError, match=r"b\.bin: its checksum does not match"):
            place.opened()


def test_a_file_that_was_put_back_is_read_again(place: Place) -> None:
    place.opened()
    os.utime(place.folder / "a.bin")
    assert place.opened() == ["a.bin"]
    assert place.opened() == []


def test_another_manifest_wants_it_compared_again(place: Place) -> None:
    place.opened()
    first, second, third = place.entries
    with pytest.raises(CorruptIndexError, match=r"a\.bin"):
        place.opened(FileEntry(first.name, first.size, "0" * 32), second, third)


def test_a_comparison_is_believed_for_a_week(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.opened()
    now = verified.time.time_ns()
    week = verified.VALID_SECONDS * 1_000_000_000
    monkeypatch.setattr(verified.time, "time_ns", lambda: now + week - 60_000_000_000)
    assert place.opened() == []
    monkeypatch.setattr(verified.time, "time_ns", lambda: now + week + 60_000_000_000)
    assert place.opened() == sorted(CONTENTS)
    monkeypatch.setattr(verified.time, "time_ns", lambda: now - 60_000_000_000)
    assert place.opened() == sorted(CONTENTS), "it was compared in the future: a clock was wrong"


def test_files_that_have_just_changed_are_not_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(tmp_path, monkeypatch)
    assert place.opened() == place.opened() == sorted(CONTENTS)
    assert not (tmp_path / NAME).exists()


def test_what_is_gone_is_forgotten(place: Place) -> None:
    place.opened()
    (place.folder / "a.bin").unlink()
    os.utime(place.folder / "b.bin")
    assert place.opened(place.entries[1]) == ["b.bin"]
    noted = json.loads((place.index / NAME).read_text())["files"]
    assert sorted(noted) == ["segments/s/b.bin", "segments/s/c.bin"]


def test_a_record_that_is_damaged_or_edited_is_not_believed(place: Place) -> None:
    place.opened()
    record = place.index / NAME
    whole = record.read_bytes()
    edited = json.loads(whole)
    edited["files"]["segments/s/a.bin"][0] = "0" * 32
    other_version = {"version": 2, "files": {}}
    other_version["checksum"] = verified._digest(dict(other_version))
    spoilt = [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        whole[:-1],
        whole[: len(whole) // 2],
        json.dumps(edited).encode(),
        json.dumps(other_version).encode(),
        *(whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :] for i in range(0, len(whole), 7)),
    ]
    for data in spoilt:
        record.write_bytes(data)
        assert place.opened() == sorted(CONTENTS), data
        assert place.opened() == [], "and it is written anew"


def test_an_index_that_may_not_be_written_opens_all_the_same(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path, data: bytes) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(files, "write_file", refused)
    assert place.opened() == place.opened() == sorted(CONTENTS)


def test_several_threads_compare_and_the_first_damage_is_named(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verified, "_WORTH_THREADS", 0)
    assert place.opened() == sorted(CONTENTS)
    for name in ("b.bin", "a.bin"):
        same_size_and_time(place.folder / name)
    with pytest.raises(CorruptIndexError, match=r"a\.bin"):
        place.opened()


def test_an_index_that_is_opened_again_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verified, "SETTLED_NS", 0)
    stub.write_texts(tmp_path, 0)
    config = stub.stub_config(tmp_path)
    stub.build(config)
    with stub.open_index(config.index_path) as index:
        expected = stub.ask(index)
    read: list[Path] = []
    monkeypatch.setattr(files, "checksum", lambda path: read.append(path) or "never")
    with stub.open_index(config.index_path) as index:
        assert stub.ask(index) == expected
    assert read == []
    segment = next((config.index_path / "segments").iterdir())
    same_size_and_time(segment / "dense.faiss")
    with pytest.raises(CorruptIndexError, match=r"dense\.faiss: its checksum does not match"):
        stub.open_index(config.index_path)

"""What is known of a mirror's files is believed only while they look as they did."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from pipeline.config import SourceSettings
from pipeline.ingest.fetching.kept import KEPT, Kept, lend_record
from pipeline.ingest.fetching.kinds import mirror_name
from pipeline.ingest.fetching.mirror import Mirror


def noted(folder: Path) -> Path:
    mirror = Mirror(folder)
    kept = Kept(mirror)
    mirror.write("a.md", b"text")
    kept.note("key", "a.md", {"etag": "1"})
    kept.save()
    mirror.finish()
    return folder


def facts(folder: Path) -> object:
    return Kept(Mirror(folder)).facts("key")


def test_what_was_noted_is_known_the_next_time(tmp_path: Path) -> None:
    assert facts(noted(tmp_path)) == {"etag": "1"}
    assert Kept(Mirror(tmp_path)).facts("other") is None


def test_a_file_that_was_touched_or_is_gone_is_not_known(tmp_path: Path) -> None:
    noted(tmp_path)
    path = tmp_path / "a.md"
    status = path.stat()
    path.write_bytes(b"TEXT")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # the same size and time, but not the same change
    assert facts(tmp_path) is None
    path.unlink()
    assert facts(tmp_path) is None
    assert Kept(Mirror(tmp_path)).hold("key") is None


def test_a_copy_is_believed_as_far_as_the_mirror_is(tmp_path: Path) -> None:
    folder, lent = noted(tmp_path / "mirror"), tmp_path / "lent"
    shutil.copytree(folder, lent)
    assert facts(lent) is None
    lend_record(folder, lent)
    assert facts(lent) == facts(folder) == {"etag": "1"}
    (folder / "a.md").write_bytes(b"text")  # which says that the copy may be of either
    shutil.rmtree(lent)
    shutil.copytree(folder, lent)
    lend_record(folder, lent)
    assert facts(lent) is None


@pytest.mark.parametrize("size", [0, 1, 20, 60])
def test_a_record_that_was_cut_off_is_an_empty_one(tmp_path: Path, size: int) -> None:
    record = noted(tmp_path) / KEPT
    record.write_bytes(record.read_bytes()[:size])
    assert facts(tmp_path) is None


def test_a_record_that_was_edited_is_an_empty_one(tmp_path: Path) -> None:
    record = noted(tmp_path) / KEPT
    record.write_bytes(record.read_bytes().replace(b'"etag": "1"', b'"etag": "2"'))
    assert facts(tmp_path) is None


def test_what_is_held_stays_known_and_what_is_not_asked_for_does_not(tmp_path: Path) -> None:
    noted(tmp_path)
    mirror = Mirror(tmp_path)
    kept = Kept(mirror)
    assert kept.hold("key") == tmp_path / "a.md"
    kept.save()
    mirror.finish()
    assert facts(tmp_path) == {"etag": "1"}
    Kept(Mirror(tmp_path)).save(with_the_rest=True)
    assert facts(tmp_path) == {"etag": "1"}
    Kept(Mirror(tmp_path)).save()
    assert facts(tmp_path) is None


def test_a_list_may_grow_and_keep_its_mirror() -> None:
    def name(**source: object) -> str:
        return mirror_name(SourceSettings.model_validate(source))

    pages = name(urls=["https://a/1"])
    assert name(urls=["https://a/1", "https://a/2"], include=["a/**"], requests_per_second=3) == pages
    assert name(urls=["https://a/2", "https://a/1"]) != pages
    assert name(urls=["https://a/1"], prefix="x") != pages
    assert name(git="a") == name(git="a", exclude=["x"]) != name(git="a", ref="main")
    assert name(command="a") != name(command="a", id_field="x")

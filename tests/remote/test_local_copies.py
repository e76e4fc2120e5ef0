"""Local copies are bounded, and what is in use stays."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.errors import IndexStoreError
from pipeline.index import store
from pipeline.index.manifest import manifest_path
from pipeline.query.searcher import open_index
from pipeline.remote.cache import SETTLED_SECONDS
from pipeline.remote.pull import pull
from tests.remote.stores import Machine, Nights, found

Pair = tuple[Machine, Machine]


def size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def bound(machine: Machine, size: int) -> None:
    machine.settings = machine.settings.model_copy(update={"cache_gb": size / 1e9})


def unused(machine: Machine, number: int, seconds: float = 2 * SETTLED_SECONDS) -> None:
    path = manifest_path(machine.copy, number)
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))


def another(machine: Machine, tmp_path: Path, nights: Nights, name: str = "another") -> Machine:
    """Another index, in the same cache."""
    made = Machine(machine.folder, f"file://{tmp_path}/store/{name}", nights)
    Machine(tmp_path / f"builder of {name}", made.url, nights).publish(0)
    return made


def test_what_was_not_used_for_longest_goes_first(machines: Pair, nights: Nights, tmp_path: Path) -> None:
    builder, first = machines
    builder.publish(0)
    first.hits()
    second, third = (another(first, tmp_path, nights, name) for name in ("second", "third"))
    second.hits()
    unused(second, 1, 3 * SETTLED_SECONDS)
    unused(first, 1, 2 * SETTLED_SECONDS)
    bound(third, size(first.folder / "cache") + 2000)  # in place of one of the two
    assert third.hits() == nights.hits(0)
    assert (first.here, second.here, third.here) == ([1], [], [1])
    assert list(second.copy.glob("segments/*")) == []
    assert size(first.folder / "cache") <= third.settings.cache_gb * 1e9
    assert first.is_sound()


def test_what_was_just_used_stays(machines: Pair, caplog: pytest.LogCaptureFixture) -> None:
    builder, reader = machines
    builder.publish(0)
    reader.hits()
    builder.publish(1)
    bound(reader, size(reader.folder / "cache"))
    reader.hits()
    assert reader.here == [1, 2]
    assert "allows, since they are in use" in caplog.text


def test_an_open_index_keeps_its_files(machines: Pair, nights: Nights) -> None:
    builder, reader = machines
    builder.publish(1)
    with open_index(reader.url, remote=reader.settings) as index:
        before = found(index)
        builder.publish(0)
        unused(reader, 1)
        bound(reader, size(reader.folder / "cache") // 2)
        assert pull(reader.remote) == 2
        assert reader.here == [2]
        assert found(index) == before == nights.hits(1)
    assert reader.is_sound()


def test_the_copy_of_a_build_that_runs_is_left_alone(machines: Pair, nights: Nights, tmp_path: Path) -> None:
    builder, reader = machines
    builder.publish(0)
    reader.hits()
    unused(reader, 1)
    other = another(reader, tmp_path, nights)
    bound(other, size(reader.folder / "cache"))
    with store.lock(reader.copy):
        other.hits()
    assert (reader.here, other.here) == ([1], [1])


def test_what_is_staged_keeps_the_generation_that_it_follows(
    machines: Pair, nights: Nights, tmp_path: Path
) -> None:
    builder, reader = machines
    builder.publish(0)
    reader.hits()
    unused(reader, 1)
    (reader.copy / "staging").mkdir()
    other = another(reader, tmp_path, nights)
    bound(other, size(reader.folder / "cache"))
    other.hits()
    assert reader.here == [1]


def test_a_generation_that_can_never_fit_is_refused(machines: Pair) -> None:
    builder, reader = machines
    builder.publish(0)
    bound(reader, 100)
    with pytest.raises(IndexStoreError, match=r"more than remote.cache_gb=1e-07 allows; raise it"):
        reader.hits()
    assert reader.here == []


def test_a_full_disk_is_told_before_anything_is_fetched(machines: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    builder, reader = machines
    builder.publish(0)
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(IndexStoreError, match="10 are free; free some space"):
        reader.hits()
    assert list(reader.copy.glob(".incoming/*")) == []

"""A kill or an error at any call: a target is there whole or not at all, and a second attempt succeeds."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.index import manifest as manifests
from pipeline.index.upkeep.verify import verify
from pipeline.transfer.exporting import export
from pipeline.transfer.importing import import_index
from tests.faults import processes, stub
from tests.faults.calls import failing, killing, watched
from tests.faults.counts import step


def calls_of(work: Callable[[], object]) -> int:
    with watched(lambda number, name: None) as made:
        work()
    return len(made)


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@pytest.mark.parametrize("name", ["out", "out.tar.zst"])
def test_an_export_is_there_whole_or_not_at_all(tmp_path: Path, origin: Path, name: str) -> None:
    target = tmp_path / name
    count = calls_of(lambda: export(origin, target))
    expected = stub.answers(origin)
    for at in range(0, count, step(7)):
        for action in (killing(at), failing(at, errno.ENOSPC, lasting=True)):
            remove(target)

            def work() -> None:
                with watched(action):  # noqa: B023
                    export(origin, target)

            ending = processes.run(work)
            left = [path for path in tmp_path.iterdir() if path != target]
            if ending.clean:
                assert left == [], f"an error at call {at} leaves {left}"
            assert all(path.name.startswith(".") for path in left)
            if not target.exists():
                export(origin, target)
            import_index(target, tmp_path / "index")
            assert stub.answers(tmp_path / "index") == expected
            shutil.rmtree(tmp_path / "index")
            remove(target)
            export(origin, target)
            assert [path.name for path in tmp_path.iterdir()] == [name], "what a killed export left is swept"


@pytest.mark.parametrize("there", [False, True])
def test_an_import_is_done_or_not(tmp_path: Path, origin: Path, there: bool) -> None:
    export(origin, tmp_path / "one", 1)
    export(origin, tmp_path / "two.tar.zst", 2)
    template, index = tmp_path / "template", tmp_path / "index"
    import_index(tmp_path / "one", template)

    def restore() -> None:
        shutil.rmtree(index, ignore_errors=True)
        if there:
            shutil.copytree(template, index)

    def work() -> object:
        return import_index(tmp_path / "two.tar.zst", index, retain=1)

    restore()
    count = calls_of(work)
    before = (1, stub.answers(template)) if there else None
    after = (2, stub.answers(origin, 2))
    for at in [*range(0, count, step(9)), count - 1]:
        for action in (killing(at), failing(at, errno.EIO)):
            restore()

            def disturbed() -> None:
                with watched(action):  # noqa: B023
                    work()

            processes.run(disturbed)
            live = manifests.live_number(index)
            found = (live, stub.answers(index)) if live else None
            assert found in (before, after), at
            work()
            assert (manifests.live_number(index), stub.answers(index)) == after
            assert verify(index, deep=True).ok
            left = {path.name for path in tmp_path.iterdir()} - {"one", "two.tar.zst", "template", "index"}
            assert left == set(), "what a killed import left is swept"
            assert not any(path.name.endswith(".tmp") for path in index.rglob("*"))

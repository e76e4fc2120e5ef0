"""A power cut: what was not synced is gone, or half there; the index is exactly the old or the new generation.

The disk that survives is put together from what `fsync` was called on. `strict`: of each file the bytes at its last
sync, of each folder the entries at its last sync, so an unsynced rename never happened. `ahead`: every rename and
creation survives, but a file that was never synced is empty. `mixed`: each folder and file one way or the other.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.config import Config
from pipeline.index import manifest as manifests
from pipeline.index import store
from pipeline.index.upkeep.compact import compact
from pipeline.index.upkeep.verify import verify
from tests.faults import stub
from tests.faults.calls import watched
from tests.faults.counts import step
from tests.faults.walks import State

Tree = dict[str, bytes | None]
"""Path below the root → content, `None` for a folder."""

MODES = ("strict", "ahead", "mixed")


class Disk:
    """What is durable below `root`, by inode: contents of files, entries of folders."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._contents: dict[int, bytes] = {}
        self._entries: dict[int, dict[str, int]] = {}
        self._folders: set[int] = set()
        self._kept: list[int] = []
        for path in [root, *root.rglob("*")]:
            self.sync(path)

    def sync(self, path: Path) -> None:
        inode = path.stat().st_ino
        if path.is_dir():
            self._entries[inode] = self._present(path)
            self._folders.add(inode)
        else:
            self._kept.append(os.open(path, os.O_RDONLY))  # an inode that is open is not given to another file
            self._contents[inode] = path.read_bytes()

    def _present(self, path: Path) -> dict[str, int]:
        return {entry.name: entry.inode() for entry in os.scandir(path)}

    def close(self) -> None:
        for descriptor in self._kept:
            os.close(descriptor)

    def after_cut(self, mode: str, rng: random.Random) -> Tree:
        """What a power cut now would leave."""
        now = {path.stat().st_ino: path for path in [self._root, *self._root.rglob("*")]}
        tree: Tree = {}

        def ahead() -> bool:
            return mode == "ahead" or (mode == "mixed" and rng.random() < 0.5)

        def visit(inode: int, name: str) -> None:
            path = now.get(inode)
            is_folder = inode in self._folders or (path is not None and path.is_dir())
            if not is_folder:
                tree[name] = (
                    path.read_bytes() if path and mode == "mixed" and ahead() else self._contents.get(inode, b"")
                )
                return
            if name:
                tree[name] = None
            current = path is not None and ahead()
            entries = self._present(path) if path is not None and current else self._entries.get(inode, {})
            for entry, child in entries.items():
                visit(child, f"{name}/{entry}" if name else entry)

        visit(self._root.stat().st_ino, "")
        return tree


def write_tree(folder: Path, tree: Tree) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in tree.items():
        if content is None:
            (folder / name).mkdir()
        else:
            (folder / name).write_bytes(content)


JOBS: dict[str, Callable[[Config], object]] = {
    "first": stub.build,
    "build": stub.build,
    "full": lambda config: stub.build(config.model_copy(update={"retain": 1}), full=True),
    "compact": lambda config: compact(config.index_path, retain=1),
    "rollback": lambda config: store.rollback(config.index_path, 1),
    "publish": lambda config: stub.publish(config, force=True),
}


@pytest.mark.parametrize("job", sorted(JOBS))
def test_a_power_cut_before_every_call(base: Path, job: str, monkeypatch: pytest.MonkeyPatch) -> None:
    disk_root = base / "disk"
    disk_root.mkdir()
    config = stub.stub_config(base, index="disk/index")
    for version in range(0 if job == "first" else 2):
        stub.write_texts(base, version)
        stub.build(config)
    stub.write_texts(base, 2)
    if job == "publish":
        stub.refused(config)
    before = State.of(config.index_path) if job != "first" else None
    disk = Disk(disk_root)
    cuts: list[tuple[str, Tree]] = []
    rng = random.Random(3)
    every = step({"rollback": 3, "publish": 8, "compact": 13}.get(job, 67))
    original = os.fsync

    def record(number: int, name: str) -> None:
        if number % every == 0 or name == "link":
            where = f"before call {number} ({name})"
            cuts.extend((f"{mode} cut {where}", disk.after_cut(mode, rng)) for mode in MODES)

    def synced(descriptor: int) -> None:
        original(descriptor)
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.is_relative_to(disk_root):
            disk.sync(path)

    monkeypatch.setattr(os, "fsync", synced)
    with watched(record):
        JOBS[job](config)
    finished = {mode: disk.after_cut(mode, rng) for mode in MODES}
    monkeypatch.undo()
    disk.close()
    after = State.of(config.index_path)
    survivor = config.model_copy(update={"index": "survivor/index"})
    for what, tree in cuts:
        write_tree(base / "survivor", tree)
        check(survivor, what, [before, after])
        if rng.random() < 0.2:
            stub.build(survivor)
            assert verify(survivor.index_path, deep=True).problems == (), what
    for mode, tree in finished.items():
        write_tree(base / "survivor", tree)
        check(survivor, f"{mode} cut after the end", [after])
    assert len(cuts) >= 9


def check(config: Config, what: str, allowed: list[State | None]) -> None:
    index = config.index_path
    if not manifests.generations(index):
        assert None in allowed, what
        return
    assert State.of(index) in allowed, what

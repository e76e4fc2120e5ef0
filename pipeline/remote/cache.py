"""Local copies of indexes are bounded: what was not used for the longest time goes first.

What an open index holds stays, so does what was used within the last minutes, and the copy of a build that runs.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import IndexLockedError, IndexStoreError
from pipeline.index import locks, staging, store
from pipeline.index import manifest as manifests
from pipeline.remote.place import RemoteIndex

log = logging.getLogger(__name__)

PULL_LOCK = ".pull.lock"
SETTLED_SECONDS = 600
"""A generation that was used this shortly before may be about to be opened."""


@dataclass(frozen=True, slots=True, order=True)
class _Kept:
    """A generation in a local copy, and when it was last used."""

    used: float
    copy: Path
    number: int


def make_room(remote: RemoteIndex, needed: int, number: int) -> None:
    """Remove what was not used for longest until `needed` bytes fit, but not generation `number` of this index.

    Call with the copy's pull lock held. Raises `IndexStoreError` if that many can never fit, or the disk is full.
    """
    limit = round(remote.settings.cache_gb * 1e9)
    if needed > limit:
        raise IndexStoreError(
            f"{remote.url}: generation {number} needs {needed:,} bytes here, more than remote.cache_gb="
            f"{remote.settings.cache_gb:g} allows; raise it, or name another remote.cache_folder"
        )
    root = _root(remote)
    total = _size(root)
    for old in _oldest_first(root) if total + needed > limit else ():
        if (old.copy, old.number) != (remote.folder, number) and _forget(old, own=old.copy == remote.folder):
            total = _size(root)
            if total + needed <= limit:
                break
    if total + needed > limit:
        log.warning(
            "%s: %d bytes, more than remote.cache_gb=%g allows, since they are in use",
            root,
            total + needed,
            remote.settings.cache_gb,
        )
    free = shutil.disk_usage(remote.folder).free
    if needed > free:
        raise IndexStoreError(
            f"{remote.folder}: generation {number} needs {needed:,} bytes more, and {free:,} are free; free some "
            "space, or name another remote.cache_folder"
        )


def _root(remote: RemoteIndex) -> Path:
    """The folder of all copies, each of which stands in a folder of its own there."""
    return remote.folder.parent.parent


def _size(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(parent) / name).lstat().st_size
            except OSError:
                continue  # gone meanwhile
    return total


def _oldest_first(root: Path) -> list[_Kept]:
    found, now = [], time.time()
    for copy in root.glob("*/*"):
        for number in manifests.generations(copy):
            try:
                used = manifests.manifest_path(copy, number).stat().st_mtime
            except OSError:
                continue
            if used + SETTLED_SECONDS < now:
                found.append(_Kept(used, copy, number))
    return sorted(found)


def _forget(old: _Kept, own: bool) -> bool:
    """Remove a generation and what no other one of its copy names, unless somebody works there."""
    live = manifests.live_number(old.copy)
    if old.number == live and (old.copy / staging.STAGING).exists():
        return False  # what waits there is to follow this generation
    try:
        with locks.turn(old.copy / PULL_LOCK, wait=False) as held:
            if not (held or own):
                return False
            with store.lock(old.copy):
                manifests.manifest_path(old.copy, old.number).unlink(missing_ok=True)
                store.collect_garbage(old.copy, max(1, len(manifests.generations(old.copy))))
    except IndexLockedError:
        return False
    log.info("%s: generation %d is not kept here any more", old.copy, old.number)
    return True

"""A generation from an object store into the local copy, where all else finds it as if it had been built here.

Files come in beside, below `.incoming/`; they get their places once their checksums were compared. The manifest,
which makes the generation one that can be opened, comes last.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from pathlib import Path

from pipeline.errors import CorruptIndexError, IndexStoreError, ObjectStoreError
from pipeline.index import files, locks
from pipeline.index import manifest as manifests
from pipeline.index.manifest import Manifest, SegmentEntry, manifest_path
from pipeline.index.segment import SEGMENTS
from pipeline.index.verified import Verified
from pipeline.progress import ProgressFactory, silent
from pipeline.remote import cache, encoder_files
from pipeline.remote.download import VanishedError, Wanted, download
from pipeline.remote.layout import file_key, generation_key
from pipeline.remote.place import RemoteIndex

log = logging.getLogger(__name__)

INCOMING = ".incoming"
TRIES = 5
"""How often a pull begins again because what it was fetching was collected."""


def pull(
    remote: RemoteIndex, generation: int | None = None, *, compare: bool = False, progress: ProgressFactory = silent
) -> int:
    """Bring the live generation, or the one given, into the local copy; returns its number.

    Only files that are not here are fetched. `compare`: also look whether those that are here are what they should
    be. Raises `IndexNotFoundError`, `ObjectStoreError`, `CorruptIndexError`, `IncompatibleIndexError`, and
    `IndexStoreError` where the copy is one of another index or the disk has too little room.
    """
    with locks.turn(remote.folder / cache.PULL_LOCK):
        if generation in manifests.generations(remote.folder) and not compare and generation is not None:
            os.utime(manifest_path(remote.folder, generation))
            return generation
        for attempt in range(TRIES):
            number = generation if generation is not None else newest(remote)
            data = remote.objects.read(generation_key(number))
            try:
                if data is None:
                    raise VanishedError(f"{remote.url}: generation {number} is not there any more")
                _bring(remote, remote.parsed(data, number), data, compare, progress)
                return number
            except VanishedError as error:
                if data is None and generation is not None:
                    raise remote.missing(number) from None
                if attempt == TRIES - 1 or generation is not None:
                    raise CorruptIndexError(
                        f"{remote.url}: generation {number}: {error}; `pipeline verify` lists what is missing"
                    ) from None
    raise AssertionError


def pull_if_reachable(remote: RemoteIndex, generation: int | None = None) -> int:
    """Like `pull`, but where the store does not answer, what is here is as good; a warning says so."""
    try:
        return pull(remote, generation)
    except ObjectStoreError as error:
        here = manifests.generations(remote.folder)
        if not error.unreachable or not here or (generation is not None and generation not in here):
            raise
        number = generation or here[-1]
        log.warning("%s; going on with generation %d, which is here", error, number)
        return number


def newest(remote: RemoteIndex) -> int:
    """The live generation's number, never less than what is here: a list of the store may be old.

    Raises `IndexNotFoundError`, and `IndexStoreError` if the copy has a generation that the store never had.
    """
    here = manifests.live_number(remote.folder)
    listed = max(remote.generations(), default=0)
    if here > listed:
        if remote.objects.head(generation_key(here)) is None:
            raise _another(remote, here)
        return here
    if not listed:
        raise remote.missing()
    return listed


def _another(remote: RemoteIndex, number: int) -> IndexStoreError:
    return IndexStoreError(
        f"{remote.folder}: has a generation {number} that is not that of {remote.url}: the place in the store was "
        "emptied, or somebody wrote into the copy; remove this folder, and what is in the store will be fetched"
    )


def _bring(remote: RemoteIndex, manifest: Manifest, data: bytes, compare: bool, progress: ProgressFactory) -> None:
    path = manifest_path(remote.folder, manifest.generation)
    known = path.exists()
    if known and path.read_bytes() != data:
        with contextlib.suppress(CorruptIndexError):
            manifests.load(remote.folder, manifest.generation)
            raise _another(remote, manifest.generation)
        known = False  # damaged
        path.unlink()
    if not known or compare:
        for _ in range(TRIES):
            with contextlib.ExitStack() as held:
                _fetch(remote, manifest, compare, progress, held)
                if all(_is_complete(remote.folder, entry) for entry in manifest.segments):
                    with contextlib.suppress(FileExistsError):
                        files.write_new_file(path, data)
                    break  # else a writer of this machine removed deletions that nothing named yet
        else:
            raise IndexStoreError(f"{remote.folder}: files vanish while they are fetched; do not run gc meanwhile")
        cache.make_room(remote, 0, manifest.generation)
    os.utime(path)  # when it was last used, for `cache`


def _fetch(
    remote: RemoteIndex, manifest: Manifest, compare: bool, progress: ProgressFactory, held: contextlib.ExitStack
) -> None:
    folder, incoming = remote.folder, remote.folder / INCOMING
    missing = _missing(folder, manifest, compare, held)
    wanted = [
        Wanted(file_key(entry.segment_id, file), file.size, file.checksum, incoming / entry.segment_id / file.name)
        for entry, found in missing
        for file in entry.every_file
        if file.name in found
    ]
    needed = sum(one.size for one in wanted)
    if needed:
        cache.make_room(remote, needed, manifest.generation)
        with progress("download", needed, "byte") as bar:
            download(remote.objects.read_range, wanted, remote.settings.transfers, bar.update)
        log.info("%s: fetched %d files, %d bytes", remote.url, len(wanted), needed)
    for entry, found in missing:
        _place(incoming / entry.segment_id, folder / SEGMENTS / entry.segment_id, found, held)
    encoder_files.pull(remote, manifest)
    shutil.rmtree(incoming, ignore_errors=True)


def _missing(
    folder: Path, manifest: Manifest, compare: bool, held: contextlib.ExitStack
) -> list[tuple[SegmentEntry, set[str]]]:
    """For each segment the files that are not here, or are something else. What is here is held from now on."""
    verified, found = Verified(folder), []
    for entry in manifest.segments:
        place = folder / SEGMENTS / entry.segment_id
        if not place.is_dir() or place.is_symlink():
            found.append((entry, {file.name for file in entry.every_file}))
            continue
        _hold(place, held)
        missing = set()
        for file in entry.every_file:
            try:
                files.regular_file(place / file.name, file.size)
                if compare and files.checksum(place / file.name) != file.checksum:
                    missing.add(file.name)
                elif not compare:
                    verified.check(place, [file])
            except (CorruptIndexError, FileNotFoundError):
                missing.add(file.name)
        found.append((entry, missing))
    verified.save()
    return found


def _hold(place: Path, held: contextlib.ExitStack) -> None:
    descriptor = locks.hold_folder(place)
    if descriptor is not None:
        held.callback(os.close, descriptor)


def _place(fresh: Path, place: Path, names: set[str], held: contextlib.ExitStack) -> None:
    """Give the files that came in their places; a segment that is not here yet gets its own in one step."""
    if not names:
        return
    for left in fresh.iterdir():  # of a pull that was interrupted and wanted other files
        if left.name not in names:
            left.unlink()
    _hold(fresh, held)  # the lock is the folder's, whatever it is called
    if place.is_symlink():
        place.unlink()
    if not place.exists():
        files.adopt_folder(fresh, place)
        return
    for name in sorted(names):
        files.replace_file(fresh / name, place / name)


def _is_complete(folder: Path, entry: SegmentEntry) -> bool:
    place = folder / SEGMENTS / entry.segment_id
    try:
        for file in entry.every_file:
            files.regular_file(place / file.name, file.size)
    except CorruptIndexError:
        return False
    return True

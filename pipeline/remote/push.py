"""A generation from the local copy to the object store, where it becomes live by one conditional put."""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pipeline.errors import CorruptIndexError, IndexStoreError, ObjectStoreError, OvertakenError
from pipeline.index import files
from pipeline.index import manifest as manifests
from pipeline.index.manifest import FileEntry, Manifest
from pipeline.index.segment import SEGMENTS as SEGMENT_FOLDERS
from pipeline.progress import ProgressFactory, silent
from pipeline.remote import encoder_files
from pipeline.remote.layout import PROBES, SEGMENTS, generation_key, segment_keys
from pipeline.remote.place import RemoteIndex

log = logging.getLogger(__name__)

_NEVER, _ALWAYS = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


def check_writable(remote: RemoteIndex) -> datetime:
    """Try whether the place can be written, and conditional puts are honoured; the time by the store's clock.

    Raises `ObjectStoreError`.
    """
    objects, key = remote.objects, f"{PROBES}/{uuid.uuid4().hex}"
    objects.prepare()
    mine = objects.create(key, b"may this be written?")
    try:
        if not mine or objects.create(key, b"and not overwritten?"):
            raise ObjectStoreError(
                f"{remote.url}: this store does not honour conditional puts, so that one of two builders could "
                "overwrite what the other has published; use a store that does"
            )
        written = objects.head(key)
    finally:
        with contextlib.suppress(ObjectStoreError):  # a collection removes what is left
            objects.delete(key)
    if written is None:
        raise ObjectStoreError(f"{remote.url}: does not have what was just written; use a consistent store")
    return written.written


def push(remote: RemoteIndex, manifest: Manifest, progress: ProgressFactory = silent) -> None:
    """Make a generation live, whose segments stand in the local copy: in the store, then here.

    Raises `OvertakenError` if another builder has published one of this number; then the one here is not live.
    Raises `ObjectStoreError`, also where nobody can say whether it is published: the next build looks again.
    """
    now, live = check_writable(remote), manifest.generation - 1
    named = {key for entry in _live(remote, live) for key in segment_keys(entry)}
    old = now - timedelta(hours=remote.settings.keep_hours) / 2
    _upload(remote, manifest, named, old, progress)
    encoder_files.push(remote, manifest)
    if not remote.objects.create(generation_key(manifest.generation), manifests.to_bytes(manifest)):
        raise OvertakenError(
            f"{remote.url}: another builder has published generation {manifest.generation} meanwhile, so this one "
            "is not published; `pipeline build` goes on from the other's, and encodes nothing twice"
        )
    with contextlib.suppress(FileExistsError):  # a reader of this machine has fetched it already
        manifests.publish(remote.folder, manifest)
    _upload(remote, manifest)


def restore(remote: RemoteIndex, manifest: Manifest, every_file: bool = False) -> int:
    """Write the files of a published generation again that the store lacks, or all of them; returns how many.

    Raises `CorruptIndexError` where they are damaged here.
    """
    return _upload(remote, manifest, old=_ALWAYS if every_file else _NEVER)


@dataclass(frozen=True, slots=True)
class _Upload:
    key: str
    file: FileEntry
    path: Path


def _live(remote: RemoteIndex, number: int) -> Iterable[manifests.SegmentEntry]:
    try:
        return manifests.load(remote.folder, number).segments if number else ()
    except IndexStoreError:
        return ()  # a full build goes on from a damaged one: then nothing counts as being there for sure


def _upload(
    remote: RemoteIndex,
    manifest: Manifest,
    named: Collection[str] = (),
    old: datetime = _NEVER,
    progress: ProgressFactory = silent,
) -> int:
    """Write files that the store lacks; returns how many.

    What it has but no live generation names (`named`) is written again if it is as old as `old`: else a collection
    might remove it before the generation is published.
    """
    stored = {one.key: one for one in remote.objects.list(f"{SEGMENTS}/")}
    missing = []
    for entry in manifest.segments:
        for key, file in segment_keys(entry).items():
            there = stored.get(key)
            if there is None or there.size != file.size or (there.written <= old and key not in named):
                path = remote.folder / SEGMENT_FOLDERS / entry.segment_id / file.name
                missing.append(_Upload(key, file, path))
    total = sum(one.file.size for one in missing)
    if not missing:
        return 0
    with progress("upload", total, "byte") as bar, ThreadPoolExecutor(remote.settings.transfers) as pool:

        def write(one: _Upload) -> None:
            files.regular_file(one.path, one.file.size)
            if files.checksum(one.path) != one.file.checksum:
                raise CorruptIndexError(f"{one.path}: has changed since it was written; {files.MEND}")
            remote.objects.write(one.key, one.path)
            bar.update(one.file.size)

        writing = [pool.submit(write, one) for one in missing]
        try:
            for each in writing:
                each.result()
        finally:
            pool.shutdown(cancel_futures=True)
    log.info("%s: wrote %d files, %d bytes", remote.url, len(missing), total)
    return len(missing)

"""Shards in the object store: their files first, then a marker that names them, by a conditional put.

So a shard is complete or not there. Of two workers that encode the same one, the first marker stays, and it names
files whose names say what is in them. Whether a shard is there is asked by its name, never by a list.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipeline.errors import CorruptIndexError, IndexStoreError
from pipeline.index import files
from pipeline.remote.download import VanishedError, Wanted, download
from pipeline.remote.layout import marker_key, shard_file_key
from pipeline.remote.place import RemoteIndex
from pipeline.remote.staged.records import ShardRecord, StagedFile, from_bytes, to_bytes

log = logging.getLogger(__name__)

Sound = Callable[[Path], bool]
"""Whether a folder is a finished shard of the texts that its name says."""


def stored(remote: RemoteIndex, key: str) -> ShardRecord | None:
    """The files of a complete shard; `None` if it is not there. Raises `ObjectStoreError`.

    A marker that is damaged is removed: then the shard is encoded again.
    """
    data = remote.objects.read(marker_key(key))
    if data is None:
        return None
    try:
        return from_bytes(data, ShardRecord, f"{remote.url}: {marker_key(key)}")
    except CorruptIndexError as error:
        log.warning("%s: the shard is encoded again", error)
        remote.objects.delete(marker_key(key))
        return None


def store(remote: RemoteIndex, shard: Path) -> ShardRecord:
    """Upload a finished shard; the record of the one that is there, which may be another worker's.

    Raises `ObjectStoreError`.
    """
    key = shard.name
    if (there := stored(remote, key)) is not None:
        return there
    record = ShardRecord(tuple(StagedFile.of(path, shard) for path in sorted(shard.iterdir())))
    with ThreadPoolExecutor(min(len(record.files), remote.settings.transfers)) as pool:
        list(
            pool.map(
                lambda file: remote.objects.write(shard_file_key(key, file.checksum, file.path), shard / file.path),
                record.files,
            )
        )
    if remote.objects.create(marker_key(key), to_bytes(record)):
        return record
    winner = stored(remote, key)
    if winner is None:
        raise IndexStoreError(f"{remote.url}: {marker_key(key)}: came and went; start the worker again")
    return winner


def bring(remote: RemoteIndex, shard: Path, sound: Sound) -> str:
    """Bring a stored shard into its place in the local copy; why that cannot be, empty if it is there.

    A shard that is truncated or garbled in the store is removed there, after it was asked for again: then it is
    encoded again. Raises `ObjectStoreError` where the store does not answer.
    """
    record = stored(remote, shard.name)
    if record is None:
        return "nothing is stored"
    reason = ""
    try:
        with files.new_folder(shard, keep=sound) as fresh:
            wanted = [
                Wanted(shard_file_key(shard.name, one.checksum, one.path), one.size, one.checksum, fresh / one.path)
                for one in record.files
            ]
            download(remote.objects.read_range, wanted, remote.settings.transfers, lambda size: None)
    except (CorruptIndexError, VanishedError) as error:
        reason = str(error).split(";")[0]
    if not reason and not sound(shard):
        reason = "is of other texts than its name says"
    if reason:
        if not sound(shard):
            files.remove_folder(shard)
        log.warning("%s: shard %s: %s; it is encoded again", remote.url, shard.name, reason)
        remote.objects.delete(marker_key(shard.name))
        return f"what is stored is damaged ({reason})"
    return ""

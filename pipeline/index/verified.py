"""Which files were compared with their checksums and have not changed since: they need not be read again to open.

Without this, opening costs more the larger an index is. A file counts as unchanged while its inode, its size and
the times of its last changes are what they were when it was compared; no program can set the time when an inode was
changed. That does not see bits that a disk loses by itself, so a comparison is believed for a week only.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from pathlib import Path

import xxhash

from pipeline.errors import CorruptIndexError
from pipeline.index import files
from pipeline.index.manifest import FileEntry

log = logging.getLogger(__name__)

NAME = ".verified.json"
VERSION = 1
VALID_SECONDS = 7 * 24 * 3600
SETTLED_NS = 2_000_000_000
"""A file that changed this shortly before it was compared may change again within one tick of the file system."""
_WORTH_THREADS = 32 << 20


@dataclass(frozen=True, slots=True)
class Seen:
    """A file as it was when it had this checksum. `compared_ns`: when that was, since the epoch."""

    checksum: str
    inode: int
    size: int
    changed_ns: int
    modified_ns: int
    compared_ns: int


class Verified:
    """What is known of an index's files. Not for several threads at once."""

    def __init__(self, index: Path) -> None:
        """Read what earlier openings noted; a record that is missing or damaged says nothing."""
        self._path = index / NAME
        self._index = index
        self._seen = _load(self._path)
        self._fresh = False

    def check(self, folder: Path, entries: Sequence[FileEntry]) -> None:
        """Compare the files of a folder, those that changed since they were compared, with their checksums.

        Raises `CorruptIndexError` for the first that has another.
        """
        paths = [folder / entry.name for entry in entries]
        unknown = [pair for pair in zip(paths, entries, strict=True) if not self._is_known(*pair)]
        before = [_seen(path, entry.checksum) for path, entry in unknown]
        compare(unknown)
        for (path, _), seen in zip(unknown, before, strict=True):
            if seen.changed_ns + SETTLED_NS <= seen.compared_ns:
                self._seen[self._key(path)] = seen
                self._fresh = True

    def save(self) -> None:
        """Note what was compared, for the next who opens the index, if its folder may be written."""
        if not self._fresh:
            return
        kept = {key: seen for key, seen in self._seen.items() if (self._index / key).exists()}
        body = {"version": VERSION, "files": {key: astuple(kept[key]) for key in sorted(kept)}}
        data = json.dumps({**body, "checksum": _digest(body)}).encode()
        try:
            files.write_file(self._path, data)
        except OSError as error:
            log.info("%s: cannot be written (%s); checksums are compared again", self._path, error.strerror)

    def _key(self, path: Path) -> str:
        return path.relative_to(self._index).as_posix()

    def _is_known(self, path: Path, entry: FileEntry) -> bool:
        seen = self._seen.get(self._key(path))
        if seen is None or not 0 <= time.time_ns() - seen.compared_ns <= VALID_SECONDS * 1_000_000_000:
            return False
        now = _seen(path, entry.checksum)
        return astuple(now)[:-1] == astuple(seen)[:-1]


def compare(pairs: Sequence[tuple[Path, FileEntry]]) -> None:
    """Compare files with their checksums, by several threads if that pays. Raises `CorruptIndexError` for the first
    that has another."""
    if sum(entry.size for _, entry in pairs) < _WORTH_THREADS or len(pairs) < 2:
        for pair in pairs:
            _compare(pair)
        return
    with ThreadPoolExecutor(min(len(pairs), os.cpu_count() or 1)) as pool:
        for _ in pool.map(_compare, pairs):
            pass


def _compare(pair: tuple[Path, FileEntry]) -> None:
    path, entry = pair
    if files.checksum(path) != entry.checksum:
        raise CorruptIndexError(f"{path}: its checksum does not match the manifest; {files.MEND}")


def _seen(path: Path, checksum: str) -> Seen:
    now = time.time_ns()
    status = path.lstat()
    return Seen(checksum, status.st_ino, status.st_size, status.st_ctime_ns, status.st_mtime_ns, now)


def _digest(body: dict[str, object]) -> str:
    return xxhash.xxh3_128_hexdigest(json.dumps(body, sort_keys=True).encode())


def _load(path: Path) -> dict[str, Seen]:
    try:
        body = json.loads(path.read_bytes())
        checksum = body.pop("checksum")
        if body["version"] != VERSION or checksum != _digest(body):
            return {}
        return {key: Seen(*fields) for key, fields in body["files"].items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}

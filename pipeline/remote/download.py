"""Files from an object store: in parts, by several threads, compared with their checksums before they are named."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import CorruptIndexError, ObjectStoreError
from pipeline.index import files

PART_BYTES = 16 << 20
_TRIES = 4


class VanishedError(ObjectStoreError):
    """An object is not there: a collection removed it, or it never was."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An object, what it must hold, and the file that it becomes."""

    key: str
    size: int
    checksum: str
    path: Path

    @property
    def is_here(self) -> bool:
        """Whether the file is here, and is what it should be."""
        try:
            return files.checksum(files.regular_file(self.path, self.size)) == self.checksum
        except (CorruptIndexError, OSError):
            return False


Read = Callable[[str, int, int], bytes | None]
"""Gives the bytes of an object from a place on, as many as asked for; `None` without such an object."""


def download(read: Read, wanted: Sequence[Wanted], threads: int, done: Callable[[int], object]) -> None:
    """Fetch files that are not here yet. Each gets its name when its checksum was found right and it is synced.

    `done` is told how many bytes have come. Raises `VanishedError`, `ObjectStoreError`, `CorruptIndexError` for an
    object that holds something else.
    """
    todo = [one for one in wanted if not one.is_here]
    for one in todo:
        files.make_folder(one.path.parent)
        with _partial(one).open("wb") as file:
            file.truncate(one.size)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="download")
    try:
        parts: list[tuple[Wanted, list[Future[None]]]] = [
            (one, [pool.submit(_fetch, read, one, start, done) for start in range(0, one.size, PART_BYTES)])
            for one in todo
        ]
        for one, fetched in parts:
            for part in fetched:
                part.result()
            _finish(read, one)
    finally:
        pool.shutdown(cancel_futures=True)


def _partial(one: Wanted) -> Path:
    return one.path.with_name(f"{one.path.name}.part")


def _fetch(read: Read, one: Wanted, start: int, done: Callable[[int], object]) -> None:
    length = min(PART_BYTES, one.size - start)
    for attempt in range(_TRIES):
        try:
            data = read(one.key, start, length)
        except ObjectStoreError as error:
            if not error.unreachable or attempt == _TRIES - 1:
                raise
            continue
        if data is None:
            raise VanishedError(f"{one.key}: is not there any more")
        if len(data) == length:
            descriptor = os.open(_partial(one), os.O_WRONLY | os.O_CLOEXEC)
            try:
                written = 0
                while written < length:
                    written += os.pwrite(descriptor, data[written:] if written else data, start + written)
            finally:
                os.close(descriptor)
            done(length)
            return
    raise CorruptIndexError(
        f"{one.key}: ends before its {one.size} bytes; publish the index again (`pipeline build`)"
    )


def _finish(read: Read, one: Wanted) -> None:
    """Give a file its name, if it is what it should be; once more from the start if a part came in damaged."""
    part = _partial(one)
    for attempt in range(2):
        if files.checksum(part) == one.checksum:
            files.replace_file(part, one.path)
            return
        if attempt == 0:
            for start in range(0, one.size, PART_BYTES):
                _fetch(read, one, start, lambda count: None)
    part.unlink()
    raise CorruptIndexError(
        f"{one.key}: holds something else than it should; `pipeline verify` lists what is damaged"
    )

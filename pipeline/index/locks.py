"""Locks on folders: the single writer of an index, and readers that keep a segment from being collected.

`flock`, so the kernel drops them when a process dies.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import CorruptIndexError, IndexLockedError
from pipeline.index.files import MEND, make_folder, remove_folder


def hold_folder(path: Path) -> int | None:
    """Keep a folder from being collected as garbage until the returned descriptor is closed.

    `None` where folders cannot be locked (some network file systems). Raises `CorruptIndexError` if it is gone.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        reason = "a symlink or no folder" if error.errno in (errno.ELOOP, errno.ENOTDIR) else error.strerror
        raise CorruptIndexError(f"{path}: {reason}; {MEND}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if error.errno == errno.EWOULDBLOCK:
            raise CorruptIndexError(f"{path}: is being collected as garbage; open a newer generation") from None
        return None
    return descriptor


def hold_for(owner: object, path: Path) -> None:
    """Keep a folder from being collected as garbage as long as `owner` lives. Raises `CorruptIndexError`."""
    descriptor = hold_folder(path)
    if descriptor is not None:
        weakref.finalize(owner, os.close, descriptor)


def remove_unheld_folder(path: Path) -> bool:
    """Remove a folder unless a reader holds it; says whether it is gone."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno == errno.EWOULDBLOCK:
                return False
        remove_folder(path)
        return True
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def kept_from_sweeping(path: Path) -> Iterator[None]:
    """Keep a temporary file or folder from `sweep_beside` while it is written."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):  # no locks on this file system: there nothing is swept
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def sweep_beside(path: Path) -> None:
    """Remove what a killed writer of `path` left beside it under a temporary name."""
    name = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{32}}\.tmp")
    for left in path.parent.glob(".*.tmp"):
        if name.fullmatch(left.name) is None:
            continue
        with contextlib.suppress(OSError):  # of another user, or gone meanwhile
            if left.is_dir():
                remove_unheld_folder(left)
            elif not is_held(left):
                left.unlink()


def is_held(path: Path) -> bool:
    """Whether a reader holds this folder (or a writer this temporary file); `False` where there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno == errno.EWOULDBLOCK
    finally:
        os.close(descriptor)
    return False


def _holder(descriptor: int) -> str:
    """The process that wrote its number into a lock file; it does so a moment after it has got the lock."""
    for _ in range(20):
        if holder := os.pread(descriptor, 32, 0).decode("ascii", "replace").strip():
            return holder
        time.sleep(0.01)
    return "unknown"


@contextlib.contextmanager
def writer_lock(path: Path) -> Iterator[None]:
    """Hold the single writer lock of an index. Raises `IndexLockedError` naming the process that holds it."""
    make_folder(path.parent)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            holder = _holder(descriptor)
            raise IndexLockedError(
                f"{path.parent}: process {holder} is writing to this index; wait for it to finish or stop it"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)

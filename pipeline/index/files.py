"""Everything that makes a write durable: temporary names, fsync, rename, link and checksums.

No other module renames, links or syncs.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import xxhash

from pipeline import arrays
from pipeline.errors import CorruptIndexError

_BLOCK = 1 << 20
MEND = "`pipeline repair` mends what it can, or says what to do"
_NO_MEMORY = (os.strerror(errno.ENOMEM), os.strerror(errno.EAGAIN), "bad_alloc", "can't start new thread")


def out_of_memory(error: BaseException) -> bool:
    """Whether a library failed for want of memory, or of room for a thread. Where Arrow and FAISS map a file or
    start a thread, they say so in words only."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    return any(words in str(error) for words in _NO_MEMORY)


def damage(error: Exception, message: str) -> CorruptIndexError:
    """The error for a file that a library could not read. Raises `MemoryError` if only memory was short: a sound
    file must not be called damaged."""
    if out_of_memory(error):
        raise MemoryError(str(error)) from None
    return CorruptIndexError(message)


def checksum(path: Path) -> str:
    """XXH3-128 of a file's bytes, hex. Detects damage, not forgery."""
    digest = xxhash.xxh3_128()
    with path.open("rb", buffering=0) as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def sync_file(path: Path) -> None:
    """Force a file's bytes to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Force a folder's entries (creations, renames) to the disk."""
    sync_file(path)


def make_folder(path: Path) -> None:
    """Create a folder and its parents where they are missing, each durably."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    sync_folder(path.parent)


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Errors of calls that know no file name (a full disk, mostly) get this one."""
    try:
        yield
    except OSError as error:
        if error.errno is None:  # NumPy says only how much of an array it has written
            raise OSError(errno.ENOSPC, f"cannot be written whole ({error})", str(path)) from error
        if error.filename is None:
            error.filename = str(path)
        raise


def write_file(path: Path, data: bytes) -> None:
    """Write a whole file so that `path` holds either its old bytes or the new ones, whatever happens."""
    make_folder(path.parent)
    temporary = _temporary(path)
    with _naming(path):
        try:
            _write_synced(temporary, data)
            temporary.rename(path)
        except BaseException:
            _discard(temporary)
            raise
        sync_folder(path.parent)


def write_array(path: Path, array: npt.NDArray[Any]) -> None:
    """Write a NumPy array as an .npy file, all or nothing."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    write_file(path, buffer.getvalue())


def map_array(path: Path, dtype: npt.DTypeLike, dimensions: int) -> npt.NDArray[Any]:
    """Map an .npy file of this type and number of dimensions, whose shape fits its size. Raises
    `CorruptIndexError`, and `MemoryError` if there is too little memory."""
    try:
        array = arrays.mapped(path)
    except (ValueError, OSError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise damage(error, f"{path}: cannot be read ({reason}); {MEND}") from None
    if array.dtype != dtype or array.ndim != dimensions:
        raise CorruptIndexError(f"{path}: not a {dimensions}-dimensional array of {np.dtype(dtype)}")
    return array


def read_array(path: Path, dtype: npt.DTypeLike, dimensions: int) -> npt.NDArray[Any]:
    """Like `map_array`, but in memory."""
    return np.array(map_array(path, dtype, dimensions))


def write_new_file(path: Path, data: bytes) -> None:
    """Like `write_file`, but raises `FileExistsError` if `path` exists: one writer wins."""
    temporary = _temporary(path)
    with _naming(path):
        try:
            _write_synced(temporary, data)
            _link_new(temporary, path)
        finally:
            _discard(temporary)
        sync_folder(path.parent)


def _discard(temporary: Path) -> None:
    # An error here must not hide the one that led here, nor undo what is done: the next writer sweeps it away.
    with contextlib.suppress(OSError):
        temporary.unlink()


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _link_new(temporary: Path, path: Path) -> None:
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK):
            raise
        # No hard links here: the writer lock is what keeps two writers apart.
        if path.exists():
            raise FileExistsError(errno.EEXIST, "exists", str(path)) from None
        temporary.rename(path)


@contextlib.contextmanager
def new_folder(destination: Path, keep: Callable[[Path], bool] | None = None) -> Iterator[Path]:
    """A temporary folder beside `destination` that is synced and renamed to it when the block ends without error.

    If `destination` exists by then it is replaced only when it is a leftover that nothing names; callers make sure.
    `keep`: says of a folder that stands there by then whether it stays, so that any number of writers, on any
    machines, may make the same folder.
    """
    make_folder(destination.parent)
    temporary = _temporary(destination)
    with _naming(destination):
        temporary.mkdir()
        try:
            yield temporary
            for path in sorted(temporary.iterdir()):
                sync_file(path)
            sync_folder(temporary)
            while not _takes_place(temporary, destination, keep):
                pass  # another writer was there first
            sync_folder(destination.parent)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def _takes_place(temporary: Path, destination: Path, keep: Callable[[Path], bool] | None) -> bool:
    """Put a finished folder in its place, or drop it if what stands there stays; says whether that is settled."""
    if destination.exists():
        if keep is not None and keep(destination):
            shutil.rmtree(temporary)
            return True
        remove_folder(destination)
    try:
        temporary.rename(destination)
    except OSError as error:
        if keep is None or error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return False
    return True


@contextlib.contextmanager
def new_tree(destination: Path) -> Iterator[Path]:
    """Like `new_folder`, for a folder with folders in it, and for a place where nothing is yet.

    Raises `FileExistsError` if anything but an empty folder is there by then.
    """
    make_folder(destination.parent)
    temporary = _temporary(destination)
    with _naming(destination):
        temporary.mkdir()
        try:
            yield temporary
            _sync_tree(temporary)
            try:
                temporary.rename(destination)
            except (FileExistsError, NotADirectoryError):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(destination)) from None
            except OSError as error:
                if error.errno != errno.ENOTEMPTY:
                    raise
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(destination)) from None
            sync_folder(destination.parent)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


@contextlib.contextmanager
def new_stream(path: Path) -> Iterator[BinaryIO]:
    """A file open for writing under a temporary name, that is synced and gets its own when the block ends without
    error. Raises `FileExistsError` if `path` exists by then."""
    make_folder(path.parent)
    temporary = _temporary(path)
    with _naming(path):
        try:
            with temporary.open("xb") as stream:
                yield stream  # whoever writes may close it
            sync_file(temporary)
            _link_new(temporary, path)
        finally:
            _discard(temporary)
        sync_folder(path.parent)


def adopt_folder(fresh: Path, destination: Path) -> None:
    """Give a finished folder its place on the same disk, where nothing is yet, in one step."""
    make_folder(destination.parent)
    _sync_tree(fresh)
    fresh.rename(destination)
    sync_folder(destination.parent)


def _sync_tree(folder: Path) -> None:
    for path in sorted(folder.rglob("*")):
        sync_file(path)
    sync_folder(folder)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")


@contextlib.contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """A temporary folder in `parent`, so on the same disk, that is removed when the block ends."""
    folder = parent / f".scratch.{uuid.uuid4().hex}.tmp"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def replace_file(fresh: Path, path: Path) -> None:
    """Put a finished file in the place of `path` in one step. Who has the old one open keeps it."""
    sync_file(fresh)
    fresh.rename(path)
    sync_folder(path.parent)


def move_file(path: Path, destination: Path) -> None:
    """Move a file on the same disk into a folder that is being made (`new_folder`), which syncs it in the end."""
    with _naming(destination):
        path.rename(destination)


def remove_folder(path: Path) -> None:
    """Remove a folder so that it never stands half-removed under its own name."""
    doomed = _temporary(path)
    try:
        path.rename(doomed)
    except FileNotFoundError:
        return
    shutil.rmtree(doomed)


def sweep_temporaries(folder: Path) -> None:
    """Remove what an interrupted writer left behind. Only the holder of the writer lock may call this."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.name.startswith(".") and path.name.endswith(".tmp"):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def regular_file(path: Path, size: int) -> Path:
    """`path` itself, if it is a plain file (no symlink) of exactly `size` bytes. Raises `CorruptIndexError`."""
    try:
        status = path.lstat()
    except OSError as error:
        raise CorruptIndexError(f"{path}: missing ({error.strerror}); {MEND}") from None
    if not path.is_file() or path.is_symlink():
        raise CorruptIndexError(f"{path}: not a plain file; {MEND}")
    if status.st_size != size:
        raise CorruptIndexError(f"{path}: {status.st_size} bytes where the manifest says {size}; {MEND}")
    return path

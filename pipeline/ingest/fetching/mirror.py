"""The files that stand for a source in the index folder. Derived: removing them costs the time to fetch again."""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from pipeline.index import files

FETCHED = "fetched"
"""Folder of an index with a folder for each source that is no path."""

_BLOCK = 1 << 20


class Mirror:
    """One source's folder, while the source is fetched.

    A file whose bytes are what they were is left alone, times and all, so that the ledger takes it as unchanged.
    What was neither written nor kept until `finish` is removed. Names are posix paths below the folder. Only the
    holder of the writer lock may have one.
    """

    def __init__(self, folder: Path) -> None:
        """Create the folder, and remove what an interrupted fetch left half done."""
        files.make_folder(folder)
        files.sweep_temporaries(folder)
        self.folder = folder
        self._present: set[Path] = set()
        self._folders: set[Path] = set()

    def path(self, name: str) -> Path:
        """Where a file is, or would be. Raises `ValueError` for a name that leads out of the folder."""
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts:
            raise ValueError(f"{name!r} is no name in a mirror")
        return self.folder.joinpath(*parts)

    def keep(self, name: str) -> Path:
        """Say that a file which is there still stands for something; returns where it is."""
        path = self.path(name)
        self._present.add(path)
        return path

    def keep_folder(self, name: str) -> Path:
        """Say that a folder stays, with whatever is in it; returns where it is, or may be made."""
        path = self.path(name)
        self._folders.add(path)
        return path

    def write(self, name: str, data: bytes) -> Path:
        """Have a file hold `data`, all or nothing; returns where it is."""
        path = self.keep(name)
        if not _holds(path, data):
            files.write_file(path, data)
        return path

    @contextlib.contextmanager
    def stream(self, name: str) -> Iterator[BinaryIO]:
        """A file to write from its beginning, which takes its place when the block ends without error."""
        path = self.path(name)
        temporary = self.folder / f".{uuid.uuid4().hex}.tmp"
        try:
            with temporary.open("xb") as stream:
                try:
                    yield stream
                    stream.flush()
                except OSError as error:  # a full disk, mostly: it knows no name
                    if error.filename is None:
                        error.filename = str(path)
                    raise
            if not _same(temporary, path):
                files.make_folder(path.parent)
                files.replace_file(temporary, path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()
        self._present.add(path)

    def finish(self) -> None:
        """Remove what is no longer there, with the folders that are empty then."""
        for parent, _, names in os.walk(self.folder, topdown=False):
            folder = Path(parent)
            if not self._folders.isdisjoint((folder, *folder.parents)):
                continue
            for name in names:
                if folder / name not in self._present:
                    (folder / name).unlink()
            if folder != self.folder:
                with contextlib.suppress(OSError):  # it has files in it
                    folder.rmdir()


def drop_others(index: Path, folders: set[Path]) -> None:
    """Remove the mirrors of sources that are no longer configured."""
    for path in (index / FETCHED).glob("*"):
        if path not in folders:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _holds(path: Path, data: bytes) -> bool:
    try:
        return path.stat().st_size == len(data) and path.read_bytes() == data
    except OSError:
        return False


def _same(one: Path, other: Path) -> bool:
    try:
        if one.stat().st_size != other.stat().st_size:
            return False
        with one.open("rb") as left, other.open("rb") as right:
            while block := left.read(_BLOCK):
                if block != right.read(_BLOCK):
                    return False
    except OSError:
        return False
    return True

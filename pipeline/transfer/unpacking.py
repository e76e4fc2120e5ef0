"""From an export, an archive or a folder, to files in a folder of ours, each of them compared with the record."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

import xxhash

from pipeline.errors import IndexNotFoundError, IndexStoreError
from pipeline.index import manifest as manifests
from pipeline.index.manifest import Manifest, model_folder
from pipeline.transfer.archive import BLOCK, ArchiveReader
from pipeline.transfer.contents import (
    LARGEST_RECORD,
    RECORD,
    REQUIREMENTS,
    Contents,
    ExportedFile,
    check_manifest,
    damaged,
    from_bytes,
)


class _Source(Protocol):
    """An export that is read: first its record, then every file in the record's order, then its end."""

    def contents(self) -> Contents: ...

    def blocks(self, file: ExportedFile) -> Iterator[bytes]: ...

    def finish(self) -> None: ...


class _FolderSource:
    """An export in a folder. Links are not followed, wherever in it they stand."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def contents(self) -> Contents:
        try:
            with self._open(RECORD) as stream:
                data = stream.read(LARGEST_RECORD + 1)
        except OSError as error:
            raise IndexNotFoundError(
                f"{self._path}: no export is here: {RECORD} cannot be read ({error.strerror}); "
                "name a folder or an archive that `pipeline export` wrote"
            ) from None
        if len(data) > LARGEST_RECORD:
            raise damaged(str(self._path), f"its record has more than {LARGEST_RECORD:,} bytes")
        return from_bytes(data, str(self._path))

    def blocks(self, file: ExportedFile) -> Iterator[bytes]:
        left = file.size
        try:
            with self._open(file.path) as stream:
                while left and (block := stream.read(min(BLOCK, left))):
                    left -= len(block)
                    yield block
                more = stream.read(1)
        except OSError as error:
            raise damaged(str(self._path), f"{file.path} cannot be read ({error.strerror})") from None
        if left or more:
            raise damaged(str(self._path), f"{file.path} has another size than its record says")

    def finish(self) -> None:
        """Do nothing: what else lies in the folder is not read."""

    @contextlib.contextmanager
    def _open(self, path: str) -> Iterator[BinaryIO]:
        """Open a plain file, each folder on the way to it as a folder."""
        *folders, name = path.split("/")
        with contextlib.ExitStack() as stack:
            place = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, place)
            for folder in folders:
                place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place)
                stack.callback(os.close, place)
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=place)
            yield stack.enter_context(os.fdopen(descriptor, "rb"))


@contextlib.contextmanager
def opened(source: Path) -> Iterator[_Source]:
    """An export that can be read: the archive or the folder `source`. Raises `IndexNotFoundError`."""
    if source.is_dir():
        yield _FolderSource(source)
        return
    with ArchiveReader(source) as archive:
        yield archive


def unpack(source: Path, folder: Path) -> tuple[Contents, Manifest]:
    """Write the files of an export that belong to an index into an empty folder of ours.

    Everything is compared with the export's record and with the manifest. Raises `IndexNotFoundError`,
    `CorruptIndexError`, `IncompatibleIndexError`, and `IndexStoreError` where the disk has too little room.
    """
    with opened(source) as export:
        contents = export.contents()
        if contents.size > (free := shutil.disk_usage(folder).free):
            raise IndexStoreError(
                f"{folder.parent}: {source} needs {contents.size:,} bytes and {free:,} are free; free some space"
            )
        for file in contents.files:
            _write(folder, file, export.blocks(file), str(source))
        export.finish()
    (folder / REQUIREMENTS).unlink(missing_ok=True)
    manifest = manifests.load(folder, contents.generation)
    model = model_folder(folder, manifest).relative_to(folder).as_posix()
    check_manifest(contents, manifest, model, str(source))
    return contents, manifest


def _write(folder: Path, file: ExportedFile, blocks: Iterator[bytes], origin: str) -> None:
    path = folder / file.path
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = xxhash.xxh3_128()
    with path.open("xb") as stream:
        for block in blocks:
            digest.update(block)
            stream.write(block)
    if digest.hexdigest() != file.checksum:
        raise damaged(origin, f"the checksum of {file.path} does not match its record")
